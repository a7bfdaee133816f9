"""What `report.html` shows of single clips: a row for every prediction, and cards with pictures.

Every number on the page links to the rows it was computed from. A link is the fragment of an
address, `#run=headline&label=anger`; `filters.js.j2` reads it and hides the other rows and cards.
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.reporting import words
from fdp_jax.reporting.auxiliary import rank_losses, rank_targets
from fdp_jax.reporting.figures import balanced_order
from fdp_jax.reporting.summary import headline_runs
from fdp_jax.reporting.workdir import Outputs, Run

# The best JPEG quality is taken at which all pictures fit; even noise does at the last, 300 clips.
QUALITIES = (85, 70, 50, 30, 15)
PICTURE_BYTES = 7_000_000  # of all data URIs together; the page is to stay below 10 MB
HEADLINE = "headline"  # the choice of runs behind the headline numbers
_CURVE_WIDTH, _CURVE_HEIGHT = 100, 60


@dataclass(frozen=True)
class Row:
    """One prediction as the page shows it; the first six are what one can filter by."""

    run: str  # as `run_id` gives
    corpus: str
    person: str
    label: str
    prediction: str  # empty where nothing was predicted
    verdict: str  # right, wrong or empty
    clip: str
    probability: float | None  # of the prediction
    image_mse: float | None
    rank_loss: float | None


@dataclass(frozen=True)
class Card:
    """One clip in pictures; the images are data URIs, the curves points of an SVG polyline."""

    row: Row
    most_probable: str
    n_frames: int
    frames: str
    target: str
    dynamic_image: str | None
    rank_curve: str | None
    rank_target: str | None


@dataclass(frozen=True)
class RunChoice:
    """One entry of the list of runs on the page."""

    value: str
    title: str
    runs: tuple[str, ...]


def run_id(select: str, seed: int) -> str:
    """A run's name in links."""
    return f"{select}/{seed}"


def run_choices(report: dict, runs: Sequence[Run]) -> list[RunChoice]:
    """What can be chosen as rows: those of the headline, of one selection rule, of one run."""
    finished = [run for run in runs if run.folds]
    if not finished:
        return []
    headline = headline_runs(finished)
    title = f"headline: {words.rule_name(report['select'])}, {words.seeds_text(report)}"
    choices = [RunChoice(HEADLINE, title, _ids(headline))]
    rules = dict.fromkeys(run.select for run in finished)
    for rule in rules:
        chosen = headline_runs([run for run in finished if run.select == rule])
        if len(rules) > 1 and len(chosen) > 1:
            seeds = words.listing(str(run.seed) for run in chosen)
            choices.append(RunChoice(rule, f"{words.rule_name(rule)}, seeds {seeds}", _ids(chosen)))
    if len(finished) > 1:
        for run in finished:
            title = f"{words.rule_name(run.select)}, seed {run.seed}"
            choices.append(RunChoice(run_id(run.select, run.seed), title, _ids([run])))
    return choices


def _ids(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(run_id(run.select, run.seed) for run in runs)


def prediction_rows(report: dict, run: Run) -> list[Row]:
    """A row for each prediction of the run, in the order of its table."""
    table, outputs = run.table, run.outputs
    losses = None
    if outputs.rank_scores is not None:
        losses = rank_losses(outputs.rank_scores, run.info.get("rank_slope", 1.0))
    return [
        Row(
            run=run_id(run.select, run.seed),
            corpus=table.dataset[row],
            person=_person(report, table, row),
            label=table.label[row],
            prediction=table.prediction[row],
            verdict=("right" if right else "wrong") if table.recognises else "",
            clip=table.clip[row],
            probability=_number(table.probabilities[row].max()),
            image_mse=_number(table.dic_mse[row]),
            rank_loss=None if losses is None else _number(losses[row]),
        )
        for row, right in enumerate(table.right)
    ]


def _person(report: dict, table: PredictionTable, row: int) -> str:
    """The person's name as `summary.per_subject` has it."""
    corpus = f"{table.dataset[row]} " if "per_dataset" in report else ""
    return corpus + table.subject[row]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def cards(report: dict, run: Run) -> list[Card]:
    """The run's clips in pictures, as many as fit `PICTURE_BYTES`, in balanced order."""
    table, outputs = run.table, run.outputs
    rows = prediction_rows(report, run)
    order = balanced_order(table)
    pictures = _pictures_that_fit(outputs, order)
    return [
        Card(
            rows[row],
            _most_probable(table, row),
            outputs.frames.shape[1],
            *images,
            *_rank_curves(outputs, row, run.info.get("rank_slope", 1.0)),
        )
        for row, images in zip(order, pictures, strict=False)
    ]


def _most_probable(table: PredictionTable, row: int) -> str:
    """The three most probable classes with their probabilities."""
    if not table.recognises:
        return ""
    probabilities = table.probabilities[row]
    order = np.argsort(-probabilities, kind="stable")[:3]
    return " · ".join(f"{table.classes[k]} {probabilities[k]:.2f}" for k in order)


def _pictures_that_fit(outputs: Outputs, order: Sequence[int]) -> list[tuple[str | None, ...]]:
    """(frames, ground truth, construction) of the first clips of `order`, as data URIs."""
    for quality in QUALITIES:
        pictures, size = [], 0
        for row in order:
            images = _pictures(outputs, row, quality)
            size += sum(len(image) for image in images if image)
            if size > PICTURE_BYTES:
                break
            pictures.append(images)
        else:
            break
    return pictures


def _pictures(outputs: Outputs, row: int, quality: int) -> tuple[str | None, ...]:
    built = outputs.dynamic_image
    return (
        jpeg(np.concatenate(outputs.frames[row], axis=1), quality),
        jpeg(_grey(outputs.target[row]), quality),
        None if built is None else jpeg(_grey(built[row]), quality),
    )


def _grey(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] -> uint8."""
    return np.uint8(np.clip(image, 0, 1) * 255 + 0.5)


def jpeg(image: np.ndarray, quality: int) -> str:
    """A grey image uint8 [h, w] as the data URI of a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _rank_curves(outputs: Outputs, row: int, slope: float) -> tuple[str | None, str | None]:
    """The clip's rank scores and their targets as points, on one scale that holds both."""
    if outputs.rank_scores is None:
        return None, None
    scores = np.asarray(outputs.rank_scores[row], dtype=np.float64)
    targets = rank_targets(len(scores), slope)
    low, high = min(scores.min(), targets.min()), max(scores.max(), targets.max())
    x = np.linspace(0, _CURVE_WIDTH, len(scores))
    scale = _CURVE_HEIGHT / ((high - low) or 1)
    return tuple(
        " ".join(
            f"{a:.0f},{_CURVE_HEIGHT - (b - low) * scale:.1f}" for a, b in zip(x, line, strict=True)
        )
        for line in (scores, targets)
    )

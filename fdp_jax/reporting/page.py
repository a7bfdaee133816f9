"""`report.md`, whose beginning the terminal shows, `report.html`, and the tables of both.

The HTML is one self-contained file, rendered from `page.html.j2`: style sheet, script and images
are inline, and the content security policy forbids requests. jinja2 escapes every text, since names
of clips, subjects and classes come from external files.

Every number links to the predictions that it was computed from. A link is a URL fragment such as
`#run=headline&label=anger`; `filters.js.j2` reads it and hides all other rows and cards.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fdp_jax.metrics.auxiliary_tasks import rank_losses, rank_targets
from fdp_jax.reporting import formatting
from fdp_jax.reporting.figures import PIXELS_PER_INCH, balanced_order
from fdp_jax.reporting.formatting import (
    BASELINES,
    GUESSING,
    SCORE_TITLES,
    Rows,
    bullets,
    compact,
    escape,
    has_scores,
    number,
    percent,
    rule_name,
    score_titles,
    selection_notes,
    table,
    uncertainty,
)
from fdp_jax.reporting.results import Run, headline_runs
from fdp_jax.templates import environment_of

# Figure file -> title and caption.
FIGURES = {
    "confusion_matrix.png": ("Confusion matrix", "Rows are true classes; colour is the row share."),
    "subject_accuracy.png": ("Accuracy by subject", "Each subject was left out of training."),
    "training_curves.png": (
        "Training curves",
        "Training losses of each fold (thin) and their mean (thick). Dashed: baselines that need no"
        " learning, computed on the test clips.",
    ),
    "dynamic_images.png": (
        "Dynamic images",
        "Input frames, ground truth and construction of test clips, balanced over classes, subjects"
        " and correct and wrong predictions.",
    ),
    "rank_scores.png": (
        "Rank scores",
        "Rank scores of the test clips by frame; they rise if the scorer has learnt the order.",
    ),
}
_SUMMARY = ("rules", "corpora")  # sections in the summary
HEADLINE = "headline"  # filters by the runs behind the headline


class Cell(str):
    """Text of a table cell.

    Attributes:
      filters: select the predictions that the number is computed from; the HTML links to them.
      share: fraction that the HTML shows as colour, or None.
    """

    filters: dict[str, str]
    share: float | None

    def __new__(cls, text: object, filters: dict[str, str], share: float | None = None) -> "Cell":
        """Returns the text with its attributes."""
        cell = super().__new__(cls, text)
        cell.filters, cell.share = filters, share
        return cell


@dataclass(frozen=True)
class Section:
    """A table of the report, its head in the first row, and sentences that explain it."""

    title: str
    rows: Rows
    notes: Sequence[str] = ()


def summary(report: dict) -> str:
    """Returns the beginning of `report.md`: the headline and what it means."""
    parts = [f"# FDP on {escape(report['dataset'])}, {escape(report['protocol'])}"]
    parts.append(escape(formatting.about(report)))
    if lines := formatting.alerts(report):
        parts.append(bullets(lines))
    headline = [("", "Headline", *(["Published"] if report["published"] else []))]
    for name, title, value in formatting.headline_rows(report):
        published = [formatting.published_text(report, name) or "-"] if report["published"] else []
        headline.append((title, value + uncertainty(report, name), *published))
    parts += [table(headline), bullets(formatting.notes(report))]
    tables = sections(report)
    parts += [_section(tables[key]) for key in _SUMMARY if key in tables]
    return "\n\n".join(parts)


def markdown(report: dict, figures: Iterable[str]) -> str:
    """Returns `report.md`; `figures` are the names of the existing files in `figures/`."""
    tables = sections(report)
    parts = [summary(report)]
    parts += [_section(found) for key, found in tables.items() if key not in _SUMMARY]
    for name in figures:
        title, caption = FIGURES[name]
        parts.append(f"## Figure: {title}\n\n{caption}\n\n![{title}](figures/{name})")
    facts = [f"{name}: {value}" for name, value in formatting.configuration(report).items()]
    parts += ["## Configuration", bullets(facts)]
    if report["corrections"]:
        parts += ["## Corrections", bullets(report["corrections"])]
    parts += [
        "## For a paper",
        "`tables.tex` has the scores as a LaTeX table and as one row; `python -m fdp_jax.report"
        " WORKDIR --for_paper` writes the figures also as PDF and SVG.",
    ]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> str:
    return "\n\n".join([f"## {section.title}", table(section.rows), *map(escape, section.notes)])


def run_id(select: str, seed: int) -> str:
    """Returns a run's name in filters."""
    return f"{select}/{seed}"


def sections(report: dict) -> dict[str, Section]:
    """Returns the tables of the report by name, in order, without empty ones."""
    corpora = "Each tested corpus separately."
    classes = "Rows are true classes, columns are predictions."
    if report["spread"]:
        corpora += " Means over the seeds."
        classes += " Counts are summed over the seeds, recall and F1 are means."
    tables = {
        "rules": Section("By selection rule", _rule_rows(report), selection_notes(report)),
        "corpora": Section("By corpus", _corpus_rows(report), [corpora]),
        "classes": Section("By class", _class_rows(report), [classes]),
        "subjects": Section("By subject", _subject_rows(report)),
        "auxiliary": Section("Auxiliary tasks", _auxiliary_rows(report)),
        "runs": Section("All runs", _run_rows(report)),
    }
    return {key: section for key, section in tables.items() if len(section.rows) > 1}


def _linked(texts: Iterable[str], filters: dict[str, str]) -> tuple[Cell, ...]:
    return tuple(Cell(text, filters) for text in texts)


def _rule_rows(report: dict) -> Rows:
    selection = report["selection"]
    if not selection:
        return []
    rows = [("Selection rule", "Evaluations per fold", *SCORE_TITLES.values())]
    for rule in selection["rules"]:
        select, seeds = rule["select"], rule["seeds"]
        filters = {"run": select if len(seeds) > 1 else run_id(select, seeds[0])}
        scores = (percent(rule[name]) + uncertainty(rule, name) for name in SCORE_TITLES)
        rows.append((rule_name(select), str(rule["evaluations"]), *_linked(scores, filters)))
    for gap in selection["test_best_gaps"]:
        points = (f"{100 * gap[name]:+.2f}" for name in SCORE_TITLES)
        rows.append((f"test-best minus {gap['minus']}", "", *points))
    if level := selection["test_best_chance_level"]:
        for way, title in GUESSING.items():
            means = (percent(level[way].get(name, {}).get("mean")) for name in SCORE_TITLES)
            rows.append((f"random guessing, {title}", str(level["evaluations"]), *means))
    return rows


def _corpus_rows(report: dict) -> Rows:
    titles = score_titles(report)
    rows = [("Tested corpus", "Clips", "Subjects", *titles.values())]
    for entry in report.get("per_dataset", []):
        direction = f" ({entry['fold']})" if entry["fold"] else ""
        numbers = [entry["n_clips"], entry["n_subjects"], *(number(entry, name) for name in titles)]
        filters = {"run": HEADLINE, "corpus": entry["dataset"]}
        rows.append((entry["dataset"] + direction, *_linked(numbers, filters)))
    return rows


def _run_rows(report: dict) -> Rows:
    titles = score_titles(report)
    rows = [("Selection rule", "Seed", "Folds", *titles.values())]
    for run in report.get("runs", []):
        folds = f"{run['folds_finished']} of {run['n_folds']}"
        filters = {"run": run_id(run["select"], run["seed"])} if run["n_clips"] else {}
        numbers = [run["seed"], folds, *(number(run, name) for name in titles)]
        rows.append((rule_name(run["select"]), *_linked(numbers, filters)))
    return rows


def _class_rows(report: dict) -> Rows:
    if not has_scores(report):
        return []
    classes = report["classes"]
    rows = [("True class", *classes, "Clips", "Recall", "F1")]
    for name, counts in zip(classes, report["confusion_matrix"], strict=True):
        total, filters = sum(counts), {"run": HEADLINE, "label": name}
        cells = [
            Cell(count, filters | {"prediction": prediction}, count / total) if total else "-"
            for prediction, count in zip(classes, counts, strict=True)
        ]
        recall = percent(report["per_class_recall"][name])
        f1 = percent(report["per_class_f1"][name])
        rows.append((name, *cells, *_linked([total, recall], filters), f1))
    return rows


def _subject_rows(report: dict) -> Rows:
    name = "acc" if has_scores(report) else "dic_mse"
    title = "Accuracy" if has_scores(report) else score_titles(report)[name]
    rows: Rows = [("Subject", "Fold", "Clips", title)]
    for entry in report["per_subject"]:
        filters = {"run": HEADLINE, "subject": entry["subject"]}
        value = Cell(number(entry, name), filters, entry["acc"])
        rows.append((entry["subject"], entry["fold"], Cell(entry["n_clips"], filters), value))
    return rows


def _auxiliary_rows(report: dict) -> Rows:
    image, rank = report["auxiliary"]["dynamic_image"], report["auxiliary"]["rank"]
    last, train = report["training_losses"], report["train_set_metrics"]
    rows: Rows = [("", "Test clips", "Training clips", "Last training steps")]
    if image:
        errors = (image["mse"], train["dic_mse"], last["dynamic_image"])
        rows.append(("Dynamic image MSE", *map(compact, errors)))
        for key, title in BASELINES.items():
            rows.append((f"- {title.lower()}", compact(image[key]), compact(train.get(key)), "-"))
        correlations = (scores["structure_correlation"] for scores in (image, train))
        rows.append(("Correlation with the dynamic image", *map(compact, correlations), "-"))
    if rank:
        losses = (rank["loss"], train["rank_loss"], last["rank"])
        rows.append(("Rank loss", *map(compact, losses)))
        constant = compact(rank["best_constant"])
        rows.append(("- best constant scores", constant, constant, "-"))
        taus = (rank["kendall_tau"], train["kendall_tau"])
        rows.append(("Kendall's tau with time", *map(compact, taus), "-"))
    return rows


JPEG_QUALITY = 60
PICTURE_BYTES = 7_000_000  # of all pictures together, so that the page stays below 10 MB
_CURVE_SIZE = (100, 60)  # of the SVG of rank scores
_CHARTS = ("rank_scores.png", "training_curves.png")  # the page has tables instead of the others


@dataclass(frozen=True)
class Row:
    """One prediction; the first six fields can be filtered."""

    run: str  # as `run_id` returns
    corpus: str
    subject: str
    label: str
    prediction: str  # empty without predictions
    verdict: str  # correct, wrong or empty
    clip: str
    probability: float  # of the prediction; NaN without one
    image_mse: float  # NaN without the dynamic-image module
    rank_loss: float  # NaN without the rank scorer


@dataclass(frozen=True)
class Card:
    """Pictures of one clip: images as data URIs, curves as points of an SVG polyline."""

    row: Row
    most_probable: str
    n_frames: int
    frames: str
    target: str
    dynamic_image: str | None
    rank_curve: str | None
    rank_target: str | None


def html(report: dict, figures: dict[str, bytes], runs: Sequence[Run]) -> str | None:
    """Returns `report.html`; None if jinja2 is not installed.

    Args:
      report: content of `report.json`.
      figures: file name -> PNG.
      runs: all runs of the work directory. Pictures show the first one of the headline.
    """
    environment = environment_of(Path(__file__).parent)
    if environment is None:
        return None
    finished = [run for run in runs if run.folds]
    pictured = headline_runs(finished)[0]
    charts = {}
    for name in _CHARTS:
        if name in figures:
            # At this width, letters are as large as the page's small print.
            width = Image.open(io.BytesIO(figures[name])).width * 92 // PIXELS_PER_INCH
            charts[name] = {"uri": _data_uri(figures[name], "png"), "width": width}
    return environment.get_template("page.html.j2").render(
        report=report,
        formatting=formatting,
        sections=sections(report),
        charts=charts,
        figures=FIGURES,
        runs=run_choices(report, finished),
        rows=[row for run in finished for row in prediction_rows(run)],
        cards=cards(pictured),
        pictured=pictured,
    )


def run_choices(report: dict, runs: Sequence[Run]) -> dict[str, tuple[str, list[str]]]:
    """Returns name in links -> (title, run ids) of the headline, each rule and each run.

    Args:
      report: content of `report.json`.
      runs: those with a finished fold.
    """
    ids = {run: run_id(run.select, run.seed) for run in runs}
    title = f"headline: {formatting.rule_name(report['select'])}, {formatting.seeds_text(report)}"
    choices = {HEADLINE: (title, [ids[run] for run in headline_runs(runs)])}
    rules = dict.fromkeys(run.select for run in runs)
    for rule in rules if len(rules) > 1 else ():
        chosen = headline_runs([run for run in runs if run.select == rule])
        if len(chosen) > 1:
            seeds = formatting.listing(run.seed for run in chosen)
            title = f"{formatting.rule_name(rule)}, seeds {seeds}"
            choices[rule] = (title, [ids[run] for run in chosen])
    for run in runs if len(runs) > 1 else ():
        choices[ids[run]] = (f"{formatting.rule_name(run.select)}, seed {run.seed}", [ids[run]])
    return choices


def prediction_rows(run: Run) -> list[Row]:
    """Returns a row for each prediction, in the order of the run's predictions."""
    predictions, scores = run.table, run.outputs.rank_scores
    losses = np.full(len(predictions), np.nan)
    if scores is not None:
        losses = rank_losses(scores, run.info["rank_slope"])
    rows = []
    for k, correct in enumerate(predictions.correct):
        corpus = f"{predictions.dataset[k]} " if len(run.corpora) > 1 else ""
        rows.append(
            Row(
                run=run_id(run.select, run.seed),
                corpus=predictions.dataset[k],
                subject=corpus + predictions.subject[k],
                label=predictions.label[k],
                prediction=predictions.prediction[k],
                verdict=("correct" if correct else "wrong") if predictions.has_predictions else "",
                clip=predictions.clip[k],
                probability=predictions.probabilities[k].max(),
                image_mse=predictions.dic_mse[k],
                rank_loss=losses[k],
            )
        )
    return rows


def cards(run: Run) -> list[Card]:
    """Returns pictures of the run's clips in balanced order, as many as fit `PICTURE_BYTES`."""
    predictions, outputs, rows = run.table, run.outputs, prediction_rows(run)
    found, size = [], 0
    for row in balanced_order(predictions):
        probabilities = predictions.probabilities[row]
        likely = np.argsort(-probabilities, kind="stable")[:3]
        named = [f"{predictions.classes[k]} {probabilities[k]:.2f}" for k in likely]
        constructed, curves = None, (None, None)
        if outputs.dynamic_image is not None:
            constructed = jpeg(outputs.dynamic_image[row])
        if outputs.rank_scores is not None:
            curves = _rank_curves(outputs.rank_scores[row], run.info["rank_slope"])
        card = Card(
            row=rows[row],
            most_probable=" · ".join(named) if predictions.has_predictions else "",
            n_frames=outputs.frames.shape[1],
            frames=jpeg(np.concatenate(outputs.frames[row], axis=1)),
            target=jpeg(outputs.target[row]),
            dynamic_image=constructed,
            rank_curve=curves[0],
            rank_target=curves[1],
        )
        size += len(card.frames) + len(card.target) + len(constructed or "")
        if size > PICTURE_BYTES:
            break
        found.append(card)
    return found


def jpeg(image: np.ndarray) -> str:
    """Returns a grey image [h, w], uint8 or float in [0, 1], as the data URI of a JPEG."""
    if image.dtype != np.uint8:
        image = np.uint8(np.clip(image, 0, 1) * 255 + 0.5)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return _data_uri(buffer.getvalue(), "jpeg")


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _rank_curves(scores: np.ndarray, slope: float) -> tuple[str, ...]:
    """Returns a clip's rank scores float [t] and their targets as points, on a common scale."""
    width, height = _CURVE_SIZE
    both = np.stack([scores, rank_targets(len(scores), slope)]).astype(np.float64)
    y = height - height * (both - both.min()) / (np.ptp(both) or 1)
    x = np.linspace(0, width, len(scores))
    return tuple(" ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, line, strict=True)) for line in y)

"""Spotting on drawn videos, whose intervals are known: `python -m fdp_jax.experiments spotting`.

The field's measure: an interval is right if its IoU with an annotated one is at least one half, and
F1 is over the intervals of all videos (the protocol of MEGC).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.synthetic import motion
from datasets.synthetic.clips import DrawnVideo, draw_video
from datasets.video import Frame, Video
from fdp_jax.animation.action_units import CATEGORIES
from fdp_jax.environment import start_jax
from fdp_jax.metrics.spotting import detection_auc, match, score_spotting
from fdp_jax.paper.registry import Experiment
from fdp_jax.paper.result_table import ResultTable
from fdp_jax.weights import BUNDLED_NAME

VIDEOS, SECONDS, RATE = 60, 4.0, 100.0
NEIGHBOURS = 5  # windows; chosen on the videos of another seed
FIRST_SEED = 20_000  # of people whom no training sees
_KINDS = (*motion.CATEGORIES, None)  # one video in six holds no expression


@dataclass
class _VideoInMemory(Video):
    """A drawn video in place of a file."""

    drawn: DrawnVideo | None = None

    def frames(self) -> Iterator[Frame]:
        """Yields all frames."""
        step = round(motion.FPS / RATE)
        for number, pixels in enumerate(self.drawn.frames(step)):
            yield Frame(number, number / RATE, pixels)


def spotting_table(experiment: Experiment, weights: str, seed: int) -> ResultTable:
    """Predicts drawn videos and scores what is found.

    Args:
      experiment: names the table.
      weights: file of weights, or `bundled`.
      seed: of the videos.

    Raises:
      UserError: the weights cannot be read.
    """
    start_jax()
    from fdp_jax.inference.predictor import Predictor
    from fdp_jax.inference.spotting import expressive

    checkpoint = None if weights == BUNDLED_NAME else Path(weights).expanduser()
    predictor = Predictor.load(checkpoint, False, None)
    found, truths, scores = [], [], []
    is_right: list[bool] = []
    is_right_of_drawn: list[bool] = []
    for number in tqdm(range(VIDEOS), "spotting", unit="video", dynamic_ncols=True):
        drawn = draw_video(FIRST_SEED + seed, number, _KINDS[number % len(_KINDS)], SECONDS)
        video = _VideoInMemory(Path(f"drawn {number}"), RATE, round(SECONDS * RATE), drawn=drawn)
        content, _ = predictor.read(video)
        spotted = content["intervals"]
        truth = [drawn.interval[::2]] if drawn.interval else []
        found.append([(one["onset"], one["offset"]) for one in spotted])
        truths.append(truth)
        scores.append(_smoothed_maximum(expressive(content["windows"])))
        for place, _ in match(found[-1], truth):
            shares = spotted[place]["probabilities"]
            is_right.append(spotted[place]["category"] == drawn.category)
            is_right_of_drawn.append(max(motion.CATEGORIES, key=shares.get) == drawn.category)
    total = score_spotting(found, truths)
    rows = (
        ("whether a video holds an expression (AUC)", detection_auc(scores, map(bool, truths))),
        ("intervals at an IoU of one half (F1)", total.f1),
        ("- precision", total.precision),
        ("- recall", total.recall),
        (f"category of the right intervals, of {len(CATEGORIES) - 1} (accuracy)", _mean(is_right)),
        (f"- of the {len(motion.CATEGORIES)} that are drawn", _mean(is_right_of_drawn)),
    )
    notes = (
        f"{VIDEOS} drawn videos of {SECONDS:g} s at {RATE:g} frames per second, each of another "
        f"person, {total.truths} of them with one expression; {total.found} intervals were found, "
        f"{total.matched} of them right.",
        predictor.description["model"],
    )
    return ResultTable(experiment.name, experiment.title, ("measure", "value"), rows, notes)


def _smoothed_maximum(expressive: np.ndarray) -> float:
    """Returns the largest mean of neighbouring windows, so that one twitch does not decide."""
    width = min(NEIGHBOURS, len(expressive))
    return float(np.convolve(expressive, np.full(width, 1 / width), mode="valid").max())


def _mean(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None

"""What pretraining is worth: `python -m fdp_jax.experiments pretraining` and `spotting`."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.protocols import Protocol
from datasets.synthetic import motion
from datasets.synthetic.clips import DrawnVideo, draw_video
from datasets.video import Frame, Video
from fdp_jax.animation.action_units import CATEGORIES
from fdp_jax.clips import load_clips
from fdp_jax.environment import start_jax
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.scores import score
from fdp_jax.metrics.spotting import detection_auc, match, score_spotting
from fdp_jax.metrics.statistics import bootstrap_intervals
from fdp_jax.options import TrainOptions
from fdp_jax.paper.registry import Experiment, RunResult
from fdp_jax.paper.result_table import ResultTable, starts_table
from fdp_jax.reporting.formatting import listing
from fdp_jax.weights import BUNDLED_NAME, read_weights

VIDEOS, SECONDS, RATE = 60, 4.0, 100.0
NEIGHBOURS = 5  # windows; chosen on the videos of another seed
FIRST_SEED = 20_000  # of people whom no training sees
_KINDS = (*motion.CATEGORIES, None)  # one video in six holds no expression


def pretraining_table(
    experiment: Experiment,
    results: Sequence[RunResult],
    options: TrainOptions,
    protocol: Protocol,
    weights: str,
) -> ResultTable:
    """Returns the scores from scratch, from pretrained weights, and of those weights as they are.

    The last are over the clips of the categories that the pretrained network has, and are left out
    where those are fewer than two.

    Args:
      experiment: names the table.
      results: of the trainings.
      options: of the training from scratch.
      protocol: of the clips.
      weights: file of weights, or `bundled`.
    """
    from fdp_jax.evaluate import pack_clips
    from fdp_jax.inference.trained_network import load_weights

    network = load_weights(weights, options.preset)
    shared = [name for name in protocol.classes if name in network.classes]
    if len(shared) < 2:
        return starts_table(experiment, results, None)
    clips = load_clips(protocol, options.data_dir, options.config.clip.last_frame)
    chosen = np.flatnonzero(np.isin(np.array(protocol.classes)[clips.labels], shared))
    outputs = network.predict_packed(pack_clips(clips), chosen)
    places = [network.classes.index(name) for name in shared]
    predictions = PredictionTable.of_fold(
        protocol=protocol.name,
        select="last",
        seed=network.seed,
        fold="all",
        classes=shared,
        datasets=[clips.datasets[index] for index in chosen],
        subjects=[clips.subjects[index] for index in chosen],
        clips=[clips.names[index] for index in chosen],
        labels=[protocol.classes[clips.labels[index]] for index in chosen],
        probabilities=outputs["probabilities"][:, places],
    )
    scores = dataclasses.asdict(score(predictions.label, predictions.prediction, shared))
    scores["intervals"] = bootstrap_intervals([predictions])
    table = starts_table(experiment, results, scores)
    source = read_weights(weights, options.preset).description
    note = (
        f"Without training: {source}; {len(chosen)} clips of {listing(shared)}, among which it"
        " chooses."
    )
    return dataclasses.replace(table, notes=(note, *table.notes))


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
    """Predicts drawn videos, whose intervals are known, and scores what is found.

    The field's measure: an interval is right if its IoU with an annotated one is at least one half,
    and F1 is over the intervals of all videos (the protocol of MEGC).

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
    right = right_of_drawn = 0
    for number in tqdm(range(VIDEOS), "spotting", unit="video", dynamic_ncols=True):
        drawn = draw_video(FIRST_SEED + seed, number, _KINDS[number % len(_KINDS)], SECONDS)
        video = _VideoInMemory(Path(f"drawn {number}"), RATE, round(SECONDS * RATE), drawn=drawn)
        content, _ = predictor.read(video)
        spotted = content["intervals"]
        truth = [drawn.interval[::2]] if drawn.interval else []
        found.append([(one["onset"], one["offset"]) for one in spotted])
        truths.append(truth)
        # A mean of neighbouring windows, so that one twitch does not decide.
        windows = expressive(content["windows"])
        width = min(NEIGHBOURS, len(windows))
        means = np.convolve(windows, np.full(width, 1 / width), mode="valid")
        scores.append(float(means.max()))
        for place, _ in match(found[-1], truth):
            shares = spotted[place]["probabilities"]
            right += spotted[place]["category"] == drawn.category
            right_of_drawn += max(motion.CATEGORIES, key=shares.get) == drawn.category
    total = score_spotting(found, truths)
    accuracy, accuracy_of_drawn = (
        count / total.matched if total.matched else None for count in (right, right_of_drawn)
    )
    rows = (
        ("whether a video holds an expression (AUC)", detection_auc(scores, map(bool, truths))),
        ("intervals at an IoU of one half (F1)", total.f1),
        ("- precision", total.precision),
        ("- recall", total.recall),
        (f"category of the right intervals, of {len(CATEGORIES) - 1} (accuracy)", accuracy),
        (f"- of the {len(motion.CATEGORIES)} that are drawn", accuracy_of_drawn),
    )
    notes = (
        f"{VIDEOS} drawn videos of {SECONDS:g} s at {RATE:g} frames per second, each of another "
        f"person, {total.truths} of them with one expression; {total.found} intervals were found, "
        f"{total.matched} of them right.",
        predictor.description["model"],
    )
    return ResultTable(experiment.name, experiment.title, ("measure", "value"), rows, notes)

"""What pretraining is worth: `python -m fdp_jax.experiments pretraining`."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from datasets.protocols import Protocol
from fdp_jax.clips import load_clips
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.scores import score
from fdp_jax.metrics.statistics import bootstrap_intervals
from fdp_jax.options import TrainOptions
from fdp_jax.paper.registry import Experiment, RunResult
from fdp_jax.paper.result_table import ResultTable, starts_table
from fdp_jax.reporting.formatting import listing


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
    from fdp_jax.weights import read_weights

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

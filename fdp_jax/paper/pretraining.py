"""What pretraining is worth: `python -m fdp_jax.experiments pretraining`."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from datasets.protocols import Protocol
from fdp_jax.clips import load_clips
from fdp_jax.metrics.scores import score
from fdp_jax.options import TrainOptions
from fdp_jax.paper.registry import Experiment, RunResult
from fdp_jax.paper.result_table import ResultTable, starts_table


def pretraining_table(
    experiment: Experiment,
    results: Sequence[RunResult],
    options: TrainOptions,
    protocol: Protocol,
) -> ResultTable:
    """Returns the scores from scratch, from the bundled weights, and of those weights as they are.

    The last are left out where the bundled network lacks a category of the protocol.
    """
    from fdp_jax.evaluate import pack_clips
    from fdp_jax.inference.trained_network import load_weights
    from fdp_jax.weights import BUNDLED_NAME

    network = load_weights(BUNDLED_NAME)
    if not set(protocol.classes) <= set(network.classes):
        return starts_table(experiment, results, None)
    clips = load_clips(protocol, options.data_dir, options.config.clip.last_frame)
    outputs = network.predict_packed(pack_clips(clips), np.arange(len(clips.labels)))
    places = [network.classes.index(name) for name in protocol.classes]
    predicted = outputs["probabilities"][:, places].argmax(axis=1)
    names = np.array(protocol.classes)
    scores = score(list(names[clips.labels]), list(names[predicted]), protocol.classes)
    return starts_table(experiment, results, dataclasses.asdict(scores))

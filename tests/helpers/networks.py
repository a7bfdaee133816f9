"""Networks with random weights as trained folds, and clips as they take them."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from datasets.crop import Crop
from fdp_jax.clips import Clips
from fdp_jax.exported_model import sample_indices
from fdp_jax.inference.trained_network import TrainedNetwork
from fdp_jax.train_step import create_train_state
from fdp_jax.weights import Weights, write_weights
from tests.helpers.tiny import TINY


def random_fold(is_grey: bool, **changes) -> TrainedNetwork:
    """A network whose modules all have an output that depends on the clip; options as changed."""
    config = dataclasses.replace(TINY, **changes)
    variables = create_train_state(config, 2, jax.random.key(0)).variables
    rng = np.random.default_rng(0)

    def randomised(leaf):
        if leaf.ndim == 1:
            return leaf + rng.uniform(-0.1, 0.1, leaf.shape).astype(np.float32)
        std = np.prod(leaf.shape[:-1]) ** -0.5
        return rng.normal(0, std, leaf.shape).astype(np.float32)

    return TrainedNetwork(
        "p1", "seed_0/folds/p1", str, config, ("a", "b"), "noise", "2class", "tiny", "made up", 0,
        Crop(False, 72, 2.5), is_grey, jax.tree.map(randomised, variables),
    )  # fmt: skip


def write_random_weights(path: Path, classes: tuple[str, str]) -> Path:
    """Writes the weights of `random_fold` as those of a pretraining with two categories."""
    fold = random_fold(is_grey=True)
    leaves = flatten_dict(fold.variables, sep="/")
    weights = Weights(
        fold.config, classes, "tiny", 0, "animated", "a command", "cpu", {"accuracy": 0.5},
        fold.crop, True, {name: np.asarray(leaf) for name, leaf in leaves.items()},
    )  # fmt: skip
    write_weights(path, weights)
    return path


def sampled_faces(clips: Clips, indices: list[int], t: int = TINY.clip.frames) -> np.ndarray:
    """Clips as a network takes them in evaluation, uint8 [b, t, side, side, c]."""
    starts, lengths = clips.starts[indices], clips.lengths[indices]
    pairs = zip(starts, lengths, strict=True)
    return np.stack([clips.frames[start + sample_indices(n, t)] for start, n in pairs])

"""Child process: UF1 on held-out people as a training goes on, in one of three ways.

The embedded corpus, three groups of people left out in turn, predictions pooled. Seconds are those
of the training steps of one group: compilation and evaluation are not timed, nor is the preparation
of PyTorch's batches. PyTorch starts from the first weights of our training and takes its batches.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from datasets.protocols import get_protocol
from fdp_jax.benchmark.measure import emit
from fdp_jax.clips import load_clips
from fdp_jax.config import TrainConfig, config_from_dict, fine_tuned
from fdp_jax.environment import keep_freed_memory, start_jax
from fdp_jax.evaluate import pack_clips, predict_clips
from fdp_jax.input_pipeline import PackedClips
from fdp_jax.metrics.scores import score
from fdp_jax.rng import batch_indices, fold_key
from fdp_jax.splits import Fold, make_folds
from fdp_jax.train_step import (
    compile_train_step,
    create_train_state,
    fold_variables,
    stack_states,
    with_weights,
)
from fdp_jax.weights import BUNDLED_NAME, read_weights

SEED, GROUPS, POINTS = 0, 3, 30  # points of a curve


def indices_of(config: TrainConfig, fold: Fold, step: int) -> np.ndarray:
    """Returns the clips of a step, int32 [b]."""
    clips = batch_indices(fold.train, config.batch_size, SEED, fold.name, step)
    return clips.astype(np.int32)


class JaxTraining:
    """Training of one fold with our step."""

    def __init__(
        self, config: TrainConfig, classes: int, corpus: PackedClips, fold: Fold, init: str
    ):
        """Compiles; `init` is a preset whose bundled weights are the first, or empty."""
        self.config, self.classes, self.corpus, self.fold = config, classes, corpus, fold
        self.key = fold_key(SEED, fold.name)
        state = create_train_state(config, classes, self.key)
        if init:
            state = with_weights(state, read_weights(BUNDLED_NAME, init).arrays)
        self.state = stack_states([state], 1)
        self.program = compile_train_step(config, classes, 1, corpus)
        keep_freed_memory()

    def train(self, steps: range) -> float:
        """Returns the seconds of these steps."""
        start = time.perf_counter()
        for step in steps:
            indices = indices_of(self.config, self.fold, step)[None]
            self.state, _ = self.program(self.state, self.corpus, indices, self.key[None])
        jax.block_until_ready(self.state)
        return time.perf_counter() - start

    def predict(self) -> np.ndarray:
        """Returns the predicted categories of the fold's test clips."""
        variables = fold_variables(self.state, 0)
        outputs = predict_clips(self.config, self.classes, variables, self.corpus, self.fold.test)
        return outputs["probabilities"].argmax(axis=1)


def main(name: str, preset: str, config: dict[str, Any], data_dir: str) -> None:
    """Trains all groups and emits steps, seconds and UF1 of the points of the curve."""
    kind = JaxTraining
    if name == "pytorch":
        from fdp_jax.benchmark.torch_training import TorchTraining as kind  # PyTorch is optional
    init = preset if name == "bundled" else ""
    options = config_from_dict(config, "REQUEST")
    options = fine_tuned(options) if init else options
    protocol = get_protocol("synthetic", "5class")
    clips = load_clips(protocol, Path(data_dir))
    corpus = pack_clips(clips)
    folds = make_folds(clips.datasets, clips.subjects, group_folds=GROUPS)
    points = np.linspace(0, options.steps, POINTS + 1).round().astype(int)
    seconds = np.zeros((GROUPS, POINTS))
    predicted = np.zeros((POINTS, len(clips.labels)), int)
    for group, fold in enumerate(folds):
        training = kind(options, len(protocol.classes), corpus, fold, init)
        for point in range(POINTS):
            seconds[group, point] = training.train(range(points[point], points[point + 1]))
            predicted[point, fold.test] = training.predict()
    words = np.array(protocol.classes)
    uf1 = [score(words[clips.labels], words[row], protocol.classes).uf1 for row in predicted]
    emit(
        steps=points[1:].tolist(),
        seconds=seconds.mean(axis=0).cumsum().tolist(),
        uf1=[float(value) for value in uf1],
    )


if __name__ == "__main__":
    start_jax()
    main(**json.loads(sys.argv[1]))

"""`Steps.train` called again and again, with nothing around it."""

import time
from typing import Any

import jax
import numpy as np

from fdp_jax.benchmark.drawn import SIDE, drawn_clips
from fdp_jax.benchmark.workload import CLASSES, Workload
from fdp_jax.clips import Clips
from fdp_jax.folds_together import compiled_step
from fdp_jax.input_pipeline import PackedClips
from fdp_jax.memory import give_back_freed_memory
from fdp_jax.rng import fold_key
from fdp_jax.sampler import batch_indices
from fdp_jax.train_step import Steps

FOLD = "p00"  # who is left out where a fold has to be named
_BATCHES = 20  # that lie ready


def clips_for(workload: Workload) -> Clips:
    """The drawn corpus of a workload, its frames large enough for the crop."""
    return drawn_clips(workload.people, side=max(SIDE, workload.config.clip.crop))


def corpus_for(workload: Workload) -> PackedClips:
    """The same on the device, without what a training loads for its files."""
    clips = clips_for(workload)
    return jax.device_put(PackedClips(clips.frames, clips.starts, clips.lengths, clips.labels))


class BareSteps:
    """Training steps on batches that lie ready on the device."""

    def __init__(self, workload: Workload, corpus: PackedClips):
        """Compiles, and takes the first step on a corpus that is on the device."""
        config = workload.config
        self.steps, self.key = Steps(config, CLASSES), fold_key(0, FOLD)
        compiled_step(self.steps, corpus, self.key)
        give_back_freed_memory()  # as a training does
        self.corpus, self.state = corpus, self.steps.initial_state(self.key)
        everyone = np.arange(len(corpus.labels), dtype=np.int32)
        self.numbers = [
            jax.device_put(batch_indices(everyone, config.batch_size, 0, FOLD, step))
            for step in range(_BATCHES)
        ]
        self.run(1)

    def run(self, steps: int) -> float:
        """Takes so many steps and returns the seconds of one."""
        began = time.perf_counter()
        for step in range(steps):
            numbers = self.numbers[step % _BATCHES]
            self.state, report = self.steps.train(self.state, self.corpus, numbers, self.key)
        jax.block_until_ready((self.state, report))
        return (time.perf_counter() - began) / steps


def describe_device() -> dict[str, Any]:
    """What jax computes on."""
    return {"backend": jax.default_backend(), "device": jax.local_devices()[0].device_kind}

"""Steps of K folds trained at once, in a process of its own.

Compiling needs no device memory for the folds, so that several K can be compiled side by side and
then run one after the other.
"""

import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.benchmark.bare import corpus_for
from fdp_jax.benchmark.machine import peak_memory_bytes
from fdp_jax.benchmark.workload import CLASSES, Workload
from fdp_jax.folds_together import stack_states
from fdp_jax.rng import fold_key
from fdp_jax.train_step import FoldAxis, Steps


class TogetherStep:
    """`Steps.train_together` for one K."""

    def __init__(self, workload: Mapping[str, Any], count: int, fold_axis: FoldAxis = "auto"):
        """Compiles for `count` folds of a workload, as its `as_arguments` gives it."""
        asked = Workload(**workload)
        self._count, self._steps = count, Steps(asked.config, CLASSES, fold_axis)
        self._corpus = corpus_for(asked)
        clips = np.arange(len(self._corpus.labels), dtype=np.int32)
        numbers = np.resize(clips, (count, asked.config.batch_size))
        self._numbers = jax.device_put(numbers)
        self._keys = jnp.stack([fold_key(0, f"p{number:02}") for number in range(count)])
        self._states = None
        self._compiled = self._steps.train_together.lower(
            self._steps,
            jax.eval_shape(jax.vmap(self._steps.initial_state), self._keys),
            self._corpus,
            self._numbers,
            self._keys,
        ).compile()

    def run(self, steps: int) -> float:
        """Takes so many steps of every fold and returns the seconds of one step of one fold."""
        if self._states is None:
            self._states = stack_states(map(self._steps.initial_state, self._keys), self._count)
            self.run(1)
        began = time.perf_counter()
        for _ in range(steps):
            self._states, report = self._compiled(
                self._states, self._corpus, self._numbers, self._keys
            )
        jax.block_until_ready((self._states, report))
        return (time.perf_counter() - began) / steps / self._count

    def describe(self) -> dict[str, Any]:
        """Bytes: the peak, the device's where it counts it, and what the compiler asks for."""
        memory, process_peak = self._compiled.memory_analysis(), peak_memory_bytes()
        statistics = jax.local_devices()[0].memory_stats() or {}
        return {
            "peak_bytes": statistics.get("peak_bytes_in_use", process_peak),
            "process_peak_bytes": process_peak,
            "temporary_bytes": getattr(memory, "temp_size_in_bytes", None),
            "argument_bytes": getattr(memory, "argument_size_in_bytes", None),
        }

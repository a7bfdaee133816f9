"""The training step of this project, in a process of its own."""

import time
from typing import Any

import jax

from fdp_jax.benchmark.bare import BareSteps, corpus_for
from fdp_jax.benchmark.machine import forget_peak_memory, peak_memory_bytes
from fdp_jax.benchmark.workload import Workload


class OurStep:
    """`Steps.train` as a training calls it: sampling, forward, backward and Adam."""

    def __init__(self, workload: dict[str, Any]):
        """Compiles and takes the first steps of a workload, as its `as_arguments` gives it."""
        asked = Workload(**workload)
        corpus = corpus_for(asked)
        began = time.perf_counter()
        self._bare = BareSteps(asked, corpus)
        self._first_seconds = time.perf_counter() - began
        self._before = forget_peak_memory()
        self.run(1)

    def run(self, steps: int) -> float:
        """Takes so many steps and returns the seconds of one."""
        return self._bare.run(steps)

    def describe(self) -> dict[str, Any]:
        """Peak memory, the first step's seconds, and what the compiler counts in one step.

        On a device that counts its memory, as a GPU does, the peak is the device's.
        """
        bare, device = self._bare, jax.local_devices()[0]
        stepping = peak_memory_bytes()
        peak = max(self._before, stepping)
        on_device = (device.memory_stats() or {}).get("peak_bytes_in_use")
        arguments = (bare.state, bare.corpus, bare.numbers[0], bare.key)
        compiled = bare.steps.train.lower(bare.steps, *arguments).compile()
        counted, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
        return {
            "peak_bytes": peak if on_device is None else on_device,
            "process_peak_bytes": peak,
            "process_peak_after_first_step_bytes": stepping,
            "first_step_seconds": self._first_seconds,
            "compiler_flops": counted.get("flops"),
            "compiler_bytes": counted.get("bytes accessed"),
            "temporary_bytes": getattr(memory, "temp_size_in_bytes", None),
            "argument_bytes": getattr(memory, "argument_size_in_bytes", None),
        }

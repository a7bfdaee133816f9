"""Part `inference`: clips a second of `Steps.evaluate`, from a corpus in memory."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from fdp_jax.benchmark.bare import corpus_for
from fdp_jax.benchmark.timing import alternate, runs_in_a_turn, spread
from fdp_jax.benchmark.workload import CLASSES, Workload
from fdp_jax.rng import fold_key
from fdp_jax.train_step import Steps

BATCHES = (1, 36)


def measure_inference(
    workload: dict[str, Any], repeats: int, batches: Sequence[int] = BATCHES
) -> dict[str, Any]:
    """Seconds a batch, and clips a second, by the size of the batch.

    Args:
      workload: as its `as_arguments` gives.
      repeats: rounds.
      batches: sizes, one after the other in every round.
    """
    asked = Workload(**workload)
    steps = Steps(asked.config, CLASSES)
    state = steps.initial_state(fold_key(0, "benchmark"))
    corpus = corpus_for(asked)

    def turn(batch: int) -> Callable[[], float]:
        everyone = np.arange(len(corpus.labels), dtype=np.int32)
        numbers = jax.device_put(np.resize(everyone, batch))

        def run(times: int) -> float:
            began = time.perf_counter()
            for _ in range(times):
                outputs = steps.evaluate(state.params, state.batch_stats, corpus, numbers)
            jax.block_until_ready(outputs)
            return (time.perf_counter() - began) / times

        run(1)  # compiles
        times = runs_in_a_turn(run(1))
        return lambda: run(times)

    measured = alternate({str(batch): turn(batch) for batch in batches}, repeats)
    spreads = {batch: spread(seconds) for batch, seconds in measured.items()}
    return {
        "seconds": spreads,
        "clips_per_second": {batch: int(batch) / told["median"] for batch, told in spreads.items()},
    }

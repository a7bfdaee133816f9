"""Part `folds`: K folds trained as one program, alternating with one fold alone.

Folds in turn cost what one costs, fold after fold: they are the same compiled program.
"""

from typing import Any

from fdp_jax.benchmark.machine import free_memory_bytes
from fdp_jax.benchmark.options import Options
from fdp_jax.benchmark.processes import Worker, WorkerError
from fdp_jax.benchmark.step import OURS, race
from fdp_jax.benchmark.telling import gigabytes, tell
from fdp_jax.benchmark.timing import spread

TOGETHER = "fdp_jax.benchmark.together:TogetherStep"
AXES = ("vmap", "scan")  # how one program goes over the folds, as `Steps` names it
SHARE_OF_MEMORY = 0.8  # of what is free, that the folds may be expected to take


def measure(options: Options) -> dict[str, Any]:
    """Seconds of one step of one fold for each K; `missing` says why not."""
    arguments = {"workload": options.workload.as_arguments()}
    by_count: dict[str, Any] = {}
    with Worker(OURS, arguments) as alone:
        a_fold = alone.call("describe")["process_peak_bytes"]
        for count in sorted(set(options.folds)):
            free = free_memory_bytes()
            if free and count * a_fold > SHARE_OF_MEMORY * free:
                why = f"may take {gigabytes(count * a_fold)}, and {gigabytes(free)} are free"
                by_count[str(count)] = {"missing": why}
                continue
            tell(f"folds: {count} at once")
            by_count[str(count)] = _beside(alone, {**arguments, "count": count}, options.repeats)
    return {"by_count": by_count}


def _beside(alone: Worker, arguments: dict[str, Any], repeats: int) -> dict[str, Any]:
    """The folds at once, along each axis that runs here, in turns with the one alone."""
    workers: dict[str, Worker] = {}
    together: dict[str, Any] = {}
    try:
        for axis in AXES:
            try:
                workers[axis] = Worker(TOGETHER, {**arguments, "fold_axis": axis})
                workers[axis].call("run", steps=1)  # makes its states
            except WorkerError as error:
                together[axis] = {"missing": f"does not run here: {error}"}
                if axis in workers:
                    workers.pop(axis).close()
        measured = race({**workers, "in_turn": alone}, repeats)
        in_turn = spread(measured["in_turn"])
        for axis, worker in workers.items():
            seconds = spread(measured[axis])
            ratio = seconds["median"] / in_turn["median"]
            together[axis] = {"seconds": seconds, "ratio": ratio, **worker.call("describe")}
    finally:
        for worker in workers.values():
            worker.close()
    return {"in_turn_seconds": in_turn, "at_once": together}

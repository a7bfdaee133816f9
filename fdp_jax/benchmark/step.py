"""Part `step`: the training step beside the PyTorch twin's, alternating, in processes apart.

Both take the same batch and precision. The twin's batch lies ready in memory; ours includes
sampling, cropping and the target.
"""

import os
from typing import Any

from datasets.errors import UserError
from fdp_jax.benchmark.options import Options
from fdp_jax.benchmark.processes import Worker, WorkerError
from fdp_jax.benchmark.products import step_flops
from fdp_jax.benchmark.telling import tell
from fdp_jax.benchmark.timing import alternate, runs_in_a_turn, spread
from fdp_jax.benchmark.workload import CLASSES, Workload

OURS = "fdp_jax.benchmark.our_step:OurStep"
TWIN = "fdp_jax.benchmark.twin_step:TwinStep"
EAGER = ("contiguous", "channels_last")
COMPILED = ("compiled_contiguous", "compiled_channels_last")
LARGE_PAGES = "GLIBC_TUNABLES"  # what `fdp_jax.memory` sets, for every contender


def measure(options: Options) -> dict[str, Any]:
    """Time and memory of every contender, and the ratio of ours to the twin's fastest eager one.

    Raises:
      UserError: our own step does not run here.
    """
    workload = options.workload
    workers: dict[str, Worker] = {}
    try:
        tell("step: ours")
        workers["ours"] = _start_ours(workload)
        missing = start_twins(workload, options.compile_limit, workers)
        measured = race(workers, options.repeats)
        contenders = {
            name: {"seconds": spread(measured[name]), **worker.call("describe")}
            for name, worker in workers.items()
        }
        fastest = _fastest_eager(contenders)
        without = None
        if fastest and os.environ.get(LARGE_PAGES):
            without = _without_large_pages(workload, fastest, workers[fastest], options.repeats)
    finally:
        for worker in workers.values():
            worker.close()
    ours = contenders["ours"]["seconds"]["median"]
    return {
        "contenders": contenders | {name: {"missing": why} for name, why in missing.items()},
        "fastest_eager": fastest,
        "ratio": ours / contenders[fastest]["seconds"]["median"] if fastest else None,
        "large_pages": os.environ.get(LARGE_PAGES, ""),
        "twin_without_large_pages": without,
        "network_flops": step_flops(workload.config, CLASSES),
    }


def start_twins(
    workload: Workload, compile_limit: float, workers: dict[str, Worker]
) -> dict[str, str]:
    """Adds each twin that works to `workers`; name -> why, of those that do not."""
    missing = {}
    for name in (*EAGER, *(COMPILED if compile_limit else ())):
        tell(f"step: PyTorch, {name.replace('_', ' ')}")
        compiled = name in COMPILED
        arguments = _twin_arguments(workload, name.removeprefix("compiled_"), compiled)
        try:
            workers[name] = Worker(TWIN, arguments, limit=compile_limit if compiled else None)
        except WorkerError as error:
            if name == EAGER[0] and error.kind in ("ModuleNotFoundError", "ImportError"):
                return dict.fromkeys((*EAGER, *COMPILED), f"PyTorch is not here ({error})")
            missing[name] = str(error)
    return missing


def race(workers: dict[str, Worker], repeats: int) -> dict[str, list[float]]:
    """Seconds a step of each process, which take turns; all take as many steps in a turn.

    A turn begins with steps that are not timed: what waited has lost its caches, and here and there
    its memory, which a training that never waits keeps.
    """
    slowest = max(worker.call("run", steps=1) for worker in workers.values())
    steps = max(2, runs_in_a_turn(slowest))
    tell(f"{repeats} rounds, {steps} steps a turn, of {', '.join(workers)}")

    def turn(worker: Worker) -> float:
        worker.call("run", steps=steps)
        return worker.call("run", steps=steps)

    turns = {name: lambda worker=worker: turn(worker) for name, worker in workers.items()}
    return alternate(turns, repeats)


def _start_ours(workload: Workload) -> Worker:
    try:
        return Worker(OURS, {"workload": workload.as_arguments()})
    except WorkerError as error:
        raise UserError(f"the training step does not run here: {error}") from error


def _twin_arguments(workload: Workload, layout: str, compiled: bool) -> dict[str, Any]:
    return {
        "workload": workload.as_arguments(),
        "layout": layout,
        "compiled": compiled,
        "precision": workload.config.precision,
    }


def _fastest_eager(contenders: dict[str, dict]) -> str | None:
    there = [name for name in EAGER if name in contenders]
    return min(there, key=lambda name: contenders[name]["seconds"]["median"], default=None)


def _without_large_pages(
    workload: Workload, layout: str, beside: Worker, repeats: int
) -> dict[str, Any]:
    """The twin with malloc's ordinary pages, in turns with the one that has large ones."""
    tell(f"step: PyTorch, {layout}, without large pages")
    arguments = _twin_arguments(workload, layout, compiled=False)
    with Worker(TWIN, arguments, environment={LARGE_PAGES: ""}) as without:
        measured = race({"with": beside, "without": without}, repeats)
        return {
            "layout": layout,
            "seconds": spread(measured["without"]),
            "seconds_with": spread(measured["with"]),
            **without.call("describe"),
        }

"""The parts of `python -m fdp_jax.benchmark gpu`, each kept within the seconds that it is given.

No jax here: whatever needs the device runs in processes of its own.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fdp_jax.benchmark.contenders import Contender, Started, end, start
from fdp_jax.benchmark.gpu_contenders import (
    LAYOUTS,
    PRECISIONS,
    form_contenders,
    layer_contenders,
    step_contenders,
    together_contenders,
)
from fdp_jax.benchmark.processes import WorkerError, run_once
from fdp_jax.benchmark.products import step_flops
from fdp_jax.benchmark.timing import alternate, runs_in_a_turn, spread
from fdp_jax.benchmark.workload import CLASSES, Workload
from fdp_jax.grouping import FoldAxis

FOLD = "p00"  # whose training is looked at for its memory
FOLD_STEPS = 20
START_SHARE = 0.75  # of a part's time that compiling may take
LOOP_ROUNDS = 3  # at most, since a round is long


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all parts go by.

    Attributes:
      workload: what is trained; its steps are those of a fold of the whole training.
      on_gpu: whether jax computes on one.
      cores: of this machine, that processes may start on.
      repeats: rounds of every comparison.
      contenders: names that `step`, `layers` and `forms` keep to; none means all.
      folds: how many at once, one after the other.
      folds_at_once, fold_axis: of the whole training.
      loop_steps: of a round of the loop.
    """

    workload: Workload
    on_gpu: bool
    cores: int
    repeats: int
    contenders: tuple[str, ...]
    folds: tuple[int, ...]
    folds_at_once: int | Literal["auto"]
    fold_axis: FoldAxis
    loop_steps: int

    @property
    def compiling_at_once(self) -> int:
        """Processes of ours that may compile side by side: few, as they try kernels meanwhile."""
        return max(1, self.cores // 4) if self.on_gpu else 1


def measure_ceilings(plan: Plan, limit: float) -> dict[str, Any]:
    """What the device does at best."""
    return _alone("fdp_jax.benchmark.ceilings:measure_ceilings", {}, limit)


def measure_step(plan: Plan, limit: float) -> dict[str, Any]:
    """Our step in each precision beside the twin's, eager and compiled."""
    ours, eager, compiled = (
        _asked(plan, group) for group in step_contenders(plan.workload, plan.on_gpu)
    )
    deadline = time.monotonic() + START_SHARE * limit
    at_once = plan.cores if plan.on_gpu else 1
    started = start([eager], (at_once,), deadline)  # first, as they are soon ready
    try:
        # Ours one by one, beside no more than what PyTorch compiles on the processor: XLA tries
        # its kernels on the device while it compiles.
        started |= start([ours, compiled], (1, at_once), deadline)
        contenders = _measured([*ours, *eager, *compiled], started, plan.repeats)
    finally:
        end(started)
    return {
        "contenders": contenders,
        "ratios": step_ratios(contenders),
        "network_flops": step_flops(plan.workload.config, CLASSES),
    }


def step_ratios(contenders: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Precision -> kind of the twin, `eager` or `compiled` -> our time over its fastest layout's.

    What was not measured has no ratio.
    """
    medians = {
        name: told["seconds"]["median"] for name, told in contenders.items() if "seconds" in told
    }
    ratios: dict[str, dict[str, float]] = {}
    for precision in PRECISIONS:
        for kind in ("eager", "compiled"):
            names = [f"{kind}_{layout}_{precision}" for layout in LAYOUTS]
            there = [medians[name] for name in names if name in medians]
            if there and f"ours_{precision}" in medians:
                of_ours = ratios.setdefault(precision, {})
                of_ours[kind] = medians[f"ours_{precision}"] / min(there)
    return ratios


def measure_forms(plan: Plan, limit: float) -> dict[str, Any]:
    """Our step with every form of a layer."""
    asked = _asked(plan, form_contenders(plan.workload))
    started = _compiled(plan, asked, limit)
    try:
        return {"contenders": _measured(asked, started, plan.repeats)}
    finally:
        end(started)


def measure_layers(plan: Plan, limit: float) -> dict[str, Any]:
    """Each layer that has several forms in all of them, seconds of a fold's pass and back."""
    asked = _asked(plan, layer_contenders(plan.workload, plan.on_gpu))
    started = _compiled(plan, asked, limit)
    layers = {one.name: {"shape": one.arguments["shape"]} for one in asked}
    try:
        for name, worker in started.workers.items():
            seconds = worker.call("measure", repeats=plan.repeats)
            fastest = {count: min(forms, key=forms.get) for count, forms in seconds.items()}
            layers[name] |= {"seconds": seconds, "fastest": fastest}
    finally:
        end(started)
    for name, why in started.missing.items():
        layers[name]["missing"] = why
    return {"layers": layers}


def _asked(plan: Plan, contenders: Sequence[Contender]) -> list[Contender]:
    return [one for one in contenders if not plan.contenders or one.name in plan.contenders]


def _compiled(plan: Plan, asked: Sequence[Contender], limit: float) -> Started:
    """Those that are ready in their share of a part's time."""
    return start([asked], (plan.compiling_at_once,), time.monotonic() + START_SHARE * limit)


def measure_fold(plan: Plan, limit: float) -> dict[str, Any]:
    """Peak memory of a single fold's training and prediction, in a process of its own."""
    return _train(plan, limit, steps=FOLD_STEPS, folds=(FOLD,))


def measure_whole(plan: Plan, limit: float) -> dict[str, Any]:
    """All folds from the start of the process to the report, nothing compiled before."""
    return _train(plan, limit, steps=plan.workload.config.steps, folds=())


def measure_folds(plan: Plan, limit: float) -> dict[str, Any]:
    """Seconds of a fold's step with K folds at once: compiled together, then run one by one."""
    began = time.monotonic()
    started = _compiled(plan, together_contenders(plan.workload, plan.folds), limit)
    by_count = {count: {"missing": why} for count, why in started.missing.items()}
    try:
        for count in list(started.workers):
            worker = started.workers[count]
            left = limit - (time.monotonic() - began)
            try:
                steps = runs_in_a_turn(int(count) * worker.call("run", limit=left, steps=1))
                run = partial(worker.call, "run", limit=left, steps=steps)
                seconds = [run() for _ in range(plan.repeats)]
                by_count[count] = {"seconds": spread(seconds), **worker.call("describe")}
            except WorkerError as error:
                by_count[count] = {"missing": f"does not run here: {error}"}
            started.workers.pop(count).close()  # the next one needs its memory
    finally:
        end(started)
    return {"by_count": {str(count): by_count[str(count)] for count in plan.folds}}


def measure_loop(plan: Plan, limit: float) -> dict[str, Any]:
    """The loop of a fold's training beside its bare steps."""
    arguments = {
        "workload": plan.workload.as_arguments(),
        "steps": plan.loop_steps,
        "repeats": min(plan.repeats, LOOP_ROUNDS),
    }
    return _alone("fdp_jax.benchmark.loop:measure_loop", arguments, limit)


def _train(plan: Plan, limit: float, steps: int, folds: Sequence[str]) -> dict[str, Any]:
    """What `train_whole` tells, or how far it came in its time."""
    workload = with_steps(plan.workload, min(steps, plan.workload.config.steps))
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        arguments = {
            "workload": workload.as_arguments(),
            "workdir": str(workdir),
            "folds": list(folds),
            "folds_at_once": 1 if folds else plan.folds_at_once,
            "fold_axis": plan.fold_axis,
        }
        environment = {} if folds else {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
        began = time.monotonic()
        try:
            told = run_once("fdp_jax.benchmark.whole:train_whole", arguments, limit, environment)
            return told | {"seconds": time.monotonic() - began, "complete": True}
        except WorkerError as error:
            taken = time.monotonic() - began
            far = _progress(workdir, len(folds) or workload.people, workload.config.steps, taken)
            return {"missing": str(error), "complete": False, **far}


def with_steps(workload: Workload, steps: int) -> Workload:
    """The same with so many steps a fold, and a warm-up that they leave room for."""
    warmup = min(workload.config.optimizer.warmup_steps, steps - 1)
    return workload.with_changes({"steps": steps, "optimizer.warmup_steps": warmup})


def _progress(workdir: Path, count: int, steps_a_fold: int, taken: float) -> dict[str, Any]:
    """How far a training of so many folds came, and how long all would take at that pace."""
    from fdp_jax.training_log import read_log  # late: it loads the writer of TensorBoard's events

    folds, steps = workdir / "seed_0" / "folds", 0
    for log in folds.glob("*/log.jsonl"):
        steps += max((row["step"] for row in read_log(log)), default=0)
    of_all = count * steps_a_fold
    return {
        "seconds": taken,
        "folds_finished": len(list(folds.glob("*/done.json"))),
        "folds": count,
        "share_of_steps": steps / of_all,
        "projected_seconds": taken * of_all / steps if steps else None,
    }


def _measured(asked: Sequence[Contender], started: Started, repeats: int) -> dict[str, Any]:
    """Each contender's seconds and own words, or why it has none; they take turns.

    A turn has as many steps as make it long enough, or a fast contender's would be mostly waiting.
    """
    turns = {}
    for name, worker in started.workers.items():
        steps = runs_in_a_turn(worker.call("run", steps=1))
        turns[name] = partial(worker.call, "run", steps=steps)
    measured = alternate(turns, repeats)
    descriptions = started.describe()
    return {
        one.name: {"seconds": spread(measured[one.name]), **descriptions[one.name]}
        if one.name in measured
        else {"missing": started.missing[one.name]}
        for one in asked
    }


def _alone(target: str, arguments: Mapping[str, Any], limit: float) -> dict[str, Any]:
    try:
        return run_once(target, arguments, limit)
    except WorkerError as error:
        return {"missing": str(error)}


@dataclasses.dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
      about: what it measures, for --help.
      least: seconds under which it is not begun on a GPU.
      most: seconds that it may take of the default minutes.
      measure: called with the plan and the seconds that it has.
    """

    about: str
    least: float
    most: float
    measure: Callable[[Plan, float], dict[str, Any]]


# In their order: the most valuable first.
PARTS = {
    "ceilings": Part("the device's matrix products and copying", 15, 60, measure_ceilings),
    "step": Part("the step beside PyTorch's, eager and compiled", 60, 210, measure_step),
    "fold": Part("peak memory of a single fold's training", 30, 90, measure_fold),
    "whole": Part("all folds of SAMM's size, report included", 30, 300, measure_whole),
    "forms": Part("the step with every form of a layer", 45, 150, measure_forms),
    "layers": Part("every form of each convolution by itself", 45, 150, measure_layers),
    "folds": Part("several folds at once", 45, 150, measure_folds),
    "loop": Part("a training's loop beside its bare steps", 45, 120, measure_loop),
}

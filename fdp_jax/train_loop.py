"""The training loop: K folds as one program, from their newest checkpoints to their results.

One fold is the ordinary case, K = 1. On disk every fold is as if it had been trained alone.
"""

import contextlib
import math
import time
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.config import RULES
from fdp_jax.environment import (
    device_name,
    installed_versions,
    keep_freed_memory,
    return_freed_memory,
)
from fdp_jax.evaluate import is_evaluation_due
from fdp_jax.fold_training import (
    FoldTraining,
    Progress,
    Selection,
    write_done,
    write_predictions,
)
from fdp_jax.input_pipeline import PackedClips
from fdp_jax.options import TrainOptions
from fdp_jax.plan import (
    MAX_FOLDS_AT_ONCE,
    Environment,
    FoldGroup,
    Plan,
    resume_groups,
    split_evenly,
)
from fdp_jax.train_step import (
    compile_train_step,
    create_train_state,
    fold_state,
    fold_variables,
    learning_rate_schedule,
    program_bytes,
    stack_states,
    train_step,
)
from fdp_jax.workdir import drop_training_states

MAX_CHECKPOINT_SHARE = 0.03  # of the time, that writing checkpoints may take
USABLE_MEMORY = 0.9  # of a device's free memory; the compiler cannot foresee all


def train_folds(
    group: FoldGroup,
    plan: Plan,
    corpus: PackedClips,
    progress: Progress = lambda steps, metrics: None,
    lock_timeout: float = 0.0,
) -> None:
    """Trains a group of folds as one program and writes their results.

    `done.json` is written last, so a fold that has it is complete.

    Args:
      group: the folds; all need the same trainings.
      plan: of the run.
      corpus: its clips on the device.
      progress: called with every line of the log.
      lock_timeout: seconds to wait for another process that holds the lock of a fold.

    Raises:
      UserError: a checkpoint cannot be read, a file cannot be written, another process trains one
        of the folds, or a loss or output is not finite.
    """
    tasks, config = group.tasks, plan.options.config
    with contextlib.ExitStack() as locks:
        for task in tasks:
            locks.enter_context(task.directory.locked(lock_timeout))
        selections: list[dict[str, Selection]] = [{} for _ in tasks]
        restored = [0] * len(tasks)
        for trainings in zip(*(task.trainings for task in tasks), strict=True):
            with contextlib.ExitStack() as stack:
                folds = [
                    FoldTraining(task, training, plan, corpus, progress)
                    for task, training in zip(tasks, trainings, strict=True)
                ]
                for fold in folds:
                    stack.callback(fold.close)
                resumable = [t.directory.resumable_steps(config.steps) for t in trainings]
                for start, places in resume_groups(resumable, config.steps):
                    together = [folds[place] for place in places]
                    _train_loop(together, start, plan, corpus, group.size)
                # Every fold is complete on disk by now: a kill from here on costs no step.
                for place, fold in enumerate(folds):
                    selections[place] |= fold.select()
                    restored[place] += fold.start
        for task, selection, steps in zip(tasks, selections, restored, strict=True):
            selection = {rule: selection[rule] for rule in RULES[config.select]}
            write_predictions(task, plan, selection)
            write_done(task, plan, selection, steps, group.size)
            drop_training_states(task.directory)


def _train_loop(
    folds: Sequence[FoldTraining], start: int, plan: Plan, corpus: PackedClips, size: int
) -> None:
    """Trains the folds from the step `start`, which may be the end, as a program of `size`."""
    config, classes = plan.options.config, plan.classes
    if start == config.steps:
        for fold in folds:
            fold.load_final()
        return
    learning_rate = learning_rate_schedule(config.optimizer, config.steps)
    compile_train_step(config, classes, size, corpus)
    filled = [*folds, *[folds[-1]] * (size - len(folds))]
    state = stack_states((fold.restore(start) for fold in folds), size)
    keys = jnp.stack([fold.key for fold in filled])
    keep_freed_memory()
    since_log: list[dict[str, jax.Array]] = []
    logged = saved = time.monotonic()
    save_seconds = 0.0
    for step in range(start, config.steps):
        indices = jax.device_put(np.stack([fold.batch_indices(step) for fold in filled]))
        with jax.transfer_guard("disallow"):  # the clips must never travel again
            state, metrics = train_step(
                state, corpus, indices, keys, config=config, classes=classes
            )
        since_log.append(metrics)
        done = step + 1
        if folds[0].tracker.rule and is_evaluation_due(done, config):
            for place, fold in enumerate(folds):
                fold.evaluate(done, fold_variables(state, place))
        if not is_log_due(done, plan.options):
            continue
        averages = _average(since_log)
        now = time.monotonic()
        # A fold's share, so that the seconds of all folds add up to those of the run.
        common = {
            "learning_rate": float(learning_rate(step)),
            "seconds": (now - logged) / len(folds),
        }
        for fold, of_fold in zip(folds, averages, strict=False):
            fold.log(done, len(since_log), of_fold | common)
        since_log, logged = [], now
        if done < config.steps and is_checkpoint_due(done, plan.options, now - saved, save_seconds):
            for place, fold in enumerate(folds):
                fold.save(fold_state(state, place))
            saved = time.monotonic()
            save_seconds = saved - now
    return_freed_memory()
    for place, fold in enumerate(folds):
        fold.finish(fold_variables(state, place))


def _average(metrics: Sequence[dict[str, jax.Array]]) -> list[dict[str, float]]:
    """Returns, for each fold, the mean of every metric over the steps; metrics have the axis K."""
    on_host = jax.device_get(metrics)
    stacked = {name: np.stack([of_step[name] for of_step in on_host]) for name in on_host[0]}
    return [
        {
            name: float(np.ascontiguousarray(values[:, place]).mean())
            for name, values in stacked.items()
        }
        for place in range(stacked["total"].shape[1])
    ]


def is_log_due(step: int, options: TrainOptions) -> bool:
    """Returns whether a line of the log is due after `step`.

    That is also wherever a checkpoint may be, so that a resumed log does not depend on the clock.
    """
    is_last = step == options.config.steps
    return is_last or step % options.log_every == 0 or step % options.checkpoint_every == 0


def is_checkpoint_due(
    step: int, options: TrainOptions, seconds: float, save_seconds: float
) -> bool:
    """Returns whether a checkpoint is due.

    Args:
      step: steps done.
      options: of the command.
      seconds: since the last checkpoint was complete.
      save_seconds: duration of writing it; a slow disk gets fewer.
    """
    least = options.checkpoint_seconds  # 0: one at each multiple, whatever it takes
    if least:
        least = max(least, save_seconds / MAX_CHECKPOINT_SHARE)
    return step % options.checkpoint_every == 0 and seconds >= least


def describe_environment(plan: Plan) -> Environment:
    """Returns what `run.json` says about this process and the network."""
    create = partial(create_train_state, plan.options.config, plan.classes)
    params = jax.eval_shape(create, jax.random.key(0)).params
    sizes = {
        name: sum(leaf.size for leaf in jax.tree.leaves(module)) for name, module in params.items()
    }
    return Environment({"total": sum(sizes.values()), **sizes}, device_name(), installed_versions())


def choose_folds_at_once(plan: Plan, corpus: PackedClips) -> int:
    """Returns how many folds to train as one program: as asked, or as many as fit the device.

    `auto` compiles the largest useful group and takes what its memory allows; if it fits, its
    program is the one that trains.

    Args:
      plan: of the run.
      corpus: its clips, on the device already.
    """
    if plan.options.folds_at_once != "auto":
        return int(plan.options.folds_at_once)
    statistics = jax.local_devices()[0].memory_stats() or {}
    most = len(split_evenly(plan.tasks, MAX_FOLDS_AT_ONCE)[0])
    if jax.default_backend() == "cpu" or most == 1 or "bytes_limit" not in statistics:
        return 1
    program = compile_train_step(plan.options.config, plan.classes, most, corpus)
    packed = sum(leaf.nbytes for leaf in jax.tree.leaves(corpus))  # in use already
    needed = program_bytes(program) - packed
    free = statistics["bytes_limit"] - statistics["bytes_in_use"]
    fitting = int(USABLE_MEMORY * free // math.ceil(needed / most))
    return min(max(fitting, 1), MAX_FOLDS_AT_ONCE)

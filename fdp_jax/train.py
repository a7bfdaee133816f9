"""Trains FDP with leave-one-subject-out and writes the report.

    python -m fdp_jax.train --dataset=synthetic --preset=small --group_folds=3
    python -m fdp_jax.train --dataset=samm --manual_dir=DIR_OF_SAMM
    python -m fdp_jax.train --dataset=samm --select=all --seeds=0,1,2 --workdir=runs/samm_all
    python -m fdp_jax.train --protocol=megc2019 --manual_dir=DIR_OF_CASME2_SAMM_AND_SMIC

Repeat the command to resume a run that was stopped: finished folds are kept, the others resume from
their last checkpoints. A corpus that is not built yet is built first.
"""

import contextlib
import logging
import shlex
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tqdm import tqdm

from datasets.command_line import run_command
from fdp_jax.environment import (
    clear_out_of_memory_error,
    exit_on_interrupt,
    start_jax,
    use_large_pages,
)
from fdp_jax.options import parse_train_options

if TYPE_CHECKING:
    from fdp_jax.input_pipeline import PackedClips
    from fdp_jax.plan import FoldGroup, FoldTask, Plan

PROGRAM = "python -m fdp_jax.train"


def main() -> None:
    """Runs the command line."""
    arguments = sys.argv[1:]
    options, protocol = parse_train_options(arguments, PROGRAM, __doc__)
    # Imported late: --help and mistakes must not wait for scikit-learn, or for jax.
    from fdp_jax.plan import make_plan

    train(make_plan(options, protocol, f"{PROGRAM} {shlex.join(arguments)}"))


def train(plan: "Plan", corpus: "PackedClips | None" = None) -> dict:
    """Trains all pending folds of a plan and writes the report; Ctrl-C ends the process at once.

    Args:
      plan: of the run.
      corpus: the clips on the device; by default those of the plan are moved there.

    Returns:
      The content of `report.json`.

    Raises:
      UserError: a file cannot be read or written, the work directory holds another run, a loss is
        not finite, or the device has too little memory.
    """
    start_jax(plan.options.compilation_cache)  # without a device, nothing is written
    import jax

    from fdp_jax.evaluate import pack_clips
    from fdp_jax.plan import describe_work
    from fdp_jax.report import print_summary, write_report
    from fdp_jax.train_loop import choose_folds_at_once, describe_environment, train_folds

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax's pages of tracebacks
    options = plan.options
    groups: list[FoldGroup] = []
    with exit_on_interrupt(lambda: f"interrupted; {plan.describe_resume(groups)}"):
        plan.claim_workdir()
        plan.write_run_files(describe_environment(plan))
        plan.remove_training_states_of_finished_folds()
        pending = plan.pending()
        if finished := len(plan.tasks) - len(pending):
            print(f"{finished} of {len(plan.tasks)} folds are finished already")
        if pending:
            trainings = sum(len(task.trainings) for task in pending)
            work = describe_work(options, trainings, jax.default_backend() == "cpu")
            print(f"To train in {plan.workdir}: {work}", flush=True)
            if corpus is None:
                corpus = pack_clips(plan.clips)
            steps = options.config.steps * trainings
            bar = tqdm(total=steps, unit="step", dynamic_ncols=True, smoothing=0)
            with clear_out_of_memory_error(), contextlib.closing(_Progress(bar)) as progress:
                groups += plan.groups(choose_folds_at_once(plan, corpus))
                for group in groups:
                    progress.begin(_describe(group, pending, options.all_seeds))
                    train_folds(group, plan, corpus, progress)
    report = write_report(plan.workdir)
    print_summary(report, plan.workdir)
    return report


class _Progress:
    """A bar over the steps, which shows that a training is alive while XLA compiles."""

    def __init__(self, bar: tqdm):
        self._bar, self._compiling, self._ended = bar, time.monotonic(), threading.Event()
        # A log file gets a line now and then, a terminal a clock.
        seconds = 1.0 if sys.stderr.isatty() else 30.0
        threading.Thread(target=self._tick, args=(seconds,), daemon=True).start()

    def _tick(self, seconds: float) -> None:
        while not self._ended.wait(seconds):
            if since := self._compiling:
                self._bar.set_postfix_str(
                    f"compiling for {time.monotonic() - since:.0f} s", refresh=False
                )
            self._bar.refresh()

    def close(self) -> None:
        """Leaves the bar as it is."""
        self._ended.set()
        self._bar.close()

    def begin(self, name: str) -> None:
        """Shows the name of the folds that are next, whose program is compiled first."""
        self._compiling = time.monotonic()
        self._bar.set_postfix_str("compiling", refresh=False)
        self._bar.set_description(name)

    def __call__(self, steps_done: int, metrics: Mapping[str, float]) -> None:
        """Counts the steps of a line of the log, or restored ones, which took no time."""
        if self._compiling:
            self._bar.start_t += time.monotonic() - self._compiling  # not to count in the rate
            self._compiling = 0.0
        if not metrics:
            self._bar.initial += steps_done
        self._bar.set_postfix_str(format_losses(metrics) or "first steps", refresh=False)
        self._bar.update(steps_done)
        self._bar.refresh()


def format_losses(metrics: Mapping[str, float]) -> str:
    """Returns the latest losses in short."""
    formats = {
        "cross_entropy": "cross-entropy {:.3f}",
        "dynamic_image": "dynamic image {:.4f}",
        "rank": "rank {:.2f}",
    }
    present = [text.format(metrics[name]) for name, text in formats.items() if name in metrics]
    return ", ".join(present)


def _describe(group: "FoldGroup", pending: "list[FoldTask]", seeds: tuple[int, ...]) -> str:
    first, count = pending.index(group.tasks[0]) + 1, len(group.tasks)
    if count > 1:
        return f"folds {first}-{first + count - 1} of {len(pending)}"
    task = group.tasks[0]
    of_seed = f", seed {task.seed}" if len(seeds) > 1 else ""
    return f"fold {first}/{len(pending)} {task.fold.name}{of_seed}"


if __name__ == "__main__":
    use_large_pages()
    run_command(main, resumable=True)

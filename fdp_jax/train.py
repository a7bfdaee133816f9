"""Trains FDP with leave-one-subject-out and writes the report.

    python -m fdp_jax.train --dataset=synthetic --preset=small --group_folds=3
    python -m fdp_jax.train --dataset=samm --manual_dir=DIR_OF_SAMM
    python -m fdp_jax.train --dataset=samm --select=all --seeds=0,1,2 --workdir=runs/samm_all
    python -m fdp_jax.train --protocol=megc2019 --manual_dir=DIR_OF_CASME2_SAMM_AND_SMIC

Repeat the command to resume a run that was stopped: finished folds are kept, the others resume from
their last checkpoints. A corpus that is not built yet is built first.
"""

import logging
import shlex
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from datasets.command_line import run_command
from datasets.protocols import Protocol
from fdp_jax.environment import (
    clear_out_of_memory_error,
    keep_compiled_programs,
    use_large_pages,
)
from fdp_jax.options import TrainOptions, parse_train_options

if TYPE_CHECKING:
    from tqdm import tqdm

    from fdp_jax.plan import FoldGroup, FoldTask, Plan

PROGRAM = "python -m fdp_jax.train"


def main() -> None:
    """Runs the command line."""
    arguments = sys.argv[1:]
    options, protocol = parse_train_options(arguments, PROGRAM, __doc__)
    train(options, protocol, f"{PROGRAM} {shlex.join(arguments)}")


def train(options: TrainOptions, protocol: Protocol, command: str) -> dict:
    """Builds the corpus if needed, trains all pending folds and writes the report.

    Args:
      options: as `parse_train_options` returns.
      protocol: its categories and clips.
      command: as the user typed it, for the report.

    Returns:
      The content of `report.json`.

    Raises:
      UserError: a file cannot be read or written, the work directory holds another run, a loss is
        not finite, or the device has too little memory.
    """
    # Imported late: --help and mistakes must not wait for scikit-learn, or for jax.
    from fdp_jax.plan import make_plan

    plan = make_plan(options, protocol, command)
    plan.claim_workdir()

    from fdp_jax.evaluate import pack_clips
    from fdp_jax.report import print_summary, write_report
    from fdp_jax.train_loop import choose_folds_at_once, describe_environment, train_folds

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax's pages of tracebacks
    keep_compiled_programs(options.compilation_cache)
    plan.write_run_files(describe_environment(plan))
    plan.remove_training_states_of_finished_folds()
    pending = plan.pending()
    if finished := len(plan.tasks) - len(pending):
        print(f"{finished} of {len(plan.tasks)} folds are finished already")
    if pending:
        corpus = pack_clips(plan.clips)
        with clear_out_of_memory_error(), _progress_bar(plan, pending) as bar:
            for group in plan.groups(choose_folds_at_once(plan, corpus)):
                bar.set_description(_describe(group, pending, options.all_seeds))
                train_folds(group, plan, corpus, partial(_show_progress, bar))
    report = write_report(plan.workdir)
    print_summary(report, plan.workdir)
    return report


def _progress_bar(plan: "Plan", pending: "list[FoldTask]") -> "tqdm":
    from tqdm import tqdm

    steps = plan.options.config.steps * sum(len(task.trainings) for task in pending)
    return tqdm(total=steps, unit="step", dynamic_ncols=True, smoothing=0)


def _show_progress(bar: "tqdm", steps_done: int, metrics: Mapping[str, float]) -> None:
    if not metrics:  # restored steps took no time
        bar.initial += steps_done
    bar.update(steps_done)
    bar.set_postfix_str(format_losses(metrics), refresh=False)


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

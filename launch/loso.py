"""Trains FDP as `python -m fdp_jax.train` does, its folds spread over GPUs and machines by Ray.

    python -m launch.loso --dataset=samm --manual_dir=DIR_OF_SAMM
    python -m launch.loso --dataset=samm --gpus_per_fold=0.25
    python -m launch.loso --dataset=samm --address=auto

The first takes every GPU of this machine, or its CPU cores where it has none; the second trains
four folds on each GPU; the third takes a running Ray cluster, whose machines must see the data, the
work directory and this code under the same names. launch/slurm.sh starts a cluster in a queue.

Options, work directory, resuming and numbers are those of `python -m fdp_jax.train`: either command
goes on with what the other began. A worker, machine or launcher that is lost costs no finished
fold; the others go on from their last checkpoints. WORKDIR/launch.jsonl keeps what happened, and
launch.log in a fold's folder what its workers printed.
"""

import contextlib
import os
import shlex
import sys

from datasets.command_line import main_with_clear_errors
from datasets.errors import UserError
from datasets.protocols import Protocol
from launch.cluster import check_installed, connected
from launch.options import LaunchOptions, launch_options_from


def options_from(arguments: list[str]) -> tuple[LaunchOptions, Protocol]:
    """As `launch_options_from`, of this command."""
    return launch_options_from(arguments, "python -m launch.loso", __doc__)


def run(arguments: list[str]) -> dict:
    """The command line as a function; returns the content of `report.json`.

    Raises:
      UserError: a mistake in the options, anything that keeps the training from beginning, or folds
        that failed for good; then the rest is trained and reported.
    """
    options, protocol = options_from(arguments)
    check_installed()
    from fdp_jax.plan import Plan
    from fdp_jax.report import print_summary, write_report
    from fdp_jax.train import prepared
    from fdp_jax.workdir import locked_run
    from launch.crew import names_of

    command = "python -m launch.loso " + shlex.join(arguments)
    prepared_run, clips = prepared(options, protocol, command)
    plan = Plan(prepared_run, clips)
    workdir = prepared_run.workdir
    with locked_run(workdir):
        plan.claim()
        failed = _train(plan, options, arguments) if plan.pending() else []
        with _reported(failed):
            report = write_report(workdir)
            print_summary(report, workdir)
    if failed:
        raise UserError(
            f"{sum(len(job.tasks) for job in failed)} of {len(plan.wanted)} folds failed: "
            f"{names_of(failed)}; the same command tries them again"
        )
    return report


def _train(plan, options: LaunchOptions, arguments: list[str]) -> list:
    """Trains all that is to do; returns the groups of folds that failed for good."""
    from rich.console import Console

    from launch.crew import Crew, Orders
    from launch.view import View

    view = View(plan, Console(stderr=True))
    with contextlib.ExitStack() as stack:
        stack.enter_context(_without_chatter())
        cluster = stack.enter_context(connected(options.address))
        share = options.share(cluster.has_gpus())
        orders = Orders(tuple(arguments), os.getcwd(), share, options.retries)
        crew = Crew(cluster, orders, plan, view.tell)
        stack.enter_context(view.shown())
        crew.run(view.look)
    return crew.failed


@contextlib.contextmanager
def _without_chatter():
    """What Ray prints in the middle of the view is told there in a few words."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def _reported(failed: list):
    """A report that cannot be made is no news where every fold has failed."""
    try:
        yield
    except UserError:
        if not failed:
            raise


def main() -> None:
    """The command line."""
    run(sys.argv[1:])


if __name__ == "__main__":
    main_with_clear_errors(main)

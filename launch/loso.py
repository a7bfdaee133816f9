"""Trains FDP as `python -m fdp_jax.train` does, with the folds spread over GPUs and machines.

    python -m launch.loso --dataset=samm --manual_dir=DIR_OF_SAMM
    python -m launch.loso --dataset=samm --gpus_per_fold=0.25
    python -m launch.loso --dataset=samm --address=auto

The first uses every GPU of this machine, or its CPU cores if it has none; the second trains four
folds on each GPU; the third uses a running Ray cluster, whose machines must see the data, the work
directory and this code under the same names. launch/slurm.sh starts a cluster in a queue.

Options, work directory, resuming and numbers are those of `python -m fdp_jax.train`; each command
can resume the other's runs. If a worker, a machine or the launcher is lost, finished folds are kept
and the others resume from their last checkpoints. WORKDIR/launch.jsonl logs all events, launch.log
in the folder of a fold the output of its workers.
"""

import contextlib
import shlex
import signal
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from datasets.command_line import run_command
from datasets.errors import UserError
from datasets.protocols import Protocol
from fdp_jax.options import TrainOptions, parse_train_options
from fdp_jax.plan import Plan, make_plan
from fdp_jax.report import print_summary, write_report
from fdp_jax.workdir import locked_run
from launch.scheduler import Job, Scheduler, check_address, check_ray_installed, connect

PROGRAM = "python -m launch.loso"


@dataclass(frozen=True)
class LaunchOptions(TrainOptions):
    """Options of `python -m launch.loso`."""

    gpus_per_fold: Annotated[str, tyro.conf.arg(metavar="auto|SHARE")] = "auto"
    """Share of a GPU for each worker: 1, or 0.25 for four workers on each GPU, with a quarter of
    its memory each. 0 trains on CPUs. auto: 1 if there is a GPU, else 0."""
    cpus_per_fold: int = 1
    """CPU cores for each worker. Without GPUs it is pinned to them and computes the same bits as
    fdp_jax.train on as many cores; it needs 2.0 GB of memory with --preset=small and 3.9 GB with
    paper, so choose more cores if memory is short."""
    address: str = ""
    """Running Ray cluster to use, as HOST:PORT, or auto for the one this machine belongs to; by
    default Ray is started on this machine alone."""
    retries: int = 2
    """How often a failed fold is tried again, on a new worker, from its last checkpoint."""

    def __post_init__(self):
        """Raises UserError for values that no worker can have."""
        if self.gpus_per_fold != "auto" and not _is_share(self.gpus_per_fold):
            raise UserError(
                f"--gpus_per_fold={self.gpus_per_fold} must be auto, 0, 1 or a share between, as "
                "0.25: a fold trains on one GPU at most"
            )
        if self.cpus_per_fold < 1:
            raise UserError(f"--cpus_per_fold must be at least 1, not {self.cpus_per_fold}")
        if self.retries < 0:
            raise UserError(f"--retries must not be negative, but is {self.retries}")


def _is_share(text: str) -> bool:
    try:
        share = float(text)
    except ValueError:
        return False
    return share == 0 or 0.01 <= share <= 1


def main() -> None:
    """Runs the command line."""
    arguments = sys.argv[1:]
    options, protocol = parse_train_options(arguments, PROGRAM, __doc__, LaunchOptions)
    train(options, protocol, f"{PROGRAM} {shlex.join(arguments)}")


def train(options: LaunchOptions, protocol: Protocol, command: str) -> dict:
    """Does what `fdp_jax.train.train` does, on workers in a Ray cluster.

    Raises:
      UserError: as `fdp_jax.train.train`; no worker can start; or folds failed for good, after all
        others are trained and reported.
    """
    check_ray_installed()
    check_address(options.address)
    plan = make_plan(options, protocol, command)
    with locked_run(plan.workdir):
        plan.claim_workdir()
        plan.remove_training_states_of_finished_folds()
        failed = _train_pending_folds(plan) if plan.pending() else []
        # If every fold failed, there is nothing to report.
        with contextlib.suppress(UserError) if failed else contextlib.nullcontext():
            report = write_report(plan.workdir)
            print_summary(report, plan.workdir)
    if failed:
        folds = sum(len(job.folds) for job in failed)
        reasons = "; ".join(f"{job}: {job.failures[-1].rstrip('.')}" for job in failed)
        raise UserError(
            f"{folds} of {len(plan.tasks)} folds failed: {reasons}; run the same command again to "
            "retry them"
        )
    return report


def _train_pending_folds(plan: Plan) -> list[Job]:
    """Returns the groups of folds that failed for good."""
    from rich.console import Console
    from rich.live import Live

    from launch.progress_display import ProgressDisplay

    # On stderr, since stdout is for the report.
    live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
    with connect(plan.options.address) as ray, live:
        display = ProgressDisplay(plan, live)
        scheduler = Scheduler(ray, plan, display.log)
        try:
            scheduler.run(display.update)
        except KeyboardInterrupt:  # Ctrl-C or the end of a queue's time
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # the second does not wait for Ray
            live.stop()
            resume = plan.describe_resume(scheduler.groups)
            print(f"interrupted; {resume}", file=sys.stderr, flush=True)
            sys.exit(130)
    return scheduler.failed


if __name__ == "__main__":
    run_command(main, resumable=True)

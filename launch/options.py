"""What the launchers take beyond the options of `python -m fdp_jax.train`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from datasets.errors import UserError
from datasets.protocols import Protocol
from fdp_jax.train import Options, options_from
from launch.share import Share


@dataclass(frozen=True)
class LaunchOptions(Options):
    """What `python -m launch.loso` takes."""

    gpus_per_fold: Annotated[str, tyro.conf.arg(metavar="auto|SHARE")] = "auto"
    """Share of a GPU that a worker has: 1, or 0.25 for four workers on each, with a quarter of its
    memory. 0 trains on CPUs. `auto` is 1 where there is a GPU, else 0."""
    cpus_per_fold: int = 1
    """CPU cores that a worker has; without GPUs it is held to them, so that the bits are those of a
    training in turn on as many. Such a worker needs 1.6 GB with --preset=small and 3.4 GB with
    paper: give each more cores where that is short."""
    address: str = ""
    """Of a running Ray cluster, as HOST:PORT, or auto for the one that this machine belongs to;
    Ray is started on this machine alone when not given."""
    retries: int = 2
    """How often a fold that failed is tried again, on a new worker, from its last checkpoint."""

    def share(self, has_gpus: bool) -> Share:
        """What each worker gets.

        Args:
          has_gpus: whether there is any GPU, for `auto`.
        """
        gpus = float(has_gpus) if self.gpus_per_fold == "auto" else float(self.gpus_per_fold)
        return Share(gpus, self.cpus_per_fold)


def launch_options_from(
    arguments: list[str], program: str, about: str | None
) -> tuple[LaunchOptions, Protocol]:
    """The command line, checked before anything heavy is loaded.

    Args:
      arguments: without the program's name.
      program, about: as of `parse_options`.

    Raises:
      UserError: as `fdp_jax.train.options_from`, or a share that no worker can have.
    """
    options, protocol = options_from(arguments, LaunchOptions, program, about)
    if options.gpus_per_fold != "auto" and not _is_share(options.gpus_per_fold):
        raise UserError(
            f"--gpus_per_fold={options.gpus_per_fold} must be auto, 0, 1 or a share between, as "
            "0.25: a fold trains on one GPU at most"
        )
    if options.cpus_per_fold < 1:
        raise UserError("--cpus_per_fold must be at least 1")
    if options.retries < 0:
        raise UserError("--retries must not be negative")
    return options, protocol


def _is_share(text: str) -> bool:
    try:
        share = float(text)
    except ValueError:
        return False
    return share == 0 or 0.01 <= share <= 1

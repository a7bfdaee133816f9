"""Reproduces a table or figure of the paper, its runs spread over GPUs and machines.

    python -m launch.experiments table9 --dataset=samm --manual_dir=DIR
    python -m launch.experiments table4 --manual_dir=DIR --address=auto

Does what `python -m fdp_jax.experiments` does, but trains each run as `python -m launch.loso` does,
one after the other.
"""

import sys
from dataclasses import dataclass

from datasets.command_line import run_command
from fdp_jax import experiments
from launch import loso
from launch.scheduler import check_ray_installed


@dataclass(frozen=True)
class LaunchExperimentOptions(experiments.ExperimentOptions, loso.LaunchOptions):
    """Options of `python -m launch.experiments`."""


def main() -> None:
    """Runs the command line."""
    if not {"-h", "--help", "--list"} & set(sys.argv):
        check_ray_installed()
    experiments.main(
        train=loso.train,
        kind=LaunchExperimentOptions,
        program="python -m launch.experiments",
        description=__doc__,
    )


if __name__ == "__main__":
    run_command(main, resumable=True)

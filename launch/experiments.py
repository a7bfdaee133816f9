"""A table or figure of the paper, its runs spread over GPUs and machines by Ray.

    python -m launch.experiments table9 --dataset=samm --manual_dir=DIR
    python -m launch.experiments table4 --manual_dir=DIR --address=auto

The same as `python -m fdp_jax.experiments`, which tells what there is (--list), with the runs
trained one after the other by `python -m launch.loso`: the folds of each on every GPU there is.
Beyond its options there are

  --gpus_per_fold=SHARE, --cpus_per_fold=N, --address=HOST:PORT, --retries=N

as `python -m launch.loso --help` explains them.
"""

import sys

from datasets.command_line import main_with_clear_errors
from fdp_jax.experiments import main as main_of_experiments
from fdp_jax.paper.running import Trainer
from launch import loso
from launch.cluster import check_installed


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    check_installed()
    main_of_experiments(arguments, Trainer(loso.options_from, loso.run))


if __name__ == "__main__":
    main_with_clear_errors(main)

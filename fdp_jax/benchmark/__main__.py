"""Measures speed and memory beside the same network in PyTorch.

    python -m fdp_jax.benchmark --out=FILE         this machine, part by part
    python -m fdp_jax.benchmark gpu --out=FILE     all that a GPU is for, in at most 8 minutes
    python -m fdp_jax.benchmark table FILE...      the table of docs/speed.md, from such files

The corpus is random frames in memory, of SAMM's size. `gpu` needs jax, flax, optax,
orbax-checkpoint, OpenCV, scikit-learn and matplotlib alone, and PyTorch for the comparison.
"""

import dataclasses
import shlex
import sys

from datasets.command_line import parse_options, run_command
from datasets.errors import UserError
from fdp_jax.benchmark.parts import GPU_OPTIONS, Options, as_json, measure
from fdp_jax.benchmark.table import print_table, summary
from fdp_jax.config import TrainConfig, preset, validate
from fdp_jax.environment import prepare_environment, use_large_pages

PROGRAM = "python -m fdp_jax.benchmark"


def main() -> None:
    """Runs the command line."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["table"]:
        return print_table(arguments[1:], f"{PROGRAM} table")
    if arguments[:1] == ["gpu"]:
        options = parse_options(Options, arguments[1:], f"{PROGRAM} gpu", __doc__, GPU_OPTIONS)
    else:
        options = parse_options(Options, arguments, PROGRAM, __doc__)
    command = shlex.join([*PROGRAM.split(), *arguments])
    report = measure(options, config_of(options), command)
    print(as_json(report) if options.json else summary(report))


def config_of(options: Options) -> TrainConfig:
    """Validates the options and returns those of the training that is timed.

    Raises:
      UserError: an unknown preset or an impossible value.
    """
    for name in ("precisions", "parts", "folds"):
        if not getattr(options, name):
            raise UserError(f"--{name} must have at least one entry")
    counts = {"repeats": options.repeats, "steps": options.steps, "folds": min(options.folds)}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UserError(f"--{name} must be at least 1, not {count}")
    for name in ("minutes", "compile_limit"):
        if not 0 <= getattr(options, name) < float("inf"):
            raise UserError(f"--{name} must be finite and not negative")
    config = preset(options.preset)
    batch_size = config.batch_size if options.batch_size is None else options.batch_size
    precision = options.precisions[0]
    config = dataclasses.replace(config, batch_size=batch_size, precision=precision)
    validate(config)
    return config


if __name__ == "__main__":
    use_large_pages()
    prepare_environment()
    run_command(main)

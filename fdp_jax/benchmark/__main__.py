"""Measures speed and memory beside the same network in PyTorch.

    python -m fdp_jax.benchmark --out=FILE         this machine, part by part
    python -m fdp_jax.benchmark gpu --out=FILE     all that a GPU is for, in at most 8 minutes
    python -m fdp_jax.benchmark table FILE...      the README's table of such files

The corpus is random frames in memory, of SAMM's size. `gpu` needs jax, flax, optax,
orbax-checkpoint, OpenCV, scikit-learn and matplotlib alone, and PyTorch for the comparison.
"""

import dataclasses
import shlex
import sys
import typing
from pathlib import Path

from datasets.command_line import parse_options, run_command
from datasets.errors import UserError
from fdp_jax.benchmark.parts import GPU_OPTIONS, PARTS, Options, as_json, measure
from fdp_jax.benchmark.table import print_table, summary
from fdp_jax.config import Ints, Names, Precision, TrainConfig, preset, validate
from fdp_jax.environment import use_large_pages

PROGRAM = "python -m fdp_jax.benchmark"


def main() -> None:
    """The command line."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["table"]:
        return print_table(arguments[1:], f"{PROGRAM} table")
    if arguments[:1] == ["gpu"]:
        options = _parse(arguments[1:], f"{PROGRAM} gpu", GPU_OPTIONS)
    else:
        options = _parse(arguments, PROGRAM, Options())
    command = f"{PROGRAM} {shlex.join(arguments)}".strip()
    report = measure(options, config_of(options), command)
    print(as_json(report) if options.json else summary(report))


def config_of(options: Options) -> TrainConfig:
    """Returns the options of the training that is timed.

    Raises:
      UserError: an unknown preset, precision or part, or an impossible value.
    """
    for option, allowed in (("precisions", typing.get_args(Precision)), ("parts", tuple(PARTS))):
        given = getattr(options, option)
        for name in given:
            if name not in allowed:
                raise UserError(f"--{option} must be among {', '.join(allowed)}, not '{name}'")
        if not given:
            raise UserError(f"--{option} names nothing; choose among {', '.join(allowed)}")
    for option in ("repeats", "steps", "folds"):
        value = getattr(options, option)
        least = min(value, default=0) if isinstance(value, tuple) else value
        if least < 1:
            raise UserError(f"--{option} must be at least 1, not {least}")
    for option in ("minutes", "compile_limit"):
        if not 0 <= getattr(options, option) < float("inf"):
            raise UserError(f"--{option} must be finite and not negative")
    config = dataclasses.replace(preset(options.preset), precision=options.precisions[0])
    if options.batch_size is not None:
        config = dataclasses.replace(config, batch_size=options.batch_size)
    validate(config)
    return config


def _parse(arguments: list[str], program: str, default: Options) -> Options:
    try:
        return parse_options(
            Options, arguments, program=program, description=__doc__, default=default
        )
    except ModuleNotFoundError as error:
        if error.name != "tyro":
            raise
        return _parse_without_tyro(arguments, default)


def _parse_without_tyro(arguments: list[str], default: Options) -> Options:
    """Reads `--name=value`: a machine that is lent for measuring may lack tyro."""
    readers = {
        **{str: str, int | None: int, int: int, float: float, Path | None: Path},
        Names: lambda word: tuple(word.split(",")),
        Ints: lambda word: tuple(map(int, word.split(","))),
        bool: lambda word: word in ("", "true"),
    }
    types = typing.get_type_hints(Options)
    values = {}
    for argument in arguments:
        name, _, word = argument.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if name not in types:
            raise UserError(f"there is no option {argument}; the options are {', '.join(types)}")
        try:
            values[name] = readers[types[name]](word)
        except ValueError:
            raise UserError(f"--{name} cannot be '{word}'") from None
    return dataclasses.replace(default, **values)


if __name__ == "__main__":
    use_large_pages()
    run_command(main)

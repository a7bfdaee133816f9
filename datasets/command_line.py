"""Command lines from dataclasses: one sentence for a mistake, the valid names beside it."""

import contextlib
import dataclasses
import difflib
import io
import itertools
import os
import re
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datasets.errors import UserError

# tyro is loaded late, so that commands which read their options themselves run without it.
if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

Options = TypeVar("Options")


def parse_options(
    kind: type[Options], default: Options | None, arguments: Sequence[str], program: str, about: str
) -> Options:
    """Reads `--name=value` options; hyphen and underscore mean the same.

    Args:
      kind: a frozen dataclass, its fields documented for --help.
      default: where options that are not given come from; None takes the fields' own defaults.
      arguments: the command line without the program's name.
      program: as the user types it.
      about: shown above the options by --help.

    Raises:
      UserError: an option that does not exist, or a value that it cannot take.
    """
    import tyro

    _check_paths(kind, arguments)
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            parsed, unknown = tyro.cli(
                kind,
                prog=program,
                description=about,
                args=[_as_flag(kind, argument) for argument in arguments],
                default=default,
                return_unknown_args=True,
                use_underscores=True,
                registry=_rules(),
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise UserError(f"{_first_sentence(told.getvalue())}; see {program} --help") from None
    if unknown:
        names = [f"--{name}" for name in _names(kind)]
        close = difflib.get_close_matches(
            unknown[0].partition("=")[0].replace("-", "_"),
            [name.replace("-", "_") for name in names],
            n=1,
        )
        hint = f" (did you mean --{close[0].lstrip('_')}?)" if close else ""
        raise UserError(
            f"there is no option {unknown[0]}{hint}; the options are {', '.join(names)}"
        )
    return parsed


def names_and_options(kind: type, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands by itself, and the options, of which `--name value` becomes `--name=value`.

    Args:
      kind: the dataclass of the options.
      arguments: the command line without the program's name; what follows `--` is no option.
    """
    names, options = [], []
    takes_value = {name for name in _names(kind) if name not in _yes_or_no(kind)}
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            names += waiting
        elif not argument.startswith("-"):
            names.append(argument)
        elif argument.removeprefix("--").replace("-", "_") in takes_value:
            options.append("=".join([argument, *itertools.islice(waiting, 1)]))
        else:
            options.append(argument)
    return names, options


def parse_corpus_and_options(
    kind: type[Options],
    arguments: Sequence[str],
    program: str,
    about: str,
    corpora: Sequence[str],
) -> tuple[str, Options]:
    """Reads `NAME --option=value ...`, the name of a corpus first.

    Args:
      kind, arguments, program, about: as of `parse_options`; `program` without the name.
      corpora: the names that are possible.

    Raises:
      UserError: no name or an unknown one, or as `parse_options` does.
    """
    names, options = names_and_options(kind, arguments)
    program = f"{program} NAME"
    if {"-h", "--help"} & set(arguments):
        parse_options(kind, None, ["--help"], program, about)
    if len(names) != 1 or arguments[0] != names[0]:
        raise UserError(
            "name one corpus, then the options as --name=value; the corpora are "
            f"{', '.join(corpora)}."
        )
    if names[0] not in corpora:
        raise UserError(f"there is no corpus '{names[0]}'; the corpora are {', '.join(corpora)}.")
    return names[0], parse_options(kind, None, options, program, about)


def _rules() -> "ConstructorRegistry":
    """What tyro is to do otherwise than by default."""
    from tyro.constructors import ConstructorRegistry

    registry = ConstructorRegistry()
    registry.primitive_rule(_comma_separated)
    return registry


def _comma_separated(info: "PrimitiveTypeInfo") -> "PrimitiveConstructorSpec | None":
    """A tuple of any length is one word with commas between the entries."""
    from tyro.constructors import PrimitiveConstructorSpec

    if info.type == tuple[int, ...]:
        kind, metavar = int, "INT,INT,..."
    elif info.type == tuple[str, ...]:
        kind, metavar = str, "NAME,NAME,..."
    else:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: tuple(kind(part) for part in words[0].split(",") if part),
        is_instance=lambda value: (
            isinstance(value, tuple) and all(isinstance(part, kind) for part in value)
        ),
        str_from_instance=lambda value: [",".join(str(part) for part in value)],
    )


def _first_sentence(box: str) -> str:
    """What a framed message says above its ruler, on one line; short where it lists its tries."""
    lines = [line.strip("│ ") for line in box.splitlines() if "╭" not in line]
    upper = itertools.takewhile(lambda line: not line.startswith(("─", "╰")), lines)
    told = " ".join(" ".join(upper).split()) or "the options cannot be read"
    reasons = r"(?:no type matching .* from \[|invalid literal .*|could not convert .*)"
    tried = re.search(rf"Error parsing (--[\w.]+): {reasons}'(.*?)'", told)
    return f"{tried[1]} cannot be '{tried[2]}'" if tried else told


def _as_flag(kind: type, argument: str) -> str:
    """`--name=true` and `--name=false` of a yes-or-no option as `--name` and `--no_name`."""
    name, _, value = argument.removeprefix("--").replace("-", "_").partition("=")
    if not argument.startswith("--") or name not in _yes_or_no(kind):
        return argument
    return {"true": f"--{name}", "false": f"--no_{name}"}.get(value.lower(), argument)


def _yes_or_no(kind: type) -> set[str]:
    """The options that need no value."""
    return {field.name for field in dataclasses.fields(kind) if field.type in (bool, "bool")}


def _check_paths(kind: type, arguments: Sequence[str]) -> None:
    """Raises UserError where a file or folder has no name: it would be the one one stands in."""
    hints = typing.get_type_hints(kind)
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        hint = hints.get(name.replace("-", "_"))
        if equals and not value and Path in (hint, *typing.get_args(hint)):
            raise UserError(f"--{name}= names nothing; name a file or folder, or leave it out")


def _names(kind: type, prefix: str = "") -> Iterator[str]:
    for field in dataclasses.fields(kind):
        inner = field.default_factory if dataclasses.is_dataclass(field.default_factory) else None
        if inner is None:
            yield prefix + field.name
        else:  # the group named `config` is shown without its name
            yield from _names(inner, prefix if field.name == "config" else f"{field.name}.")


def main_with_clear_errors(main: Callable[[], None], goes_on: bool = True) -> None:
    """Runs a command; a user's mistake ends it with one sentence and status 1.

    Args:
      main: the command.
      goes_on: whether it takes up again, after Ctrl-C, what was already done.
    """
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        way_out = "; the same command goes on from here" if goes_on else ""
        print(f"stopped{way_out}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        sys.exit(f"error: the system refuses{where}: {error.strerror or error}")

"""Parsing of command lines into frozen dataclasses, and what every command does first and last.

Options are written `--name=value` or `--name value`, with `_` or `-`. The fields of a nested
dataclass are `--group.name`, or `--name` where `tyro.conf.arg` gives the group an empty name.
Fields annotated with `tyro.conf.Positional` are positional arguments, and fields without a default
are required. tyro lays out --help; parsing is done here, since tyro has no structured errors.
"""

import ast
import contextlib
import dataclasses
import difflib
import inspect
import io
import itertools
import os
import re
import shutil
import stat
import sys
import tempfile
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from datasets.errors import UserError

Options = TypeVar("Options")

_BOOLEANS = {"true": True, "false": False}
_NUMBERS = {int: "a whole number", float: "a number"}
# Options of paths that are read but never written down, and so may be no UTF-8 text.
_ANY_BYTES = ("--manual_dir", "--face_models")


def parse_options(
    kind: type[Options],
    arguments: Sequence[str],
    program: str,
    description: str | None = "",
    default: Options | None = None,
    synonyms: Mapping[str, str] = types.MappingProxyType({}),
) -> Options:
    """Returns the options of a command line; for --help, prints it and exits.

    Args:
      kind: a frozen dataclass whose fields have docstrings.
      arguments: the command line without the program's name.
      program: as the user types it.
      description: shown by --help; None as Python's -OO leaves it.
      default: replaces the fields' own defaults.
      synonyms: hints for names that users expect; a hint that begins with `--` is a suggestion.

    Raises:
      UserError: an option does not exist, is missing or has an impossible value.
    """
    before_words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if {"-h", "--help"} & set(before_words):
        _print_help(kind, program, description or "", default)
        sys.exit()
    options = list(_walk(kind))
    named = {option.name: option for option in options if not option.is_positional}
    values, words = _read_named(arguments, named, program, synonyms)
    values |= _read_positionals(words, [o for o in options if o.is_positional], program)
    required = [option for option in options if option.is_required and default is None]
    missing = [_described(option) for option in required if option.name not in values]
    if missing:
        raise UserError(f"{program} needs {_joined(missing, 'and')}; see {program} --help")
    if default is None:
        default = kind(**{option.name: values[option.name] for option in required})
    for option in options:
        if option.name in values:
            default = _replaced(default, option.path, values[option.name])
    return default


def run_command(main: Callable[[], None], resumable: bool = False) -> None:
    """Runs a command; a mistake of the user ends it with one sentence and status 1.

    Args:
      main: the command.
      resumable: whether the same command resumes after Ctrl-C.
    """
    _prepare_process()
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        hint = "; run the same command again to resume" if resumable else ""
        print(f"interrupted{hint}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror or error}")


def _prepare_process() -> None:
    """Makes this process and its children independent of terminal, notebook and home."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by some schedulers
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # stderr never fails
        sys.stdout.reconfigure(errors="replace")  # names may have letters that it cannot show
    os.environ["MPLBACKEND"] = "agg"  # a notebook hands down its own, which may be missing here
    os.environ["MATPLOTLIBRC"] = os.devnull
    home = _home()
    if home is None:  # a container or batch job: a user number without an entry
        home = _temporary_home()
        os.environ["HOME"] = str(home)
    if "MPLCONFIGDIR" not in os.environ and not (home.is_dir() and os.access(home, os.W_OK)):
        os.environ["MPLCONFIGDIR"] = str(cache_folder("matplotlib"))


def cache_folder(name: str) -> Path:
    """Returns the folder `name` that keeps files between runs.

    It is below `$XDG_CACHE_HOME` or `~/.cache`, or below the temporary folder where there is no
    home, or where its folder is empty and cannot be written.
    """
    home, base = _home(), Path(os.environ.get("XDG_CACHE_HOME", ""))
    if home is not None and not base.is_absolute():
        base = home / ".cache"
    with contextlib.suppress(OSError):
        folder = base / "fdp_jax" / name
        if base.is_absolute():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(folder, os.W_OK) or any(folder.iterdir()):
                return folder
    folder = _temporary_home() / name
    folder.mkdir(exist_ok=True)
    return folder


def _home() -> Path | None:
    """Returns the user's home; None if it is unknown or no absolute path."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if home.is_absolute() else None


def _temporary_home() -> Path:
    """Returns a folder in the temporary one that only this user can read or write."""
    folder = Path(tempfile.gettempdir()) / f"fdp_jax_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="fdp_jax_"))  # another user has taken the name


@dataclasses.dataclass(frozen=True)
class _Option:
    """A field of an options dataclass, or of a dataclass in it.

    Attributes:
      path: names of the fields that lead to it.
      name: as typed, with its groups.
      label: the option in a message.
      kind: type of the value, without None.
    """

    path: tuple[str, ...]
    name: str
    label: str
    kind: Any
    is_positional: bool
    is_required: bool


def _walk(kind: type, path: tuple[str, ...] = (), prefix: str = "") -> Iterator[_Option]:
    """Yields the options of a dataclass in the order of its fields."""
    for field, inner, metadata in _fields(kind):
        here = (*path, field.name)
        if dataclasses.is_dataclass(inner):
            group = _setting(metadata, "name", field.name)
            yield from _walk(inner, here, f"{prefix}{group}." if group else prefix)
            continue
        name = prefix + field.name
        is_positional = _is_positional(metadata)
        metavar = _setting(metadata, "metavar", field.name.upper())
        is_required = {field.default, field.default_factory} == {dataclasses.MISSING}
        label = metavar if is_positional else f"--{name}"
        yield _Option(here, name, label, inner, is_positional, is_required)


def _described(option: _Option) -> str:
    """The option in a message, with the choices of a positional argument."""
    if not option.is_positional or typing.get_origin(option.kind) is not Literal:
        return option.label
    return f"{option.label} ({', '.join(typing.get_args(option.kind))})"


def _fields(kind: type) -> Iterator[tuple[dataclasses.Field, Any, tuple]]:
    """Yields the fields of a dataclass, their types without None, and their annotations."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, metadata = hints[field.name], ()
        if typing.get_origin(hint) is Annotated:
            hint, metadata = hint.__origin__, hint.__metadata__
        if typing.get_origin(hint) in (Union, types.UnionType):
            (hint,) = [member for member in typing.get_args(hint) if member is not types.NoneType]
        yield field, hint, metadata


def _setting(metadata: tuple, attribute: str, default: str) -> str:
    """What `tyro.conf.arg` in an annotation sets."""
    found = (getattr(entry, attribute, None) for entry in metadata)
    return next((value for value in found if value is not None), default)


def _is_positional(metadata: tuple) -> bool:
    if not metadata:  # options without annotations are read where tyro is not installed
        return False
    from tyro.conf import Positional

    return Positional in metadata


def _read_named(
    arguments: Sequence[str],
    options: Mapping[str, _Option],
    program: str,
    synonyms: Mapping[str, str],
) -> tuple[dict[str, Any], list[str]]:
    """Returns the values of the options by name, and the other arguments."""
    values, words = {}, []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            words += rest
            break
        if not argument.startswith("-"):
            words.append(argument)
            continue
        typed, equals, text = argument.partition("=")
        name = typed.removeprefix("--").replace("-", "_")
        if name not in options:
            hint = _hint(name.lstrip("_"), options, synonyms) or f"see {program} --help"
            raise UserError(f"there is no option {typed}; {hint}")
        if not equals and options[name].kind is bool:
            text = "true"
        elif not equals:
            text = next(rest, "--")
            if text.startswith("--"):
                raise UserError(f"--{name} needs a value; write --{name}=VALUE")
        values[name] = _read(f"--{name}", options[name].kind, text)
    return values, words


def _read_positionals(
    words: Sequence[str], options: Sequence[_Option], program: str
) -> dict[str, Any]:
    """Returns the values of the positional arguments; a tuple takes all words that are left."""
    values, left = {}, list(words)
    for option in options:
        if typing.get_origin(option.kind) is tuple and left:
            member = typing.get_args(option.kind)[0]
            values[option.name] = tuple(_read(option.label, member, word) for word in left)
            left = []
        elif left:
            values[option.name] = _read(option.label, option.kind, left.pop(0))
    if left:
        usage = " ".join([program, *(option.label for option in options)])
        raise UserError(f"unexpected argument '{left[0]}'; write {usage} --option=value ...")
    return values


def _read(label: str, kind: Any, text: str) -> Any:
    if kind is Path:
        _check_path(label, text)
    if typing.get_origin(kind) is tuple:
        member = typing.get_args(kind)[0]
        return tuple(_read(label, member, part) for part in text.split(",") if part)
    if kind is bool or typing.get_origin(kind) is Literal:
        choices = {str(choice): choice for choice in typing.get_args(kind)} or _BOOLEANS
        key = text.lower() if kind is bool else text
        if key in choices:
            return choices[key]
        raise UserError(f"{label} must be {_joined(choices, 'or')}, not '{text}'")
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"{label} must be {_NUMBERS[kind]}, not '{text}'") from None


def _check_path(label: str, text: str) -> None:
    """Raises UserError for what names no file or folder of this machine."""
    if not text:
        raise UserError(f"{label}= names nothing; name a file or folder, or leave it out")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise UserError(
            f"{label}={text} is an address, but must be a file or folder of this machine; copy it "
            "here, or mount it, and give that path"
        )
    if label not in _ANY_BYTES:
        check_name(text, f" of {label}")


def check_name(path: Path | str, what: str = "") -> None:
    """Raises UserError where a path is no UTF-8 text, so that it cannot be written down.

    `what` follows the name in the message.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"the name {str(path)!a}{what} is no UTF-8 text; rename it, or make a link with "
            "another name and give that"
        ) from error


def _joined(names: Iterable[str], conjunction: str) -> str:
    *most, last = filter(None, names)
    return f"{', '.join(most)} {conjunction} {last}" if most else last


def _hint(name: str, options: Mapping[str, _Option], synonyms: Mapping[str, str]) -> str:
    """Suggests options instead of one that does not exist; empty where none resembles it."""
    if name in synonyms:
        hint = synonyms[name]
        return f"did you mean {hint}?" if hint.startswith("--") else hint
    by_last = {}
    for known in options:
        by_last.setdefault(known.rpartition(".")[2], []).append(known)
    last = name.rpartition(".")[2]
    close = by_last.get(last) or difflib.get_close_matches(name, options, n=1)
    if not close:
        close = [by_last[known][0] for known in difflib.get_close_matches(last, by_last, n=1)]
    return f"did you mean --{' or --'.join(close)}?" if close else ""


def _replaced(instance: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of nested dataclasses with one field changed."""
    first, *rest = path
    if rest:
        value = _replaced(getattr(instance, first), rest, value)
    return dataclasses.replace(instance, **{first: value})


def _print_help(kind: type, program: str, description: str, default: Any) -> None:
    import tyro
    from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec

    shared = tyro.conf.arg(help_behavior_hint=_default_in_help)
    registry = ConstructorRegistry()

    @registry.struct_rule
    def describe(info):  # tyro's own rule keeps the line breaks of docstrings
        if not dataclasses.is_dataclass(info.type):
            return None
        fields, docstrings = [], _field_docstrings(info.type)
        for field, inner, metadata in _fields(info.type):
            value = getattr(info.default, field.name, field.default)
            if value is dataclasses.MISSING:
                is_required = field.default_factory is dataclasses.MISSING
                value = tyro.MISSING_NONPROP if is_required else field.default_factory()
            if value is None:
                inner = inner | None
            elif typing.get_origin(inner) is tuple and not _is_positional(metadata):
                entry = "INT" if typing.get_args(inner)[0] is int else "NAME"
                inner = Annotated[str, tyro.conf.arg(metavar=f"{entry},{entry},...")]
                value = ",".join(map(str, value))
            hint = Annotated[(inner, shared, *metadata)]
            fields.append(StructFieldSpec(field.name, hint, value, docstrings.get(field.name)))
        return StructConstructorSpec(info.type, tuple(fields))

    # tyro never ends in a terminal of a few columns.
    os.environ["COLUMNS"] = str(max(shutil.get_terminal_size().columns, 40))
    width = min(shutil.get_terminal_size().columns, 100)
    for paragraph in description.strip().split("\n\n"):
        is_example = any(line.startswith(" ") for line in paragraph.splitlines())
        print(paragraph if is_example else textwrap.fill(" ".join(paragraph.split()), width))
        print()
    tyro.cli(
        kind,
        prog=program,
        description="",
        args=["--help"],
        default=tyro.MISSING_NONPROP if default is None else default,
        use_underscores=True,
        config=(
            tyro.conf.DisallowNone,
            tyro.conf.FlagCreatePairsOff,
            tyro.conf.PositionalMetavarFromFieldName,
        ),
        registry=registry,
    )


def _default_in_help(value: str) -> str:
    if value in ("", "''", "None"):
        return "(optional)"
    return f"(default: {value.lower() if value in ('True', 'False') else value})"


def _field_docstrings(kind: type) -> dict[str, str]:
    """The string below each field of a dataclass and of its bases, on one line."""
    found = {}
    for base in filter(dataclasses.is_dataclass, reversed(kind.__mro__)):
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        definition = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
        for above, below in itertools.pairwise(definition.body):
            match above, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                    found[name] = " ".join(text.split())
    return found

"""Tiny corpora of drawn faces in every official layout: `python -m datasets.example`.

They show what an unpacked corpus looks like, and try every command without a licence.
"""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import tyro

from datasets.command_line import parse_options, run_command
from datasets.errors import UserError
from datasets.examples import casme2, casme3, casme_sq, own, samm, smic
from datasets.frames import index_frames
from datasets.options import BuildOptions, corpus_command
from datasets.protocols import OWN

_MODULES = {
    "casme2": casme2, "samm": samm, "casme_sq": casme_sq, "casme3": casme3, "smic": smic, OWN: own
}  # fmt: skip
_MOST_FOLDERS = 3  # that are printed; of more than these, only the first

# Corpus -> its layouts, the default first; those of `own` are kinds of tables.
_ALL_LAYOUTS = {name: tuple(module.LAYOUTS) for name, module in _MODULES.items()}
LAYOUTS = {name: layouts for name, layouts in _ALL_LAYOUTS.items() if name != OWN}


def write_example(name: str, out: Path, layout: str | None = None) -> Path:
    """Writes a tiny corpus, the same on every call, and returns `out`.

    All layouts of a corpus hold the same clips with the same pixels, and the faults and oddities of
    the real corpus.

    Args:
      name: of the corpus, or `own` for a table to start one's own from.
      out: a folder that is empty or does not exist yet.
      layout: one of its layouts; None takes the first.

    Raises:
      UserError: there is no such example or layout, or `out` is not empty.
    """
    if not (layouts := _ALL_LAYOUTS.get(name)):
        names = ", ".join(_ALL_LAYOUTS)
        raise UserError(f"there is no example of '{name}'; there is one of {names}.")
    layout = layout or layouts[0]
    if layout not in layouts:
        raise UserError(f"{name} has no layout '{layout}'; its layouts are {', '.join(layouts)}.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        fault = "is not empty" if out.is_dir() else "is a file"
        raise UserError(f"{out} {fault}; name an empty or a new folder with --out=DIR.")
    out.mkdir(parents=True, exist_ok=True)
    module = _MODULES[name]
    module.write(out, **module.LAYOUTS[layout])
    return out


def _tree(folder: Path, indent: str = "  ") -> Iterator[str]:
    """Yields lines that show what a folder holds, without repetitions."""
    frames = [path.name for path in index_frames(folder).values()]
    entries = sorted(folder.iterdir())
    for path in entries:
        if path.is_file() and path.name not in frames:
            yield f"{indent}{path.name}"
    if frames:
        yield f"{indent}{frames[0]} ... {frames[-1]} ({len(frames)} frames)"
    folders = [path for path in entries if path.is_dir()]
    shown = folders if len(folders) <= _MOST_FOLDERS else folders[:1]
    for inner in shown:
        yield f"{indent}{inner.name}/"
        yield from _tree(inner, f"{indent}  ")
    if left := len(folders) - len(shown):
        yield f"{indent}... {left} more folders"


@dataclasses.dataclass(frozen=True)
class _Options:
    """Options of `python -m datasets.example`."""

    corpus: tyro.conf.Positional[Literal[*_ALL_LAYOUTS]]
    """Which corpus to draw."""

    out: Path
    """The folder to write; must be empty, or not exist yet."""

    layout: str | None = None
    """One of the corpus' layouts; without it the first."""


_TABLE = "\n".join(f"  {name:<9} {', '.join(layouts)}" for name, layouts in _ALL_LAYOUTS.items())
_DESCRIPTION = f"""Writes a tiny corpus of drawn faces with the folders, names and sheets of the
real one, or, as own, a table to start a corpus of yours from. The corpora and their layouts, the
default first:

{_TABLE}

  python -m datasets.example casme2 --out=DIR
  python -m datasets.example casme2 --out=DIR --layout=cropped"""


def main() -> None:
    """The command line."""
    options = parse_options(
        _Options, sys.argv[1:], program="python -m datasets.example", description=_DESCRIPTION
    )
    out = write_example(options.corpus, options.out.expanduser(), options.layout)
    source = next(out.glob("clips.*")) if options.corpus == OWN else out
    where = options.corpus, source, BuildOptions()
    print(f"{out}/", *_tree(out), "", "next:", sep="\n")
    print(f"  {corpus_command('datasets.doctor', *where)}")
    print(f"  {corpus_command('datasets.build', *where, '--data_dir=data')}")


if __name__ == "__main__":
    run_command(main)

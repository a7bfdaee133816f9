"""Builds the corpora of a protocol that are not built yet. Imports nothing heavy."""

from pathlib import Path

from datasets.errors import UserError
from datasets.options import BuildOptions
from datasets.protocols import Protocol
from datasets.reading import build_command, is_built, needs_manual_dir


class MissingCorpusError(UserError):
    """A corpus is not built, and there is no folder to build it from."""


def ensure_built(protocol: Protocol, data_dir: Path, manual_dir: Path | None, crop: int) -> None:
    """Builds every missing corpus; `synthetic` needs no folder.

    A given folder must be the one that the corpus was built from.

    Args:
      protocol: names the corpora.
      data_dir: folder of built corpora.
      manual_dir: folder of the unpacked corpus; for a composite, the parent of one folder per
        corpus.
      crop: size of the network's input, pixels.

    Raises:
      MissingCorpusError: a corpus is not built and there is nothing to build it from.
      UserError: it was built from another folder, or would be built with frames smaller than the
        crop.
    """
    missing = [name for name in protocol.datasets if not is_built(name, data_dir)]
    _check_crop(missing, data_dir, crop)
    folders = _folders(protocol, missing, data_dir, manual_dir)
    for name in protocol.datasets:
        if name in missing or folders[name] is not None:
            _build(name, data_dir, folders[name])


def build_table(dataset: str, data_dir: Path, table: Path, crop: int) -> None:
    """Builds a corpus of the user's own from its table.

    Args:
      dataset: name of the corpus; "" if it was not named.
      data_dir: folder of built corpora.
      table: of the corpus.
      crop: size of the network's input, pixels.

    Raises:
      UserError: the corpus has no name, or as `datasets.build.build_corpus`.
    """
    if not dataset:
        raise UserError("name the corpus of --table, as with --dataset=own")
    _check_crop([] if is_built(dataset, data_dir) else [dataset], data_dir, crop)
    _build(dataset, data_dir, None, table)


def _check_crop(missing: list[str], data_dir: Path, crop: int) -> None:
    if missing and crop > BuildOptions.side:
        raise UserError(
            f"--clip.crop={crop} is larger than the frames that would be built here, "
            f"{BuildOptions.side} pixels; build with a larger --side: "
            f"{_commands(missing, data_dir)}"
        )


def _folders(
    protocol: Protocol, missing: list[str], data_dir: Path, manual_dir: Path | None
) -> dict[str, Path | None]:
    """Returns corpus -> folder to build it from; None where none is given and none is needed."""
    if protocol.is_composite and manual_dir is not None:
        folders = {name: folder_of(name, manual_dir) for name in protocol.datasets}
    else:
        folders = dict.fromkeys(protocol.datasets, manual_dir)
    lacking = [name for name in missing if folders[name] is None and needs_manual_dir(name)]
    if not lacking:
        return folders
    if manual_dir is not None:
        raise MissingCorpusError(
            f"{manual_dir} has no folder {', no folder '.join(lacking)} to build from; add it, "
            f"or build what is missing with: {_commands(missing, data_dir)}"
        )
    what = f"a folder that holds {', '.join(missing)}" if protocol.is_composite else "its folder"
    raise MissingCorpusError(
        f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not built in {data_dir}; "
        f"name {what} with --manual_dir=DIR, or build with: {_commands(missing, data_dir)}"
    )


def folder_of(name: str, parent: Path) -> Path | None:
    """Returns the folder of a corpus, whatever the case of its name.

    Raises:
      UserError: `parent` does not exist, or has two such folders.
    """
    if not parent.is_dir():
        raise UserError(f"the folder {parent} does not exist; name another --manual_dir.")
    found = sorted(p for p in parent.iterdir() if p.is_dir() and p.name.lower() == name)
    if len(found) > 1:
        raise UserError(
            f"{parent} has the folders {' and '.join(p.name for p in found)}; keep one of them."
        )
    return found[0] if found else None


def _build(name: str, data_dir: Path, folder: Path | None, table: Path | None = None) -> None:
    from datasets.build import build_corpus

    try:
        build_corpus(name, data_dir, folder, table=table)
    except UserError as error:
        raise UserError(
            f"{error} (options of the build belong to: {build_command(name, data_dir)})"
        ) from error


def _commands(names: list[str], data_dir: Path) -> str:
    return "; ".join(build_command(name, data_dir) for name in names)

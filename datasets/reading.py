"""Built corpora: where they are, and their examples as a sequence."""

import dataclasses
import itertools
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.crop import CROP_ENTRIES, Crop
from datasets.errors import UserError
from datasets.protocols import (
    COMPOSITES,
    OWN,
    Protocol,
    check_corpus,
    check_own_name,
    get_protocol,
    is_own,
    own_protocol,
)

VERSION = "1.2.0"  # of the examples: features and pixels
SPLIT = "clips"

# Raised by array_record and TFDS for corrupt or changed files.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)

# What a build writes into metadata.json and readers rely on.
_METADATA = {
    ("label_version",): str,
    ("corrections",): list,
    ("warnings",): list,
    ("options",): dict,
    ("source",): dict,
    ("counts",): dict,
    ("counts", "clips"): int,
    **{("options", name): kind for name, kind in CROP_ENTRIES.items()},
}
_SOURCE = {("source", key): str for key in ("manual_dir", "sheet", "sheet_sha256")}


def needs_manual_dir(name: str) -> bool:
    """Whether the corpus is built from a folder or a table that the user must have."""
    return name != "synthetic"


def check_source(name: str, manual_dir: Path | None, table: Path | None) -> None:
    """Raises UserError if a corpus is not built from what is given.

    Args:
      name: of the corpus.
      manual_dir: folder that it was unpacked into.
      table: of a corpus of the user's own.
    """
    if table is not None:
        check_own_name(name)
    elif is_own(name):
        raise UserError(
            f"{name} is built from a table of yours; name it with --table=FILE (python -m "
            "datasets.example own --out=DIR writes one to start from)."
        )
    elif manual_dir is None and needs_manual_dir(name):
        raise UserError(
            f"{name} is built from a folder of yours; name the one it was unpacked into with "
            "--manual_dir=DIR."
        )
    if manual_dir is not None and (table is not None or not needs_manual_dir(name)):
        raise UserError(f"{name} is not built from a folder; leave out --manual_dir.")


def check_is_folder(manual_dir: Path) -> None:
    """Raises UserError if the folder that a corpus was unpacked into is none."""
    if manual_dir.is_file():
        raise UserError(
            f"{manual_dir} is a file; unpack it, and name the folder with --manual_dir."
        )
    if not manual_dir.is_dir():
        raise UserError(f"the folder {manual_dir} does not exist; name another --manual_dir.")


def corpus_directory(name: str, data_dir: Path) -> Path:
    """Returns the directory of the built corpus in `data_dir`."""
    return Path(data_dir) / name / VERSION


def is_built(name: str, data_dir: Path) -> bool:
    """Whether the corpus is complete in `data_dir`; a killed build leaves nothing there."""
    directory = corpus_directory(name, data_dir)
    # A build renames the whole directory at its end.
    return all((directory / file).is_file() for file in ("dataset_info.json", "metadata.json"))


def source_arguments(name: str, source: str = "") -> str:
    """Returns how commands name a corpus and its (quoted) source: `samm --manual_dir=DIR`."""
    if is_own(name):
        given = "" if name == OWN else f" --name={name}"
        return f"{OWN} --table={source or 'FILE'}{given}"
    return f"{name} --manual_dir={source or 'DIR'}" if needs_manual_dir(name) else name


def build_command(name: str, data_dir: Path) -> str:
    """Returns the command that builds the corpus."""
    where = f"--data_dir={shlex.quote(str(data_dir))}"
    return f"python -m datasets.build {source_arguments(name)} {where}"


def own_corpora(data_dir: Path) -> list[str]:
    """Returns the names, other than `own`, of the corpora in `data_dir` that are from a table."""
    names = sorted(path.name for path in data_dir.iterdir()) if data_dir.is_dir() else []
    return [name for name in names if is_own(name) and name != OWN and is_built(name, data_dir)]


def find_protocol(dataset: str | None, name: str | None, data_dir: Path) -> Protocol:
    """As `get_protocol`, and for a corpus from a table: its classes are those that were built.

    Raises:
      UserError: as `get_protocol`; or the corpus from a table is not built in `data_dir`.
    """
    if not dataset or name in COMPOSITES or not is_own(dataset):
        return get_protocol(dataset, name)
    _check_built(dataset, data_dir)
    protocol = own_protocol(dataset, read_metadata(dataset, data_dir)["classes"])
    if name not in (None, protocol.name):
        raise UserError(
            f"{dataset} has no protocol '{name}'; its only one is {protocol.name}, whose classes "
            "are those of its table."
        )
    return protocol


def _check_built(name: str, data_dir: Path) -> None:
    """Raises UserError unless there is such a corpus, and it is built in `data_dir`."""
    if is_own(name):
        check_corpus(name, (OWN, *own_corpora(data_dir)))
    if not is_built(name, data_dir):
        raise UserError(
            f"the corpus {name} is not built in {data_dir}; build it with: "
            f"{build_command(name, data_dir)}"
        )


def read_metadata(name: str, data_dir: Path) -> dict[str, Any]:
    """Returns the metadata of a built corpus; see `Corpus`.

    Raises:
      UserError: the file is corrupt, or was not written by a build.
    """
    directory = corpus_directory(name, data_dir)
    expected = _METADATA | (_SOURCE if needs_manual_dir(name) else {})
    if is_own(name):
        expected |= {("classes",): list}
    try:
        metadata = json.loads((directory / "metadata.json").read_text())
        for keys, kind in expected.items():
            value = metadata
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if not isinstance(value, kind):
                raise ValueError(f"metadata.json lacks {keys[-1]}")
    except (OSError, ValueError) as error:
        raise _damaged(directory, error) from error
    return metadata


def _damaged(directory: Path, error: Exception) -> UserError:
    name, data_dir = directory.parent.name, directory.parent.parent
    return UserError(
        f"the built corpus in {directory} is damaged ({' '.join(str(error).split())}); build it "
        f"again with: {build_command(name, data_dir)} --overwrite"
    )


@dataclasses.dataclass(frozen=True)
class Corpus(Sequence):
    """The examples of a built corpus, in the order of (subject, clip), read on access.

    An example is a dict: `frames` uint8 [n, side, side, 3] red-green-blue, onset to offset;
    `subject`, `clip`, `emotion`, `earlier_emotion` (of the earlier label version; empty if there is
    only one), `objective_class`, `action_units`, `label_version` str; `onset`, `apex` (-1 if
    unknown), `offset` int; `fps` float. Access raises UserError if the file is damaged.

    Attributes:
      source: the underlying TFDS data source, whose text is bytes.
      directory: of the corpus.
      metadata: `label_version`, `earlier_label_version`, `corrections` and `warnings` (sentences),
        `options`, `source`, `counts` (clips, subjects, frames); `classes` if it was built from a
        table.
    """

    source: Sequence[Mapping[str, Any]]
    directory: Path
    metadata: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        try:
            example = self.source[index % len(self)]
        # An IndexError must not pass either: a loop over the corpus would end silently.
        except _UNREADABLE as error:
            raise _damaged(self.directory, error) from error
        return {name: _plain(value) for name, value in example.items()}

    @property
    def label_version(self) -> str:
        """The label version of `emotion`."""
        return self.metadata["label_version"]

    def label_version_of(self, label_field: str) -> str:
        """Returns the label version of `emotion` or `earlier_emotion`; "" if there is none."""
        if label_field == "earlier_emotion":
            return self.metadata.get("earlier_label_version", "")
        return self.label_version

    @property
    def crop(self) -> Crop:
        """How the faces were cropped."""
        return Crop.from_entries(self.metadata["options"])

    @property
    def corrections(self) -> list[str]:
        """One sentence per corrected cell of the sheet."""
        return self.metadata["corrections"]

    @property
    def warnings(self) -> list[str]:
        """Other sentences about this build."""
        return self.metadata["warnings"]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if getattr(value, "shape", None) == () else value


def open_corpus(name: str, data_dir: Path) -> Corpus:
    """Opens a built corpus.

    Raises:
      UserError: the corpus does not exist, is not built in `data_dir`, or is damaged.
    """
    _check_built(name, data_dir)
    directory = corpus_directory(name, data_dir)
    import tensorflow_datasets as tfds  # takes a second, hence late
    from google.protobuf.json_format import ParseError

    metadata = read_metadata(name, data_dir)
    try:
        builder = tfds.builder_from_directory(directory)
        source = builder.as_data_source(SPLIT)
        if len(source) != metadata["counts"]["clips"]:
            raise ValueError(f"{len(source)} clips, not {metadata['counts']['clips']}")
        # Reading the last example of every file detects truncated ones.
        for end in itertools.accumulate(builder.info.splits[SPLIT].shard_lengths):
            source[end - 1]
    except (*_UNREADABLE, ParseError) as error:
        raise _damaged(directory, error) from error
    return Corpus(source, directory, metadata)

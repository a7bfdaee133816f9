"""Built corpora: where they lie, and their examples as a sequence."""

import dataclasses
import itertools
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.crop import Crop
from datasets.errors import UserError
from datasets.protocols import check_corpus

VERSION = "1.1.0"  # of the examples' layout
SPLIT = "clips"

# What array_record and TFDS raise on torn or changed files.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)

_NEEDS_FOLDER = {"synthetic": False}  # every other corpus has a folder to be built from


def needs_manual_dir(name: str) -> bool:
    """Whether the corpus is built from a folder that the user has to have."""
    return _NEEDS_FOLDER.get(name, True)


def corpus_directory(name: str, data_dir: Path) -> Path:
    """Where the built corpus lies in `data_dir`."""
    return Path(data_dir) / name / VERSION


def is_built(name: str, data_dir: Path) -> bool:
    """Whether the corpus lies whole in `data_dir`; a build that was killed leaves nothing here."""
    directory = corpus_directory(name, data_dir)
    # TFDS builds under another name and renames the whole directory at the end.
    return all((directory / file).is_file() for file in ("dataset_info.json", "metadata.json"))


def build_command(name: str, data_dir: Path) -> str:
    """The command line that builds the corpus."""
    folder = " --manual_dir=DIR" if needs_manual_dir(name) else ""
    return f"python -m datasets.build {name}{folder} --data_dir={shlex.quote(str(data_dir))}"


_METADATA = {
    "label_version": str,
    "corrections": list,
    "warnings": list,
    "options": dict,
    "source": dict,
    "counts": dict,
}
_SOURCE = ("manual_dir", "sheet", "sheet_sha256")  # of a corpus that is built from a folder


def read_metadata(name: str, data_dir: Path) -> dict[str, Any]:
    """The metadata of a built corpus; see `Corpus`.

    Raises:
      UserError: the file is torn, or is not the one that a build writes.
    """
    directory = corpus_directory(name, data_dir)
    try:
        metadata = json.loads((directory / "metadata.json").read_text())
        _check_metadata(metadata, needs_manual_dir(name))
    except (OSError, ValueError) as error:
        raise _damaged(directory, error) from error
    return metadata


def _check_metadata(metadata: Any, has_source: bool) -> None:
    if not isinstance(metadata, dict):
        raise ValueError("metadata.json holds something else")
    parts = [(metadata, key, kind) for key, kind in _METADATA.items()]
    parts += [(metadata.get("counts"), "clips", int)]
    kinds = {"per_frame": bool, "side": int, "margin": (int, float)}
    parts += [(metadata.get("options"), key, kind) for key, kind in kinds.items()]
    if has_source:
        parts += [(metadata.get("source"), key, str) for key in _SOURCE]
    for part, key, kind in parts:
        if not isinstance(part.get(key), kind):
            raise ValueError(f"metadata.json lacks {key}")


def _damaged(directory: Path, error: Exception) -> UserError:
    """What to tell of a corpus in `directory` that cannot be read."""
    name, data_dir = directory.parent.name, directory.parent.parent
    return UserError(
        f"the built corpus in {directory} is damaged ({' '.join(str(error).split())}); build it "
        f"again with: {build_command(name, data_dir)} --overwrite"
    )


@dataclasses.dataclass(frozen=True)
class Corpus(Sequence):
    """The examples of a built corpus, in the order of (subject, clip), read when asked for.

    An example is a dict: `frames` uint8 [n, side, side, 3] red-green-blue, onset to offset;
    `subject`, `clip`, `emotion`, `earlier_emotion` (of the earlier label version; empty where
    there is one), `objective_class`, `action_units`, `label_version` str;
    `onset`, `apex` (-1 where unknown), `offset` int; `fps` float.

    Reading an example raises UserError where its file is damaged.

    Attributes:
      source: the TFDS data source underneath, whose text is bytes.
      directory: where the corpus lies.
      metadata: `label_version`, `earlier_label_version`, `corrections` and `warnings`
        (sentences), `options`, `source`, `counts` (clips, subjects, frames).
    """

    source: Sequence[Mapping[str, Any]]
    directory: Path
    metadata: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        try:
            example = self.source[index % len(self)]
        # No IndexError may come through either: a loop over the corpus would end at it.
        except _UNREADABLE as error:
            raise _damaged(self.directory, error) from error
        return {name: _plain(value) for name, value in example.items()}

    @property
    def label_version(self) -> str:
        """Which version of the annotation the corpus was built from."""
        return self.metadata["label_version"]

    def label_version_of(self, label_field: str) -> str:
        """Which version `emotion` or `earlier_emotion` of the examples is of; "" if of none."""
        if label_field == "earlier_emotion":
            return self.metadata.get("earlier_label_version", "")
        return self.label_version

    @property
    def crop(self) -> Crop:
        """How the faces were cut out."""
        options = self.metadata["options"]
        return Crop(options["per_frame"], options["side"], options["margin"])

    @property
    def corrections(self) -> list[str]:
        """One sentence for each cell of the sheet that the build corrected."""
        return self.metadata["corrections"]

    @property
    def warnings(self) -> list[str]:
        """Sentences on what else is to be known of this build."""
        return self.metadata["warnings"]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if getattr(value, "shape", None) == () else value


def open_corpus(name: str, data_dir: Path) -> Corpus:
    """Opens a built corpus.

    Raises:
      UserError: there is no such corpus, or it is not built in `data_dir`, or is damaged.
    """
    check_corpus(name)
    directory = corpus_directory(name, data_dir)
    if not is_built(name, data_dir):
        raise UserError(
            f"the corpus {name} is not built in {data_dir}; build it with: "
            f"{build_command(name, data_dir)}"
        )
    import tensorflow_datasets as tfds  # late: it takes a second
    from google.protobuf.json_format import ParseError

    metadata = read_metadata(name, data_dir)
    try:
        builder = tfds.builder_from_directory(directory)
        source = builder.as_data_source(SPLIT)
        if len(source) != metadata["counts"]["clips"]:
            raise ValueError(f"{len(source)} clips, not {metadata['counts']['clips']}")
        # A file is opened only when an example of it is read; a cut one tells itself then.
        shards = builder.info.splits[SPLIT].shard_lengths
        for last in itertools.accumulate(shards):
            source[last - 1]
    except (*_UNREADABLE, ParseError) as error:
        raise _damaged(directory, error) from error
    return Corpus(source, directory, metadata)

"""A corpus of the user's own, from a table with a row for each clip; see `datasets/own/table.py`.

A clip is a folder of frames or a part of a video file. Its class is stored as `objective_class`.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datasets.annotations import UNKNOWN, Annotations, Row
from datasets.builder import ImageCorpusBuilder, Plan
from datasets.errors import UserError
from datasets.folder_search import FolderTree, file_digest, relative
from datasets.frames import index_frames
from datasets.image_corpus import ImageCorpus
from datasets.options import BuildOptions
from datasets.own.table import CellError, alike, read_table
from datasets.protocols import OWN
from datasets.survey import ImageClip, RowClip, Survey, missing_numbers
from datasets.video import open_video

_COUNTED = (".avi", ".m4v", ".mov", ".mp4")  # these files state the exact number of frames

# Frame number -> file of a folder, or the frame numbers of a video; and its frames per second.
_Frames = tuple[Mapping[int, Path] | range, float]


class VideoClip(RowClip):
    """The frames from onset to offset of one video file."""

    @property
    def where(self) -> str:
        """The video file."""
        return str(self.files[0])

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return self.row.offset - self.row.onset + 1

    def readings(self) -> Iterator[np.ndarray | UserError]:
        """Yields the frames, and at last why the others cannot be read."""
        number = 0
        try:
            for number, pixels in _decode(self.files[0]):
                if number >= self.row.onset:
                    yield pixels
                if number == self.row.offset:
                    return
        except UserError as error:
            yield error
        else:
            yield UserError(
                f"{self.where} ends after {number} frames, before the offset {self.row.offset} of "
                f"{self.row} (row {self.row.line} of its table); copy the video again, or give an "
                "earlier offset."
            )


def _decode(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the frames of a video with their numbers from 1."""
    # Nothing needs the times of the frames, so that any rate will do; not all files state one.
    return ((frame.number, frame.pixels) for frame in open_video(path, fps=1.0).frames())


class OwnCorpus(ImageCorpus):
    """A corpus from a table, which takes the place of the unpacked folder of other corpora."""

    title = "Own corpus"
    fps = 0.0  # each row has its own

    def __init__(self, name: str):
        self.name = name

    def annotations(self, tree: FolderTree, options: BuildOptions) -> Annotations:
        """Returns the rows of the table `tree.top`; raises UserError if it cannot be read."""
        return read_table(tree.top)

    def survey(self, manual_dir: Path, options: BuildOptions) -> Survey:
        """Returns the clips of the table `manual_dir`; raises UserError if it cannot be read."""
        table, frames_of = manual_dir, functools.cache(_frames_of)
        annotations = read_table(table)
        found = Survey(annotations, (table.parent,))
        digest = hashlib.sha256(file_digest(table).encode())
        for row in annotations.rows:
            where = f"row {row.line} of {table.name}"
            try:
                clip = _find(row, where, table.parent, frames_of, found)
            except CellError as error:
                found.missing.append(f"{where}, {error}")
                continue
            found.clips.append(clip)
            files = [relative(path, table.parent) for path in clip.files]
            digest.update(repr((files, clip.frame_count)).encode())
        if options.on_missing == "fail":
            found.problems += found.missing
        found.digest = digest.hexdigest()
        return found


def _find(
    row: Row, where: str, folder: Path, frames_of: Callable[[Path], _Frames], found: Survey
) -> ImageClip | VideoClip:
    """Returns the clip of a row, and adds what is to be noted to `found`.

    Raises:
      CellError: it lacks its frames.
    """
    path = _path(row.filename, folder)
    try:
        numbered, rate = frames_of(path)
    except UserError as error:
        raise CellError("path", str(error).rstrip(".")) from error
    row = _with_numbers(dataclasses.replace(row, fps=row.fps or rate), numbered, path)
    chosen = [number for number in numbered if row.onset <= number <= row.offset]
    found.longer += len(chosen) < len(numbered)
    if isinstance(numbered, range):
        return VideoClip(row, (path,))
    if lacking := missing_numbers(chosen, row.onset, row.offset):
        found.notes.append(
            f"{where}: {path} has no frame {lacking}; those that it has are taken one after the "
            "other."
        )
    return ImageClip(row, tuple(numbered[number] for number in chosen))


def _path(text: str, folder: Path) -> Path:
    """Returns the path in a cell, which may be spelled as on another system."""
    for spelling in (text, text.replace("\\", "/")):
        for form in ("NFC", "NFD"):
            path = folder / os.path.expanduser(unicodedata.normalize(form, spelling))
            if os.path.exists(path):
                return path
    path = folder / text.replace("\\", "/")
    if re.match(r"[A-Za-z]:[\\/]", text):
        fault = f"{text} is a path of a Windows machine; write it relative to the table"
        raise CellError("path", fault)
    names = sorted(os.listdir(path.parent)) if path.parent.is_dir() else []
    near = [name for name in names if alike(name) == alike(path.name)]
    hint = f", but {near[0]}" if near else ""
    if not (near or text.isascii()):
        hint = "; if letters look wrong here, save the table as UTF-8"
    raise CellError("path", f"there is no folder or video {path}{hint}")


def _frames_of(path: Path) -> _Frames:
    """Returns the frames of a folder or a video; raises UserError if there are none."""
    if path.is_dir():
        if not (numbered := index_frames(path)):
            raise UserError(f"{path} holds no numbered frames, such as img001.jpg")
        return numbered, 0.0
    video = open_video(path)
    count = video.stated_frames if path.suffix.lower() in _COUNTED else 0
    if not (count := count or sum(1 for _ in _decode(path))):
        raise UserError(f"{path} holds no frame that can be read")
    return range(1, count + 1), video.stated_rate or 0.0


def _with_numbers(row: Row, numbered: Mapping[int, Path] | range, path: Path) -> Row:
    """Returns the row with onset and offset; raises CellError if the frames are others."""
    first, last = min(numbered), max(numbered)
    row = dataclasses.replace(
        row,
        onset=first if row.onset is None else row.onset,
        offset=last if row.offset is None else row.offset,
    )
    for column in ("onset", "offset"):
        if not first <= (number := getattr(row, column)) <= last:
            fault = f"{number} is none of the frames of {path}, which are {first} to {last}"
            raise CellError(column, fault)
    if row.offset == row.onset:
        raise CellError("path", f"a clip of {path} has one frame only, {row.onset}")
    if row.apex != UNKNOWN and not row.has_apex_inside:
        fault = f"{row.apex} is not from the onset {row.onset} to the offset {row.offset}"
        raise CellError("apex", fault)
    return row


class Builder(ImageCorpusBuilder):
    """Builds a corpus from a table, by whose classes its protocol is named."""

    name = OWN
    corpus = OwnCorpus(OWN)

    @classmethod
    def named(cls, name: str) -> type["Builder"]:
        """Returns the builder of a corpus of another name."""

        named: Any = type("Named", (cls,), {"corpus": OwnCorpus(name)}, skip_registration=True)
        named.name, named.__module__ = name, cls.__module__
        return named

    def _generate_examples(self, plan: Plan, models: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        classes = set()
        with contextlib.closing(super()._generate_examples(plan, models)) as examples:
            for number, example in examples:
                classes.add(example["objective_class"])
                yield number, example
        if len(classes) < 2:
            raise UserError(f"all clips of {self.name} that show a face are of one class.")
        self.info.metadata["classes"] = sorted(classes)

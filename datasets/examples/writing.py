"""Frames and sheets of the example corpora: the same bytes on every call."""

import dataclasses
import functools
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import xlwt

from datasets.synthetic.clips import HEIGHT, WIDTH, ClipSpec, prepare_clip

Table = Sequence[Sequence[Any]]  # rows of cells; None is an empty cell

_SEED = 3  # of people and clips
_MOST_DISTINCT = 12  # frames of a clip; a longer clip shows some of them several times
_SKIN = np.array([0.76, 0.88, 1.0], np.float32)  # blue, green, red of a colour camera
_ASIDE = np.array([[1, 0, 4], [0, 1, 2]], np.float32)  # shift of the head outside of the clip
_CATEGORIES = {
    "disgust": "disgust",
    "fear": "sadness",
    "happiness": "happiness",
    "happy": "happiness",
    "positive": "happiness",
    "repression": "anger",
    "sad": "sadness",
    "sadness": "sadness",
    "surprise": "surprise",
}  # emotion -> category of the synthetic corpus; anger for any other
_TIMESTAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclasses.dataclass(frozen=True)
class DrawnClip:
    """A drawn clip with the frame numbers of its corpus.

    Attributes:
      person: number of the face, from 0.
      take: number of the clip in its corpus, from 0.
      emotion: chooses the motion of the face.
      first, last: frame numbers of onset and offset.
      colour: whether the frames have three channels, or one.
    """

    person: int
    take: int
    emotion: str
    first: int
    last: int
    colour: bool = True

    @property
    def numbers(self) -> range:
        """Frame numbers from onset to offset."""
        return range(self.first, self.last + 1)

    def around(self, extra: int) -> range:
        """Returns the frame numbers with `extra` more on either side, none below 1."""
        return range(max(1, self.first - extra), self.last + extra + 1)

    def frame(self, number: int) -> bytes:
        """Returns a frame as a JPEG file; outside of the clip the head is a little aside."""
        distinct = min(len(self.numbers), _MOST_DISTINCT)
        category = _CATEGORIES.get(self.emotion.lower(), "anger")
        before, *within, after = _draw(self.person, self.take, category, distinct, self.colour)
        if number not in self.numbers:
            return before if number < self.first else after
        return within[(number - self.first) * distinct // len(self.numbers)]


def draw_clips(
    clips: Iterable[Any], first_face: int, colour: bool = True
) -> Iterator[tuple[Any, DrawnClip]]:
    """Yields the clips of a corpus with their drawings.

    Args:
      clips: with subject, emotion, first and last.
      first_face: number of the face of the first subject.
      colour: as of `DrawnClip`.
    """
    people = list(dict.fromkeys(clip.subject for clip in clips))
    for take, clip in enumerate(clips):
        person = first_face + people.index(clip.subject)
        yield clip, DrawnClip(person, take, clip.emotion, clip.first, clip.last, colour)


@functools.lru_cache(maxsize=512)
def _draw(person: int, take: int, category: str, count: int, colour: bool) -> tuple[bytes, ...]:
    """JPEG files: one before the clip, `count` of the clip, one after it."""
    clip = prepare_clip(ClipSpec(_SEED, person, take, category))
    chosen = np.linspace(0, len(clip.strengths) - 1, count).round().astype(int)
    frames = list(clip.frames(chosen))
    before, after = (
        cv2.warpAffine(frame, _ASIDE, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        for frame in (frames[0], frames[-1])
    )
    within = (_as_jpeg(frame, colour, quality=95) for frame in frames)
    # Of those outside there are many, so that they must be small.
    return _as_jpeg(before, colour, quality=60), *within, _as_jpeg(after, colour, quality=60)


def _as_jpeg(grey: np.ndarray, colour: bool, quality: int) -> bytes:
    frame = (grey[..., None] * _SKIN).round().astype(np.uint8) if colour else grey
    return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def write_frames(folder: Path, clip: DrawnClip, numbers: Iterable[int], file: str) -> None:
    """Writes frames of a clip.

    Args:
      folder: created where missing.
      file: name with a place for the number, as `img{}.jpg` or `reg_image{:06d}.bmp`; a .bmp holds
        the pixels of the JPEG.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path, content = folder / file.format(number), clip.frame(number)
        if path.suffix == ".bmp":
            frame = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            content = cv2.imencode(".bmp", frame)[1].tobytes()
        path.write_bytes(content)


def write_depth_maps(folder: Path, numbers: Iterable[int]) -> None:
    """Writes depth maps `{number}.png`, 16 bits, millimetres, all with the same pixels."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    from_nose = np.hypot(x - WIDTH / 2, y - HEIGHT / 2)
    depth = 600 + 16 * (from_nose // 8)  # in steps, which make a small file
    content = cv2.imencode(".png", depth.astype(np.uint16))[1].tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number}.png").write_bytes(content)


def write_workbook(path: Path, tables: Mapping[str, Table]) -> None:
    """Writes a workbook.

    Args:
      path: ends in .xlsx or .xls; its folder is created where missing.
      tables: name of a sheet -> its rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_xls(tables) if path.suffix == ".xls" else _xlsx(tables))


def _xlsx(tables: Mapping[str, Table]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in tables.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    with_times, without = io.BytesIO(), io.BytesIO()
    book.save(with_times)
    with zipfile.ZipFile(with_times) as old, zipfile.ZipFile(without, "w") as new:
        for name in old.namelist():
            content = _TIMESTAMP.sub(b"2000-01-01T00:00:00Z", old.read(name))
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return without.getvalue()


def _xls(tables: Mapping[str, Table]) -> bytes:
    book = xlwt.Workbook(encoding="utf-8")
    for name, rows in tables.items():
        sheet = book.add_sheet(name)
        for place, row in enumerate(rows):
            for column, cell in enumerate(row):
                if cell is not None:
                    sheet.write(place, column, cell)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()

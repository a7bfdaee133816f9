"""Frames on disk: numbering the files of a clip folder, and reading one file safely.

Corpora name their frames in many ways (`006_05562.jpg`, `img46.jpg`, `reg_img46.jpg`, `355.jpg`;
zero-padded or not, or both within a corpus), so a frame's number is the last integer of its stem,
or, where that does not tell the files apart (`clip_0001_1080p.png`), another one that does.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from datasets.errors import UserError

# OpenCV prints pages about a corrupt picture; `read_frame` raises one sentence.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_OTHER_SUFFIXES = {".jfif", ".jpe", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}  # of converted frames
_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
_DEPTHS = (8, 10, 12, 14, 16)  # bits of cameras
_START_OF_IMAGE, _START_OF_SCAN, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its name."""
    return path.suffix.lower() in _SUFFIXES | _OTHER_SUFFIXES and not path.name.startswith(".")


def index_frames(folder: Path) -> dict[int, Path]:
    """Returns frame number -> picture file of a clip folder, in the order of the numbers.

    Raises:
      UserError: two files have one number, a file is a copy, or the folder cannot be read.
    """
    try:
        paths = sorted(filter(is_picture, folder.iterdir()))
    except OSError as error:
        raise UserError(
            f"the folder {folder} cannot be read ({error.strerror}); check that it exists and its "
            "permissions."
        ) from error
    # Pictures of another format beside the frames are something else.
    paths = [path for path in paths if path.suffix.lower() in _SUFFIXES] or paths
    numbers = {
        path: found for path in paths if (found := list(map(int, re.findall(r"\d+", path.stem))))
    }
    _refuse_copies(folder, list(numbers))
    place = _place_of_number(list(numbers.values()))
    numbered: dict[int, Path] = {}
    for path, found in numbers.items():
        other = numbered.setdefault(found[place], path)
        if other is not path:
            raise UserError(
                f"{other.name} and {path.name} in {folder} are both frame {found[place]}; move the "
                "one that does not belong to the clip elsewhere."
            )
    return dict(sorted(numbered.items()))


def _refuse_copies(folder: Path, paths: Sequence[Path]) -> None:
    """Raises UserError for `img46 (2).jpg`, unless every file is called so.

    Windows numbers files that are renamed together `name (1)`, `name (2)` and so on.
    """
    of_copies = [path for path in paths if re.search(r"\(\d+\)$", path.stem)]
    if of_copies and len(of_copies) < len(paths):
        raise UserError(
            f"{of_copies[0].name} in {folder} seems to be a copy of another file; move it "
            "elsewhere, or rename it to its frame number."
        )


def _place_of_number(numbers: Sequence[Sequence[int]]) -> int:
    """Returns which number of every stem is the frame's, as an index that may be negative.

    It is the last one. Where that is the same in several files, it is the one that differs in all
    of them; of several such, as of a count and a time, the one that counts most closely.
    """
    fewest = min(map(len, numbers), default=1)
    spans = {}
    for place in (-1, *range(-2, -fewest - 1, -1), *range(fewest)):
        values = {found[place] for found in numbers}
        if len(values) == len(numbers):
            if place == -1:
                return -1
            spans[place] = max(values) - min(values)
    return min(spans, key=spans.get, default=-1)


def read_frame(path: Path) -> np.ndarray:
    """Returns a picture file, [h, w] grey or [h, w, 3] blue-green-red, as deep as it is stored.

    Frames of more than 8 bits become uint8 by `EightBitFrames`.

    Raises:
      UserError: the file is missing, truncated, or not a picture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"the frame {path} cannot be read ({error.strerror}); copy it from the corpus again."
        ) from error
    frame = None
    if content and not _is_truncated_jpeg(content):
        frame = cv2.imdecode(np.frombuffer(content, np.uint8), _AS_STORED)
    if frame is None:
        raise UserError(
            f"the frame {path} is corrupt or not a picture ({len(content)} bytes); copy it from "
            "the corpus again."
        )
    return frame


def _is_truncated_jpeg(content: bytes) -> bool:
    # OpenCV silently fills the rest of a truncated JPEG with grey. A whole one has its
    # end-of-image marker after its last scan (a thumbnail in the header has one before).
    is_jpeg = content.startswith(_START_OF_IMAGE)
    return is_jpeg and content.rfind(_END_OF_IMAGE) < content.rfind(_START_OF_SCAN)


class EightBitFrames:
    """Frames of one clip as uint8, all with one scale of grey values.

    Cameras store 10 or 12 bits in pictures of 16; the upper 8 bits of those would be almost black.

    Attributes:
      white: value that became 255; None while no frame had more than 8 bits.
    """

    def __init__(self, frames: Callable[[], Iterable[np.ndarray | None]]):
        """`frames` returns the frames as `read_frame` does, each time anew; None is kept."""
        self._frames = frames
        self.white: float | None = None

    def __iter__(self) -> Iterator[np.ndarray | None]:
        for frame in self._frames():
            if frame is None or frame.dtype == np.uint8:
                yield frame
                continue
            if self.white is None:  # a second pass, since the brightest frame may be the last one
                self.white = _white_of(self._frames())
            scaled = np.nan_to_num(frame) * np.float32(255 / self.white)
            yield np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _white_of(frames: Iterable[np.ndarray | None]) -> float:
    """Returns the largest value of the range that frames of more than 8 bits use."""
    deep = (frame for frame in frames if frame is not None and frame.dtype != np.uint8)
    largest, steps = 0.0, {257, 256}  # of pictures of 8 bits that were stored as 16
    for frame in deep:
        steps = {step for step in steps if not (frame % step).any()}
        largest = max(largest, float(np.nan_to_num(frame).max()))
        is_fraction = frame.dtype.kind == "f"
    if steps:
        return 255.0 * max(steps)
    if is_fraction and largest <= 1:
        return 1.0
    return next((2.0**bits - 1 for bits in _DEPTHS if largest < 2**bits), largest)

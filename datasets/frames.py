"""Frames on disk: numbering the files of a clip folder, and reading one file safely.

Corpora name their frames in many ways (`006_05562.jpg`, `img46.jpg`, `reg_img46.jpg`, `355.jpg`;
zero-padded or not, or both within a corpus), so a frame's number is the last integer of its stem.
"""

import re
from pathlib import Path

import cv2
import numpy as np

from datasets.errors import UserError

# OpenCV prints pages about a corrupt picture; `read_frame` raises one sentence.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


def index_frames(folder: Path) -> dict[int, Path]:
    """Returns frame number -> picture file of a clip folder, in the order of the numbers.

    Raises:
      UserError: two files have one number, a file is a copy, or the folder cannot be read.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"the folder {folder} cannot be read ({error.strerror}); check that it exists and its "
            "permissions."
        ) from error
    numbered: dict[int, Path] = {}
    for path in paths:
        numbers = re.findall(r"\d+", path.stem)
        if path.suffix.lower() not in _SUFFIXES or path.name.startswith(".") or not numbers:
            continue
        if re.search(r"\(\d+\)$", path.stem):
            raise UserError(
                f"{path.name} in {folder} seems to be a copy of another file; delete it, or "
                "rename it to its frame number."
            )
        number = int(numbers[-1])
        other = numbered.setdefault(number, path)
        if other is not path:
            raise UserError(
                f"{other.name} and {path.name} in {folder} are both frame {number}; keep one of "
                "them."
            )
    return dict(sorted(numbered.items()))


def read_frame(path: Path) -> np.ndarray:
    """Returns a picture file as uint8, [h, w] grey or [h, w, 3] blue-green-red.

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
    if content and not (path.suffix.lower() in {".jpg", ".jpeg"} and _is_truncated(content)):
        frame = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYCOLOR)
    if frame is None:
        raise UserError(
            f"the frame {path} is corrupt or not a picture ({len(content)} bytes); copy it from "
            "the corpus again."
        )
    return frame


def _is_truncated(content: bytes) -> bool:
    # OpenCV silently fills the rest of a truncated JPEG with grey. A whole one has its
    # end-of-image marker after its last scan (a thumbnail in the header has one before).
    return content.rfind(_END_OF_IMAGE) < content.rfind(_START_OF_SCAN)

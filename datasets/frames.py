"""Frames on disk: numbering the files of a clip folder, reading one file safely.

Corpora name their frames in many ways (`006_05562.jpg`, `img46.jpg`, `reg_img46.jpg`, `355.jpg`;
padded with zeros, or not, or both within a corpus), so a folder is indexed by the last integer of
each file's stem.
"""

import re
from pathlib import Path

import cv2
import numpy as np

from datasets.errors import UserError

# Of a torn picture OpenCV tells pages; here it ends in one sentence.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


def index_frames(folder: Path) -> dict[int, Path]:
    """Frame number -> picture file of a clip folder, in the order of the numbers.

    Raises:
      UserError: two files have one number, one is a copy of another, or the folder cannot be read.
    """
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"the folder {folder} cannot be read ({error.strerror}); check it, and its permissions."
        ) from error
    numbered: dict[int, Path] = {}
    for path in inside:
        # Names with a leading dot are what some systems leave beside the files of others.
        if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
            continue
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            continue
        if re.search(r"\(\d+\)$", path.stem):
            raise UserError(
                f"{path.name} in {folder} seems to be a copy that the system made of another "
                "file; remove it, or give it the name of its frame."
            )
        number = int(numbers[-1])
        if number in numbered:
            raise UserError(
                f"{numbered[number].name} and {path.name} in {folder} are both frame {number}; "
                "keep one of them."
            )
        numbered[number] = path
    return dict(sorted(numbered.items()))


def read_frame(path: Path) -> np.ndarray:
    """A picture file as uint8, [h, w] grey or [h, w, 3] blue-green-red.

    Raises:
      UserError: the file is missing, torn, or no picture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"the frame {path} cannot be read ({error.strerror}); copy it from the corpus again."
        ) from error
    torn = path.suffix.lower() in {".jpg", ".jpeg"} and _is_torn(content)
    frame = None
    if content and not torn:
        frame = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYCOLOR)
    if frame is None:
        raise UserError(
            f"the frame {path} is torn or no picture ({len(content)} bytes); copy it from the "
            "corpus again."
        )
    return frame


def _is_torn(content: bytes) -> bool:
    # OpenCV reads a cut JPEG without a word and fills the rest with grey. A whole one has its
    # end-of-image marker after its last scan (a thumbnail in the header has one before).
    return content.rfind(_END_OF_IMAGE) < content.rfind(_START_OF_SCAN)

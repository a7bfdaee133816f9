"""A video file or a folder of frames, one frame at a time. OpenCV decodes, and turns a video that
a phone has marked as rotated.

Axes: h w pixels, c channels.
"""

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from datasets.errors import UserError
from datasets.frames import index_frames, read_frame
from fdp_jax.files import check_name

# Read by OpenCV when it opens its first video: not a word of ffmpeg's own, and no other file or
# address is opened, whatever a playlist in the video's place names.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,asf,mpeg,flv,ogg"
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"protocol_whitelist;file|format_whitelist;{_FORMATS}"

_HIGHEST_RATE = 10_000.0  # frames a second; what a file tells beyond is no rate
_ROUNDING = 0.0015  # seconds by which gaps differ where a file tells whole milliseconds


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    Attributes:
      number: of a video from 1, of a folder as its file's name has it.
      seconds: since the first frame; None where the rate is unknown.
      pixels: uint8 [h, w] grey or [h, w, 3] blue-green-red.
    """

    number: int
    seconds: float | None
    pixels: np.ndarray


@dataclasses.dataclass
class Seen:
    """What reading has brought to light so far.

    Attributes:
      frames: how many were read.
      size: (width, height) of them in pixels, (0, 0) before the first.
      last: time of the last one, seconds.
      gaps: shortest and longest time between two frames, seconds.
      is_whole: whether reading reached the end.
    """

    frames: int = 0
    size: tuple[int, int] = (0, 0)
    last: float = 0.0
    gaps: tuple[float, float] = (math.inf, 0.0)
    is_whole: bool = False

    def add(self, frame: Frame, name: str) -> None:
        """Counts a frame. Raises UserError where its size is not that of those before it."""
        height, width = frame.pixels.shape[:2]
        if self.frames and (width, height) != self.size:
            raise UserError(
                f"frame {frame.number} of {name} is {width}x{height} pixels, those before it are "
                f"{self.size[0]}x{self.size[1]}; give frames of one size"
            )
        if self.frames and frame.seconds is not None:
            gap = frame.seconds - self.last
            self.gaps = min(self.gaps[0], gap), max(self.gaps[1], gap)
        self.frames, self.size = self.frames + 1, (width, height)
        self.last = frame.seconds or 0.0

    @property
    def rate(self) -> float | None:
        """Frames a second by the times of the frames; None where they have none."""
        return (self.frames - 1) / self.last if self.last else None

    @property
    def varies(self) -> bool:
        """Whether some frames follow each other much quicker than others."""
        shortest, longest = self.gaps
        return longest > 1.5 * shortest and longest - shortest > _ROUNDING


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A video that OpenCV can decode.

    Attributes:
      path: of the file.
      told_rate: frames a second as the file tells; None where it tells none.
      told_frames: how many frames it tells to hold; 0 where it tells none.
      turned: degrees by which the pictures are turned on reading, as the file asks.
    """

    path: Path
    told_rate: float | None
    told_frames: int
    turned: int

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.path)

    @property
    def has_times(self) -> bool:
        """Whether its frames have times: always."""
        return True

    def frames(self) -> Iterator[Frame]:
        """All frames, from the first."""
        capture = _open(self.path)
        try:
            first, seconds, number = None, 0.0, 0
            while capture.grab():
                told = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                taken, pixels = capture.retrieve()
                if not taken or pixels is None or not pixels.size:
                    continue
                first = told if first is None else first
                number += 1
                if number > 1:
                    seconds = self._time_after(seconds, told - first)
                yield Frame(number, seconds, pixels)
        finally:
            capture.release()

    def _time_after(self, before: float, told: float) -> float:
        """Time of a frame; where a file tells none that goes on, a frame's length is added."""
        if math.isfinite(told) and told > before:
            return told
        if self.told_rate is None:
            raise UserError(
                f"{self.name} tells neither a frame rate nor the times of its frames; convert it, "
                "for example to .mp4, or give its frames as a folder with --fps=RATE"
            )
        return before + 1 / self.told_rate


@dataclasses.dataclass(frozen=True)
class FrameFolder:
    """A folder of pictures, in the order of the last number in their names.

    Attributes:
      path: of the folder.
      files: frame number -> file.
      told_rate: frames a second, from the command line; None where not given.
    """

    path: Path
    files: dict[int, Path]
    told_rate: float | None

    turned = 0

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.path)

    @property
    def told_frames(self) -> int:
        """How many pictures there are."""
        return len(self.files)

    @property
    def has_times(self) -> bool:
        """Whether its frames have times."""
        return self.told_rate is not None

    def frames(self) -> Iterator[Frame]:
        """All frames, from the first.

        Raises:
          UserError: a file is torn or no picture.
        """
        for place, (number, path) in enumerate(self.files.items()):
            try:
                pixels = read_frame(path)
            except UserError as error:
                raise UserError(
                    f"the frame {path} is torn or no picture; put a whole one in its place"
                ) from error
            yield Frame(number, place / self.told_rate if self.told_rate else None, pixels)


Source = VideoFile | FrameFolder


def open_source(path: Path, fps: float | None) -> Source:
    """What lies at `path`, without its frames being read.

    Args:
      path: of a video file or of a folder of frames.
      fps: frames a second of a folder, where known.

    Raises:
      UserError: there is nothing, it is no video, it holds no frame, or its name is no text.
    """
    check_name(path)
    if path.is_dir():
        if not (files := index_frames(path)):
            raise UserError(
                f"the folder {path} holds no numbered frames; they are named as img001.jpg, with "
                ".jpg, .png or .bmp"
            )
        return FrameFolder(path, files, fps)
    if not path.is_file():
        raise UserError(f"there is no video and no folder {path}")
    if fps is not None:
        raise UserError(f"--fps is for a folder of frames; the video {path} tells its own rate")
    capture = _open(path)
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    turned = capture.get(cv2.CAP_PROP_ORIENTATION_META)
    capture.release()
    usable = math.isfinite(rate) and 0 < rate <= _HIGHEST_RATE
    told = int(count) if math.isfinite(count) and 0 < count < 1e9 else 0
    return VideoFile(path, rate if usable else None, told, int(turned) % 360)


def _open(path: Path) -> cv2.VideoCapture:
    size = path.stat().st_size
    # Whole paths only: ffmpeg would take what stands before a colon for the name of a protocol.
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG) if size else None
    if capture is None or not capture.isOpened():
        what = "is empty (0 bytes)" if not size else "is no video that can be read"
        raise UserError(f"{path} {what}; give a video file such as .mp4 or .avi, or a folder")
    return capture

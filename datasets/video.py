"""Video files and folders of pictures, read one frame at a time with OpenCV."""

import dataclasses
import glob
import itertools
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from datasets.command_line import check_name
from datasets.errors import UserError
from datasets.frames import EightBitFrames, index_frames, is_picture, read_frame

# OpenCV reads these when it opens its first video. Only local files in these formats are opened,
# so a playlist with the name of a video cannot make ffmpeg open other files or addresses.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,asf,mpeg,flv,ogg"
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"protocol_whitelist;file|format_whitelist;{_FORMATS}"

# Names of files in these formats; a file that is named itself may be called otherwise.
_SUFFIXES = {
    ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mj2", ".mkv", ".webm", ".avi", ".ts", ".mts",
    ".m2ts", ".asf", ".wmv", ".mpg", ".mpeg", ".flv", ".ogv", ".ogg",
}  # fmt: skip
_MAX_RATE = 10_000.0  # frames per second; a file that states more is wrong
_MAX_ASPECT = 5.0  # of a pixel; likewise


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
      number: from 1 in a video file; the number in the file name in a folder.
      seconds: since the first frame; None where the frame rate is unknown.
      pixels: uint8 [h, w] grey or [h, w, 3] blue-green-red.
    """

    number: int
    seconds: float | None
    pixels: np.ndarray


@dataclasses.dataclass
class Video:
    """A video file or a folder of pictures.

    Attributes:
      path: of the file or folder.
      stated_rate: frames per second by the user, or else by the file; None where unknown.
      stated_frames: frame count by the file or of the folder; 0 where unknown.
      rotation: degrees by which OpenCV rotates the frames, as the file asks.
      pixel_aspect: width over height of a stored pixel; frames are stretched until it is 1.
      file_rate: frames per second by a file whose frame times the user overrides; else None.
      pictures: frame number -> file, of a folder; None for a video file.
      max_seconds: limit on the time of a frame.
      frames_read, size, last, gaps: by the latest `read`: number of frames, (width, height), time
        of the last frame, shortest and longest time between two frames in seconds.
      is_complete: whether it read the last frame.
      white: grey value that became 255, in a folder of pictures of more than 8 bits.
    """

    path: Path
    stated_rate: float | None
    stated_frames: int
    rotation: int = 0
    pixel_aspect: float = 1.0
    file_rate: float | None = None
    pictures: Mapping[int, Path] | None = None
    max_seconds: float = math.inf
    frames_read: int = 0
    size: tuple[int, int] = (0, 0)
    last: float = 0.0
    gaps: tuple[float, float] = (math.inf, 0.0)
    is_complete: bool = False
    white: float | None = None

    @property
    def has_times(self) -> bool:
        """Whether frames have times."""
        return self.pictures is None or self.stated_rate is not None

    @property
    def rate(self) -> float | None:
        """Frames per second, from the times of the frames read if there are any."""
        return (self.frames_read - 1) / self.last if self.last else self.stated_rate

    @property
    def duration(self) -> float:
        """Seconds read; the last frame is shown for as long as the others."""
        return self.last + 1 / self.rate if self.last else 0.0

    def read(self, until: float = math.inf) -> Iterator[Frame]:
        """Yields the frames from the first to `until` seconds, and collects statistics anew.

        Raises:
          UserError: a picture is damaged, frames differ in size, the file states no times, or a
            frame is later than `max_seconds`.
        """
        self.frames_read, self.size, self.last = 0, (0, 0), 0.0
        self.gaps, self.is_complete = (math.inf, 0.0), False
        for frame in self.frames():
            seconds = frame.seconds or 0.0
            if seconds > until:
                return
            if seconds > self.max_seconds:
                raise _too_long(self.path, self.max_seconds)
            height, width = frame.pixels.shape[:2]
            if self.frames_read and self.size != (width, height):
                raise UserError(
                    f"frame {frame.number} of {self.path} has {width}x{height} pixels, those "
                    f"before it have {self.size[0]}x{self.size[1]}; use frames of one size"
                )
            if self.frames_read and frame.seconds is not None:
                gap = seconds - self.last
                self.gaps = min(self.gaps[0], gap), max(self.gaps[1], gap)
            self.frames_read += 1
            self.size, self.last = (width, height), seconds
            yield frame
        self.is_complete = True

    def frames(self) -> Iterator[Frame]:
        """Yields all frames, without statistics."""
        return self._decode() if self.pictures is None else self._read_pictures()

    def _decode(self) -> Iterator[Frame]:
        capture = _open_capture(self.path)
        try:
            number, start, seconds = 0, 0.0, 0.0
            for grabbed in itertools.takewhile(lambda _: capture.grab(), itertools.count()):
                timestamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                is_decoded, pixels = capture.retrieve()
                if not is_decoded or pixels is None or not pixels.size:
                    continue
                number += 1
                if self.file_rate is not None:
                    timestamp = grabbed / self.stated_rate
                if number == 1:
                    start = timestamp
                elif math.isfinite(timestamp) and timestamp - start > seconds:
                    seconds = timestamp - start
                elif self.stated_rate is not None:
                    seconds += 1 / self.stated_rate
                else:
                    raise UserError(
                        f"{self.path} states neither a frame rate nor frame times; convert it, for "
                        "example to .mp4, or give its frames as a folder with --fps=RATE"
                    )
                yield Frame(number, seconds, self._with_square_pixels(pixels))
        finally:
            capture.release()

    def _with_square_pixels(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        is_turned = self.rotation % 180 == 90
        aspect = 1 / self.pixel_aspect if is_turned else self.pixel_aspect
        size = round(width * max(aspect, 1)), round(height * max(1 / aspect, 1))
        return pixels if size == (width, height) else cv2.resize(pixels, size)

    def _read_pictures(self) -> Iterator[Frame]:
        pictures = EightBitFrames(lambda: map(_read_picture, self.pictures.values()))
        for index, (number, pixels) in enumerate(zip(self.pictures, pictures, strict=True)):
            self.white = pictures.white
            yield Frame(number, index / self.stated_rate if self.stated_rate else None, pixels)


def _read_picture(path: Path) -> np.ndarray:
    try:
        return read_frame(path)
    except UserError as error:
        raise UserError(f"{path} is damaged or not a picture; replace it") from error


def find_videos(words: Sequence[Path]) -> list[Path]:
    """Returns the video files and folders of frames that a command line names, each once, in order.

    Args:
      words: files, folders, and patterns such as `clips/*.mp4`. A folder that directly holds
        numbered pictures is one video; another one stands for all videos below it, or for itself
        where there are none.

    Raises:
      UserError: there is no such file or folder, none matches a pattern, or one is a picture.
    """
    found: dict[Path, Path] = {}
    for path in itertools.chain.from_iterable(map(_matches, words)):
        for video in _videos_of(path):
            found.setdefault(video.resolve(), video)
    return [*found.values()]


def _matches(word: Path) -> list[Path]:
    if word.exists():
        return [word]
    if glob.has_magic(str(word)):
        if found := sorted(glob.glob(str(word), recursive=True)):
            return [*map(Path, found)]
        raise UserError(f"no file or folder matches {word}; correct the pattern")
    raise UserError(f"there is no video or folder {word}")


def _videos_of(path: Path) -> list[Path]:
    if not path.is_dir():
        if is_picture(path):
            raise UserError(f"{path} is a picture; give the folder of frames that it belongs to")
        return [path]
    videos: list[Path] = []
    for place, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        files = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        of_videos = [file for file in files if file.suffix.lower() in _SUFFIXES]
        if not any(is_picture(file) and re.search(r"\d", file.stem) for file in files):
            videos += of_videos
            continue
        subfolders.clear()
        videos.append(Path(place))
        if of_videos:
            print(
                f"note: {place} holds numbered pictures, which are the frames of one video; its "
                f"{len(of_videos)} video files are left out, unless they are named themselves",
                file=sys.stderr,
            )
    return videos or [path]


def open_video(path: Path, fps: float | None = None, max_seconds: float = math.inf) -> Video:
    """Opens a video file or a folder of pictures.

    `fps` are the frames per second of a folder, unknown if None, and override those of a file.

    Raises:
      UserError: the path does not exist, is not a video, has no frames, is too long, or its name is
        not UTF-8.
    """
    check_name(path)
    if path.is_dir():
        if not (pictures := index_frames(path)):
            raise UserError(
                f"the folder {path} has no numbered frames and no videos; name frames like "
                "img001.jpg, as .jpg, .png or .bmp"
            )
        return Video(path, fps, len(pictures), pictures=pictures, max_seconds=max_seconds)
    if not path.is_file():
        raise UserError(f"there is no video or folder {path}")
    capture = _open_capture(path)
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    rotation = int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
    aspect = _pixel_aspect(capture)
    capture.release()
    rate = rate if math.isfinite(rate) and 0 < rate <= _MAX_RATE else None
    count = int(count) if math.isfinite(count) and 0 < count < 1e9 else 0
    file_rate = None if fps is None else rate or 0.0
    rate = fps or rate
    if rate and count > rate * max_seconds + 1:
        raise _too_long(path, max_seconds)
    return Video(path, rate, count, rotation, aspect, file_rate, max_seconds=max_seconds)


def _pixel_aspect(capture: cv2.VideoCapture) -> float:
    across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    is_plausible = across > 0 and down > 0 and 1 / _MAX_ASPECT < across / down < _MAX_ASPECT
    return across / down if is_plausible else 1.0


def _open_capture(path: Path) -> cv2.VideoCapture:
    # An absolute path: ffmpeg would take the part before a colon for the name of a protocol.
    what = "is empty (0 bytes)"
    if path.stat().st_size:
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
        if capture.isOpened():
            return capture
        what = "is not a readable video"
    raise UserError(f"{path} {what}; give a video file, such as .mp4, or a folder")


def _too_long(path: Path, max_seconds: float) -> UserError:
    return UserError(f"{path} is longer than {max_seconds:g} s; cut out the part of interest")

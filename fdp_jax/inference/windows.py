"""Windows of a video: face detection, alignment, and the frames of each window.

A window of `WINDOW_SECONDS` starts at every multiple of `WINDOW_STEP` seconds. Faces are aligned as
by `datasets.build`: the face in a window's first frame fixes the alignment of the whole window,
unless the network's corpus was built with `--per_frame`. At most two decoded frames are in memory.

Axes: h w pixels of a frame, s pixels along the edge of the aligned face, c channels.
"""

import dataclasses
import math
from collections.abc import Iterator

import cv2
import numpy as np

from datasets.alignment import align_to_rgb, similarity_of_face
from datasets.crop import Crop
from datasets.errors import UserError
from datasets.faces import FaceLandmarker
from datasets.video import Frame, Video
from fdp_jax.exported_model import sample_indices

WINDOW_SECONDS, WINDOW_STEP = 0.5, 0.1
MAX_FRAMES = 3000  # per window
_TOLERANCE = 1e-6  # seconds, rounding of frame times
_FRAMES_PER_SEARCH = 5  # how often a face is searched for where the frame rate is unknown

Interval = tuple[float, float]  # onset and offset in seconds, both included


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """A detected face: landmarks [68, 2] in pixels, and its alignment matrix [2, 3]."""

    landmarks: np.ndarray
    matrix: np.ndarray

    def overlaps(self, other: "Face") -> bool:
        """Whether the two faces are less than half a face apart."""
        distance = np.linalg.norm(self.landmarks.mean(axis=0) - other.landmarks.mean(axis=0))
        return bool(distance < 0.5 * np.ptp(other.landmarks, axis=0).max())


@dataclasses.dataclass
class FaceAligner:
    """Finds the largest face of a frame, and aligns it as the corpus of a network was aligned.

    Attributes:
      landmarker: the face detector.
      crop: how the faces of the corpus were cropped.
      is_grey: whether aligned faces are grey (c = 1) or red-green-blue (c = 3).
      max_faces: most faces found in one frame.
    """

    landmarker: FaceLandmarker
    crop: Crop
    is_grey: bool
    max_faces: int = 0

    def find(self, pixels: np.ndarray) -> Face | None:
        """Returns the largest face of uint8 [h, w] or [h, w, 3]; None without a face."""
        faces: list[Face] = []
        for landmarks in self.landmarker.find_each(pixels):
            matrix = similarity_of_face(landmarks, self.crop)
            face = None if matrix is None else Face(landmarks, matrix)
            if face is not None and not any(face.overlaps(other) for other in faces):
                faces.append(face)
        self.max_faces = max(self.max_faces, len(faces))
        return faces[0] if faces else None

    def align(self, pixels: np.ndarray, face: Face) -> np.ndarray:
        """Returns the aligned face, uint8 [s, s, c]."""
        rgb = align_to_rgb(pixels, face.matrix, self.crop)
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None] if self.is_grey else rgb


class Window:
    """The aligned frames of a window, and whether the face stays in its place.

    Attributes:
      start, end: seconds from the first frame of the video; None where the rate is unknown.
      numbers: frame numbers.
      seconds: time of each frame; empty where the rate is unknown.
      frames: uint8 [s, s, c] each; None before the first face.
      face: the first face.
      found: for each search since then, whether it found the face in its place.
    """

    def __init__(self, aligner: FaceAligner, start: float | None = None, end: float | None = None):
        self.start, self.end = start, end
        self.numbers: list[int] = []
        self.seconds: list[float] = []
        self.frames: list[np.ndarray | None] = []
        self.face: Face | None = None
        self.found: list[bool] = []
        self._aligner = aligner
        self._latest_face: Face | None = None

    def update(self, face: Face | None) -> None:
        """Adds the result of a search in the next frame."""
        self.face = self.face or face
        if self.face is not None:
            self.found.append(face is not None and face.overlaps(self.face))
        if self._latest_face is None or (face is not None and self._aligner.crop.per_frame):
            self._latest_face = face

    def add(self, frame: Frame) -> None:
        """Adds the next frame. Raises UserError where there are too many."""
        if len(self.frames) == MAX_FRAMES:
            raise UserError(
                f"one window has more than {MAX_FRAMES} frames; give a shorter interval by --onset "
                "and --offset (for a folder also --fps), or convert a video with wrong frame times"
            )
        self.numbers.append(frame.number)
        if frame.seconds is not None:
            self.seconds.append(frame.seconds)
        face = self._latest_face
        self.frames.append(None if face is None else self._aligner.align(frame.pixels, face))

    def part(self, start: float, end: float) -> "Window":
        """Returns the frames from `start` to `end` seconds as a window."""
        part = Window(self._aligner, start, end)
        for number, seconds, frame in zip(self.numbers, self.seconds, self.frames, strict=True):
            if start <= seconds <= end:
                part.numbers.append(number)
                part.seconds.append(seconds)
                part.frames.append(frame)
        return part

    def sample(self, t: int) -> "Window":
        """Keeps only the t frames that a network takes in evaluation, and returns the window."""
        chosen = sample_indices(len(self.frames), t)
        self.frames = [self.frames[index] for index in chosen]
        self.seconds = [self.seconds[index] for index in chosen if self.seconds]
        return self

    @property
    def is_steady(self) -> bool:
        """Whether half of the searches found the face; a face found once is mostly a false one."""
        return bool(self.found) and 2 * sum(self.found) >= len(self.found)


class VideoWindows:
    """Iterates over the windows of a video.

    Without an interval these are the sliding windows that end within the video, have at least two
    frames, and show a face from their first frame on that stays in its place. An interval, a video
    shorter than a window, and a folder without a frame rate are one window, in which frames before
    the first face are aligned by that face.

    Attributes:
      video, interval, aligner: as given.
      is_single: whether there is one window, of the interval or of the whole video.
      without_face: start times of sliding windows skipped for want of a steady face, seconds.
      with_one_frame: number of sliding windows skipped because they have a single frame.
    """

    def __init__(self, video: Video, interval: Interval | None, aligner: FaceAligner):
        self.video, self.interval, self.aligner = video, interval, aligner
        self.is_single = interval is not None or not video.has_times
        self.without_face: list[float] = []
        self.with_one_frame = 0

    def __iter__(self) -> Iterator[Window]:
        """Raises UserError where a frame cannot be read or the only window has fewer than two."""
        if not self.is_single:
            yield from self._slide()
            self.is_single = self.video.duration + _TOLERANCE < WINDOW_SECONDS
        if self.is_single:
            yield from self._single()

    def _slide(self) -> Iterator[Window]:
        windows: list[Window] = []
        newest = -1
        for frame in self.video.read():
            index = _latest_start(frame.seconds)
            if index > newest or self.aligner.crop.per_frame:
                face = self.aligner.find(frame.pixels)
                for window in windows:
                    window.update(face)
            # After the search: a window at whose end the face is lost is skipped.
            while windows and windows[0].end <= frame.seconds + _TOLERANCE:
                yield from self._close(windows.pop(0))
            if index > newest:
                newest, start = index, round(index * WINDOW_STEP, 6)
                if face is None:
                    self.without_face.append(start)
                else:
                    windows.append(Window(self.aligner, start, round(start + WINDOW_SECONDS, 6)))
                    windows[-1].update(face)
            for window in windows:
                window.add(frame)
        duration = self.video.duration + _TOLERANCE
        for window in windows:
            if window.end <= duration:
                yield from self._close(window)
        self.without_face = [
            start for start in self.without_face if start + WINDOW_SECONDS <= duration
        ]

    def _close(self, window: Window) -> Iterator[Window]:
        if not window.found[-1] or not window.is_steady:
            self.without_face.append(window.start)
        elif len(window.frames) < 2:
            self.with_one_frame += 1
        else:
            yield window

    def _single(self) -> Iterator[Window]:
        onset, offset = self.interval or (0.0, math.inf)
        window, newest = Window(self.aligner), -1
        for frame in self.video.read(until=offset + _TOLERANCE):
            if (frame.seconds or 0.0) < onset - _TOLERANCE:
                continue
            if frame.seconds is None:
                index = len(window.frames) // _FRAMES_PER_SEARCH
            else:
                first = window.seconds[0] if window.seconds else frame.seconds
                index = _latest_start(frame.seconds - first)
            if index > newest or window.face is None or self.aligner.crop.per_frame:
                newest = index
                window.update(self.aligner.find(frame.pixels))
            window.add(frame)
        if len(window.frames) < 2:
            path, last = self.video.path, self.video.last
            what = "the interval" if self.interval else path
            count = "a single frame" if window.frames else "no frame"
            end = f" ({path} ends at {last:.2f} s)" if self.video.is_complete and last else ""
            raise UserError(f"{what} has {count}; a movement takes at least two{end}")
        if not window.is_steady:
            return
        # Frames before the first face are read again; as decoded they were too large to keep.
        leading = sum(frame is None for frame in window.frames)
        again = (f for f in self.video.frames() if (f.seconds or 0.0) >= onset - _TOLERANCE)
        for k, frame in zip(range(leading), again, strict=False):
            window.frames[k] = self.aligner.align(frame.pixels, window.face)
        if window.seconds:
            window.start, window.end = window.seconds[0], window.seconds[-1]
        yield window


def count_windows(seconds: float) -> int:
    """Returns the number of sliding windows in a video of that length."""
    return max(0, _latest_start(seconds - WINDOW_SECONDS) + 1)


def _latest_start(seconds: float) -> int:
    """Index of the latest window that has started at that time."""
    return math.floor((seconds + _TOLERANCE) / WINDOW_STEP)

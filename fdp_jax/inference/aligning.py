"""Windows of a video as clips of aligned faces, made as `datasets.clip_tasks` makes a corpus'.

The face of a window is where its first frame shows it, and stays there for the window, unless the
network's corpus was built with `--per_frame`. Of frames as read one at a time is in memory.

Axes: n frames, s side of the aligned face in pixels, c channels.
"""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np

from datasets.alignment import align_to_rgb, similarity_of_face
from datasets.clip_tasks import Annotation, build_clip
from datasets.crop import Crop
from datasets.errors import UserError
from fdp_jax.inference import windows
from fdp_jax.inference.faces import CountingLandmarker, Sightings
from fdp_jax.inference.reading import Frame, Seen, Source

MOST_FRAMES = 3000  # in one window; of all of them only the few that the network takes are seen
_FRAMES_A_LOOK = 5  # where the rate is unknown


@dataclasses.dataclass(frozen=True)
class Window:
    """A stretch of the video.

    Attributes:
      start, end: seconds from the first frame; None where the rate is unknown.
      first_frame, last_frame: numbers of its frames.
    """

    start: float | None
    end: float | None
    first_frame: int
    last_frame: int


@dataclasses.dataclass(frozen=True, eq=False)
class WindowClip:
    """A window and its aligned frames.

    Attributes:
      window: the stretch.
      frames: uint8 [n, s, s, c]; c is 1 for a network trained on grey faces, else 3.
      seconds: [n], time of each frame; empty where the rate is unknown.
    """

    window: Window
    frames: np.ndarray
    seconds: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Face:
    """How a network wants its faces.

    Attributes:
      crop: how they are cut out.
      is_grey: whether in grey.
    """

    crop: Crop
    is_grey: bool


def one_window(
    source: Source,
    onset: float | None,
    offset: float | None,
    landmarker: CountingLandmarker,
    face: Face,
    seen: Seen,
) -> WindowClip | None:
    """The interval, or the whole source, as one clip; None where no face is seen to stay.

    Args:
      source: that is read.
      onset, offset: of the interval in seconds, both included; None: from the start, to the end.
      landmarker, face: how faces are found and drawn.
      seen: is told the frames read.

    Raises:
      UserError: the interval holds fewer than two frames or too many, or a frame cannot be read.
    """
    interval = _Interval(source, (onset, offset), landmarker, seen)
    built = build_clip(interval, landmarker, face.crop)
    if (count := len(interval.numbers)) < 2:
        what = source.name if onset is None and offset is None else "the interval"
        held = "a single frame" if count else "no frame"
        length = f" ({source.name} lasts {seen.last:.2f} s)" if seen.is_whole and not count else ""
        raise UserError(f"{what} holds {held}; a movement takes at least two{length}")
    if built.frames is None or interval.face is None or not interval.face.is_steady:
        return None
    start, end = (interval.seconds[0], interval.seconds[-1]) if interval.seconds else (None, None)
    window = Window(start, end, interval.numbers[0], interval.numbers[-1])
    frames = built.frames if not face.is_grey else np.stack([*map(_grey, built.frames)])
    return WindowClip(window, frames, tuple(interval.seconds))


class _Interval:
    """Part of a source, as a task of `build_clip`."""

    subject, clip = "", ""

    def __init__(
        self,
        source: Source,
        interval: tuple[float | None, float | None],
        landmarker: CountingLandmarker,
        seen: Seen,
    ):
        self._source, self._seen, self._landmarker = source, seen, landmarker
        self._onset, self._offset = interval
        self._newest_look = -1
        self.numbers: list[int] = []
        self.seconds: list[float] = []
        self.face: Sightings | None = None

    @property
    def where(self) -> str:
        return self._source.name

    def annotation(self) -> Annotation:
        return Annotation("", "", "", "", "", -1, -1, -1, self._source.told_rate or 0.0)

    def frames(self) -> Iterator[np.ndarray]:
        is_first_time = not self.numbers  # frames before the first face are read twice
        for frame in self._source.frames():
            if frame.seconds is not None and windows.is_behind(self._offset, frame.seconds):
                return
            if is_first_time:
                self._seen.add(frame, self._source.name)
            if frame.seconds is None or windows.is_within(self._onset, self._offset, frame.seconds):
                if is_first_time:
                    self._remember(frame)
                    self._look(frame)
                yield frame.pixels
        self._seen.is_whole = True

    def _remember(self, frame: Frame) -> None:
        if len(self.numbers) == MOST_FRAMES:
            raise UserError(
                f"one window of more than {MOST_FRAMES} frames is no micro-expression; give "
                "--onset and --offset of one (for a folder with --fps), in seconds"
            )
        self.numbers.append(frame.number)
        if frame.seconds is not None:
            self.seconds.append(frame.seconds)

    def _look(self, frame: Frame) -> None:
        """Looks for the face as often as windows would."""
        if frame.seconds is None:
            look = (len(self.numbers) - 1) // _FRAMES_A_LOOK
            look = look if look > self._newest_look else None
        else:
            look = windows.opened_by(frame.seconds - self.seconds[0], self._newest_look)
        if look is None:
            return
        self._newest_look = look
        landmarks = self._landmarker.find(frame.pixels)
        if self.face is not None:
            self.face.add(landmarks)
        elif landmarks is not None:
            self.face = Sightings(landmarks)


class SlidingWindows:
    """The windows of a video, one after the other, in one pass over its frames.

    Attributes:
      without_face: starts, in seconds, of windows left out since their first frame shows no face,
        or one that does not stay.
      with_one_frame: how many were left out since a single frame lies in them.
    """

    def __init__(self, source: Source, landmarker: CountingLandmarker, face: Face, seen: Seen):
        self._source, self._landmarker, self._face, self._seen = source, landmarker, face, seen
        self.without_face: list[float] = []
        self.with_one_frame = 0

    def __iter__(self) -> Iterator[WindowClip]:
        """Windows that end within the video, hold two frames and a face that stays."""
        open_windows: list[_OpenWindow] = []
        newest = -1
        for frame in self._source.frames():
            self._seen.add(frame, self._source.name)
            number = windows.opened_by(frame.seconds, newest)
            if number is not None or self._face.crop.per_frame:
                landmarks, matrix = self._look(frame)
                for window in open_windows:
                    window.see(landmarks, matrix if self._face.crop.per_frame else None)
            # Only now, since a window over which the face has gone is none.
            while open_windows and windows.is_over(open_windows[0].end, frame.seconds):
                yield from self._closed(open_windows.pop(0))
            if number is not None:
                newest = number
                start, end = windows.span(number)
                if matrix is None:
                    self.without_face.append(start)
                else:
                    open_windows.append(_OpenWindow(start, end, matrix, Sightings(landmarks)))
            for window in open_windows:
                window.add(frame, self._face)
        self._seen.is_whole = True
        # The last frame is shown for as long as the others.
        video_end = self._seen.last + (1 / self._seen.rate if self._seen.rate else 0.0)
        for window in open_windows:
            if windows.is_over(window.end, video_end):
                yield from self._closed(window)
        beyond = video_end - windows.SECONDS  # what starts later is no window of this video
        self.without_face = [
            start for start in self.without_face if windows.is_within(None, beyond, start)
        ]

    def _look(self, frame: Frame) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Landmarks [68, 2] and the matrix [2, 3] that aligns them; None without such a face."""
        landmarks = self._landmarker.find(frame.pixels)
        return landmarks, similarity_of_face(landmarks, self._face.crop)

    def _closed(self, window: "_OpenWindow") -> Iterator[WindowClip]:
        if not (window.face.is_steady and window.face.is_there):
            self.without_face.append(window.start)
        elif (clip := window.clip()) is not None:
            yield clip
        else:
            self.with_one_frame += 1


class _OpenWindow:
    """A window whose end is still to come."""

    def __init__(self, start: float, end: float, matrix: np.ndarray, face: Sightings):
        self.start, self.end, self.face = start, end, face
        self._matrix = matrix
        self._numbers: list[int] = []
        self._seconds: list[float] = []
        self._frames: list[np.ndarray] = []

    def see(self, landmarks: np.ndarray | None, matrix: np.ndarray | None) -> None:
        """Takes what a look found: a face or none, and the matrix [2, 3] for frames from now on."""
        self.face.add(landmarks)
        if matrix is not None:
            self._matrix = matrix

    def add(self, frame: Frame, face: Face) -> None:
        """Takes a frame, of which only the aligned face is kept.

        Raises:
          UserError: there are more than a camera takes.
        """
        if len(self._frames) == MOST_FRAMES:
            raise UserError(
                f"more than {MOST_FRAMES} frames lie within half a second from {self.start:g} s; "
                "no camera is that quick, so the times in the file are wrong: convert it anew"
            )
        self._numbers.append(frame.number)
        self._seconds.append(frame.seconds)
        rgb = align_to_rgb(frame.pixels, self._matrix, face.crop.side)
        self._frames.append(_grey(rgb) if face.is_grey else rgb)

    def clip(self) -> WindowClip | None:
        """The clip; None where there is a single frame."""
        if len(self._frames) < 2:
            return None
        window = Window(self.start, self.end, self._numbers[0], self._numbers[-1])
        return WindowClip(window, np.stack(self._frames), tuple(self._seconds))


def _grey(rgb: np.ndarray) -> np.ndarray:
    """uint8 [s, s, 3] -> [s, s, 1]."""
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None]

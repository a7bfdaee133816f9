"""From a clip as a corpus tells it to an aligned one, in worker processes.

A corpus hands over `ClipTask`s; what differs between corpora is only how a task knows its
annotation and draws or reads its frames. Clips come back in order, and only a few are in flight
at any moment, whatever the size of the corpus.

Axes: n frames, h w pixels, c channels.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from datasets.alignment import align_to_rgb, similarity_of_face
from datasets.crop import Crop
from datasets.errors import UserError
from datasets.face_models import FaceModels
from datasets.faces import FaceLandmarker
from datasets.landmark_cache import (
    Landmarker,
    LandmarkFile,
    Landmarks,
    RememberingLandmarker,
    read_landmarks,
)
from datasets.processes import map_in_processes


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What is known of a clip besides its frames.

    Attributes:
      emotion, objective_class, action_units: as the corpus tells them; emotion in lower case.
      earlier_emotion: by the corpus' earlier label version; "" where there is one version only.
      onset, apex, offset: frame numbers of the corpus' own count; apex -1 where unknown.
      fps: frames per second.
    """

    subject: str
    clip: str
    emotion: str
    objective_class: str
    action_units: str
    onset: int
    apex: int
    offset: int
    fps: float
    earlier_emotion: str = ""


class ClipTask(Protocol):
    """One clip to be built, unique by (subject, clip). Must be picklable and small."""

    subject: str
    clip: str

    @property
    def where(self) -> str:
        """Where the frames come from, for messages."""

    def annotation(self) -> Annotation:
        """What is known of the clip."""

    def frames(self) -> Iterator[np.ndarray | None]:
        """Frames from onset to offset, uint8 [h, w] grey or [h, w, 3] blue-green-red.

        May be called more than once. None stands for a frame that cannot be read, where the
        corpus is known to hold such frames; it is left out, and told.

        Raises:
          UserError: a frame cannot be read.
        """


@dataclasses.dataclass(frozen=True)
class BuiltClip:
    """A clip and its aligned frames.

    Attributes:
      where: the frames came from.
      frames: uint8 [n, side, side, 3] red-green-blue; None where no frame shows a face.
      readable: how many frames could be read.
      unreadable: how many could not, and were left out.
    """

    annotation: Annotation
    where: str
    frames: np.ndarray | None
    readable: int
    unreadable: int


@dataclasses.dataclass(frozen=True)
class _Place:
    """Of a face: the matrix [2, 3] that aligns it, and the (h, w) of the frame it was found in."""

    matrix: np.ndarray
    size: tuple[int, int]


def build_clip(task: ClipTask, landmarker: Landmarker, crop: Crop) -> BuiltClip:
    """Aligns one clip; of its frames as read, one at a time is in memory.

    By default the landmarks are those of the first frame that shows a face, held fixed over the
    clip. With `per_frame` every frame has its own; one without a face takes those of the frame
    before it, or, where there is none, of the first frame that shows a face.

    Raises:
      UserError: a frame cannot be read, or is of another size than the one whose landmarks it
        would take. (With `per_frame`, frames with a face of their own may differ in size.)
    """
    first = place = None
    aligned, leading, unreadable = [], 0, 0
    for number, frame in enumerate(task.frames(), start=1):
        if frame is None:
            unreadable += 1
            continue
        if place is None or crop.per_frame:
            place = _find(landmarker, frame, crop) or place
            first = first or place
        if place is None:
            leading += 1
        else:
            aligned.append(_draw(task, crop, number, frame, place))
    if first is not None and leading:  # rare, so those frames are read again, not held
        readable = (pair for pair in enumerate(task.frames(), start=1) if pair[1] is not None)
        aligned[:0] = [
            _draw(task, crop, number, frame, first)
            for number, frame in itertools.islice(readable, leading)
        ]
    frames = np.stack(aligned) if aligned else None
    read = len(aligned) or leading
    return BuiltClip(task.annotation(), task.where, frames, read, unreadable)


def _find(landmarker: Landmarker, frame: np.ndarray, crop: Crop) -> _Place | None:
    """Where the face of a frame is; None without a usable one."""
    matrix = similarity_of_face(landmarker.find(frame), crop)
    return None if matrix is None else _Place(matrix, frame.shape[:2])


def _draw(task: ClipTask, crop: Crop, number: int, frame: np.ndarray, place: _Place) -> np.ndarray:
    """The aligned frame, uint8 [side, side, 3] red-green-blue."""
    if frame.shape[:2] != place.size:
        raise _changed_size(task, crop, number, frame.shape, place.size)
    return align_to_rgb(frame, place.matrix, crop.side)


def _changed_size(
    task: ClipTask, crop: Crop, number: int, shape: tuple[int, ...], size: tuple[int, int]
) -> UserError:
    what = (
        f"frame {number}, from the onset, of clip {task.clip} of {task.subject} ({task.where}) is "
        f"{shape[1]}x{shape[0]} pixels, but its landmarks are from one of {size[1]}x{size[0]}"
    )
    if crop.per_frame:
        return UserError(f"{what}, since it shows no face; copy the clip from the corpus again.")
    return UserError(
        f"{what}; copy the clip from the corpus again, or find the landmarks on every frame with "
        "--per_frame."
    )


def build_clips(
    tasks: Sequence[ClipTask],
    models: FaceModels,
    crop: Crop,
    workers: int,
    landmark_file: Path | None,
) -> Iterator[BuiltClip]:
    """Builds clips in the order of `tasks`.

    Args:
      tasks: the clips.
      models: that find faces.
      crop: how frames are aligned.
      workers: processes; 0 = one per core, 1 = this one alone.
      landmark_file: keeps landmarks between builds; None keeps none.

    Raises:
      UserError: frames cannot be read or change in size; a worker process died.
    """
    arguments = (models, crop, landmark_file)
    built = map_in_processes(_Worker, arguments, tasks, workers)
    with LandmarkFile(landmark_file) as kept, contextlib.closing(built):
        for clip, found in built:
            kept.add(found)
            yield clip


class _Worker:
    """Builds clips, and hands over with each the landmarks it had to find."""

    def __init__(self, models: FaceModels, crop: Crop, landmark_file: Path | None):
        known = read_landmarks(landmark_file)
        self._landmarker = RememberingLandmarker(FaceLandmarker(models), models, known)
        self._crop = crop

    def __call__(self, task: ClipTask) -> tuple[BuiltClip, Landmarks]:
        clip = build_clip(task, self._landmarker, self._crop)
        return clip, self._landmarker.take_found()

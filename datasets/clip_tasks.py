"""From the frames of a clip to aligned frames, in worker processes.

A corpus provides `ClipTask`s, which differ only in how they know their annotation and draw or read
their frames. Clips are returned in order, and only a few are in flight, whatever the corpus' size.

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
from datasets.frames import EightBitFrames
from datasets.landmark_cache import CachedLandmarker, LandmarkFile, Landmarks, read_landmarks
from datasets.processes import map_in_processes


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What is known of a clip besides its frames.

    Attributes:
      emotion, objective_class, action_units: of the corpus; the emotion in lower case.
      earlier_emotion: of the corpus' earlier label version; "" if there is only one version.
      onset, apex, offset: frame numbers of the corpus; the apex is -1 if unknown.
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
    """One clip to be built, unique by (subject, clip). Must be picklable and small.

    Attributes:
      where: source of the frames, for messages.
    """

    subject: str
    clip: str
    where: str

    def annotation(self) -> Annotation:
        """Returns what is known of the clip."""

    def frames(self) -> Iterator[np.ndarray | None]:
        """Yields frames from onset to offset, [h, w] grey or [h, w, 3] blue-green-red.

        They are uint8, or of more bits as `datasets.frames.EightBitFrames` takes them. May be
        called more than once. None stands for an unreadable frame of a corpus that is known to hold
        some; it is left out and counted. Any other unreadable frame raises UserError.
        """


@dataclasses.dataclass(frozen=True)
class BuiltClip:
    """A clip and its aligned frames.

    Attributes:
      where: source of the frames.
      frames: uint8 [n, side, side, 3] red-green-blue; None if no frame shows a face.
      readable: number of frames that were read.
      unreadable: number of frames that could not be read and were left out.
      white: grey value that became 255, of a clip of more than 8 bits.
    """

    annotation: Annotation
    where: str
    frames: np.ndarray | None
    readable: int
    unreadable: int
    white: float | None = None


@dataclasses.dataclass(frozen=True)
class _Face:
    """The matrix [2, 3] that aligns a face, and the (h, w) of the frame that shows it."""

    matrix: np.ndarray
    size: tuple[int, int]


def build_clip(
    task: ClipTask, landmarker: FaceLandmarker | CachedLandmarker, crop: Crop
) -> BuiltClip:
    """Aligns one clip; only one unaligned frame is in memory at a time.

    By default the landmarks are those of the first frame that shows a face, for the whole clip.
    With `per_frame` every frame has its own; one without a face takes those of the frame before it,
    or, at the beginning, those of the first frame that shows a face.

    Raises:
      UserError: a frame cannot be read, or differs in size from the frame whose landmarks it would
        take. (With `per_frame`, frames with faces of their own may differ in size.)
    """
    clip = EightBitFrames(task.frames)
    first = face = None
    aligned, leading, unreadable = [], 0, 0
    for number, frame in enumerate(clip, start=1):
        if frame is None:
            unreadable += 1
            continue
        if face is None or crop.per_frame:
            matrix = similarity_of_face(landmarker.find(frame), crop)
            face = face if matrix is None else _Face(matrix, frame.shape[:2])
            first = first or face
        if face is None:
            leading += 1
        else:
            aligned.append(_align(task, crop, number, frame, face))
    if first is not None and leading:  # rare, so those frames are read again instead of kept
        readable = (pair for pair in enumerate(clip, start=1) if pair[1] is not None)
        aligned[:0] = [
            _align(task, crop, number, frame, first)
            for number, frame in itertools.islice(readable, leading)
        ]
    frames = np.stack(aligned) if aligned else None
    read = len(aligned) or leading
    return BuiltClip(task.annotation(), task.where, frames, read, unreadable, clip.white)


def _align(task: ClipTask, crop: Crop, number: int, frame: np.ndarray, face: _Face) -> np.ndarray:
    """Returns the aligned frame, uint8 [side, side, 3] red-green-blue."""
    if frame.shape[:2] == face.size:
        return align_to_rgb(frame, face.matrix, crop)
    (height, width), (face_height, face_width) = frame.shape[:2], face.size
    why = ", since it shows no face" if crop.per_frame else ""
    way_out = "" if crop.per_frame else ", or find the landmarks on every frame with --per_frame"
    raise UserError(
        f"frame {number}, from the onset, of clip {task.clip} of {task.subject} ({task.where}) is "
        f"{width}x{height} pixels, but its landmarks are from one of {face_width}x{face_height}"
        f"{why}; copy the clip from the corpus again{way_out}."
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
    """Builds clips, and returns each with the landmarks that were not yet known."""

    def __init__(self, models: FaceModels, crop: Crop, landmark_file: Path | None):
        known = read_landmarks(landmark_file)
        self._landmarker = CachedLandmarker(FaceLandmarker(models), models, known)
        self._crop = crop

    def __call__(self, task: ClipTask) -> tuple[BuiltClip, Landmarks]:
        clip = build_clip(task, self._landmarker, self._crop)
        return clip, self._landmarker.take_found()

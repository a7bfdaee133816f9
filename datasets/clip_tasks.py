"""From a clip as a corpus tells it to an aligned one, in worker processes.

A corpus hands over `ClipTask`s; what differs between corpora is only how a task knows its
annotation and draws or reads its frames. Clips come back in order, and only a few are in flight
at any moment, whatever the size of the corpus.

Axes: n frames, h w pixels, c channels.
"""

import collections
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

import cv2
import numpy as np

from datasets.alignment import align, similarity
from datasets.errors import UserError
from datasets.face_models import FaceModels
from datasets.faces import FaceLandmarker

_AHEAD = 3  # clips in flight per worker


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What is known of a clip besides its frames.

    Attributes:
      emotion, objective_class, action_units: as the corpus tells them; emotion in lower case.
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


class ClipTask(Protocol):
    """One clip to be built. Must be picklable and small."""

    subject: str
    clip: str

    @property
    def where(self) -> str:
        """Where the frames come from, for messages."""

    def annotation(self) -> Annotation:
        """What is known of the clip."""

    def frames(self) -> Iterator[np.ndarray]:
        """Frames from onset to offset, uint8 [h, w] grey or [h, w, 3] blue-green-red.

        May be called more than once.

        Raises:
          UserError: a frame cannot be read.
        """


@dataclasses.dataclass(frozen=True)
class BuiltClip:
    """A clip and its aligned frames, uint8 [n, 72, 72, 3] red-green-blue; None without a face."""

    annotation: Annotation
    where: str
    frames: np.ndarray | None


def build_clip(task: ClipTask, landmarker: FaceLandmarker, per_frame: bool) -> BuiltClip:
    """Aligns one clip.

    By default the landmarks are those of the first frame that shows a face, held fixed over the
    clip. With `per_frame` every frame has its own; one without a face takes those of the frame
    before it.

    Raises:
      UserError: a frame cannot be read, or is of another size than the one whose landmarks it
        would take. (With `per_frame`, frames with a face of their own may differ in size.)
    """
    matrix = None
    for frame in task.frames():
        matrix, size = _matrix(landmarker, frame), frame.shape[:2]
        if matrix is not None:
            break
    if matrix is None:
        return BuiltClip(task.annotation(), task.where, None)
    aligned = []
    for number, frame in enumerate(task.frames(), start=1):
        own = _matrix(landmarker, frame) if per_frame else None
        if own is not None:
            matrix, size = own, frame.shape[:2]
        elif frame.shape[:2] != size:
            raise _changed_size(task, number, frame.shape, size, per_frame)
        aligned.append(_as_rgb(align(frame, matrix)))
    return BuiltClip(task.annotation(), task.where, np.stack(aligned))


def _matrix(landmarker: FaceLandmarker, frame: np.ndarray) -> np.ndarray | None:
    """The alignment [2, 3] of a frame by its own face; None without a usable one."""
    landmarks = landmarker.find(frame)
    if landmarks is None:
        return None
    try:
        return similarity(landmarks)
    except ValueError:  # degenerate: whatever was found there is no face
        return None


def _changed_size(
    task: ClipTask, number: int, shape: tuple[int, ...], size: tuple[int, ...], per_frame: bool
) -> UserError:
    what = (
        f"frame {number}, from the onset, of clip {task.clip} ({task.where}) is {shape[1]}x"
        f"{shape[0]} pixels, but its landmarks are from one of {size[1]}x{size[0]}"
    )
    if per_frame:
        return UserError(f"{what}, since it shows no face; copy the clip from the corpus again.")
    return UserError(
        f"{what}; copy the clip from the corpus again, or find the landmarks on every frame with "
        "--per_frame."
    )


def _as_rgb(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB if frame.ndim == 2 else cv2.COLOR_BGR2RGB)


def build_clips(
    tasks: Sequence[ClipTask], models: FaceModels, per_frame: bool, workers: int
) -> Iterator[BuiltClip]:
    """Builds clips in the order of `tasks`, in `workers` processes (0 = one per core).

    Raises:
      UserError: frames cannot be read or change in size; a worker process died.
    """
    workers = min(workers or _cores(), max(1, len(tasks)))
    if workers == 1:
        landmarker = FaceLandmarker(models)
        for task in tasks:
            yield build_clip(task, landmarker, per_frame)
        return
    # Spawned, not forked: the caller may hold threads (jax), which a fork would not survive.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker, (models, per_frame)
    )
    try:
        waiting = collections.deque()
        for task in tasks:
            waiting.append(pool.submit(_work, task))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process of the build died, most likely for lack of memory; build again "
            "with --workers=1."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    # Not more than this process may use, which containers and schedulers often restrict.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


_worker: tuple[FaceLandmarker, bool] | None = None  # of a worker process


def _start_worker(models: FaceModels, per_frame: bool) -> None:
    global _worker
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = FaceLandmarker(models), per_frame


def _end_with_parent() -> None:
    # A worker waits for its queue, which does not end when the build is killed.
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(task: ClipTask) -> BuiltClip:
    return build_clip(task, *_worker)

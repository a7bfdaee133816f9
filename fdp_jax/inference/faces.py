"""Which face of a video, and whether it stays."""

import weakref
from collections.abc import Callable

import numpy as np

from datasets.faces import FaceLandmarker


class CountingLandmarker:
    """Finds the largest face of a frame, and remembers how many there were.

    Attributes:
      most_faces: in one frame.
      looks, without: how many frames were looked at, and how many of them showed no face.
    """

    def __init__(self, landmarker: FaceLandmarker):
        self._landmarker = landmarker
        self.most_faces = self.looks = self.without = 0
        self._newest: tuple[Callable[[], object], np.ndarray | None] = (lambda: None), None

    def find(self, frame: np.ndarray) -> np.ndarray | None:
        """Landmarks [68, 2] float32 in pixels of the largest face; None without a face."""
        newest, found = self._newest
        if newest() is frame:  # several who look at one frame count as one
            return found
        distinct: list[np.ndarray] = []
        for landmarks in self._landmarker.find_each(frame):
            if not any(is_same_place(landmarks, other) for other in distinct):
                distinct.append(landmarks)
        self.looks += 1
        self.without += not distinct
        self.most_faces = max(self.most_faces, len(distinct))
        found = distinct[0] if distinct else None
        self._newest = weakref.ref(frame), found
        return found


def is_same_place(landmarks: np.ndarray, other: np.ndarray) -> bool:
    """Whether two faces, landmarks [68, 2], lie less than half a face apart."""
    apart = np.linalg.norm(landmarks.mean(axis=0) - other.mean(axis=0))
    return bool(apart < 0.5 * np.ptp(other, axis=0).max())


class Sightings:
    """A face, and whether later looks see it again: what is seen once only is mostly no face.

    Attributes:
      is_there: whether the newest look saw it in its place.
    """

    def __init__(self, landmarks: np.ndarray):
        self._landmarks = landmarks
        self._looks = self._seen = 1
        self.is_there = True

    def add(self, landmarks: np.ndarray | None) -> None:
        """Takes what a later look found, [68, 2] or None."""
        self._looks += 1
        self.is_there = landmarks is not None and is_same_place(landmarks, self._landmarks)
        self._seen += self.is_there

    @property
    def is_steady(self) -> bool:
        """Whether at least half of the looks, with the first, saw it in its place."""
        return 2 * self._seen >= self._looks

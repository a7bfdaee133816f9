"""Landmarks found once, kept in a file beside the built corpus.

Finding a face costs most of a build, and its answer depends on the frame alone. So a build with
another crop, size or choice of frames asks the detector for nothing that was answered before. The
key of an answer holds the frame's content and all that finds faces (models, code, OpenCV): what is
kept never goes stale, and changes nothing that is built.

Axes: n frames, p = 68 landmarks, xy in pixels.
"""

import contextlib
import dataclasses
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from datasets import faces
from datasets.face_models import FaceModels

_KEY_BYTES = 16
_SAVE_EVERY = 20.0  # seconds


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """Answers of the detector.

    Attributes:
      keys: of the frames, [n, 16] uint8.
      points: [n, p, 2] float32 pixels; not a number where there is no face.
    """

    keys: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros((0, _KEY_BYTES), np.uint8)
    )
    points: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 68, 2), np.float32))

    def __len__(self) -> int:
        return len(self.keys)


class Landmarker(Protocol):
    """What finds faces; see `datasets.faces.FaceLandmarker`."""

    def find(self, frame: np.ndarray) -> np.ndarray | None:
        """Landmarks [p, 2] float32 in pixels of `frame`, or None where no face is found."""


class RememberingLandmarker:
    """Finds landmarks, unless it knows them.

    Args of the constructor:
      landmarker: finds those that are not known.
      models: of `landmarker`.
      known: answers of earlier builds.
    """

    def __init__(self, landmarker: Landmarker, models: FaceModels, known: Landmarks):
        self._landmarker = landmarker
        self._finder = _fingerprint(models)
        self._points = known.points
        self._places = {key.tobytes(): place for place, key in enumerate(known.keys)}
        self._found: dict[bytes, np.ndarray | None] = {}

    def find(self, frame: np.ndarray) -> np.ndarray | None:
        """Landmarks [p, 2] float32 in pixels of `frame`, or None where no face is found."""
        key = _key(frame, self._finder)
        if key in self._found:
            return self._found[key]
        place = self._places.get(key)
        if place is not None:
            points = self._points[place]
            return None if np.isnan(points).all() else points
        self._found[key] = self._landmarker.find(frame)
        return self._found[key]

    def take_found(self) -> Landmarks:
        """What was found since the last call, which is forgotten here."""
        nothing = np.full((68, 2), np.nan, np.float32)
        points = [nothing if found is None else found for found in self._found.values()]
        keys = np.frombuffer(b"".join(self._found), np.uint8).reshape(-1, _KEY_BYTES)
        self._found = {}
        return Landmarks(keys, np.stack(points)) if points else Landmarks()


def _fingerprint(models: FaceModels) -> bytes:
    """Names all that an answer depends on besides the frame, 32 bytes."""
    files = (models.detector, models.mesh, Path(faces.__file__))
    parts = [hashlib.sha256(path.read_bytes()).digest() for path in files]
    return hashlib.sha256(b"".join(parts) + cv2.__version__.encode()).digest()


def _key(frame: np.ndarray, finder: bytes) -> bytes:
    digest = hashlib.blake2b(repr(frame.shape).encode(), key=finder, digest_size=_KEY_BYTES)
    digest.update(np.ascontiguousarray(frame))
    return digest.digest()


def read_landmarks(path: Path | None) -> Landmarks:
    """What earlier builds kept in `path`; nothing where there is no usable file."""
    if path is None or not path.is_file():
        return Landmarks()
    try:
        with np.load(path, allow_pickle=False) as stored:
            read = Landmarks(stored["keys"], stored["points"])
    except Exception:  # a torn file raises almost anything, and costs only time
        return Landmarks()
    fits = (
        (read.keys.dtype, read.points.dtype) == (np.uint8, np.float32)
        and read.points.shape[1:] == (68, 2)
        and read.keys.shape == (len(read.points), _KEY_BYTES)
    )
    return read if fits else Landmarks()


class LandmarkFile:
    """Keeps new answers in `path`, beside those that are there; a context that saves at its end.

    Whoever dies within it loses the answers of the last seconds only. None keeps nothing.
    """

    def __init__(self, path: Path | None):
        self._path = path
        self._parts = [read_landmarks(path)]
        self._saved_at = time.monotonic()

    def __enter__(self) -> "LandmarkFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.save()

    def add(self, found: Landmarks) -> None:
        """Takes new answers, and saves them all now and then."""
        if self._path is None or not len(found):
            return
        self._parts.append(found)
        if time.monotonic() - self._saved_at >= _SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Writes the file if there is anything new. A file that cannot be written is left out."""
        self._saved_at = time.monotonic()
        if len(self._parts) == 1:
            return
        whole = Landmarks(
            np.concatenate([part.keys for part in self._parts]),
            np.concatenate([part.points for part in self._parts]),
        )
        self._parts = [whole]
        with contextlib.suppress(OSError):  # the corpus itself does without
            _write(self._path, whole)


def _write(path: Path, landmarks: Landmarks) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, keys=landmarks.keys, points=landmarks.points)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

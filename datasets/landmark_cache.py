"""Cache of face landmarks, kept in a file beside the built corpus.

Finding faces dominates the time of a build and depends on the frame alone, so a build with another
crop, size or choice of frames finds no face twice. The key of an entry hashes the frame's content
and everything that finds faces (models, code, OpenCV): no entry goes stale.

Axes: n frames, p = 68 landmarks, xy in pixels.
"""

import contextlib
import hashlib
import io
import time
from pathlib import Path

import cv2
import numpy as np

from datasets import faces
from datasets.atomic_build import write_atomically
from datasets.face_models import FaceModels
from datasets.faces import FaceLandmarker

_KEY_BYTES = 16
_SAVE_EVERY = 20.0  # seconds

# Key of a frame -> landmarks [p, 2] float32; None where no face was found.
Landmarks = dict[bytes, np.ndarray | None]


class CachedLandmarker:
    """Finds landmarks that are not yet known.

    Args of the constructor:
      landmarker: finds the unknown ones.
      models: of `landmarker`.
      known: from earlier builds.
    """

    def __init__(self, landmarker: FaceLandmarker, models: FaceModels, known: Landmarks):
        self._landmarker = landmarker
        self._fingerprint = _fingerprint(models)
        self._known = known
        self._found: Landmarks = {}

    def find(self, frame: np.ndarray) -> np.ndarray | None:
        """Returns landmarks [p, 2] float32 in pixels of `frame`, or None if it shows no face."""
        key = _key(frame, self._fingerprint)
        if key in self._known:
            return self._known[key]
        if key not in self._found:
            self._found[key] = self._landmarker.find(frame)
        return self._found[key]

    def take_found(self) -> Landmarks:
        """Returns the landmarks found since the last call, and forgets them."""
        found, self._found = self._found, {}
        return found


def _fingerprint(models: FaceModels) -> bytes:
    """Returns a hash [32 bytes] of everything that landmarks depend on besides the frame."""
    files = (models.detector, models.mesh, Path(faces.__file__))
    parts = [hashlib.sha256(path.read_bytes()).digest() for path in files]
    return hashlib.sha256(b"".join(parts) + cv2.__version__.encode()).digest()


def _key(frame: np.ndarray, fingerprint: bytes) -> bytes:
    digest = hashlib.blake2b(repr(frame.shape).encode(), key=fingerprint, digest_size=_KEY_BYTES)
    digest.update(np.ascontiguousarray(frame))
    return digest.digest()


def read_landmarks(path: Path | None) -> Landmarks:
    """Returns the landmarks that earlier builds kept in `path`; none without a usable file."""
    if path is None or not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            keys, points = stored["keys"], stored["points"]
    except Exception:  # a corrupt file raises almost anything, and only costs time
        return {}
    if (
        (keys.dtype, points.dtype) != (np.uint8, np.float32)
        or points.shape[1:] != (68, 2)
        or keys.shape != (len(points), _KEY_BYTES)
    ):
        return {}
    has_face = ~np.isnan(points).all(axis=(1, 2))
    return {
        key.tobytes(): found if is_face else None
        for key, found, is_face in zip(keys, points, has_face, strict=True)
    }


class LandmarkFile:
    """Adds landmarks to the file `path`; a context manager that saves at its end.

    A killed process loses only the landmarks of the last seconds. A `path` of None keeps none.
    """

    def __init__(self, path: Path | None):
        self._path = path
        self._landmarks = read_landmarks(path)
        self._has_news = False
        self._saved_at = time.monotonic()

    def __enter__(self) -> "LandmarkFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._save()

    def add(self, found: Landmarks) -> None:
        """Adds landmarks, and saves all of them every few seconds."""
        if self._path is None or not found:
            return
        self._landmarks |= found
        self._has_news = True
        if time.monotonic() - self._saved_at >= _SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        if not self._has_news:
            return
        self._has_news = False
        no_face = np.full((68, 2), np.nan, np.float32)
        points = [no_face if found is None else found for found in self._landmarks.values()]
        keys = np.frombuffer(b"".join(self._landmarks), np.uint8).reshape(-1, _KEY_BYTES)
        content = io.BytesIO()
        np.savez(content, keys=keys, points=np.stack(points))
        with contextlib.suppress(OSError):  # the corpus does not need the file
            write_atomically(self._path, content.getvalue())

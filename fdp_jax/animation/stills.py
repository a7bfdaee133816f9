"""Neutral faces to animate: of drawn people, of a folder of photographs, or of a built corpus.

No jax is imported, so that worker processes start at once.

Axes: n stills, h w pixels, c channels, xy = (column, row) in pixels.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from datasets.alignment import align_to_rgb, similarity_of_face
from datasets.crop import Crop
from datasets.errors import UserError
from datasets.face_models import FaceModels, get_face_models
from datasets.faces import FaceLandmarker
from datasets.frames import EightBitFrames, is_picture, read_frame
from datasets.processes import map_in_processes
from datasets.protocols import CORPORA, OWN
from datasets.reading import open_corpus
from datasets.synthetic.clips import ClipSpec
from datasets.synthetic.motion import CATEGORIES
from fdp_jax.animation.action_units import PLACES

CROP = Crop(per_frame=False, side=72, margin=2.5)  # as corpora are built by default


@dataclasses.dataclass(frozen=True, eq=False)
class Faces:
    """Aligned neutral faces.

    Attributes:
      pixels: uint8 [n, h, w, c], c = 1 if all are grey, else 3 (red-green-blue).
      places: float32 [n, place, side, xy], pixels, of the `PLACES` in their order.
      people: [n], who is shown.
      source: where they come from, for messages.
      skipped: pictures without a face.
    """

    pixels: np.ndarray
    places: np.ndarray
    people: tuple[str, ...]
    source: str
    skipped: int


def drawn_faces(people: int, stills_per_person: int, seed: int, workers: int = 0) -> Faces:
    """Draws people that no corpus of another seed holds, each with several resting faces.

    Raises:
      UserError: the face models cannot be had.
    """
    categories = list(CATEGORIES)  # irrelevant for the first frame of a clip
    specs = [
        ClipSpec(seed, person, number, categories[number % len(categories)])
        for person in range(people)
        for number in range(stills_per_person)
    ]
    pictures = [partial(_draw, spec) for spec in specs]
    source = f"{people} drawn people of seed {seed}"
    return _find_faces(pictures, [spec.subject for spec in specs], source, workers)


def _draw(spec: ClipSpec) -> np.ndarray:
    return next(spec.frames())


def photographed_faces(folder: Path, workers: int = 0) -> Faces:
    """Reads a folder of photographs; a folder in it holds the pictures of one person.

    Raises:
      UserError: the folder does not exist, holds no picture, or no picture shows a face.
    """
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}; give a folder of photographs, or the name of a built "
            f"corpus ({', '.join((*CORPORA, OWN))}), with --faces"
        )
    paths = [path for path in sorted(folder.rglob("*")) if is_picture(path)]
    if not paths:
        raise UserError(f"the folder {folder} holds no pictures, such as .jpg or .png files")
    inside = [path.relative_to(folder) for path in paths]
    people = [path.parts[0] if len(path.parts) > 1 else path.stem for path in inside]
    pictures = [partial(_read, path) for path in paths]
    return _find_faces(pictures, people, f"photographs of {folder.name}", workers)


def _read(path: Path) -> np.ndarray:
    frames = EightBitFrames(lambda: [read_frame(path)])
    return next(pixels for pixels in frames if pixels is not None)


def corpus_faces(name: str, data_dir: Path) -> Faces:
    """Takes the onset frames of a built corpus.

    Raises:
      UserError: the corpus is not built there, has other crops, or no frame shows a face.
    """
    corpus = open_corpus(name, data_dir)
    if dataclasses.replace(corpus.crop, per_frame=CROP.per_frame) != CROP:
        raise UserError(
            f"the face crops of {name} in {data_dir} are not {CROP.as_options}; build it so, into "
            "another --data_dir"
        )
    examples = tqdm(corpus, f"reading {name}", unit="clip")
    onsets = [(example["frames"][0], example["subject"]) for example in examples]
    landmarker = FaceLandmarker(get_face_models())
    found = ((*_places_in_crop(landmarker, pixels), person) for pixels, person in onsets)
    return _stack(found, len(onsets), f"onset frames of {name}")


def _places_in_crop(
    landmarker: FaceLandmarker, pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Finds the places of a face that is aligned already, uint8 [h, w, 3]."""
    enlarged = cv2.resize(pixels, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    landmarks = landmarker.find(cv2.cvtColor(enlarged, cv2.COLOR_RGB2BGR))
    if landmarks is None:
        return None, None
    return pixels, places_of((landmarks + 0.5) / 4 - 0.5)


def places_of(landmarks: np.ndarray) -> np.ndarray:
    """Returns the places of a face, float32 [place, side, xy], from landmarks [68, xy]."""
    return np.array(
        [[landmarks[list(side)].mean(axis=0) for side in sides] for sides in PLACES.values()],
        np.float32,
    )


def _find_faces(
    pictures: Sequence[Callable[[], np.ndarray]], people: Sequence[str], source: str, workers: int
) -> Faces:
    """Finds the faces in pictures, which worker processes read."""
    found = map_in_processes(_FaceFinder, (get_face_models(),), pictures, workers)
    found = tqdm(found, "finding faces", len(pictures), unit="picture")
    pairs = zip(found, people, strict=True)
    return _stack(((*face, person) for face, person in pairs), len(pictures), source)


class _FaceFinder:
    """Reads and aligns one picture after the other; one object per process."""

    def __init__(self, models: FaceModels):
        self._landmarker = FaceLandmarker(models)

    def __call__(
        self, read: Callable[[], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """Returns the aligned picture [h, w, 3] and its places; None twice without a face."""
        frame = read()
        landmarks = self._landmarker.find(frame)
        matrix = similarity_of_face(landmarks, CROP)
        if matrix is None:
            return None, None
        moved = landmarks @ matrix[:, :2].T + matrix[:, 2]
        return align_to_rgb(frame, matrix, CROP), places_of(moved)


def _stack(
    found: Iterable[tuple[np.ndarray | None, np.ndarray | None, str]], tasks: int, source: str
) -> Faces:
    """Stacks the faces that were found; raises UserError if there are none."""
    kept = [(pixels, places, person) for pixels, places, person in found if pixels is not None]
    if not kept:
        raise UserError(f"no face was found in the {source}; use frontal pictures of faces")
    pixels, places, people = zip(*kept, strict=True)
    stacked = np.stack(pixels)
    is_grey = (stacked == stacked[..., :1]).all()
    return Faces(
        stacked[..., :1] if is_grey else stacked,
        np.stack(places),
        people,
        source,
        tasks - len(kept),
    )

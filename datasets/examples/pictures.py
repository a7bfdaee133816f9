"""Pictures of the example corpora: the drawn faces of the synthetic corpus, as files hold them."""

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from datasets.synthetic.clips import HEIGHT, WIDTH, ClipSpec, prepare_clip

_SEED = 3  # of people and clips
_DISTINCT = 12  # pictures of a clip; a longer one shows some of them for several frames
_SKIN = np.array([0.76, 0.88, 1.0], np.float32)  # blue, green, red of a colour camera
_ASIDE = np.array([[1, 0, 4], [0, 1, 2]], np.float32)  # pixels; the head outside of the clip
_MOVES = {
    "disgust": "disgust",
    "fear": "sadness",
    "happiness": "happiness",
    "happy": "happiness",
    "positive": "happiness",
    "repression": "anger",
    "sad": "sadness",
    "sadness": "sadness",
    "surprise": "surprise",
}  # emotion -> how the face moves; any other as in anger


@dataclasses.dataclass(frozen=True)
class Film:
    """A drawn clip whose frames have the numbers of its corpus.

    Attributes:
      person: number of the face, from 0.
      take: number of the clip among those of its corpus, from 0.
      emotion: decides how the face moves.
      first, last: numbers of the frames at onset and offset.
      colour: whether the pictures have three channels, or one.
    """

    person: int
    take: int
    emotion: str
    first: int
    last: int
    colour: bool = True

    @property
    def numbers(self) -> range:
        """Frame numbers from onset to offset."""
        return range(self.first, self.last + 1)

    def around(self, extra: int) -> range:
        """Frame numbers with `extra` ones more on either side, none below 1."""
        return range(max(1, self.first - extra), self.last + extra + 1)

    def frame(self, number: int) -> bytes:
        """The frame as a JPEG file; outside of the clip the head sits a little aside."""
        count = len(self.numbers)
        distinct = min(count, _DISTINCT)
        before, *within, after = _draw(
            self.person, self.take, _MOVES.get(self.emotion.lower(), "anger"), distinct, self.colour
        )
        if number not in self.numbers:
            return before if number < self.first else after
        return within[(number - self.first) * distinct // count]


@functools.lru_cache(maxsize=512)
def _draw(person: int, take: int, category: str, count: int, colour: bool) -> tuple[bytes, ...]:
    """JPEG files: one of before the clip, `count` of the clip, one of after it."""
    clip = prepare_clip(ClipSpec(_SEED, person, take, category))
    places = np.linspace(0, len(clip.strengths) - 1, count).round().astype(int)
    clip = dataclasses.replace(
        clip, strengths=clip.strengths[places], brightness=clip.brightness[places]
    )
    frames = list(clip.frames())
    height, width = frames[0].shape
    before, after = (
        cv2.warpAffine(frame, _ASIDE, (width, height), borderMode=cv2.BORDER_REPLICATE)
        for frame in (frames[0], frames[-1])
    )
    within = (_as_jpeg(frame, colour, 95) for frame in frames)
    # There are many of those outside, which need not be as fine.
    return _as_jpeg(before, colour, 60), *within, _as_jpeg(after, colour, 60)


def _as_jpeg(grey: np.ndarray, colour: bool, quality: int) -> bytes:
    picture = (grey[..., None] * _SKIN).round().astype(np.uint8) if colour else grey
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _as_bmp(jpeg: bytes) -> bytes:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.imencode(".bmp", picture)[1].tobytes()


def write_frames(folder: Path, film: Film, numbers: Iterable[int], name: str) -> None:
    """Writes frames of a clip.

    Args:
      folder: made where it is missing.
      film: the clip.
      numbers: of the frames.
      name: of a file, with a place for the number, as `img{}.jpg` or `reg_image{:06d}.bmp`; a
        .bmp holds the very pixels of the JPEG.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path, jpeg = folder / name.format(number), film.frame(number)
        path.write_bytes(_as_bmp(jpeg) if path.suffix == ".bmp" else jpeg)


@functools.cache
def _depth() -> bytes:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    from_nose = np.hypot(x - WIDTH / 2, y - HEIGHT / 2)
    steps = 600 + 16 * (from_nose // 8)  # smooth ones would make large files
    return cv2.imencode(".png", steps.astype(np.uint16))[1].tobytes()


def write_depth(folder: Path, numbers: Iterable[int]) -> None:
    """Writes depth pictures `{number}.png`, 16 bits, millimetres; all are alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number}.png").write_bytes(_depth())

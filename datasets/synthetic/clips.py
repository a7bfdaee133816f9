"""Clips of the synthetic corpus: which there are, and the frames of each.

Person, resting face, pose, timing, drift, flicker, noise and distractors of clip k of a person
come from (seed, person, k) alone; the category is dealt out over a person's k by a shuffle, so it
is independent of all of them.
"""

import dataclasses
import functools
from collections.abc import Iterator

import cv2
import numpy as np

from datasets.synthetic import drawing, motion
from datasets.synthetic.people import Person, draw_person

HEIGHT, WIDTH = 208, 192  # pixels, of the frames

_HEAD_FIELDS = 3  # the last fields of a clip: sideways, up and down, roll
_CLIP_STREAM, _DEAL_STREAM, _HABIT_STREAM = 2, 3, 4  # of the random numbers
_NOISE = (1.0, 2.0)  # grey levels, standard deviation, drawn per clip
_FLICKER = 0.006  # of the brightness
_DRIFT = 0.006  # eye distances, of the head over a clip
_ROLL = 0.002  # radians, of the head over a clip
_TURN = np.array([0.24, 0.20])  # radians, yaw and pitch a clip is seen under, up to
_LIGHT = 0.35  # change of the brightness over one eye distance, per clip, up to


@dataclasses.dataclass(frozen=True)
class ClipSpec:
    """What names one clip; its frames follow from it alone."""

    seed: int
    person: int  # from 0
    number: int  # within the person, from 0
    category: str

    @property
    def subject(self) -> str:
        """Name of the person: s01, s02, ..."""
        return f"s{self.person + 1:02d}"

    @property
    def name(self) -> str:
        """Name of the clip: s01_01, s01_02, ..."""
        return f"{self.subject}_{self.number + 1:02d}"


@dataclasses.dataclass(frozen=True)
class Timing:
    """Frame numbers as a sheet gives them, and what moves."""

    onset: int
    apex: int
    offset: int
    units: tuple[int, ...]


def clip_specs(people: int, clips_per_category: int, seed: int) -> list[ClipSpec]:
    """All clips of a corpus, sorted by subject and name."""
    specs = []
    for person in range(people):
        deal = np.repeat(list(motion.CATEGORIES), clips_per_category)
        np.random.default_rng([seed, _DEAL_STREAM, person]).shuffle(deal)
        specs += [ClipSpec(seed, person, k, str(category)) for k, category in enumerate(deal)]
    return sorted(specs, key=lambda spec: (spec.subject, spec.name))


@functools.lru_cache(maxsize=2)
def _face(seed: int, index: int) -> tuple[Person, np.ndarray, np.ndarray | None]:
    """A person, the neutral picture, and how much of it the glasses cover."""
    person = draw_person(seed, index)
    return person, drawing.draw_face(person), drawing.draw_glasses(person)


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip ready to be drawn: fields over the frame, and their strengths over time.

    Attributes:
      timing: onset, apex and offset, and the action units.
      peak: largest displacement at the apex, eye distances.
      base: where each frame pixel lies in the neutral picture, [h, w, 2] float32 pixels.
      rigid: the same without the resting expression, for what does not follow the skin.
      fields: displacements, [f, h, w, 2] float32 pixels of the picture, the expression first.
      strengths: of each field in each frame, [n, f] float32.
      brightness: factor of each frame, [n] float32.
      light: factor of each pixel, [h, w] float32.
      noise: standard deviation of the sensor noise, grey levels.
    """

    spec: ClipSpec
    timing: Timing
    peak: float
    base: np.ndarray
    rigid: np.ndarray
    fields: np.ndarray
    strengths: np.ndarray
    brightness: np.ndarray
    light: np.ndarray
    noise: float

    def frames(self) -> Iterator[np.ndarray]:
        """The frames from onset to offset, uint8 [h, w] grey each."""
        person, picture, glasses = _face(self.spec.seed, self.spec.person)
        rng = np.random.default_rng([*_key(self.spec), 1])
        for strength, brightness in zip(self.strengths, self.brightness, strict=True):
            # Backward map: small displacements make it the same as the forward one.
            places = _moved(self.base, self.fields, strength)
            frame = cv2.remap(picture, places, None, cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
            if glasses is not None:
                frame = self._put_on(glasses, drawing.glasses_tone(person), strength, frame)
            lit = cv2.multiply(frame, self.light, scale=float(brightness), dtype=cv2.CV_32F)
            noise = rng.standard_normal((HEIGHT, WIDTH), np.float32)
            yield cv2.addWeighted(lit, 1.0, noise, self.noise, 0, dtype=cv2.CV_8U)

    def _put_on(
        self, glasses: np.ndarray, tone: float, strength: np.ndarray, frame: np.ndarray
    ) -> np.ndarray:
        """`frame` with the glasses on, which follow the head and not the skin."""
        places = _moved(self.rigid, self.fields[-_HEAD_FIELDS:], strength[-_HEAD_FIELDS:])
        cover = cv2.remap(glasses, places, None, cv2.INTER_LINEAR)
        cover = cover.astype(np.float32) / 255
        return frame + cover * (tone - frame)


def _moved(places: np.ndarray, fields: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """`places` less the fields by their strengths."""
    # Not a product of matrices: several processes, each with all cores for BLAS, stall each other.
    for field, amount in zip(fields, strength, strict=True):
        places = cv2.scaleAdd(field, -float(amount), places)
    return places


def _key(spec: ClipSpec) -> tuple[int, ...]:
    return spec.seed, _CLIP_STREAM, spec.person, spec.number


@functools.lru_cache(maxsize=1)
def prepare_clip(spec: ClipSpec) -> Clip:
    """Draws all random numbers of a clip and the fields it moves by."""
    rng = np.random.default_rng([*_key(spec), 0])
    person, _, _ = _face(spec.seed, spec.person)
    count = int(rng.integers(motion.FRAMES[0], motion.FRAMES[1] + 1))
    curve, apex = motion.expression_curve(count, rng)
    onset = int(rng.integers(1, 6000))
    peak = rng.uniform(*motion.PEAK)
    pushes, units = motion.expression(person, spec.category, rng)

    base = _pose(rng)
    x, y = ((base[..., i] - drawing.ORIGIN[i]) / drawing.EYE_DISTANCE for i in (0, 1))
    x, y = x.astype(np.float32), y.astype(np.float32)
    habit = np.random.default_rng([spec.seed, _HABIT_STREAM, spec.person])
    rest = motion.field(motion.resting_expression(person, habit, rng), x, y)
    turned = motion.turn(*rng.uniform(-1, 1, 2) * _TURN, x, y)
    rigid = base - drawing.EYE_DISTANCE * turned

    expression = motion.field(pushes, x, y)
    expression *= peak / np.hypot(expression[..., 0], expression[..., 1]).max()
    fields, curves = [expression], [curve]
    for pushes, strength in motion.distractors(person, count, rng):
        fields.append(motion.field(pushes, x, y))
        curves.append(strength)
    ones, zeros = np.ones_like(x), np.zeros_like(x)
    centre = 0.6  # the head turns about a place between eyes and mouth
    for unit, size in (((ones, zeros), _DRIFT), ((zeros, ones), _DRIFT),
                       ((centre - y, x), _ROLL)):  # fmt: skip
        fields.append(np.stack(unit, axis=-1))
        curves.append(motion.wander(count, size, rng))
    flicker = 1 + _FLICKER * (
        rng.uniform(0, 1) * np.sin(rng.uniform(0.2, 2.0) * np.arange(count) + rng.uniform(0, 6.28))
        + rng.normal(0, 0.4, count)
    )
    return Clip(
        spec=spec,
        timing=Timing(onset, onset + apex, onset + count - 1, units),
        peak=peak,
        base=(rigid - drawing.EYE_DISTANCE * rest).astype(np.float32),
        rigid=rigid.astype(np.float32),
        fields=(drawing.EYE_DISTANCE * np.stack(fields)).astype(np.float32),
        strengths=np.stack(curves, axis=1).astype(np.float32),
        brightness=flicker.astype(np.float32),
        light=_light(x, y, rng),
        noise=rng.uniform(*_NOISE),
    )


def _light(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clip's own light: brightness and a slope over the face, [h, w] float32 factors."""
    slope_x, slope_y = rng.uniform(-_LIGHT, _LIGHT, 2)
    slope = np.tanh(slope_x * x) + np.tanh(slope_y * (y - 0.6))
    return (rng.uniform(0.7, 0.95) * np.maximum(1 + slope, 0.2)).astype(np.float32)


def _pose(rng: np.random.Generator) -> np.ndarray:
    """Where the frame's pixels lie in the neutral picture, [h, w, 2]."""
    scale, angle = rng.uniform(0.80, 0.92), rng.uniform(-0.12, 0.12)
    shift = rng.uniform(-5, 5, 2)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = x - WIDTH / 2 - shift[0], y - HEIGHT / 2 - shift[1]
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    middle = drawing.to_pixels((0.0, 0.35))
    return np.stack([cos * x + sin * y + middle[0], cos * y - sin * x + middle[1]], axis=-1)

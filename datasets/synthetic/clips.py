"""Clips of the synthetic corpus, and longer videos of the same people.

Person, resting face, pose, timing, drift, flicker, noise and distractors of clip k of a person
follow from (seed, person, k). The categories of a person's clips are shuffled independently.
"""

import dataclasses
import functools
from collections.abc import Iterator

import cv2
import numpy as np

from datasets.clip_tasks import Annotation
from datasets.synthetic import drawing, motion

HEIGHT, WIDTH = 208, 192  # pixels, of the frames

_CLIP_STREAM, _ORDER_STREAM, _HABIT_STREAM, _VIDEO_STREAM = 2, 3, 4, 5  # of random numbers
_HEAD_FIELDS = 3  # the last fields of a clip: sideways, up and down, roll
_HEAD_CENTRE = 0.6  # y of the point that the head rolls about, eye distances
_NOISE = (1.0, 2.0)  # grey levels, standard deviation, drawn per clip
_FLICKER = 0.006  # of the brightness
_DRIFT = 0.006  # eye distances, of the head over a clip
_ROLL = 0.002  # radians, of the head over a clip
_TURN = np.array([0.24, 0.20])  # radians, largest yaw and pitch
_LIGHT = 0.35  # largest change of the brightness over one eye distance

# Of a video.
_MARGIN = 0.4  # seconds without expression at either end, at least
_TWITCHES_PER_SECOND = 1.0  # of each kind that the clip has
_SMALLEST_TWITCH = 0.004  # eye distances


@dataclasses.dataclass(frozen=True)
class ClipSpec:
    """A clip that is drawn when it is built; see `datasets.clip_tasks.ClipTask`."""

    seed: int
    person: int  # from 0
    number: int  # within the person, from 0
    category: str

    @property
    def subject(self) -> str:
        """Name of the person: s01, s02, ..."""
        return f"s{self.person + 1:02d}"

    @property
    def clip(self) -> str:
        """Name of the clip: s01_01, s01_02, ..."""
        return f"{self.subject}_{self.number + 1:02d}"

    @property
    def where(self) -> str:
        """Source of the frames, for messages."""
        return f"drawn from seed {self.seed}"

    def annotation(self) -> Annotation:
        """Returns the annotation of the clip."""
        clip = prepare_clip(self)
        return Annotation(
            subject=self.subject,
            clip=self.clip,
            emotion=self.category,
            objective_class="",
            action_units="+".join(map(str, clip.units)),
            onset=clip.onset,
            apex=clip.apex,
            offset=clip.offset,
            fps=motion.FPS,
        )

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the frames from onset to offset, uint8 [h, w] grey each."""
        return prepare_clip(self).frames()

    def rng(self, purpose: int) -> np.random.Generator:
        """Returns a generator of random numbers for this clip."""
        key = (self.seed, _CLIP_STREAM, self.person, self.number, purpose)
        return np.random.default_rng(key)


def clip_specs(people: int, clips_per_category: int, seed: int) -> list[ClipSpec]:
    """Returns all clips of a corpus, sorted by subject and name."""
    specs = []
    for person in range(people):
        categories = np.repeat(list(motion.CATEGORIES), clips_per_category)
        np.random.default_rng([seed, _ORDER_STREAM, person]).shuffle(categories)
        specs += [ClipSpec(seed, person, k, str(name)) for k, name in enumerate(categories)]
    return sorted(specs, key=lambda spec: (spec.subject, spec.clip))


@functools.lru_cache(maxsize=2)
def _face(seed: int, index: int) -> tuple[drawing.Person, np.ndarray, np.ndarray | None]:
    """A person, the neutral picture, and the cover of the glasses."""
    person = drawing.draw_person(seed, index)
    return person, drawing.draw_face(person), drawing.draw_glasses(person)


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip ready to be drawn: fields over the frame, and their strengths over time.

    Attributes:
      onset, apex, offset: frame numbers.
      units: action units of the expression.
      peak: largest displacement at the apex, eye distances.
      base: position of each frame pixel in the neutral picture, [h, w, 2] float32 pixels.
      rigid: the same without the resting expression, for what does not follow the skin.
      fields: displacements, [f, h, w, 2] float32 pixels of the picture, the expression first.
      strengths: of each field in each frame, [n, f] float32.
      brightness: factor of each frame, [n] float32.
      light: factor of each pixel, [h, w] float32.
      noise: standard deviation of the sensor noise, grey levels.
    """

    spec: ClipSpec
    onset: int
    apex: int
    offset: int
    units: tuple[int, ...]
    peak: float
    base: np.ndarray
    rigid: np.ndarray
    fields: np.ndarray
    strengths: np.ndarray
    brightness: np.ndarray
    light: np.ndarray
    noise: float

    def frames(self, chosen: slice | np.ndarray = slice(None)) -> Iterator[np.ndarray]:
        """Yields the frames from onset to offset, or those at `chosen`, uint8 [h, w] grey each."""
        person, picture, glasses = _face(self.spec.seed, self.spec.person)
        rng = self.spec.rng(1)
        for strength, brightness in zip(
            self.strengths[chosen], self.brightness[chosen], strict=True
        ):
            # Displacements are small, so that the backward map equals the forward one.
            places = _displaced(self.base, self.fields, strength)
            frame = cv2.remap(
                picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            if glasses is not None:
                head = slice(-_HEAD_FIELDS, None)
                places = _displaced(self.rigid, self.fields[head], strength[head])
                cover = cv2.remap(glasses, places, None, cv2.INTER_LINEAR).astype(np.float32) / 255
                frame = frame + cover * (drawing.glasses_tone(person) - frame)
            lit = cv2.multiply(frame, self.light, scale=float(brightness), dtype=cv2.CV_32F)
            noise = rng.standard_normal((HEIGHT, WIDTH), np.float32)
            yield cv2.addWeighted(lit, 1.0, noise, self.noise, 0, dtype=cv2.CV_8U)


def _displaced(places: np.ndarray, fields: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    # Not a matrix product: several processes, each with all cores for BLAS, stall each other.
    for field, strength in zip(fields, strengths, strict=True):
        places = cv2.scaleAdd(field, -float(strength), places)
    return places


@functools.lru_cache(maxsize=1)
def prepare_clip(spec: ClipSpec) -> Clip:
    """Draws the random numbers of a clip and computes its displacement fields."""
    rng = spec.rng(0)
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
    fields += [np.stack(f, axis=-1) for f in ((ones, zeros), (zeros, ones), (_HEAD_CENTRE - y, x))]
    curves += _head_curves(count, rng)
    brightness = _flicker(count, rng)
    return Clip(
        spec=spec,
        onset=onset,
        apex=onset + apex,
        offset=onset + count - 1,
        units=units,
        peak=peak,
        base=(rigid - drawing.EYE_DISTANCE * rest).astype(np.float32),
        rigid=rigid.astype(np.float32),
        fields=(drawing.EYE_DISTANCE * np.stack(fields)).astype(np.float32),
        strengths=np.stack(curves, axis=1).astype(np.float32),
        brightness=brightness,
        light=_light(x, y, rng),
        noise=rng.uniform(*_NOISE),
    )


def _head_curves(frames: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Returns the path of the head, sideways, up and down, and roll, [frames] each."""
    return [motion.drift(frames, size, rng) for size in (_DRIFT, _DRIFT, _ROLL)]


def _flicker(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the brightness of each frame, [frames] float32 factors: a wave and noise."""
    size, speed, phase = rng.uniform(0, 1), rng.uniform(0.2, 2.0), rng.uniform(0, 6.28)
    wave = size * np.sin(speed * np.arange(frames) + phase)
    return (1 + _FLICKER * (wave + rng.normal(0, 0.4, frames))).astype(np.float32)


def _light(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness of a clip with a slope over the face, [h, w] float32 factors."""
    slope_x, slope_y = rng.uniform(-_LIGHT, _LIGHT, 2)
    slope = np.tanh(slope_x * x) + np.tanh(slope_y * (y - 0.6))
    return (rng.uniform(0.7, 0.95) * np.maximum(1 + slope, 0.2)).astype(np.float32)


def _pose(rng: np.random.Generator) -> np.ndarray:
    """Position of the frame's pixels in the neutral picture, [h, w, 2]."""
    scale, angle = rng.uniform(0.80, 0.92), rng.uniform(-0.12, 0.12)
    shift = rng.uniform(-5, 5, 2)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = x - WIDTH / 2 - shift[0], y - HEIGHT / 2 - shift[1]
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    middle = drawing.to_pixels((0.0, 0.35))
    return np.stack([cos * x + sin * y + middle[0], cos * y - sin * x + middle[1]], axis=-1)


@dataclasses.dataclass(frozen=True)
class DrawnVideo:
    """A video, drawn frame by frame: a resting face, and in most videos one expression.

    Person, pose, light and expression are those of a clip; twitches, drift and flicker go on for
    the whole video.

    Attributes:
      clip: fields and strengths over the whole video.
      category: of the expression; None without one.
      interval: onset, apex and offset in seconds; None without an expression.
    """

    clip: Clip
    category: str | None
    interval: tuple[float, float, float] | None

    def frames(self, step: int = 1) -> Iterator[np.ndarray]:
        """Yields each `step`-th frame, uint8 [h, w] grey, of `motion.FPS` per second."""
        return self.clip.frames(slice(None, None, step))


def draw_video(seed: int, person: int, category: str | None, seconds: float) -> DrawnVideo:
    """Returns the video of a person; the same arguments give the same frames.

    Args:
      seed: of people and motion.
      person: from 0.
      category: of `motion.CATEGORIES`; None for a video without an expression.
      seconds: length.
    """
    spec = ClipSpec(seed, person, 0, category or next(iter(motion.CATEGORIES)))
    clip, rng = prepare_clip(spec), np.random.default_rng([seed, _VIDEO_STREAM, person])
    frames = round(seconds * motion.FPS)
    curve, interval = np.zeros(frames), None
    duration = len(clip.strengths)
    margin = round(_MARGIN * motion.FPS)
    start = int(rng.integers(margin, frames - duration - margin))
    if category is not None:
        curve[start : start + duration] = clip.strengths[:, 0]
        # Nobody jumps back to rest: what is left at the offset fades.
        tail = np.exp(-np.arange(frames - start - duration) / (0.1 * motion.FPS))
        curve[start + duration :] = clip.strengths[-1, 0] * tail
        ends = (0, clip.apex - clip.onset, duration - 1)
        interval = tuple((start + end) / motion.FPS for end in ends)
    return DrawnVideo(_prolonged(clip, curve, rng), category, interval)


def _prolonged(clip: Clip, expression: np.ndarray, rng: np.random.Generator) -> Clip:
    """Returns the clip with other strengths: the expression's, and distractors all the time."""
    frames = len(expression)
    head, time = _head_curves(frames, rng), np.arange(frames)
    twitches = []
    for own in clip.strengths[:, 1 : -len(head)].T:  # the same movements, but others in time
        count = rng.poisson(_TWITCHES_PER_SECOND * frames / motion.FPS)
        middles, widths = rng.uniform(0, frames, count), rng.uniform(6, 14, count)
        bumps = np.exp(-0.5 * ((time[:, None] - middles) / widths) ** 2)
        twitches.append(max(own.max(), _SMALLEST_TWITCH) * bumps.max(axis=1, initial=0.0))
    return dataclasses.replace(
        clip,
        strengths=np.stack([expression, *twitches, *head], axis=1).astype(np.float32),
        brightness=_flicker(frames, rng),
    )

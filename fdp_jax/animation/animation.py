"""Clips of animated faces, drawn on the device: stills and a key in, clips with categories out.

A clip is one still, warped in every frame by the field of an expression (`action_units`), whose
strength rises to an apex and falls, and by what real clips contain besides: twitches, blinks, a
drifting head, uneven and flickering light, blur and sensor noise. These distractors are drawn alike
for all categories.

Axes: n stills, b clips, t frames, q pushes, 2 sides (left and right in the picture), h w pixels,
xy = (column, row), c channels. Lengths are in inter-ocular distances unless given in pixels.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.animation.action_units import (
    ACTION_UNITS,
    BLINK,
    CATEGORIES,
    EXPRESSIONS,
    NEUTRAL,
    PLACES,
)
from fdp_jax.config import ClipConfig
from fdp_jax.input_pipeline import GREY_WEIGHTS, Batch, PackedClips, dynamic_image

UNITS = tuple(ACTION_UNITS)
NEUTRAL_SHARE = 0.2  # of the clips
Range = tuple[float, float]


@dataclass(frozen=True)
class AnimationConfig:
    """What is drawn at random for every clip; ranges are uniform."""

    peak: Range = (0.02, 0.10)  # largest displacement of the expression, at its apex
    unit_strength: Range = (0.7, 1.3)  # of each unit in an expression
    asymmetry: float = 0.2  # by which a side may be stronger than the mean of both
    push_jitter: float = 0.05  # standard deviation of the pushes' centres
    radius: Range = (0.8, 1.25)  # factor
    rising_share: float = 0.15  # of the clips, which end at the apex
    rest: float = 0.2  # longest part of the clip before the onset, and after the offset
    apex: Range = (0.25, 0.75)  # between onset and offset
    residual: float = 0.5  # largest strength at the offset
    twitches: float = 2.0  # mean number
    twitch: float = 0.012  # largest displacement
    blink_share: float = 0.15  # of the clips
    blink: Range = (0.02, 0.12)
    drift: float = 0.012  # of the head over a clip
    roll: float = 0.004  # radians, over a clip
    zoom: float = 0.004  # over a clip
    contrast: Range = (0.7, 1.2)
    slope: float = 0.2  # of the light, per inter-ocular distance
    flicker: float = 0.004
    noise: Range = (0.3, 2.0)  # grey levels
    blur: float = 1.0  # largest share of the blurred picture
    colour_share: float = 0.5  # of the clips; the others are grey


def animation_of(config: ClipConfig) -> AnimationConfig:
    """Returns what is drawn for clips that end as `config` says."""
    return AnimationConfig(rising_share=1.0) if config.last_frame == "apex" else AnimationConfig()


@flax.struct.dataclass
class Stills:
    """Aligned neutral faces.

    Attributes:
      pixels: uint8 [n, h, w, c], c = 1 for grey ones, else 3 (red-green-blue).
      places: float32 [n, place, side, xy], pixels, of the `PLACES` in their order.
    """

    pixels: jax.Array
    places: jax.Array


@flax.struct.dataclass
class AnimatedClips(PackedClips):
    """Endless clips for training, and one fixed clip per still for evaluation.

    Clip i shows still i. Training draws a new expression of it at every step; evaluation uses the
    fixed one, with its label.
    """

    stills: Stills

    def training_batch(self, indices: jax.Array, key: jax.Array, config: ClipConfig) -> Batch:
        """Returns a batch of new clips of the stills `indices` [b]; see `input_pipeline.Batch`."""
        label_key, corner_key, flip_key, clip_key = jax.random.split(key, 4)
        b = indices.shape[0]
        labels = draw_labels(label_key, b)
        margin = self.stills.pixels.shape[1] - config.crop
        corners = jax.random.randint(corner_key, (b, 2), 0, margin + 1)
        flip = jax.random.bernoulli(flip_key, config.flip_probability, (b,))
        stills = jax.tree.map(lambda leaf: leaf[indices], self.stills)
        frames = animate(
            stills,
            labels,
            corners,
            flip,
            clip_key,
            config.frames,
            config.crop,
            animation_of(config),
        )
        clips = frames / jnp.float32(127.5) - 1.0
        # From `clips`, which are in memory for the network, not by drawing them once more.
        grey = clips @ (0.5 * jnp.array(GREY_WEIGHTS)) + 0.5
        return Batch(clips, dynamic_image(grey), labels)


@flax.struct.dataclass
class Motion:
    """The motion of one clip.

    Attributes:
      eyes: float32 [2], pixel midway between the eyes.
      eye_distance: float32, inter-ocular distance in pixels.
      centres: float32 [q, side, xy], of the pushes.
      directions: float32 [q, side, xy].
      radii: float32 [q].
      layers: float32 [layer, q, side], strength of the pushes in expression, twitches and blink.
      peaks: float32 [layer], largest displacement.
      strengths: float32 [layer, t], from 0 to 1.
      head: float32 [t, 4]: shift x and y, roll in radians, zoom, relative to the first frame.
    """

    eyes: jax.Array
    eye_distance: jax.Array
    centres: jax.Array
    directions: jax.Array
    radii: jax.Array
    layers: jax.Array
    peaks: jax.Array
    strengths: jax.Array
    head: jax.Array


class _Draws:
    """Random numbers of one clip, each from a key of its own."""

    def __init__(self, key: jax.Array):
        self._key, self._count = key, 0

    def key(self) -> jax.Array:
        self._count += 1
        return jax.random.fold_in(self._key, self._count)

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> jax.Array:
        return jax.random.uniform(self.key(), shape, minval=low, maxval=high)

    def normal(self, shape: tuple[int, ...] = ()) -> jax.Array:
        return jax.random.normal(self.key(), shape)

    def happens(self, probability: float | jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
        return jax.random.bernoulli(self.key(), probability, shape)


# All pushes of all units; arrays with the axis q.
_PUSHES = [push for unit in ACTION_UNITS.values() for push in unit.pushes]
_UNIT_OF_PUSH = np.repeat(np.arange(len(UNITS)), [len(u.pushes) for u in ACTION_UNITS.values()])
_PLACE_OF_PUSH = np.array([list(PLACES).index(push.place) for push in _PUSHES])
_SHIFTS = np.array([push.shift for push in _PUSHES], np.float32)  # [q, 2]: outwards and down
_DIRECTIONS = np.array([(push.outwards, push.down) for push in _PUSHES], np.float32)
_RADII = np.array([push.radius for push in _PUSHES], np.float32)
_MIRROR = np.array([[-1.0, 1.0], [1.0, 1.0]], np.float32)  # [side, xy]: outwards is left, or right
_NEUTRAL_LABEL = CATEGORIES.index(NEUTRAL)


def _units_by_category(kind: str) -> np.ndarray:
    """Which units an expression has `always` or `sometimes`, float32 [category, unit]."""
    return np.array(
        [[unit in getattr(shown, kind) for unit in UNITS] for shown in EXPRESSIONS.values()],
        np.float32,
    )


_ALWAYS, _SOMETIMES = _units_by_category("always"), _units_by_category("sometimes")
_ONE_SIDED = np.array([shown.one_sided for shown in EXPRESSIONS.values()])


def draw_labels(key: jax.Array, count: int) -> jax.Array:
    """Returns random categories, int32 [count], of which `NEUTRAL_SHARE` are without expression."""
    others = (1 - NEUTRAL_SHARE) / (len(CATEGORIES) - 1)
    shares = np.full(len(CATEGORIES), others, np.float32)
    shares[_NEUTRAL_LABEL] = NEUTRAL_SHARE
    return jax.random.categorical(key, np.log(shares), shape=(count,)).astype(jnp.int32)


def animate(
    stills: Stills,
    labels: jax.Array,
    corners: jax.Array,
    flip: jax.Array,
    key: jax.Array,
    frames: int,
    size: int,
    config: AnimationConfig,
) -> jax.Array:
    """Draws one clip of each still.

    Args:
      stills: b of them.
      labels: int32 [b], indices into `CATEGORIES`.
      corners: int32 [b, 2], row and column of the crop in the still.
      flip: bool [b], whether the crop is mirrored.
      key: of the batch; the same key gives the same clips.
      frames: t.
      size: of the crop, pixels.
      config: what is drawn at random.

    Returns:
      float32 [b, t, size, size, 3], whole grey levels from 0 to 255.
    """

    def draw(pixels, places, label, corner, flip, key) -> jax.Array:
        motion_key, look_key, noise_key = jax.random.split(key, 3)
        motion = draw_motion(places, label, motion_key, frames, config)
        rows, columns = jnp.mgrid[0:size, 0:size].astype(jnp.float32)
        columns = jnp.where(flip, size - 1 - columns, columns)
        pixel = jnp.stack([columns + corner[1], rows + corner[0]], axis=-1)  # xy
        fields = skin_fields(motion, pixel)
        look = _draw_look(pixels, pixel, motion, look_key, frames, config)

        def draw_frame(k: jax.Array) -> jax.Array:
            moved = pixel - displacement(motion, fields, pixel, k)  # small: backward is forward
            seen = _sample(look.still, moved) * (look.light * look.flicker[k])[..., None]
            noise = jax.random.normal(jax.random.fold_in(noise_key, k), (size, size, 1))
            return seen + look.noise * noise

        # A loop, so that a frame is in memory once. Fused with what follows, noise and sampling
        # would be computed again for each of their uses.
        clip = jax.lax.map(draw_frame, jnp.arange(frames))
        return jnp.clip(jnp.round(clip * look.tint), 0, 255)

    keys = jax.random.split(key, labels.shape[0])
    return jax.vmap(draw)(stills.pixels, stills.places, labels, corners, flip, keys)


def draw_motion(
    places: jax.Array, label: jax.Array, key: jax.Array, frames: int, config: AnimationConfig
) -> Motion:
    """Draws the motion of a clip; `places` [place, side, xy] as of `Stills`, `label` a scalar."""
    draws = _Draws(key)
    eyes = places[list(PLACES).index("eye")]  # [side, xy]
    eye_distance = jnp.linalg.norm(eyes[1] - eyes[0])
    jitter = config.push_jitter * draws.normal((len(_PUSHES), 2, 2))
    shift = _SHIFTS[:, None] * _MIRROR + jitter
    radius = draws.uniform(*config.radius, (len(UNITS),))[_UNIT_OF_PUSH]
    expression, peak = _draw_expression(draws, label, config)
    twitch = draws.happens(config.twitches / len(UNITS), (len(UNITS), 1))
    twitch = twitch & draws.happens(0.6, (len(UNITS), 2))  # often on one side alone
    blink = (np.array(UNITS) == BLINK)[:, None] & draws.happens(config.blink_share)
    layers = [expression, twitch, jnp.broadcast_to(blink, twitch.shape)]
    peaks = [peak, draws.uniform(0.0, config.twitch), draws.uniform(*config.blink)]
    return Motion(
        eyes=eyes.mean(axis=0),
        eye_distance=eye_distance,
        centres=places[_PLACE_OF_PUSH] + eye_distance * shift,
        directions=_DIRECTIONS[:, None] * _MIRROR,
        radii=eye_distance * _RADII * radius,
        layers=jnp.stack([layer.astype(jnp.float32)[_UNIT_OF_PUSH] for layer in layers]),
        peaks=jnp.stack(peaks),
        strengths=_draw_strengths(draws, frames, config),
        head=_draw_head(draws, frames, config),
    )


def _draw_expression(
    draws: _Draws, label: jax.Array, config: AnimationConfig
) -> tuple[jax.Array, jax.Array]:
    """Returns the strength of the units on the sides, [unit, side], and the peak displacement."""
    is_there = jnp.asarray(_SOMETIMES)[label] * draws.happens(0.5)
    strength = draws.uniform(*config.unit_strength, (len(UNITS),))
    units = (jnp.asarray(_ALWAYS)[label] + is_there) * strength
    lopsided = draws.uniform(-config.asymmetry, config.asymmetry)
    lopsided = jnp.where(jnp.asarray(_ONE_SIDED)[label], jnp.sign(lopsided), lopsided)
    sides = jnp.stack([1 + lopsided, 1 - lopsided])
    peak = draws.uniform(*config.peak)
    return units[:, None] * sides, jnp.where(label == _NEUTRAL_LABEL, 0.0, peak)


def _draw_strengths(draws: _Draws, frames: int, config: AnimationConfig) -> jax.Array:
    """Returns the strengths over time of expression, twitches and blink, [3, t]."""
    time = (jnp.arange(frames) + 0.5) / frames
    has_rest = draws.happens(0.5, (2,))
    rest = has_rest * draws.uniform(0.0, config.rest, (2,))
    rises_only = draws.happens(config.rising_share)
    onset, offset = rest[0], jnp.where(rises_only, 1.0, 1.0 - rest[1])
    apex = jnp.where(rises_only, 1.0, draws.uniform(*config.apex))
    apex = onset + apex * (offset - onset)
    residual = draws.uniform(0.0, config.residual)
    rise = _smooth_step((time - onset) / (apex - onset))
    fall = 1 - (1 - residual) * _smooth_step((time - apex) / jnp.maximum(offset - apex, 1e-3))
    bumps = [
        jnp.exp(-0.5 * ((time - draws.uniform(0.0, 1.0)) / draws.uniform(0.08, 0.25)) ** 2)
        for _ in range(2)
    ]
    return jnp.stack([jnp.where(time <= apex, rise, fall), *bumps])


def _smooth_step(x: jax.Array) -> jax.Array:
    x = jnp.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _draw_head(draws: _Draws, frames: int, config: AnimationConfig) -> jax.Array:
    """Returns a slow path of the head, [t, 4]: a slope and a swing, from 0."""
    time = (jnp.arange(frames) + 0.5)[:, None] / frames
    sizes = np.array([config.drift, config.drift, config.roll, config.zoom], np.float32)
    slope, swing = draws.uniform(-0.7, 0.7, (4,)), draws.uniform(-0.15, 0.15, (4,))
    path = slope * time + swing * jnp.sin(2 * math.pi * (time + draws.uniform(0.0, 1.0, (4,))))
    return sizes * (path - path[0])


def skin_fields(motion: Motion, pixel: jax.Array) -> jax.Array:
    """Returns the largest displacement of every layer at each point, [layer, h, w, xy] pixels.

    Args:
      motion: of one clip.
      pixel: float32 [h, w, xy], positions.
    """
    away = pixel - motion.centres[:, :, None, None]  # [q, side, h, w, xy]
    squared = jnp.square(away).sum(axis=-1)
    weights = jnp.exp(-0.5 * squared / jnp.square(motion.radii)[:, None, None, None])
    fields = jnp.einsum("lqs,qshw,qsd->lhwd", motion.layers, weights, motion.directions)
    longest = jnp.linalg.norm(fields, axis=-1).max(axis=(1, 2))
    scale = motion.peaks * motion.eye_distance / jnp.maximum(longest, 1e-6)
    return fields * jnp.where(longest > 1e-6, scale, 0.0)[:, None, None, None]


def displacement(
    motion: Motion, fields: jax.Array, pixel: jax.Array, frame: int | jax.Array
) -> jax.Array:
    """Returns by how much each point of the face has moved in a frame, float32 [h, w, xy] pixels.

    Args:
      motion: of one clip.
      fields: of `skin_fields`.
      pixel: float32 [h, w, xy], positions.
      frame: its number, from 0.
    """
    skin = jnp.einsum("l,lhwd->hwd", motion.strengths[:, frame], fields)
    shift, roll, zoom = jnp.split(motion.head[frame], (2, 3))
    from_eyes = pixel - motion.eyes
    turned = jnp.stack([-from_eyes[..., 1], from_eyes[..., 0]], axis=-1)
    return skin + shift * motion.eye_distance + roll * turned + zoom * from_eyes


def _sample(pixels: jax.Array, moved: jax.Array) -> jax.Array:
    """Reads a still float32 [h, w, c] at `moved` [h', w', xy] linearly: float32 [h', w', c]."""
    x, y = moved[..., 0], moved[..., 1]

    def read(channel: jax.Array) -> jax.Array:
        return jax.scipy.ndimage.map_coordinates(channel, [y, x], order=1, mode="nearest")

    return jax.vmap(read, in_axes=-1, out_axes=-1)(pixels)


class _Look(NamedTuple):
    """What the camera makes of a clip.

    Attributes:
      still: float32 [h, w, c], blurred, grey or in colour.
      light: float32 [h', w'], factor of each pixel of the crop.
      flicker: float32 [t], factor of each frame.
      tint: float32 [3], factor of each channel.
      noise: standard deviation, grey levels.
    """

    still: jax.Array
    light: jax.Array
    flicker: jax.Array
    tint: jax.Array
    noise: jax.Array


def _draw_look(
    pixels: jax.Array,
    pixel: jax.Array,
    motion: Motion,
    key: jax.Array,
    frames: int,
    config: AnimationConfig,
) -> _Look:
    draws, still = _Draws(key), pixels.astype(jnp.float32)
    is_colour = draws.happens(config.colour_share)
    tint = jnp.ones(3)
    if still.shape[-1] == 1:  # like skin
        warm = jnp.stack([draws.uniform(1.0, 1.25), jnp.float32(1.0), draws.uniform(0.65, 1.0)])
        tint = jnp.where(is_colour, warm, tint)
    else:
        grey = (still @ jnp.array(GREY_WEIGHTS))[..., None]
        still = jnp.where(is_colour, still, grey)
    share = draws.uniform(0.0, config.blur)
    place = (pixel - motion.eyes) / motion.eye_distance  # [h, w, xy]
    slope = jnp.tanh(place @ draws.uniform(-config.slope, config.slope, (2,)))
    flicker = config.flicker * draws.uniform(0.0, 1.0) * draws.normal((frames,))
    return _Look(
        still=(1 - share) * still + share * _blurred(still),
        light=draws.uniform(*config.contrast) * (1 + slope),
        flicker=1 + flicker,
        tint=tint,
        noise=draws.uniform(*config.noise),
    )


def _blurred(still: jax.Array) -> jax.Array:
    """Binomial blur of width 3 in both directions; [h, w, c]."""
    for axis in (0, 1):
        n = still.shape[axis]
        pad = [(1, 1) if place == axis else (0, 0) for place in range(3)]
        padded = jnp.pad(still, pad, mode="edge")
        parts = [jax.lax.slice_in_dim(padded, k, k + n, axis=axis) for k in range(3)]
        still = 0.25 * parts[0] + 0.5 * parts[1] + 0.25 * parts[2]
    return still

"""From the corpus on the device to a batch: which frames, which crop, which way round (4.1.3).

Axes: N = all frames of the corpus, b = clips of a batch, t = sampled frames, h w = pixels,
c = channels (1 for a grey corpus, stored once and repeated here).
"""

import flax.struct
import jax
import jax.numpy as jnp

from fdp_jax.config import ClipConfig
from fdp_jax.dynamic_image import dynamic_image

GREY_WEIGHTS = (0.299, 0.587, 0.114)


@flax.struct.dataclass
class PackedClips:
    """Every clip of a corpus, one after the other.

    Attributes:
      frames: uint8 [N, h, w, c].
      starts: int32 [clip], number of the clip's first frame.
      lengths: int32 [clip], frames of the clip.
      labels: int32 [clip].
    """

    frames: jax.Array
    starts: jax.Array
    lengths: jax.Array
    labels: jax.Array


@flax.struct.dataclass
class Batch:
    """What the network and its losses see.

    Attributes:
      clips: float32 [b, t, crop, crop, 3] in [-1, 1].
      target: float32 [b, crop, crop], ground-truth dynamic image in [0, 1].
      labels: int32 [b].
    """

    clips: jax.Array
    target: jax.Array
    labels: jax.Array


def frame_numbers(lengths: jax.Array, offset: jax.Array, frames: int) -> jax.Array:
    """floor((k + u) n / t) for k = 0 .. t-1; short clips repeat frames.

    Args:
      lengths: int32 [b], n.
      offset: float32 [b], u in [0, 1).
      frames: t.

    Returns:
      int32 [b, t], each in 0 .. n-1, never falling.
    """
    k, n = jnp.arange(frames), lengths[:, None]
    position = jnp.floor((k + offset[:, None]) * n / frames).astype(jnp.int32)
    # An offset just under 1 may be rounded into the next slice of time.
    return jnp.minimum(position, ((k + 1) * n - 1) // frames)


def crop_clips(clips: jax.Array, corners: jax.Array, side: int) -> jax.Array:
    """[b, t, h, w, c] and corners (row, column) int32 [b, 2] -> [b, t, side, side, c]."""

    def crop(clip: jax.Array, corner: jax.Array) -> jax.Array:
        t, _, _, c = clip.shape
        return jax.lax.dynamic_slice(clip, (0, corner[0], corner[1], 0), (t, side, side, c))

    return jax.vmap(crop)(clips, corners)


def _assemble(
    corpus: PackedClips,
    numbers: jax.Array,
    chosen: jax.Array,
    corners: jax.Array,
    flip: jax.Array,
    side: int,
) -> Batch:
    """Gathers, crops, flips and scales the chosen frames, and pools the target from them."""
    frames = corpus.frames[corpus.starts[numbers][:, None] + chosen]  # uint8 [b, t, h, w, c]
    frames = crop_clips(frames, corners, side)
    frames = jnp.where(flip[:, None, None, None, None], frames[:, :, :, ::-1], frames)
    b, t, h, w, c = frames.shape
    scaled = frames.astype(jnp.float32) / 255.0
    grey = scaled[..., 0] if c == 1 else scaled @ jnp.array(GREY_WEIGHTS)
    clips = jnp.broadcast_to(scaled * 2.0 - 1.0, (b, t, h, w, 3))
    return Batch(clips, dynamic_image(grey), corpus.labels[numbers])


def training_batch(
    corpus: PackedClips, numbers: jax.Array, key: jax.Array, config: ClipConfig
) -> Batch:
    """Random offset in time, random crop and random flip, one draw of each for a clip.

    Args:
      corpus: all clips.
      numbers: int32 [b], which clips.
      key: of this step.
      config: frames, crop and flip.
    """
    b = numbers.shape[0]
    offset_key, corner_key, flip_key = jax.random.split(key, 3)
    offset = jax.random.uniform(offset_key, (b,))
    room = corpus.frames.shape[1] - config.crop
    corners = jax.random.randint(corner_key, (b, 2), 0, room + 1)
    flip = jax.random.bernoulli(flip_key, config.flip_probability, (b,))
    chosen = frame_numbers(corpus.lengths[numbers], offset, config.frames)
    return _assemble(corpus, numbers, chosen, corners, flip, config.crop)


def evaluation_batch(corpus: PackedClips, numbers: jax.Array, config: ClipConfig) -> Batch:
    """The middle of each time slice, the central crop, no flip.

    Args:
      corpus: all clips.
      numbers: int32 [b], which clips.
      config: frames and crop.
    """
    b = numbers.shape[0]
    corner = (corpus.frames.shape[1] - config.crop) // 2
    chosen = frame_numbers(corpus.lengths[numbers], jnp.full((b,), 0.5), config.frames)
    corners = jnp.full((b, 2), corner, jnp.int32)
    return _assemble(corpus, numbers, chosen, corners, jnp.zeros((b,), bool), config.crop)

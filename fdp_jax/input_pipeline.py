"""From packed clips on the device to a batch: sampling, crop, flip, scaling, dynamic image (4.1.3).

All of it runs inside the jitted step, so no batch ever travels to the device. Axes: N = all frames
of all clips, b = clips of a batch, t = sampled frames, h w = pixels, c = channels (1 for grey
corpora, repeated to 3 here).
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.config import ClipConfig

GREY_WEIGHTS = (0.299, 0.587, 0.114)
# One grey level in one frame moves a dynamic image by far more than this, rounding by far less.
SMALLEST_RANGE = 1e-5


@flax.struct.dataclass
class PackedClips:
    """All clips, one after the other.

    Attributes:
      frames: uint8 [N, h, w, c].
      starts: int32 [clip], index of the clip's first frame.
      lengths: int32 [clip], number of frames.
      labels: int32 [clip].
    """

    frames: jax.Array
    starts: jax.Array
    lengths: jax.Array
    labels: jax.Array

    def training_batch(self, indices: jax.Array, key: jax.Array, config: ClipConfig) -> "Batch":
        """Returns the clips `indices` [b] as the next step trains on them."""
        return training_batch(self, indices, key, config)


@flax.struct.dataclass
class Batch:
    """Inputs and targets of the network.

    Attributes:
      clips: float32 [b, t, crop, crop, 3] in [-1, 1].
      target: float32 [b, crop, crop], ground-truth dynamic image in [0, 1].
      labels: int32 [b].
    """

    clips: jax.Array
    target: jax.Array
    labels: jax.Array


def training_batch(
    corpus: PackedClips, indices: jax.Array, key: jax.Array, config: ClipConfig
) -> Batch:
    """Returns a batch with a random temporal offset, crop and flip, one draw of each per clip.

    Args:
      corpus: all clips.
      indices: int32 [b], the clips of the batch.
      key: key of the step.
      config: number of frames, crop and flip probability.
    """
    b = indices.shape[0]
    offset_key, corner_key, flip_key = jax.random.split(key, 3)
    offset = jax.random.uniform(offset_key, (b,))
    margin = corpus.frames.shape[1] - config.crop
    corners = jax.random.randint(corner_key, (b, 2), 0, margin + 1)
    flip = jax.random.bernoulli(flip_key, config.flip_probability, (b,))
    chosen = frame_numbers(corpus.lengths[indices], offset, config.frames)
    return _assemble(corpus, indices, chosen, corners, flip, config.crop)


def evaluation_batch(corpus: PackedClips, indices: jax.Array, config: ClipConfig) -> Batch:
    """Returns a batch with the middle frame of each time slice, the centre crop and no flip.

    Args:
      corpus: all clips.
      indices: int32 [b], the clips of the batch.
      config: number of frames and crop.
    """
    b = indices.shape[0]
    corner = (corpus.frames.shape[1] - config.crop) // 2
    chosen = frame_numbers(corpus.lengths[indices], jnp.full((b,), 0.5), config.frames)
    corners = jnp.full((b, 2), corner, jnp.int32)
    return _assemble(corpus, indices, chosen, corners, jnp.zeros((b,), bool), config.crop)


def frame_numbers(lengths: jax.Array, offset: jax.Array, frames: int) -> jax.Array:
    """Returns floor((k + u) n / t) for k = 0 .. t-1; clips shorter than t repeat frames.

    Args:
      lengths: int32 [b], n.
      offset: float32 [b], u in [0, 1).
      frames: t.

    Returns:
      int32 [b, t], each in 0 .. n-1, never decreasing.
    """
    k, n = jnp.arange(frames), lengths[:, None]
    position = jnp.floor((k + offset[:, None]) * n / frames).astype(jnp.int32)
    # An offset just under 1 may be rounded into the next slice of time.
    return jnp.minimum(position, ((k + 1) * n - 1) // frames)


def crop_clips(clips: jax.Array, corners: jax.Array, size: int) -> jax.Array:
    """[b, t, h, w, c] and corners (row, column) int32 [b, 2] -> [b, t, size, size, c]."""

    def crop(clip: jax.Array, corner: jax.Array) -> jax.Array:
        t, _, _, c = clip.shape
        return jax.lax.dynamic_slice(clip, (0, corner[0], corner[1], 0), (t, size, size, c))

    return jax.vmap(crop)(clips, corners)


def _assemble(
    corpus: PackedClips,
    indices: jax.Array,
    chosen: jax.Array,
    corners: jax.Array,
    flip: jax.Array,
    crop: int,
) -> Batch:
    """Gathers, crops, flips and scales the chosen frames; the target comes from the same frames."""
    frames = corpus.frames[corpus.starts[indices][:, None] + chosen]  # uint8 [b, t, h, w, c]
    frames = crop_clips(frames, corners, crop)
    frames = jnp.where(flip[:, None, None, None, None], frames[:, :, :, ::-1], frames)
    b, t, h, w, c = frames.shape
    scaled = frames.astype(jnp.float32) / 255.0
    grey = scaled[..., 0] if c == 1 else scaled @ jnp.array(GREY_WEIGHTS)
    clips = jnp.broadcast_to(scaled * 2.0 - 1.0, (b, t, h, w, 3))
    return Batch(clips, dynamic_image(grey), corpus.labels[indices])


def rank_pooling_weights(frames: int) -> np.ndarray:
    """Returns float32 [t]: alpha_n = sum over i = n..t of (2 i - t - 1) / i, n from 1.

    Approximate rank pooling (Bilen et al., the paper's [4]). For three frames: -4/3, 2/3, 2/3.
    """
    i = np.arange(1, frames + 1)
    terms = (2 * i - frames - 1) / i
    return np.cumsum(terms[::-1])[::-1].astype(np.float32)


def dynamic_image(grey: jax.Array) -> jax.Array:
    """Returns the dynamic image D: a weighted sum over time, stretched to [0, 1] for each clip.

    Args:
      grey: float32 [b, t, h, w], values of order one.

    Returns:
      float32 [b, h, w]; zeros for a clip whose frames are all equal.
    """
    weighted = jnp.einsum("t,bthw->bhw", rank_pooling_weights(grey.shape[1]), grey)
    low = weighted.min(axis=(1, 2), keepdims=True)
    extent = weighted.max(axis=(1, 2), keepdims=True) - low
    moves = extent > SMALLEST_RANGE
    return jnp.where(moves, (weighted - low) / jnp.where(moves, extent, 1.0), 0.0)

"""The ground-truth dynamic image D by approximate rank pooling (Bilen et al., the paper's [4])."""

import jax
import jax.numpy as jnp
import numpy as np

# A change of one grey level in one frame moves D by far more than this; rounding by far less.
SMALLEST_RANGE = 1e-5


def rank_pooling_weights(frames: int) -> np.ndarray:
    """float32 [t]: alpha_n = sum over i = n..t of (2 i - t - 1) / i, n counted from 1.

    For three frames: -4/3, 2/3, 2/3.
    """
    i = np.arange(1, frames + 1)
    terms = (2 * i - frames - 1) / i
    return np.cumsum(terms[::-1])[::-1].astype(np.float32)


def dynamic_image(grey: jax.Array) -> jax.Array:
    """Weighted sum over time, stretched to [0, 1] clip by clip.

    Args:
      grey: float32 [b, t, h, w], values of order one.

    Returns:
      float32 [b, h, w]; zeros for a clip whose frames are all the same.
    """
    weighted = jnp.einsum("t,bthw->bhw", rank_pooling_weights(grey.shape[1]), grey)
    low = weighted.min(axis=(1, 2), keepdims=True)
    extent = weighted.max(axis=(1, 2), keepdims=True) - low
    moves = extent > SMALLEST_RANGE
    return jnp.where(moves, (weighted - low) / jnp.where(moves, extent, 1.0), 0.0)

"""The three losses, one value a clip, and their weighted sum (Eqs. 5 to 8)."""

import flax.struct
import jax
import jax.numpy as jnp
import optax

from fdp_jax.config import LossConfig


@flax.struct.dataclass
class Losses:
    """The terms of Eq. 8, unweighted; [b] clip by clip, or scalars once averaged.

    None where the module was ablated.
    """

    cross_entropy: jax.Array | None
    dynamic_image: jax.Array | None
    rank: jax.Array | None


def recognition_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy (Eq. 7): float32 [b, m], int32 [b] -> [b]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def dynamic_image_loss(construction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error over pixels (Eq. 6): [b, h, w] twice -> [b]."""
    return jnp.square(construction - target).mean(axis=(1, 2))


def rank_loss(scores: jax.Array, slope: float) -> jax.Array:
    """Sum over frames of |a k - S(F_k)|, k = 0 .. t-1 (Eq. 5): [b, t] -> [b]."""
    return jnp.abs(slope * jnp.arange(scores.shape[1]) - scores).sum(axis=1)


def total_loss(losses: Losses, config: LossConfig) -> jax.Array:
    """Eq. 8: the weighted sum of the averaged terms that there are, a scalar."""
    terms = (
        (config.recognition_weight, losses.cross_entropy),
        (config.dynamic_image_weight, losses.dynamic_image),
        (config.rank_weight, losses.rank),
    )
    return sum(weight * term for weight, term in terms if term is not None)

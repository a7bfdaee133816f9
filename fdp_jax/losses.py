"""The three losses, one value per clip, and their weighted sum (Eqs. 5 to 8)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from fdp_jax.config import LossConfig
from fdp_jax.models.fdp import Outputs


def recognition_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy (Eq. 7): float32 [b, m], int32 [b] -> [b]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def dynamic_image_loss(construction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error over pixels (Eq. 6): [b, h, w] twice -> [b]."""
    return jnp.square(construction - target).mean(axis=(1, 2))


def rank_loss(scores: jax.Array, slope: float) -> jax.Array:
    """Sum over frames of |a k - S(F_k)|, k = 0 .. t-1 (Eq. 5): [b, t] -> [b]."""
    return jnp.abs(slope * jnp.arange(scores.shape[1]) - scores).sum(axis=1)


def clip_losses(
    outputs: Outputs, labels: jax.Array, target: jax.Array, rank_slope: float
) -> dict[str, jax.Array]:
    """Returns the losses of each clip, [b], by name; those of ablated modules are left out."""
    losses = {}
    if outputs.logits is not None:
        losses["cross_entropy"] = recognition_loss(outputs.logits, labels)
    if outputs.dynamic_image is not None:
        losses["dynamic_image"] = dynamic_image_loss(outputs.dynamic_image, target)
    if outputs.rank_scores is not None:
        losses["rank"] = rank_loss(outputs.rank_scores, rank_slope)
    return losses


def total_loss(losses: Mapping[str, jax.Array], config: LossConfig) -> jax.Array:
    """Eq. 8: the weighted sum of the averaged losses that are present, a scalar."""
    weights = {
        "cross_entropy": config.recognition_weight,
        "dynamic_image": config.dynamic_image_weight,
        "rank": config.rank_weight,
    }
    return sum(weights[name] * loss for name, loss in losses.items())

"""Batch normalisation that keeps only its input for the gradient.

Linen's keeps the centred input beside it, and takes the variance as a difference of two means,
which loses digits where a channel's mean is large. Axes: c = channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (torch's defaults: eps 1e-5).

    Statistics, scale and bias are float32 whatever the input is.

    Attributes:
      momentum: share of the old running statistics that is kept.
    """

    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[..., c] -> [..., c], in the type of x."""
        channels = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        variance = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train:
            return _scaled(x, mean.value, variance.value, scale, bias)
        y, of_batch = _normalised(x, scale, bias)
        if not self.is_initializing():
            kept = self.momentum
            mean.value = kept * mean.value + (1.0 - kept) * of_batch[0]
            variance.value = kept * variance.value + (1.0 - kept) * of_batch[1]
        return y


def _scaled(
    x: jax.Array, mean: jax.Array, variance: jax.Array, scale: jax.Array, bias: jax.Array
) -> jax.Array:
    """(x - mean) / sd * scale + bias, without a centred x that XLA would keep for the gradient."""
    slope = scale * jax.lax.rsqrt(variance + EPSILON)
    return (x * slope + (bias - mean * slope)).astype(x.dtype)


@jax.custom_vjp
def _normalised(
    x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """[..., c] and two [c] -> y [..., c], (mean [c], variance [c]); no gradient of the latter."""
    axes = tuple(range(x.ndim - 1))
    precise = x.astype(scale.dtype)
    mean = precise.mean(axes)
    variance = jnp.square(precise - mean).mean(axes)
    return _scaled(x, mean, variance, scale, bias), (mean, variance)


def _forward(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple:
    y, statistics = _normalised(x, scale, bias)
    return (y, statistics), (x, scale, bias, *statistics)


def _backward(kept: tuple, gradients: tuple) -> tuple[jax.Array, jax.Array, jax.Array]:
    """dx = scale / sd (dy - <dy> - x^ <dy x^>), with x^ = (x - mean) / sd and means < > over a
    channel; written as dy and x times one number a channel each."""
    x, scale, bias, mean, variance = kept
    dy, precise = gradients[0].astype(scale.dtype), x.astype(scale.dtype)
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    inverse = jax.lax.rsqrt(variance + EPSILON)
    to_bias = dy.sum(axes)
    to_scale = ((dy * precise).sum(axes) - mean * to_bias) * inverse
    of_dy = scale * inverse
    of_x = -of_dy * inverse * to_scale / count
    dx = dy * of_dy + precise * of_x - (of_dy * to_bias / count + of_x * mean)
    return dx.astype(x.dtype), to_scale, to_bias.astype(bias.dtype)


_normalised.defvjp(_forward, _backward)

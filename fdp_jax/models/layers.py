"""Layers that several parts of the network share.

Axes: n = clips x frames (clip-major), h w = map, c = channels, g = heads, d = channels of a head,
q m = query and key tokens (the pixels of a map).
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from fdp_jax.config import ModelConfig
from fdp_jax.models.convolutions import (
    conv_by_blocks,
    conv_by_patches,
    conv_by_rows,
    pixelwise_dot_general,
    relu_dot_general,
)

# Measured on two CPU cores: up to this width `conv_by_blocks` is faster than `conv_by_rows`.
BLOCKS_UP_TO_CHANNELS = 384
BATCH_NORM_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Layers:
    """Makes linen layers with the options that all layers of a network share.

    Parameters and normalisation statistics are always float32. Keywords that a method does not name
    are those of the linen layer.

    Attributes:
      config: sizes of the network.
      frames: t, frames of a clip.
      train: whether batch statistics, dropout and stochastic depth are used.
      dtype: of products and activations; None promotes to float32.
      batched: whether convolutions are batched matrix products: on GPUs, and for several folds
        under `jax.vmap`, where XLA's convolutions become grouped ones.
    """

    config: ModelConfig
    frames: int
    train: bool
    dtype: DTypeLike | None = jnp.float32
    batched: bool = False

    @property
    def kernel_init(self) -> Initializer:
        """Truncated normal, cut at two standard deviations."""
        return nn.initializers.truncated_normal(self.config.initial_std)

    def dense(self, features: int, **options: Any) -> nn.Dense:
        """Dense layer, on a map a 1x1 convolution."""
        options = {"dot_general": pixelwise_dot_general, **options}
        return nn.Dense(features, dtype=self.dtype, kernel_init=self.kernel_init, **options)

    def conv(
        self, features: int, kernel_size: int = 3, stride: int = 1, groups: int = 1, **options: Any
    ) -> nn.Conv:
        """Zero-padded convolution with an odd kernel size, by default without bias."""
        if groups > 1 and not self.batched and features <= BLOCKS_UP_TO_CHANNELS:
            convolve = conv_by_blocks
        elif stride > 1 and self.batched:
            convolve = conv_by_patches
        elif groups > 1 or self.batched:
            convolve = conv_by_rows
        else:
            convolve = jax.lax.conv_general_dilated
        options = {"use_bias": False, "kernel_init": self.kernel_init, **options}
        return nn.Conv(
            features,
            (kernel_size, kernel_size),
            stride,
            padding=kernel_size // 2,
            feature_group_count=groups,
            dtype=self.dtype,
            conv_general_dilated=convolve,
            **options,
        )

    def batch_norm(self, name: str) -> "BatchNorm":
        """Batch normalisation over all axes but the last."""
        return BatchNorm(not self.train, self.config.batch_norm_momentum, name=name)

    def dropout(self) -> nn.Dropout:
        """Dropout of single values."""
        return nn.Dropout(self.config.dropout, deterministic=not self.train)

    def drop_path(self, rate: float) -> "DropPath":
        """Stochastic depth of a residual branch."""
        return DropPath(rate, self.frames, deterministic=not self.train)


class DropPath(nn.Module):
    """Stochastic depth: zeroes a residual branch for whole clips and scales what remains.

    Attributes:
      rate: probability of zeroing.
      frames: frames of a clip, which share one draw.
      deterministic: whether to return the branch unchanged.
    """

    rate: float
    frames: int
    deterministic: bool

    @nn.compact
    def __call__(self, branch: jax.Array) -> jax.Array:
        """[n, ...] -> [n, ...]."""
        clips = branch.reshape(-1, self.frames, *branch.shape[1:])
        shared = tuple(range(1, clips.ndim))
        drop = nn.Dropout(self.rate, shared, self.deterministic, rng_collection="drop_path")
        return drop(clips).reshape(branch.shape)


class BatchNorm(nn.Module):
    """`nn.BatchNorm` that stores no centred copy of its input for the gradient.

    In the paper preset that saves 0.5 GB. The variance is computed from centred values.

    Attributes:
      use_running_average: whether to normalise by the running statistics.
      momentum: share of the old running statistics that is kept.
    """

    use_running_average: bool
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., c] -> [..., c], in the dtype of x."""
        channels = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels)
        mean, var = running_mean.value, running_var.value
        if not self.use_running_average:
            mean, var = _mean_and_variance(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
            if not self.is_initializing():
                kept = self.momentum
                running_mean.value = kept * running_mean.value + (1.0 - kept) * mean
                running_var.value = kept * running_var.value + (1.0 - kept) * var
        slope = scale * jax.lax.rsqrt(var + BATCH_NORM_EPSILON)
        return (x * slope + (bias - mean * slope)).astype(x.dtype)


@jax.custom_vjp
def _mean_and_variance(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[..., c] -> [c] and [c]."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    return mean, jnp.square(x - mean).mean(axes)


def _mean_and_variance_forward(x: jax.Array) -> tuple:
    mean, var = _mean_and_variance(x)
    return (mean, var), (x, mean)


def _mean_and_variance_backward(residuals: tuple, gradients: tuple) -> tuple[jax.Array]:
    """Without x - mean, which XLA would share with the forward pass and store."""
    x, mean = residuals
    mean_gradient, var_gradient = (gradient * (mean.size / x.size) for gradient in gradients)
    slope = 2.0 * var_gradient
    return (x * slope + (mean_gradient - mean * slope),)


_mean_and_variance.defvjp(_mean_and_variance_forward, _mean_and_variance_backward)


class PatchEmbedding(nn.Module):
    """PE: 2x2 average pool if the stride is 2, then 1x1 convolution and BN.

    The identity if neither size nor width changes.
    """

    layers: Layers
    channels: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, c] -> [n, h / stride, w / stride, channels]."""
        if self.stride == 1 and x.shape[-1] == self.channels:
            return x
        if self.stride > 1:
            x = average_pool(x, self.stride)
        x = self.layers.dense(self.channels, use_bias=False, name="Pointwise")(x)
        return self.layers.batch_norm("Norm")(x)


class MultiHeadConv(nn.Module):
    """Multi-head convolution block: 3x3 convolution, BN and ReLU in each head (3.2.1)."""

    layers: Layers

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, c] -> [n, h, w, c]."""
        c = x.shape[-1]
        heads = c // self.layers.config.head_channels
        y = self.layers.conv(c, groups=heads, name="Conv")(x)
        return nn.relu(self.layers.batch_norm("Norm")(y))


class MultiHeadSelfAttention(nn.Module):
    """Eqs. 1 to 3 in each of g heads; `qkv_bias` is the bias of the first three projections."""

    layers: Layers
    heads: int
    qkv_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array) -> jax.Array:
        """Queries from x [n, ..., c], keys and values from context [n, ..., c] -> [n, ..., c]."""
        n, c = x.shape[0], x.shape[-1]
        d = c // self.heads

        def project(tokens: jax.Array, name: str) -> jax.Array:
            y = self.layers.dense(c, use_bias=self.qkv_bias, name=name)(tokens)
            return y.reshape(n, -1, self.heads, d)  # [n, q or m, g, d]

        query, key, value = project(x, "Query"), project(context, "Key"), project(context, "Value")
        similarity = jnp.einsum("nqgd,nmgd->ngqm", query, key)
        similarity = similarity.astype(jnp.promote_types(similarity.dtype, jnp.float32))
        weights = nn.softmax(similarity / d**0.5).astype(value.dtype)
        attended = jnp.einsum("ngqm,nmgd->nqgd", weights, value).reshape(x.shape)
        return self.layers.dropout()(self.layers.dense(c, name="Output")(attended))


class Mlp(nn.Module):
    """Dense, ReLU, dense, and dropout after both; `ratio` is hidden over outer width."""

    layers: Layers
    ratio: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., c] -> [..., c]."""
        c = x.shape[-1]
        hidden = self.layers.dense(c * self.ratio, name="Hidden")(x)
        hidden = self.layers.dropout()(hidden)  # commutes with the ReLU
        y = self.layers.dense(c, dot_general=relu_dot_general, name="Output")(hidden)
        return self.layers.dropout()(y)


# On a CPU the gradients of `nn.avg_pool` and `nn.max_pool` take several times as long.
def average_pool(x: jax.Array, window: int) -> jax.Array:
    """[n, h, w, c] -> [n, h // window, w // window, c]."""
    return _windows(x, window).mean(axis=(2, 4))


def max_pool(x: jax.Array, window: int) -> jax.Array:
    """[n, h, w, c] -> [n, h // window, w // window, c]."""
    return _windows(x, window).max(axis=(2, 4))


def _windows(x: jax.Array, window: int) -> jax.Array:
    """-> [n, h // window, window, w // window, window, c], without incomplete windows."""
    n, h, w, c = x.shape
    h, w = h // window, w // window
    return x[:, : h * window, : w * window].reshape(n, h, window, w, window, c)

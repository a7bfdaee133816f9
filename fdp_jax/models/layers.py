"""Building blocks shared by the parts of the network.

Axes: n = clips x frames (clip-major), h w = map, c = channels, g = heads, d = channels of a head,
q = query pixels, m = key and value pixels.

Two forms are chosen for speed on the CPU, where XLA's own are many times slower: a 1x1
convolution is one matrix product over the flattened pixels, and the multi-head convolution takes
one of two forms by its width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

# Measured on two CPU cores, forward and backward: up to here the dense form is faster.
DENSE_UP_TO_CHANNELS = 64


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (torch's defaults: eps 1e-5).

    Attributes:
      momentum: share of the old running statistics that is kept.
    """

    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[..., c] -> [..., c]."""
        return nn.BatchNorm(use_running_average=not train, momentum=self.momentum, epsilon=1e-5)(x)


class Pointwise(nn.Module):
    """1x1 convolution: one matrix product over the channels.

    Attributes:
      channels: output channels.
      use_bias: whether a bias is added.
    """

    channels: int
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., c] -> [..., channels]."""
        flat = x.reshape(-1, x.shape[-1])  # [pixels, c]: far faster gradients than with 4 axes
        y = nn.Dense(self.channels, use_bias=self.use_bias)(flat)
        return y.reshape(*x.shape[:-1], self.channels)


# Of red, green and blue: the same as the dynamic image is made with.
_GREY_WEIGHTS = (0.299, 0.587, 0.114)


def grey_channel(images: jax.Array) -> jax.Array:
    """[n, h, w, 3] -> [n, h, w, 1], in the same range: what the foreign backbones see."""
    return (images @ jnp.array(_GREY_WEIGHTS))[..., None]


def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Eq. 2 in each head: [n, q, g, d], [n, m, g, d] twice -> [n, q, g, d]."""
    similarity = jnp.einsum("nqgd,nmgd->ngqm", query, key) / jnp.sqrt(query.shape[-1])
    return jnp.einsum("ngqm,nmgd->nqgd", nn.softmax(similarity), value)


class Convolution(nn.Module):
    """Zero-padded convolution without bias.

    Attributes:
      channels: output channels.
      side: of the kernel, odd.
      stride: of the windows.
    """

    channels: int
    side: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, c] -> [n, ceil(h / stride), ceil(w / stride), channels]."""
        border = self.side // 2
        return nn.Conv(
            self.channels,
            (self.side, self.side),
            self.stride,
            padding=((border, border), (border, border)),
            use_bias=False,
        )(x)


def strided_patches(x: jax.Array) -> jax.Array:
    """[n, h, w, c] -> [n, h / 2, w / 2, 9 c], the 3x3 patches of a convolution of stride 2.

    Zero padded by 1; patch axis in the order (row, column, channel).
    """
    h, w = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
    taps = [padded[:, dy : dy + h : 2, dx : dx + w : 2] for dy in range(3) for dx in range(3)]
    return jnp.concatenate(taps, axis=-1)


def multi_head_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """3x3 convolution of each head's channels by themselves, zero padded.

    XLA's grouped convolution is far slower on the CPU than either form used here: few channels
    go through one dense convolution with a block-diagonal kernel, many through one batched
    matrix product.

    Args:
      x: [n, h, w, g * d].
      kernel: [g, 3, 3, d, d_out].

    Returns:
      [n, h, w, g * d_out].
    """
    if x.shape[-1] <= DENSE_UP_TO_CHANNELS:
        return _block_diagonal_convolution(x, kernel)
    return _heads_first_convolution(x, kernel)


def _block_diagonal_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The heads as one convolution that is zero between different heads."""
    g, _, _, d, d_out = kernel.shape
    dense = jnp.einsum("gyxio,gh->yxgiho", kernel, jnp.eye(g))
    dense = dense.reshape(3, 3, g * d, g * d_out)
    return jax.lax.conv_general_dilated(
        x, dense, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _heads_first_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """One batched product over the heads.

    Each pixel's row of three neighbours is laid out once and multiplied with the three kernel
    rows side by side; the three results are then added with a shift of one row. That moves a
    third of the memory that whole 3x3 patches would.
    """
    n, h, w, _ = x.shape
    g, _, _, d, d_out = kernel.shape
    heads = x.reshape(n, h, w, g, d).transpose(3, 0, 1, 2, 4)  # [g, n, h, w, d]
    heads = jnp.pad(heads, ((0, 0), (0, 0), (0, 0), (1, 1), (0, 0)))
    rows = jnp.concatenate([heads[:, :, :, dx : dx + w] for dx in range(3)], axis=-1)
    rows = rows.reshape(g, n * h * w, 3 * d)  # [g, pixels, (column, channel)]
    weights = kernel.transpose(0, 2, 3, 1, 4).reshape(g, 3 * d, 3 * d_out)
    y = jnp.einsum("gpk,gko->gpo", rows, weights)  # [g, pixels, (kernel row, d_out)]
    y = y.reshape(g, n, h, w, 3, d_out)
    y = jnp.pad(y, ((0, 0), (0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    y = y[:, :, :h, :, 0] + y[:, :, 1 : h + 1, :, 1] + y[:, :, 2 : h + 2, :, 2]
    return y.transpose(1, 2, 3, 0, 4).reshape(n, h, w, g * d_out)


class MultiHeadConv(nn.Module):
    """Multi-head convolution block: each head its 3x3 convolution, BN and ReLU (section 3.2.1).

    Attributes:
      head_channels: channels of a head.
      momentum: of the batch normalisation.
    """

    head_channels: int
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[n, h, w, c] -> [n, h, w, c]."""
        d = self.head_channels
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (x.shape[-1] // d, 3, 3, d, d)
        )
        y = multi_head_convolution(x, kernel)
        return nn.relu(BatchNorm(self.momentum)(y, train=train))


def average_pool(x: jax.Array, window: int) -> jax.Array:
    """[n, h, w, c] -> [n, h / window, w / window, c]; the window must divide both sides."""
    n, h, w, c = x.shape
    return x.reshape(n, h // window, window, w // window, window, c).mean(axis=(2, 4))


def max_pool(x: jax.Array, window: int) -> jax.Array:
    """[n, h, w, c] -> [n, h // window, w // window, c]; what does not fill a window is cut off."""
    n, h, w, c = x.shape
    h, w = h // window, w // window
    x = x[:, : h * window, : w * window]
    return x.reshape(n, h, window, w, window, c).max(axis=(2, 4))


class PatchEmbedding(nn.Module):
    """PE: 2x2 average pool when the stride is 2, then 1x1 convolution and BN.

    The identity where neither size nor width changes.
    """

    channels: int
    stride: int
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[n, h, w, c] -> [n, h / stride, w / stride, channels]."""
        if self.stride == 1 and x.shape[-1] == self.channels:
            return x
        if self.stride > 1:
            x = average_pool(x, self.stride)
        x = Pointwise(self.channels)(x)
        return BatchNorm(self.momentum)(x, train=train)


class Mlp(nn.Module):
    """1x1 convolution, ReLU, 1x1 convolution, each with bias; dropout after both."""

    ratio: int
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[n, h, w, c] -> [n, h, w, c]."""
        c = x.shape[-1]
        y = nn.relu(Pointwise(c * self.ratio, use_bias=True)(x))
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        y = Pointwise(c, use_bias=True)(y)
        return nn.Dropout(self.dropout, deterministic=not train)(y)


class StochasticDepth(nn.Module):
    """Skips a residual branch for whole clips in training, and scales what is kept.

    Attributes:
      rate: probability of skipping.
      frames: frames of a clip, which share one draw.
    """

    rate: float
    frames: int

    @nn.compact
    def __call__(self, branch: jax.Array, *, train: bool) -> jax.Array:
        """[n, ...] -> [n, ...]."""
        if not train or self.rate == 0.0:
            return branch
        keep = 1.0 - self.rate
        clips = branch.shape[0] // self.frames
        kept = jax.random.bernoulli(self.make_rng("stochastic_depth"), keep, (clips,))
        scale = jnp.repeat(kept / keep, self.frames)  # [clips] -> [n], clip-major
        return branch * scale.reshape(-1, *[1] * (branch.ndim - 1)).astype(branch.dtype)

"""Building blocks shared by the parts of the network.

Axes: n = clips x frames (clip-major), h w = map, c = channels, g = heads, d = channels of a head,
q = query pixels, m = key and value pixels.

A 1x1 convolution is one matrix product over the flattened pixels: on the CPU many times faster than
XLA's convolution, its gradients above all.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdp_jax.config import ConvolutionForm, MultiHeadForm
from fdp_jax.models.convolutions import convolution, multi_head_convolution
from fdp_jax.models.normalisation import BatchNorm


class Pointwise(nn.Module):
    """1x1 convolution: one matrix product over the channels.

    Attributes:
      channels: output channels.
      use_bias: whether a bias is added.
      rectify: whether the input goes through a ReLU first.
    """

    channels: int
    use_bias: bool = False
    rectify: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., c] -> [..., channels]."""
        shape = (x.shape[-1], self.channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        flat = x.reshape(-1, x.shape[-1])  # [pixels, c]: far faster gradients than with 4 axes
        y = _rectified_product(flat, kernel) if self.rectify else flat @ kernel
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.channels,))
        return y.reshape(*x.shape[:-1], self.channels)


@jax.custom_vjp
def _rectified_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """ReLU(x) @ kernel, [pixels, c] and [c, d] -> [pixels, d]; keeps only x for the gradient."""
    return nn.relu(x) @ kernel


def _rectified_product_backward(
    kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    # Zero, but known only once the gradient is: or XLA would rectify x at once, and keep both.
    late_zero = 0.0 * gradient[0, 0]
    positive = x > late_zero
    to_kernel = jnp.where(positive, x, 0.0).T @ gradient
    return jnp.where(positive, gradient @ kernel.T, 0.0), to_kernel


_rectified_product.defvjp(
    lambda x, kernel: (_rectified_product(x, kernel), (x, kernel)), _rectified_product_backward
)


# Of red, green and blue: the same as the dynamic image is made with.
_GREY_WEIGHTS = (0.299, 0.587, 0.114)


def grey_channel(images: jax.Array) -> jax.Array:
    """[n, h, w, 3] -> [n, h, w, 1], in the same range: what the foreign backbones see."""
    return (images @ jnp.array(_GREY_WEIGHTS, images.dtype))[..., None]


def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Eq. 2 in each head: [n, q, g, d], [n, m, g, d] twice -> [n, q, g, d]."""
    similarity = jnp.einsum("nqgd,nmgd->ngqm", query, key).astype(
        jnp.promote_types(query.dtype, jnp.float32)
    )
    weights = nn.softmax(similarity / query.shape[-1] ** 0.5).astype(value.dtype)
    return jnp.einsum("ngqm,nmgd->nqgd", weights, value)


class Convolution(nn.Module):
    """Zero-padded convolution.

    Attributes:
      channels: output channels.
      side: of the kernel, odd.
      stride: of the windows.
      use_bias: whether a bias is added.
      form: of a 3x3 convolution of stride 1; others have one form.
    """

    channels: int
    side: int = 3
    stride: int = 1
    use_bias: bool = False
    form: ConvolutionForm = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, c] -> [n, ceil(h / stride), ceil(w / stride), channels]."""
        shape = (self.side, self.side, x.shape[-1], self.channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        if (self.side, self.stride) == (3, 1):
            y = convolution(x, kernel, self.form)
        else:
            y = jax.lax.conv_general_dilated(
                x,
                kernel,
                (self.stride, self.stride),
                [(self.side // 2, self.side // 2)] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.channels,))
        return y


def strided_patches(x: jax.Array) -> jax.Array:
    """[n, h, w, c] -> [n, h / 2, w / 2, 9 c], the 3x3 patches of a convolution of stride 2.

    Zero padded by 1; patch axis in the order (row, column, channel).
    """
    h, w = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
    taps = [padded[:, dy : dy + h : 2, dx : dx + w : 2] for dy in range(3) for dx in range(3)]
    return jnp.concatenate(taps, axis=-1)


class MultiHeadConv(nn.Module):
    """Multi-head convolution block: each head its 3x3 convolution, BN and ReLU (section 3.2.1).

    Attributes:
      head_channels: channels of a head.
      momentum: of the batch normalisation.
      form: of the convolution.
    """

    head_channels: int
    momentum: float = 0.9
    form: MultiHeadForm = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[n, h, w, c] -> [n, h, w, c]."""
        d = self.head_channels
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (x.shape[-1] // d, 3, 3, d, d)
        )
        y = multi_head_convolution(x, kernel, self.form)
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
        y = Pointwise(c * self.ratio, use_bias=True)(x)
        drops = train and self.dropout > 0.0
        if drops:
            y = nn.Dropout(self.dropout, deterministic=False)(nn.relu(y))
        y = Pointwise(c, use_bias=True, rectify=not drops)(y)
        return nn.Dropout(self.dropout, deterministic=not train)(y)


class DropPath(nn.Module):
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
        kept = jax.random.bernoulli(self.make_rng("drop_path"), keep, (clips,))
        scale = jnp.repeat(kept / keep, self.frames)  # [clips] -> [n], clip-major
        return branch * scale.reshape(-1, *[1] * (branch.ndim - 1)).astype(branch.dtype)

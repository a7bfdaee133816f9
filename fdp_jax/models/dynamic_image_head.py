"""DynamicImageHead: an encoder-decoder (section 3.4.1, Fig. 3)."""

import flax.linen as nn
import jax

from fdp_jax.config import ConvolutionForm
from fdp_jax.models.layers import BatchNorm, Convolution, Pointwise, max_pool


class ConvBlock(nn.Module):
    """3x3 convolution, BN, leaky ReLU."""

    channels: int
    leaky_slope: float
    momentum: float
    form: ConvolutionForm

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[b, h, w, c] -> [b, h, w, channels]."""
        x = Convolution(self.channels, form=self.form)(x)
        return nn.leaky_relu(BatchNorm(self.momentum)(x, train=train), self.leaky_slope)


class Deconvolution(nn.Module):
    """2x2 deconvolution of stride 2, with bias: one matrix product, then depth to space."""

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, c] -> [b, 2 h, 2 w, channels]."""
        b, h, w, _ = x.shape
        c = self.channels
        y = Pointwise(4 * c)(x).reshape(b, h, w, 2, 2, c)
        y = y.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c)
        return y + self.param("bias", nn.initializers.zeros, (c,))


class DynamicImageHead(nn.Module):
    """Four encoder blocks, four decoder blocks with skips, 1x1 convolution, sigmoid.

    Attributes:
      channels: widths of the encoder blocks.
      leaky_slope: slope of the leaky ReLU below zero.
      momentum: of the batch normalisation.
      form: of the convolutions.
    """

    channels: tuple[int, ...]
    leaky_slope: float
    momentum: float
    form: ConvolutionForm = "auto"

    @nn.compact
    def __call__(self, dynamic: jax.Array, *, train: bool) -> jax.Array:
        """F^(d) [b, h, w, c] -> constructed dynamic image [b, h, w] in (0, 1)."""
        block = (self.leaky_slope, self.momentum, self.form)
        x = dynamic
        skips = []
        for level, channels in enumerate(self.channels, start=1):
            x = ConvBlock(channels, *block, name=f"Encoder{level}")(x, train=train)
            skips.append(x)
            x = max_pool(x, 2)
        for level, skip in reversed(list(enumerate(skips, start=1))):
            channels = skip.shape[-1]
            x = Deconvolution(channels, name=f"Deconvolution{level}")(x) + skip
            x = ConvBlock(channels, *block, name=f"Decoder{level}")(x, train=train)
        return nn.sigmoid(Pointwise(1, use_bias=True)(x)[..., 0])

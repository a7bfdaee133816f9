"""TemporalPooling: feature maps pooled over time by a 3D convolution (section 3.3)."""

import flax.linen as nn
import jax

from fdp_jax.config import ConvolutionForm
from fdp_jax.models.layers import Convolution


class TemporalPooling(nn.Module):
    """3D convolution from 1 to `channels` channels, 3x3 in space (same) by t in time (valid).

    As the kernel spans all of time, this is a 2D convolution whose input channels are the frames
    in their order; it is computed so.

    Attributes:
      channels: filters.
      form: of the convolution.
    """

    channels: int
    form: ConvolutionForm = "auto"

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """[b, t, h, w] -> F^(d) [b, h, w, channels]."""
        convolve = Convolution(self.channels, use_bias=True, form=self.form, name="Convolution3D")
        return convolve(features.transpose(0, 2, 3, 1))  # [b, h, w, t] -> [b, h, w, channels]

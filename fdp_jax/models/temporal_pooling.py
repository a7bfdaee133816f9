"""TemporalPooling: feature maps pooled over time by a 3D convolution (section 3.3)."""

import flax.linen as nn
import jax


class TemporalPooling(nn.Module):
    """3D convolution from 1 to `channels` channels, 3x3 in space (same) by t in time (valid).

    As the kernel spans all of time, this is a 2D convolution whose input channels are the frames
    in their order; it is computed so.

    Attributes:
      channels: filters.
    """

    channels: int

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """[b, t, h, w] -> F^(d) [b, h, w, channels]."""
        return nn.Conv(
            self.channels,
            (3, 3),
            padding=((1, 1), (1, 1)),
            name="Convolution3D",
        )(features.transpose(0, 2, 3, 1))  # [b, h, w, t] -> [b, h, w, channels]

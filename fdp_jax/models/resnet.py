"""ResNet18: one grey frame to one feature, the convolutional rival of Table 10.

He et al., 2016, with the widths, strides and padding that are usual for 18 layers. Axes:
n = clips x frames (clip-major), h w = map, c = channels.
"""

import flax.linen as nn
import jax
import numpy as np

from fdp_jax.config import ConvolutionForm, ModelConfig
from fdp_jax.models.layers import BatchNorm, Convolution, DropPath, grey_channel

BLOCKS_PER_STAGE = 2


class ResidualBlock(nn.Module):
    """ReLU(shortcut(x) + BN(conv(ReLU(BN(conv(x)))))), 3x3; the first one has the stride.

    The shortcut is the identity, or a strided 1x1 convolution with BN where size or width changes.

    Attributes:
      channels: output channels.
      stride: of the block.
      momentum: of the batch normalisation.
      skip_rate: stochastic depth of the branch.
      frames: frames of a clip.
      form: of the convolutions.
    """

    channels: int
    stride: int
    momentum: float
    skip_rate: float
    frames: int
    form: ConvolutionForm

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[n, h, w, c] -> [n, ceil(h / stride), ceil(w / stride), channels]."""
        y = Convolution(self.channels, stride=self.stride, form=self.form, name="Convolution1")(x)
        y = nn.relu(BatchNorm(self.momentum, name="Norm1")(y, train=train))
        y = Convolution(self.channels, form=self.form, name="Convolution2")(y)
        y = BatchNorm(self.momentum, name="Norm2")(y, train=train)
        if self.stride > 1 or x.shape[-1] != self.channels:
            x = Convolution(self.channels, side=1, stride=self.stride, name="Shortcut")(x)
            x = BatchNorm(self.momentum, name="ShortcutNorm")(x, train=train)
        return nn.relu(x + DropPath(self.skip_rate, self.frames)(y, train=train))


class ResNet18(nn.Module):
    """7x7 stem and max-pool, stages of two residual blocks, global average pool.

    11,170,240 parameters at the default sizes; with the projection to F_k the 13,271,488 of
    Table 10 (13.27M).

    Attributes:
      config: `resnet_channels`, batch normalisation and stochastic depth, which rises linearly
        from 0 over the blocks as in the other backbones.
      frames: frames of a clip, which share the draws of stochastic depth.
    """

    config: ModelConfig
    frames: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """float32 [n, h, w, 3] in [-1, 1] -> [n, resnet_channels[-1]]."""
        cfg = self.config
        momentum = cfg.batch_norm_momentum
        widths = cfg.resnet_channels
        x = Convolution(widths[0], side=7, stride=2, name="Stem")(grey_channel(images))
        x = nn.relu(BatchNorm(momentum, name="StemNorm")(x, train=train))
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        rates = np.linspace(0.0, cfg.stochastic_depth, len(widths) * BLOCKS_PER_STAGE)
        rates = rates.reshape(-1, BLOCKS_PER_STAGE)
        for stage, channels in enumerate(widths):
            for block in range(BLOCKS_PER_STAGE):
                x = ResidualBlock(
                    channels,
                    stride=2 if stage > 0 and block == 0 else 1,
                    momentum=momentum,
                    skip_rate=float(rates[stage, block]),
                    frames=self.frames,
                    form=cfg.forms.convolution,
                    name=f"Stage{stage + 1}Block{block + 1}",
                )(x, train=train)
        return x.mean(axis=(1, 2))

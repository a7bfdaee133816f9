"""The two halves of a local-global relational aggregator (sections 3.2.1 and 3.2.2).

Axes: n = clips x frames (clip-major), h w = map, c = channels, g = heads, d = channels of a
head, q = query pixels, m = key and value pixels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdp_jax.config import Backbone, ModelConfig
from fdp_jax.models.layers import (
    BatchNorm,
    Convolution,
    DropPath,
    Mlp,
    MultiHeadConv,
    PatchEmbedding,
    Pointwise,
    attend,
    average_pool,
)


class LocalRelationalAggregator(nn.Module):
    """PE; x + Pointwise(MultiHeadConv(x)); x + MLP(BN(x)) (section 3.2.1).

    Attributes:
      config: sizes of the network.
      convolution: what the first branch is, as in Table 10: `fdp` as above, `conv` one plain
        convolution, `conv_bn_relu_pointwise` a plain convolution for the multi-head one.
      channels: output channels.
      stride: of the patch embedding.
      skip_rate: stochastic depth of both residual branches.
      frames: frames of a clip.
    """

    config: ModelConfig
    convolution: Backbone
    channels: int
    stride: int
    skip_rate: float
    frames: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[n, h, w, c] -> [n, h / stride, w / stride, channels]."""
        cfg = self.config
        momentum = cfg.batch_norm_momentum
        skip = DropPath(self.skip_rate, self.frames)
        x = PatchEmbedding(self.channels, self.stride, momentum)(x, train=train)
        if self.convolution == "fdp":
            y = MultiHeadConv(cfg.head_channels, momentum, cfg.forms.multi_head)(x, train=train)
        else:
            y = Convolution(self.channels, form=cfg.forms.convolution, name="Convolution")(x)
        if self.convolution == "conv_bn_relu_pointwise":
            y = nn.relu(BatchNorm(momentum, name="ConvolutionNorm")(y, train=train))
        if self.convolution != "conv":
            y = Pointwise(self.channels, name="Fusion")(y)
        x = x + skip(y, train=train)
        y = BatchNorm(momentum)(x, train=train)
        y = Mlp(cfg.local_mlp_ratio, cfg.dropout)(y, train=train)
        return x + skip(y, train=train)


class MultiHeadSelfAttention(nn.Module):
    """Eqs. 1 to 3, with keys and values from the map averaged over windows.

    Attributes:
      config: sizes of the network.
      window: side of the windows; 1 means no pooling, and no BN after it.
    """

    config: ModelConfig
    window: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[n, h, w, c] -> [n, h, w, c]."""
        cfg = self.config
        n, h, w, c = x.shape
        d = cfg.head_channels
        context = x
        if self.window > 1:
            context = average_pool(x, self.window)
            context = BatchNorm(cfg.batch_norm_momentum)(context, train=train)

        def project(name: str, pixels: jax.Array) -> jax.Array:
            y = Pointwise(c, use_bias=True, name=name)(pixels)
            return y.reshape(n, -1, c // d, d)  # [n, q or m, g, d]

        query, key, value = project("Query", x), project("Key", context), project("Value", context)
        attended = attend(query, key, value)
        y = Pointwise(c, use_bias=True, name="Output")(attended.reshape(n, h, w, c))
        return nn.Dropout(cfg.dropout, deterministic=not train)(y)


class GlobalRelationalAggregator(nn.Module):
    """Self-attention, then multi-head convolution beside it, then an MLP (section 3.2.2).

    x = PE(x); x + MHSA(BN(x)); y = Pointwise(x) with BN; y + MultiHeadConv(y);
    z = [x, y]; z + MLP(BN(z)).

    Attributes:
      config: sizes of the network.
      attention_channels: channels of x.
      channels: output channels, those of [x, y].
      window: side of the windows that keys and values are averaged over.
      skip_rate: stochastic depth of the three residual branches.
      frames: frames of a clip.
    """

    config: ModelConfig
    attention_channels: int
    channels: int
    window: int
    skip_rate: float
    frames: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[n, h, w, c] -> [n, h, w, channels]."""
        cfg = self.config
        momentum = cfg.batch_norm_momentum
        skip = DropPath(self.skip_rate, self.frames)
        x = PatchEmbedding(self.attention_channels, 1, momentum)(x, train=train)
        attended = MultiHeadSelfAttention(cfg, self.window)(
            BatchNorm(momentum)(x, train=train), train=train
        )
        x = x + skip(attended, train=train)
        y = PatchEmbedding(self.channels - self.attention_channels, 1, momentum)(x, train=train)
        heads = MultiHeadConv(cfg.head_channels, momentum, cfg.forms.multi_head)
        y = y + skip(heads(y, train=train), train=train)
        z = jnp.concatenate([x, y], axis=-1)  # [n, h, w, channels]
        mixed = Mlp(cfg.global_mlp_ratio, cfg.dropout)(
            BatchNorm(momentum)(z, train=train), train=train
        )
        return z + skip(mixed, train=train)

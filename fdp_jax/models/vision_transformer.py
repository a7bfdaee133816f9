"""ViT-Base: one grey frame to one feature, the purely attentive rival of Table 10.

Dosovitskiy et al., 2021, with normalisation before each branch. Axes: n = clips x frames
(clip-major), p = tokens (the class token, then the patches row by row), c = width of a token.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.config import ModelConfig
from fdp_jax.models.layers import DropPath, Pointwise, attend, grey_channel


class TransformerBlock(nn.Module):
    """x + MHSA(LN(x)); x + MLP(LN(x)), MLP = dense -> GELU -> dense.

    Attributes:
      config: sizes of the network.
      skip_rate: stochastic depth of both branches.
      frames: frames of a clip.
    """

    config: ModelConfig
    skip_rate: float
    frames: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[n, p, c] -> [n, p, c]."""
        cfg = self.config
        c = x.shape[-1]
        skip = DropPath(self.skip_rate, self.frames)
        drop = nn.Dropout(cfg.dropout, deterministic=not train)
        y = drop(self._attention(nn.LayerNorm(dtype=x.dtype, name="AttentionNorm")(x)))
        x = x + skip(y, train=train)
        y = nn.LayerNorm(dtype=x.dtype, name="MlpNorm")(x)
        y = nn.gelu(
            Pointwise(c * cfg.vit_mlp_ratio, use_bias=True, name="Widen")(y), approximate=False
        )
        y = drop(Pointwise(c, use_bias=True, name="Narrow")(drop(y)))
        return x + skip(y, train=train)

    def _attention(self, x: jax.Array) -> jax.Array:
        """[n, p, c] -> [n, p, c]; queries, keys and values have no bias."""
        n, p, c = x.shape
        query, key, value = (
            Pointwise(c, name=name)(x).reshape(n, p, self.config.vit_heads, -1)
            for name in ("Query", "Key", "Value")
        )
        attended = attend(query, key, value).reshape(n, p, c)
        return Pointwise(c, use_bias=True, name="Output")(attended)


class VisionTransformer(nn.Module):
    """Patches and a class token with learnt positions, transformer blocks, LN of the class token.

    85,239,552 parameters at the default sizes and 64x64 pixels; with the projection to F_k the
    88,389,376 of Table 10 (88.39M).

    Attributes:
      config: the sizes that begin with `vit_`, dropout, and stochastic depth, which rises linearly
        from 0 over the blocks as in the other backbones.
      frames: frames of a clip, which share the draws of stochastic depth.
    """

    config: ModelConfig
    frames: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """float32 [n, h, w, 3] in [-1, 1] -> [n, vit_channels]."""
        cfg = self.config
        c = cfg.vit_channels
        x = Pointwise(c, use_bias=True, name="PatchEmbedding")(
            patches(grey_channel(images), cfg.vit_patch)
        )
        draw = nn.initializers.truncated_normal(0.02)
        token = self.param("class_token", draw, (1, 1, c))
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, c)), x], axis=1)
        x = x + self.param("position_embedding", draw, x.shape[1:])
        rates = np.linspace(0.0, cfg.stochastic_depth, cfg.vit_blocks)
        for block, rate in enumerate(rates, start=1):
            x = TransformerBlock(cfg, float(rate), self.frames, name=f"Block{block}")(
                x, train=train
            )
        return nn.LayerNorm(dtype=x.dtype, name="Norm")(x[:, 0])


def patches(images: jax.Array, side: int) -> jax.Array:
    """[n, h, w, 1] -> [n, (h / side) (w / side), side^2], row by row in both; side must divide."""
    n, h, w, _ = images.shape
    x = images.reshape(n, h // side, side, w // side, side).transpose(0, 1, 3, 2, 4)
    return x.reshape(n, -1, side * side)

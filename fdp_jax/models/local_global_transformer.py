"""The local-global feature-aware transformer: one frame to one feature (section 3.2).

Axes: n = clips x frames (clip-major), h w = map, c = channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.config import NO_GLOBAL, NO_LOCAL, Ablation, Backbone
from fdp_jax.models.layers import (
    Layers,
    Mlp,
    MultiHeadConv,
    MultiHeadSelfAttention,
    PatchEmbedding,
    average_pool,
)


class LocalRelationalAggregator(nn.Module):
    """PE; x + Pointwise(MultiHeadConv(x)); x + MLP(BN(x)) (section 3.2.1).

    Attributes:
      layers: makes the layers.
      convolution: of the first branch (Table 10): `fdp` as above; `conv` is a plain convolution
        alone, `conv_bn_relu_pointwise` a plain convolution in place of the multi-head one.
      channels: output channels.
      stride: of the patch embedding.
      drop_rate: stochastic depth of both branches.
    """

    layers: Layers
    convolution: Backbone
    channels: int
    stride: int
    drop_rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, c] -> [n, h / stride, w / stride, channels]."""
        layers = self.layers
        drop_path = layers.drop_path(self.drop_rate)
        x = PatchEmbedding(layers, self.channels, self.stride, name="PatchEmbedding")(x)
        if self.convolution == "fdp":
            y = MultiHeadConv(layers, name="MultiHeadConv")(x)
        else:
            y = layers.conv(self.channels, name="Conv")(x)
        if self.convolution == "conv_bn_relu_pointwise":
            y = nn.relu(layers.batch_norm("ConvNorm")(y))
        if self.convolution != "conv":
            y = layers.dense(self.channels, use_bias=False, name="Pointwise")(y)
        x = x + drop_path(y)
        y = layers.batch_norm("MlpNorm")(x)
        return x + drop_path(Mlp(layers, layers.config.local_mlp_ratio, name="Mlp")(y))


class GlobalRelationalAggregator(nn.Module):
    """Self-attention, multi-head convolution beside it, and an MLP over both (section 3.2.2).

    x = PE(x); x + MHSA(BN(x)); y = Pointwise(x) with BN; y + MultiHeadConv(y);
    z = [x, y]; z + MLP(BN(z)). Keys and values see BN(x) averaged over windows, with another BN.

    Attributes:
      layers: makes the layers.
      attention_channels: channels of x.
      channels: output channels, those of z.
      window: side of the windows; 1 means neither averaging nor the BN after it.
      drop_rate: stochastic depth of the three branches.
    """

    layers: Layers
    attention_channels: int
    channels: int
    window: int
    drop_rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, c] -> [n, h, w, channels]."""
        layers, cfg = self.layers, self.layers.config
        drop_path = layers.drop_path(self.drop_rate)
        x = PatchEmbedding(layers, self.attention_channels, name="PatchEmbedding")(x)
        query = context = layers.batch_norm("AttentionNorm")(x)
        if self.window > 1:
            context = layers.batch_norm("ContextNorm")(average_pool(query, self.window))
        heads = self.attention_channels // cfg.head_channels
        x = x + drop_path(MultiHeadSelfAttention(layers, heads, name="Attention")(query, context))
        y = PatchEmbedding(layers, self.channels - x.shape[-1], name="Reduction")(x)
        y = y + drop_path(MultiHeadConv(layers, name="MultiHeadConv")(y))
        z = jnp.concatenate([x, y], axis=-1)  # [n, h, w, channels]
        mixed = Mlp(layers, cfg.global_mlp_ratio, name="Mlp")(layers.batch_norm("MlpNorm")(z))
        return z + drop_path(mixed)


class LocalGlobalTransformer(nn.Module):
    """Stem, N_S stages of local and global relational aggregators, BN and global average pool.

    14,820,128 parameters at the default sizes (Table 10: 14.82M).

    Attributes:
      layers: makes the layers.
      convolution: of the local aggregators.
      ablate: which aggregators are left out. A stage without local ones keeps its patch embedding;
        without global ones, its local ones have the stage's output channels.
    """

    layers: Layers
    convolution: Backbone
    ablate: Ablation

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """float32 [n, h, w, 3] in [-1, 1] -> [n, output_channels[-1]]."""
        layers, cfg = self.layers, self.layers.config
        x = layers.conv(cfg.stem_channels, stride=2, name="Stem")(images)
        x = nn.relu(layers.batch_norm("StemNorm")(x))
        stages = len(cfg.output_channels)
        # Rises linearly over all blocks; an ablation does not change the rates of the others.
        drop_rates = np.linspace(
            0, cfg.stochastic_depth, stages * (cfg.local_blocks + cfg.global_blocks)
        )
        drop_rates = drop_rates.reshape(stages, -1).tolist()
        local_blocks = 0 if self.ablate in NO_LOCAL else cfg.local_blocks
        global_blocks = 0 if self.ablate in NO_GLOBAL else cfg.global_blocks
        for stage in range(stages):
            prefix = f"Stage{stage + 1}"
            channels = (cfg.local_channels if global_blocks else cfg.output_channels)[stage]
            if not local_blocks:
                x = PatchEmbedding(layers, channels, 2, name=f"{prefix}PatchEmbedding")(x)
            for block in range(local_blocks):
                x = LocalRelationalAggregator(
                    layers,
                    self.convolution,
                    channels,
                    stride=2 if block == 0 else 1,
                    drop_rate=drop_rates[stage][block],
                    name=f"{prefix}Local{block + 1}",
                )(x)
            for block in range(global_blocks):
                x = GlobalRelationalAggregator(
                    layers,
                    cfg.attention_channels[stage],
                    cfg.output_channels[stage],
                    window=cfg.key_value_windows[stage],
                    drop_rate=drop_rates[stage][cfg.local_blocks + block],
                    name=f"{prefix}Global{block + 1}",
                )(x)
        return layers.batch_norm("Norm")(x).mean(axis=(1, 2))

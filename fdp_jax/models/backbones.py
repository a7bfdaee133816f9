"""Backbones, one frame to one feature: the choice between them, ResNet18 and ViT-Base (Table 10).

Axes: n = clips x frames (clip-major), h w = map, c = channels, p = tokens (the class token, then
the patches row by row).
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.config import Ablation, Backbone
from fdp_jax.models.layers import Layers, MultiHeadSelfAttention
from fdp_jax.models.local_global_transformer import LocalGlobalTransformer

BLOCKS_PER_STAGE = 2  # of ResNet18
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # as for the dynamic image


def make_backbone(layers: Layers, backbone: Backbone, ablate: Ablation) -> nn.Module:
    """The module of that name: frames [n, h, w, 3] in [-1, 1] -> [n, width].

    Args:
      layers: makes the layers.
      backbone: which one.
      ablate: aggregators to leave out of the local-global feature-aware transformer.
    """
    match backbone:
        case "resnet18":
            return ResNet18(layers, name="ResNet18")
        case "vit_base":
            return VisionTransformer(layers, name="VisionTransformer")
    return LocalGlobalTransformer(layers, backbone, ablate, name="LocalGlobalTransformer")


def grey_channel(images: jax.Array) -> jax.Array:
    """[n, h, w, 3] -> [n, h, w, 1], in the same range."""
    return (images @ jnp.array(GREY_WEIGHTS, images.dtype))[..., None]


class ResidualBlock(nn.Module):
    """ReLU(shortcut(x) + BN(conv(ReLU(BN(conv(x)))))), 3x3; the first convolution has the stride.

    The shortcut is the identity, or a strided 1x1 convolution with BN if size or width changes.

    Attributes:
      layers: makes the layers.
      channels: output channels.
      stride: of the block.
      drop_rate: stochastic depth of the branch.
    """

    layers: Layers
    channels: int
    stride: int
    drop_rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, h, w, c] -> [n, ceil(h / stride), ceil(w / stride), channels]."""
        layers = self.layers
        y = layers.conv(self.channels, stride=self.stride, name="Conv1")(x)
        y = nn.relu(layers.batch_norm("Norm1")(y))
        y = layers.batch_norm("Norm2")(layers.conv(self.channels, name="Conv2")(y))
        if self.stride > 1 or x.shape[-1] != self.channels:
            x = layers.conv(self.channels, kernel_size=1, stride=self.stride, name="Shortcut")(x)
            x = layers.batch_norm("ShortcutNorm")(x)
        return nn.relu(x + layers.drop_path(self.drop_rate)(y))


class ResNet18(nn.Module):
    """7x7 stem and max-pool, stages of two residual blocks, global average pool; on grey frames.

    He et al., 2016. 11,170,240 parameters at the default sizes; 13,271,488 with the projection to
    F_k (Table 10: 13.27M). Stochastic depth rises linearly over the blocks.
    """

    layers: Layers

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """float32 [n, h, w, 3] in [-1, 1] -> [n, resnet_channels[-1]]."""
        layers, widths = self.layers, self.layers.config.resnet_channels
        x = layers.conv(widths[0], kernel_size=7, stride=2, name="Stem")(grey_channel(images))
        x = nn.relu(layers.batch_norm("StemNorm")(x))
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        blocks = len(widths) * BLOCKS_PER_STAGE
        for index, rate in enumerate(np.linspace(0, layers.config.stochastic_depth, blocks)):
            stage, block = divmod(index, BLOCKS_PER_STAGE)
            stride = 2 if stage > 0 and block == 0 else 1
            name = f"Stage{stage + 1}Block{block + 1}"
            x = ResidualBlock(layers, widths[stage], stride, float(rate), name=name)(x)
        return x.mean(axis=(1, 2))


class TransformerBlock(nn.Module):
    """x + MHSA(LN(x)); x + MLP(LN(x)), with a GELU in the MLP.

    Attributes:
      layers: makes the layers.
      drop_rate: stochastic depth of both branches.
    """

    layers: Layers
    drop_rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, p, c] -> [n, p, c]."""
        layers, cfg, c = self.layers, self.layers.config, x.shape[-1]
        drop_path, dropout = layers.drop_path(self.drop_rate), layers.dropout()
        layer_norm = functools.partial(nn.LayerNorm, dtype=layers.dtype)
        y = layer_norm(name="AttentionNorm")(x)
        attend = MultiHeadSelfAttention(layers, cfg.vit_heads, qkv_bias=False, name="Attention")
        x = x + drop_path(attend(y, y))
        y = layers.dense(c * cfg.vit_mlp_ratio, name="Hidden")(layer_norm(name="MlpNorm")(x))
        y = dropout(nn.gelu(y, approximate=False))
        return x + drop_path(dropout(layers.dense(c, name="Output")(y)))


class VisionTransformer(nn.Module):
    """Patches and a class token with learnt positions, transformer blocks, LN; on grey frames.

    Dosovitskiy et al., 2021. 85,239,552 parameters at the default sizes; 88,389,376 with the
    projection to F_k (Table 10: 88.39M). Stochastic depth rises linearly over the blocks.
    """

    layers: Layers

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """float32 [n, h, w, 3] in [-1, 1] -> the class token [n, vit_channels]."""
        layers, cfg = self.layers, self.layers.config
        c = cfg.vit_channels
        x = patches(grey_channel(images), cfg.vit_patch)
        x = layers.dense(c, name="PatchEmbedding")(x)
        token = self.param("class_token", layers.kernel_init, (1, 1, c)).astype(x.dtype)
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, c)), x], axis=1)
        positions = self.param("position_embedding", layers.kernel_init, x.shape[1:])
        x = x + positions.astype(x.dtype)
        for block, rate in enumerate(np.linspace(0, cfg.stochastic_depth, cfg.vit_blocks), start=1):
            x = TransformerBlock(layers, float(rate), name=f"Block{block}")(x)
        return nn.LayerNorm(dtype=layers.dtype, name="Norm")(x[:, 0])


def patches(images: jax.Array, size: int) -> jax.Array:
    """[n, h, w, 1] -> [n, (h / size) (w / size), size^2], both row by row."""
    n, h, w, _ = images.shape
    x = images.reshape(n, h // size, size, w // size, size).transpose(0, 1, 3, 2, 4)
    return x.reshape(n, -1, size * size)

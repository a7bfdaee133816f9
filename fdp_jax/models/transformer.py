"""LocalGlobalTransformer: one frame to one feature (section 3.2).

Axes: n = clips x frames (clip-major), h w = map, c = channels.
"""

import flax.linen as nn
import jax
import numpy as np

from fdp_jax.config import NO_GLOBAL, NO_LOCAL, Ablation, Backbone, ModelConfig
from fdp_jax.models.aggregators import GlobalRelationalAggregator, LocalRelationalAggregator
from fdp_jax.models.layers import BatchNorm, PatchEmbedding, Pointwise, strided_patches


class LocalGlobalTransformer(nn.Module):
    """Stem, N_S stages of local and global relational aggregators, BN and global average pool.

    14,820,128 parameters at the default sizes (Table 10: 14.82M).

    Attributes:
      config: sizes of the network.
      convolution: of the local aggregators.
      ablate: which aggregators are left out. A stage without local ones keeps its patch embedding;
        in one without global ones, that leads to the stage's output channels at once.
      frames: frames of a clip, which share the draws of stochastic depth.
    """

    config: ModelConfig
    convolution: Backbone
    ablate: Ablation
    frames: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """float32 [n, h, w, 3] in [-1, 1] -> [n, output_channels[-1]]."""
        cfg = self.config
        momentum = cfg.batch_norm_momentum
        x = Pointwise(cfg.stem_channels, name="Stem")(strided_patches(images))
        x = nn.relu(BatchNorm(momentum)(x, train=train))

        blocks_per_stage = cfg.local_blocks + cfg.global_blocks
        stages = len(cfg.output_channels)
        # An ablation leaves the other blocks' rates as they are.
        rates = np.linspace(0.0, cfg.stochastic_depth, stages * blocks_per_stage)
        rates = rates.reshape(stages, blocks_per_stage)
        local_blocks = 0 if self.ablate in NO_LOCAL else cfg.local_blocks
        global_blocks = 0 if self.ablate in NO_GLOBAL else cfg.global_blocks
        for stage in range(stages):
            channels = (cfg.local_channels if global_blocks else cfg.output_channels)[stage]
            if not local_blocks:
                name = f"Stage{stage + 1}PatchEmbedding"
                x = PatchEmbedding(channels, 2, momentum, name=name)(x, train=train)
            for block in range(local_blocks):
                x = LocalRelationalAggregator(
                    cfg,
                    self.convolution,
                    channels=channels,
                    stride=2 if block == 0 else 1,
                    skip_rate=float(rates[stage, block]),
                    frames=self.frames,
                    name=f"Stage{stage + 1}Local{block + 1}",
                )(x, train=train)
            for block in range(global_blocks):
                x = GlobalRelationalAggregator(
                    cfg,
                    attention_channels=cfg.attention_channels[stage],
                    channels=cfg.output_channels[stage],
                    window=cfg.key_value_windows[stage],
                    skip_rate=float(rates[stage, cfg.local_blocks + block]),
                    frames=self.frames,
                    name=f"Stage{stage + 1}Global{block + 1}",
                )(x, train=train)
        x = BatchNorm(momentum)(x, train=train)
        return x.mean(axis=(1, 2))

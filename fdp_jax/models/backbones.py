"""The networks that make one feature of one frame (Table 10)."""

import flax.linen as nn

from fdp_jax.config import Ablation, Backbone, ModelConfig
from fdp_jax.models.resnet import ResNet18
from fdp_jax.models.transformer import LocalGlobalTransformer
from fdp_jax.models.vision_transformer import VisionTransformer


def make_backbone(
    config: ModelConfig, backbone: Backbone, ablate: Ablation, frames: int
) -> nn.Module:
    """The chosen network, frames [n, h, w, 3] in [-1, 1] -> [n, width], named by its structure.

    Args:
      config: sizes of all backbones.
      backbone: which one.
      ablate: aggregators to leave out of the local-global feature-aware transformer.
      frames: frames of a clip, which share the draws of stochastic depth.
    """
    match backbone:
        case "resnet18":
            return ResNet18(config, frames, name="ResNet18")
        case "vit_base":
            return VisionTransformer(config, frames, name="VisionTransformer")
    return LocalGlobalTransformer(config, backbone, ablate, frames, name="LocalGlobalTransformer")

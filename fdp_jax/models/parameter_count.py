"""The number of parameters as Table 10 counts it; no weight is made."""

import jax
import jax.numpy as jnp

from fdp_jax.config import TRANSFORMERS, TrainConfig
from fdp_jax.models.fdp import FDP


def count_params_by_module(config: TrainConfig, classes: int) -> dict[str, int]:
    """Parameters of each part of the network, by its name in the tree of weights."""
    clip = config.clip
    clips = jnp.zeros((1, clip.frames, clip.crop, clip.crop, 3))
    model = FDP(config.model, classes, config.backbone, config.ablate)
    shapes = jax.eval_shape(lambda key: model.init(key, clips, train=False), jax.random.key(0))
    return {
        name: sum(leaf.size for leaf in jax.tree.leaves(part))
        for name, part in shapes["params"].items()
    }


def backbone_parameters(config: TrainConfig) -> int:
    """Parameters of what makes a frame's feature, as in Table 10.

    The counts printed there are those of the local-global feature-aware transformer without the
    projection to F_k, and of ViT-Base and ResNet18 with it.
    """
    sizes = count_params_by_module(
        config, classes=2
    )  # the number of classes touches other parts only
    if config.backbone in TRANSFORMERS:
        return sizes["LocalGlobalTransformer"]
    (backbone,) = sizes.keys() & {"ResNet18", "VisionTransformer"}
    return sizes[backbone] + sizes["FrameFeature"]

"""FDP, the whole network (section 3.1, Algorithm 1), and its number of parameters.

Axes: b = clips, t = frames, h w = pixels, c = channels, f = frame feature (h w), m = categories.
"""

import dataclasses

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from fdp_jax.config import TRANSFORMERS, Ablation, Backbone, ModelConfig, TrainConfig
from fdp_jax.models.backbones import make_backbone
from fdp_jax.models.heads import DynamicImageHead, RankScorer, RecognitionHead, TemporalPooling
from fdp_jax.models.layers import Layers


@flax.struct.dataclass
class Outputs:
    """Outputs for a batch of clips, float32; None where ablated.

    Attributes:
      logits: [b, m], before the softmax.
      dynamic_image: [b, h, w], the construction, in (0, 1).
      rank_scores: [b, t], S(F_k).
      features: [b, t, f], F_k.
    """

    logits: jax.Array | None
    dynamic_image: jax.Array | None
    rank_scores: jax.Array | None
    features: jax.Array


class FDP(nn.Module):
    """Frames -> features -> rank scores; features -> F^(d) -> category and dynamic image.

    The bias of F_k starts at mean(K) u / |u|^2, so that all rank scores start near the mean of
    their targets, the best constant. The temporal pooling starts with zero mean over time and
    cancels it.

    Attributes:
      config: sizes of the network.
      classes: m, categories of the protocol.
      backbone: maps a frame to the vector from which F_k is projected.
      ablate: what is left out.
      dtype: of products and activations; rank scores and logits are computed in float32 at least.
      batched: whether convolutions are batched matrix products, as several folds under `jax.vmap`
        need; always so on a GPU.
      rank_slope: a in the rank target K(k) = a k.
    """

    config: ModelConfig
    classes: int
    backbone: Backbone = "fdp"
    ablate: Ablation = ""
    dtype: DTypeLike = jnp.float32
    batched: bool = False
    rank_slope: float = 1.0

    @nn.compact
    def __call__(self, clips: jax.Array, *, train: bool) -> Outputs:
        """float32 [b, t, h, w, 3] in [-1, 1] -> Outputs."""
        b, t, h, w, c = clips.shape
        batched = self.batched or jax.default_backend() != "cpu"
        layers = Layers(self.config, t, train, self.dtype, batched)
        in_float32 = dataclasses.replace(layers, dtype=None)
        logits = dynamic_image = rank_scores = None

        pooled = make_backbone(layers, self.backbone, self.ablate)(clips.reshape(b * t, h, w, c))
        bias_init = nn.initializers.zeros
        if self.ablate != "no_rank":
            rank_scorer = RankScorer(h * w, name="RankScorer")
            mean_target = self.rank_slope * (t - 1) / 2
            bias_init = nn.initializers.constant(rank_scorer.feature_of(mean_target))
        features = layers.dense(h * w, bias_init=bias_init, name="FrameFeature")(pooled)
        features = features.reshape(b, t, h * w)
        if self.ablate != "no_rank":
            rank_scores = rank_scorer(features)

        # Each feature is seen as a map of the crop's size.
        maps = features.reshape(b, t, h, w)
        dynamic = TemporalPooling(layers, name="TemporalPooling")(maps)  # [b, h, w, c]
        if self.ablate != "no_mer":
            recognise = RecognitionHead(in_float32, self.classes, name="RecognitionHead")
            logits = recognise(dynamic)
        if self.ablate != "no_dic":
            dynamic_image = DynamicImageHead(layers, name="DynamicImageHead")(dynamic)

        output_dtype = jnp.promote_types(self.dtype, jnp.float32)
        outputs = Outputs(logits, dynamic_image, rank_scores, features)
        return jax.tree.map(lambda output: output.astype(output_dtype), outputs)


def make_model(config: TrainConfig, classes: int, batched: bool = False) -> FDP:
    """The network of a configuration.

    Args:
      config: all options.
      classes: m, categories of the protocol.
      batched: whether several folds share one program.
    """
    dtype = jnp.bfloat16 if config.precision == "bfloat16" else jnp.float32
    network = (config.model, classes, config.backbone, config.ablate)
    return FDP(*network, dtype=dtype, batched=batched, rank_slope=config.loss.rank_slope)


def count_params_by_module(config: TrainConfig, classes: int) -> dict[str, int]:
    """Number of parameters of each part of the network, by its name in the parameter tree."""
    clip = config.clip
    clips = jax.ShapeDtypeStruct((1, clip.frames, clip.crop, clip.crop, 3), jnp.float32)
    model = make_model(config, classes)
    init = lambda key, clips: model.init(key, clips, train=False)  # noqa: E731
    shapes = jax.eval_shape(init, jax.random.key(0), clips)
    return {
        name: sum(leaf.size for leaf in jax.tree.leaves(part))
        for name, part in shapes["params"].items()
    }


def count_backbone_params(config: TrainConfig) -> int:
    """Number of parameters of the backbone as Table 10 counts them.

    Of ViT-Base and ResNet18 with the projection to F_k, of the transformer without it.
    """
    sizes = count_params_by_module(config, classes=2)  # the backbone is the same for any number
    if config.backbone in TRANSFORMERS:
        return sizes["LocalGlobalTransformer"]
    (backbone,) = sizes.keys() & {"ResNet18", "VisionTransformer"}
    return sizes[backbone] + sizes["FrameFeature"]

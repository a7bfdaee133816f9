"""FDP: the whole network (section 3.1, Algorithm 1).

Axes: b = clips, t = frames, h w = pixels, c = channels, f = frame feature, m = categories.
"""

import flax.linen as nn
import flax.struct
import jax

from fdp_jax.config import Ablation, Backbone, ModelConfig
from fdp_jax.models.backbones import make_backbone
from fdp_jax.models.dynamic_image_head import DynamicImageHead
from fdp_jax.models.rank_scorer import RankScorer
from fdp_jax.models.recognition_head import RecognitionHead
from fdp_jax.models.temporal_pooling import TemporalPooling


@flax.struct.dataclass
class Outputs:
    """What the network says about a batch of clips, all float32; None where ablated.

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

    Attributes:
      config: sizes of the network.
      classes: m, categories of the protocol.
      backbone: what makes a frame's feature.
      ablate: what is left out.
    """

    config: ModelConfig
    classes: int
    backbone: Backbone = "fdp"
    ablate: Ablation = ""

    @nn.compact
    def __call__(self, clips: jax.Array, *, train: bool) -> Outputs:
        """float32 [b, t, h, w, 3] in [-1, 1] -> Outputs."""
        cfg = self.config
        b, t, h, w, c = clips.shape
        frames = clips.reshape(b * t, h, w, c)
        pooled = make_backbone(cfg, self.backbone, self.ablate, t)(frames, train=train)
        features = nn.Dense(h * w, name="FrameFeature")(pooled)
        features = features.reshape(b, t, h * w)
        dynamic = TemporalPooling(
            cfg.pooled_channels, cfg.forms.convolution, name="TemporalPooling"
        )(features.reshape(b, t, h, w))  # each feature seen as a map of the crop's size
        logits = dynamic_image = rank_scores = None
        if self.ablate != "no_rank":
            rank_scores = RankScorer(name="RankScorer")(features)
        if self.ablate != "no_mer":
            recognise = RecognitionHead(self.classes, cfg.recognition_units, name="RecognitionHead")
            logits = recognise(dynamic)
        if self.ablate != "no_dic":
            construct = DynamicImageHead(
                tuple(cfg.construction_channels),
                cfg.leaky_slope,
                cfg.batch_norm_momentum,
                cfg.forms.convolution,
                name="DynamicImageHead",
            )
            dynamic_image = construct(dynamic, train=train)
        return Outputs(logits, dynamic_image, rank_scores, features)


class _Shim:
    def __init__(self, config, classes, batched):
        import dataclasses as d

        m = config.model
        if batched:
            m = d.replace(m, forms=d.replace(m.forms, multi_head="heads", convolution="rows"))
        self.m = FDP(m, classes, config.backbone, config.ablate)
        self.p = config.precision

    def init(self, key, clips, train):
        from fdp_jax.models.initialisation import initial_variables

        return initial_variables(self.m, key, clips)

    def apply(self, variables, clips, **k):
        from fdp_jax.precision import apply_network

        return apply_network(self.m, self.p, variables, clips, **k)


def make_model(config, classes, batched=False):
    return _Shim(config, classes, batched)

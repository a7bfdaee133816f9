"""FDP in PyTorch, for the parity tests and the benchmark.

An independent implementation of the paper (section 3, Table 10) with PyTorch's own layers and
channels-first maps; it shares only the options with the JAX code.

Axes: b = clips, t = frames, n = b x t (clip-major), c = channels, h w = map, g = heads,
q m = query and key pixels, f = frame feature.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fdp_jax.config import LossConfig, ModelConfig


class TorchOutputs(NamedTuple):
    """Outputs for a batch of clips.

    Attributes:
      logits: [b, categories].
      dynamic_image: [b, h, w], in (0, 1).
      rank_scores: [b, t].
      features: [b, t, f].
    """

    logits: Tensor
    dynamic_image: Tensor
    rank_scores: Tensor
    features: Tensor


def _norm(config: ModelConfig, channels: int) -> nn.BatchNorm2d:
    # PyTorch's momentum is the share of the new value, the option's that of the old one.
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=1.0 - config.batch_norm_momentum)


class DropPath(nn.Module):
    """Zeroes a residual branch for whole clips in training: one draw for all frames of a clip."""

    def __init__(self, rate: float, frames: int):
        super().__init__()
        self.rate, self.frames = rate, frames

    def forward(self, branch: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, c, h, w]."""
        clips = torch.ones(branch.shape[0] // self.frames, dtype=branch.dtype, device=branch.device)
        scale = functional.dropout(clips, self.rate, self.training)
        return branch * scale.repeat_interleave(self.frames)[:, None, None, None]


def _multi_head_conv(config: ModelConfig, channels: int) -> nn.Sequential:
    """3x3 convolution, BN and ReLU in each head (section 3.2.1)."""
    heads = channels // config.head_channels
    conv = nn.Conv2d(channels, channels, 3, padding=1, groups=heads, bias=False)
    return nn.Sequential(conv, _norm(config, channels), nn.ReLU())


def _patch_embedding(
    config: ModelConfig, channels_in: int, channels: int, stride: int = 1
) -> nn.Module:
    """2x2 average pool if the stride is 2, then 1x1 convolution and BN; identity if no change."""
    if stride == 1 and channels_in == channels:
        return nn.Identity()
    pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
    conv = nn.Conv2d(channels_in, channels, 1, bias=False)
    return nn.Sequential(pool, conv, _norm(config, channels))


def _mlp(config: ModelConfig, channels: int, ratio: int) -> nn.Sequential:
    """1x1 convolution, ReLU, 1x1 convolution, dropout after both."""
    hidden, output = (
        nn.Conv2d(channels, channels * ratio, 1),
        nn.Conv2d(channels * ratio, channels, 1),
    )
    dropout = nn.Dropout(config.dropout)
    return nn.Sequential(hidden, nn.ReLU(), dropout, output, dropout)


class LocalAggregator(nn.Module):
    """PE; x + Pointwise(MultiHeadConv(x)); x + MLP(BN(x)) (section 3.2.1)."""

    def __init__(
        self,
        config: ModelConfig,
        channels_in: int,
        channels: int,
        stride: int,
        drop_rate: float,
        frames: int,
    ):
        super().__init__()
        self.embedding = _patch_embedding(config, channels_in, channels, stride)
        self.heads = _multi_head_conv(config, channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = _norm(config, channels)
        self.mlp = _mlp(config, channels, config.local_mlp_ratio)
        self.drop_path = DropPath(drop_rate, frames)

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels_in, h, w] -> [n, channels, h / stride, w / stride]."""
        x = self.embedding(x)
        x = x + self.drop_path(self.pointwise(self.heads(x)))
        return x + self.drop_path(self.mlp(self.norm(x)))


class SelfAttention(nn.Module):
    """Eqs. 1 to 3; keys and values come from the map averaged over windows and normalised again."""

    def __init__(self, config: ModelConfig, channels: int, window: int):
        super().__init__()
        self.head_channels = config.head_channels
        self.context = nn.Identity()
        if window > 1:
            self.context = nn.Sequential(nn.AvgPool2d(window), _norm(config, channels))
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.output = nn.Conv2d(channels, channels, 1)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, c, h, w]."""
        context = self.context(x)
        query, key, value = (
            y.unflatten(1, (-1, self.head_channels)).flatten(3)  # [n, g, c / g, q or m]
            for y in (self.query(x), self.key(context), self.value(context))
        )
        similarity = query.transpose(2, 3) @ key / self.head_channels**0.5  # [n, g, q, m]
        attended = value @ similarity.softmax(dim=-1).transpose(2, 3)  # [n, g, c / g, q]
        return self.dropout(self.output(attended.reshape(x.shape)))


class GlobalAggregator(nn.Module):
    """PE; x + MHSA(BN(x)); y = BN(Pointwise(x)), y + MultiHeadConv(y); z = [x, y], z + MLP(BN(z)).

    Section 3.2.2.
    """

    def __init__(
        self, config: ModelConfig, channels_in: int, stage: int, drop_rate: float, frames: int
    ):
        super().__init__()
        inner, channels = config.attention_channels[stage], config.output_channels[stage]
        self.embedding = _patch_embedding(config, channels_in, inner)
        self.attention_norm = _norm(config, inner)
        self.attention = SelfAttention(config, inner, config.key_value_windows[stage])
        self.reduction = _patch_embedding(config, inner, channels - inner)
        self.heads = _multi_head_conv(config, channels - inner)
        self.norm = _norm(config, channels)
        self.mlp = _mlp(config, channels, config.global_mlp_ratio)
        self.drop_path = DropPath(drop_rate, frames)

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels_in, h, w] -> [n, output channels of the stage, h, w]."""
        x = self.embedding(x)
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        y = self.reduction(x)
        y = y + self.drop_path(self.heads(y))
        z = torch.cat([x, y], dim=1)
        return z + self.drop_path(self.mlp(self.norm(z)))


class Transformer(nn.Module):
    """Stem, four stages of local and global aggregators, BN, global average pool (section 3.2)."""

    def __init__(self, config: ModelConfig, frames: int):
        super().__init__()
        self.stem = nn.Conv2d(3, config.stem_channels, 3, stride=2, padding=1, bias=False)
        self.stem_norm = _norm(config, config.stem_channels)
        self.blocks = nn.ModuleDict()
        stages = range(len(config.output_channels))
        last = len(stages) * (config.local_blocks + config.global_blocks) - 1
        channels = config.stem_channels
        for stage in stages:
            for block in range(config.local_blocks):
                rate = config.stochastic_depth * len(self.blocks) / last
                stride, width = 2 if block == 0 else 1, config.local_channels[stage]
                local = LocalAggregator(config, channels, width, stride, rate, frames)
                self.blocks[f"Stage{stage + 1}Local{block + 1}"] = local
                channels = width
            for block in range(config.global_blocks):
                rate = config.stochastic_depth * len(self.blocks) / last
                self.blocks[f"Stage{stage + 1}Global{block + 1}"] = GlobalAggregator(
                    config, channels, stage, rate, frames
                )
                channels = config.output_channels[stage]
        self.norm = _norm(config, channels)

    def forward(self, images: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, c]."""
        x = torch.relu(self.stem_norm(self.stem(images)))
        for block in self.blocks.values():
            x = block(x)
        return self.norm(x).mean(dim=(2, 3))


def _conv_block(config: ModelConfig, channels_in: int, channels: int) -> nn.Sequential:
    """3x3 convolution, BN, leaky ReLU."""
    conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, _norm(config, channels), nn.LeakyReLU(config.leaky_slope))


class DynamicImageHead(nn.Module):
    """Encoder and decoder with added skips, 1x1 convolution, sigmoid (section 3.4.1, Fig. 3)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        widths = config.construction_channels
        wider = widths[1:] + widths[-1:]
        self.encoder = nn.ModuleList(
            _conv_block(config, narrow, wide)
            for narrow, wide in zip((config.pooled_channels, *widths), widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 2, stride=2)
            for narrow, wide in zip(widths, wider, strict=True)
        )
        self.decoder = nn.ModuleList(_conv_block(config, width, width) for width in widths)
        self.output = nn.Conv2d(widths[0], 1, 1)

    def forward(self, dynamic: Tensor) -> Tensor:
        """F^(d) [b, c, h, w] -> [b, h, w] in (0, 1)."""
        x, levels = dynamic, []
        for encode in self.encoder:
            levels.append(encode(x))
            x = self.pool(levels[-1])
        for level in reversed(range(len(levels))):
            x = self.decoder[level](self.up[level](x) + levels[level])
        return torch.sigmoid(self.output(x)).squeeze(1)


class RecognitionHead(nn.Module):
    """3x3 max-pool, dense, ReLU, dense (section 3.4.2)."""

    def __init__(self, config: ModelConfig, classes: int, side: int):
        super().__init__()
        self.pool = nn.MaxPool2d(3)
        pixels = (side // 3) ** 2
        self.hidden = nn.Linear(config.pooled_channels * pixels, config.recognition_units)
        self.output = nn.Linear(config.recognition_units, classes)

    def forward(self, dynamic: Tensor) -> Tensor:
        """F^(d) [b, c, h, w] -> logits [b, classes]."""
        return self.output(torch.relu(self.hidden(self.pool(dynamic).flatten(1))))


class TorchFDP(nn.Module):
    """The whole network (section 3.1, Algorithm 1), with PyTorch's default initialisation.

    Args:
      config: sizes of the network.
      classes: categories of the protocol.
      frames: t, frames of a clip.
      side: h and w of the frames and of the maps that the features are reshaped to.
    """

    def __init__(self, config: ModelConfig, classes: int, frames: int = 8, side: int = 64):
        super().__init__()
        self.frames, self.side = frames, side
        self.transformer = Transformer(config, frames)
        self.feature = nn.Linear(config.output_channels[-1], side * side)
        self.rank_scorer = nn.Linear(side * side, 1, bias=False)
        self.temporal_pooling = nn.Conv3d(
            1, config.pooled_channels, (frames, 3, 3), padding=(0, 1, 1)
        )
        self.recognition = RecognitionHead(config, classes, side)
        self.construction = DynamicImageHead(config)

    def forward(self, clips: Tensor) -> TorchOutputs:
        """float32 [b, t, 3, h, w] in [-1, 1] -> TorchOutputs."""
        features = self.feature(self.transformer(clips.flatten(0, 1)))  # [n, f]
        features = features.unflatten(0, (-1, self.frames))
        maps = features.unflatten(2, (self.side, self.side))  # [b, t, h, w]
        dynamic = self.temporal_pooling(maps.unsqueeze(1)).squeeze(2)  # [b, c, h, w]
        return TorchOutputs(
            self.recognition(dynamic),
            self.construction(dynamic),
            self.rank_scorer(features).squeeze(2),
            features,
        )


def torch_loss(outputs: TorchOutputs, target: Tensor, labels: Tensor, config: LossConfig) -> Tensor:
    """Eq. 8, a scalar.

    Args:
      outputs: of the network, for b clips.
      target: ground-truth dynamic image [b, h, w].
      labels: int64 [b].
      config: the weights of the terms.
    """
    recognition = functional.cross_entropy(outputs.logits, labels)
    construction = functional.mse_loss(outputs.dynamic_image, target)
    order = torch.arange(outputs.rank_scores.shape[1], device=target.device)
    rank = (config.rank_slope * order - outputs.rank_scores).abs().sum(dim=1).mean()
    return (
        config.recognition_weight * recognition
        + config.dynamic_image_weight * construction
        + config.rank_weight * rank
    )

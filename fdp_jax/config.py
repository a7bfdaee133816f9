"""All options that change a number, as frozen dataclasses, and the presets built from them.

Defaults are the paper's (section 4.1.3, Table 10); where the paper is silent the field says so.
Nothing heavy is imported here, so that a command line can be checked before jax is loaded.
"""

import dataclasses
import math
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from datasets.errors import UserError

# The command line takes either as one word with commas.
Ints = tuple[int, ...]
Names = tuple[str, ...]

Ablation = Literal["", "no_dic", "no_rank", "no_local", "no_global", "no_local_global", "no_mer"]
Backbone = Literal["fdp", "conv", "conv_bn_relu_pointwise", "vit_base", "resnet18"]
Precision = Literal["float32", "tensorfloat32", "bfloat16"]
# The local-global feature-aware transformer, and it with other local convolutions (Table 10).
TRANSFORMERS: tuple[Backbone, ...] = ("fdp", "conv", "conv_bn_relu_pointwise")
NO_LOCAL: tuple[Ablation, ...] = ("no_local", "no_local_global")
NO_GLOBAL: tuple[Ablation, ...] = ("no_global", "no_local_global")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and initialisation of the network. Lists have one entry per stage (N_S entries)."""

    stem_channels: int = 32
    """Channels of the vanilla convolution before the first stage."""
    local_channels: Ints = (96, 192, 384, 768)
    """Channels of the local relational aggregators."""
    attention_channels: Ints = (96, 192, 384, 768)
    """Channels of the self-attention inside the global relational aggregators."""
    output_channels: Ints = (128, 256, 512, 1024)
    """Output channels of each stage; the last is the width of the frame feature."""
    key_value_windows: Ints = (8, 4, 2, 1)
    """Side of the windows that keys and values are averaged over (1: no pooling)."""
    local_blocks: int = 2
    """N_L, local relational aggregators in a stage."""
    global_blocks: int = 1
    """N_G, global relational aggregators in a stage."""
    head_channels: int = 8
    """Channels of one head, in attention and in the multi-head convolution."""
    local_mlp_ratio: int = 2
    """Hidden over outer width of the MLP in a local relational aggregator."""
    global_mlp_ratio: int = 1
    """The same in a global relational aggregator."""
    stochastic_depth: float = 0.1
    """Probability of dropping a branch of the last block in training; rises linearly from 0."""
    dropout: float = 0.0
    """Dropout after the attention's output and in the MLPs."""
    pooled_channels: int = 8
    """Channels of the dynamic representation F^(d), the filters of the 3D convolution."""
    recognition_units: int = 256
    """Width of the recognition head's first dense layer."""
    construction_channels: Ints = (32, 64, 128, 256)
    """Widths of the four encoder blocks of the dynamic image head."""
    leaky_slope: float = 0.01
    """Slope of the leaky ReLU below zero."""
    initial_std: float = 0.02
    """Standard deviation of the truncated normal from which kernels start."""
    temporal_initial_std: float = 3.0
    """The same for the kernel of the temporal pooling, which starts with zero mean over time."""
    batch_norm_momentum: float = 0.9
    """Share of the old running statistics that is kept at each step."""
    resnet_channels: Ints = (64, 128, 256, 512)
    """Widths of the stages of --backbone=resnet18; the first is the stem's too."""
    vit_patch: int = 16
    """Side of the patches of --backbone=vit_base, in pixels."""
    vit_channels: int = 768
    """Width of its tokens."""
    vit_blocks: int = 12
    """Its blocks of self-attention and MLP."""
    vit_heads: int = 12
    """Its heads of self-attention."""
    vit_mlp_ratio: int = 4
    """Hidden over outer width of its MLPs."""


@dataclass(frozen=True)
class ClipConfig:
    """How a stored clip becomes the network's input (section 4.1.3)."""

    frames: int = 8
    """t, frames sampled from a clip, uniformly spaced."""
    crop: int = 64
    """Side of the square crop of the stored frames (72 x 72 as built by default), in pixels."""
    flip_probability: float = 0.5
    """Chance of a horizontal flip in training, one draw for all frames of a clip."""
    last_frame: Literal["offset", "apex"] = "offset"
    """Where clips end. A clip that ends at its apex only rises, so that single frames have an
    order; clips whose sheet has no apex end at the offset."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of Eq. 8."""

    recognition_weight: float = 1.0
    """Weight of the cross-entropy (Eq. 7)."""
    dynamic_image_weight: float = 100.0
    """lambda_d, weight of the dynamic image's mean squared error (Eq. 6)."""
    rank_weight: float = 0.1
    """lambda_r, weight of the rank loss (Eq. 5)."""
    rank_slope: float = 1.0
    """a in the rank target K(k) = a k."""


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam, and what goes around it."""

    learning_rate: float = 1e-4
    """The largest learning rate of the schedule."""
    weight_decay: float = 1e-3
    """L2 penalty added to the gradient before Adam sees it (the paper is silent)."""
    second_moment_decay: float = 0.999
    """Adam's beta_2: the share of its running mean of squared gradients kept at each step."""
    warmup_steps: int = 0
    """Steps of the linear warm-up; the first has 1 / (warmup_steps + 1) of the learning rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """What the learning rate does after the warm-up; cosine falls to 0 at the last step."""


@dataclass(frozen=True)
class TrainConfig:
    """Options of a training; together with the corpus they determine every number."""

    steps: int = 2000
    """Optimiser steps per fold (the paper is silent)."""
    batch_size: int = 36
    """Clips per step."""
    select: Literal["last", "test-best", "val", "all"] = "last"
    """Which step's weights are used: `last`, after the fixed number of steps; `val`, the
    best step on held-out people of the training fold; `test-best`, the best step on the test people
    (optimistic: what the released code does); `all`, the three side by side (two trainings)."""
    evaluate_every: int = 20
    """Steps between evaluations for `--select=val` and `test-best`: 100 per fold in the paper
    preset; the released code makes 70 to 125."""
    group_folds: int = 0
    """Leave out K groups of people in turn instead of one person at a time; 0 means LOSO."""
    backbone: Backbone = "fdp"
    """Backbone (Table 10): `fdp`, the transformer with multi-head convolution; `conv`, the same
    with one plain convolution instead, or with that, BN, ReLU and a pointwise convolution; or
    ViT-Base or ResNet18 on grey frames, which ignore the sizes of the transformer."""
    ablate: Ablation = ""
    """Part to leave out (Tables 9 and 14): the dynamic image head, the rank scorer, the local or
    global relational aggregators or both, or the recognition head."""
    precision: Precision = "float32"
    """Precision of products and activations; weights, statistics and losses are always float32.
    `tensorfloat32` makes a difference on NVIDIA GPUs only, `bfloat16` everywhere."""
    model: ModelConfig = field(default_factory=ModelConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


# Value of --select -> selection rules; the first is the headline.
RULES: dict[str, tuple[str, ...]] = {
    "last": ("last",),
    "test-best": ("test-best",),
    "val": ("val",),
    "all": ("last", "test-best", "val"),
}


def evaluations_per_fold(config: TrainConfig) -> dict[str, int]:
    """Returns selection rule -> number of evaluations among which it chooses in each fold."""
    count = math.ceil(config.steps / config.evaluate_every)  # the last step is always evaluated
    return {rule: 1 if rule == "last" else count for rule in RULES[config.select]}


PRESETS: dict[str, TrainConfig] = {
    # The paper's sizes and optimiser.
    "paper": TrainConfig(),
    # A quarter of the widths, for laptops and tests.
    "small": TrainConfig(
        steps=900,
        batch_size=12,
        model=ModelConfig(
            stem_channels=16,
            local_channels=(24, 48, 96, 192),
            attention_channels=(24, 48, 96, 192),
            output_channels=(32, 64, 128, 256),
            construction_channels=(8, 16, 32, 64),
            recognition_units=128,
            stochastic_depth=0.0,
            initial_std=0.06,
            resnet_channels=(16, 32, 64, 128),
            vit_channels=192,
            vit_heads=3,
        ),
        optimizer=OptimizerConfig(
            learning_rate=1.5e-3, weight_decay=0.0, warmup_steps=50, schedule="cosine"
        ),
    ),
}


def preset(name: str) -> TrainConfig:
    """Returns a preset; raises UserError with the valid names for another name."""
    if name not in PRESETS:
        raise UserError(f"there is no preset '{name}'; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def fine_tuned(config: TrainConfig) -> TrainConfig:
    """Returns a preset for trainings that start from pretrained weights: a third of both."""
    rate = config.optimizer.learning_rate / 3
    optimizer = dataclasses.replace(config.optimizer, learning_rate=rate)
    return dataclasses.replace(config, steps=max(1, config.steps // 3), optimizer=optimizer)


def as_dict(config: object) -> dict:
    """Returns a config as nested dictionaries of plain values, for JSON."""
    return dataclasses.asdict(config, dict_factory=_with_lists)


def _with_lists(entries: Iterable[tuple[str, object]]) -> dict:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in entries}


def config_from_dict(values: Mapping, source: object) -> TrainConfig:
    """The reverse of `as_dict`; ignores entries that are no option.

    Args:
      values: as `as_dict` returns, among others.
      source: where they come from, for the error.

    Raises:
      UserError: an option is missing or has an impossible value.
    """
    try:
        config = _from_dict(TrainConfig, values)
        validate(config)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{source} does not hold the options of a training of this version ({error})"
        ) from error
    return config


def _from_dict(kind: type, values: Mapping):
    options, types = {}, typing.get_type_hints(kind)
    for part in dataclasses.fields(kind):
        default = part.default_factory() if callable(part.default_factory) else part.default
        value = values[part.name]
        if dataclasses.is_dataclass(default):
            value = _from_dict(type(default), value)
        elif isinstance(default, tuple):
            value = tuple(int(entry) for entry in value)
        elif isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default):
            raise TypeError(f"{part.name} is {value!r}")
        choices = typing.get_args(types[part.name])
        if isinstance(default, str) and choices and value not in choices:
            raise ValueError(f"{part.name} is {value!r}")
        options[part.name] = value
    return kind(**options)


def validate(config: TrainConfig) -> None:
    """Refuses values that cannot work, before anything is built or compiled.

    Raises:
      UserError: names the option and what it must be.
    """
    for text, holds in _conditions(config):
        if not holds:
            raise UserError(text)


def check_groups(group_folds: int, split: str) -> None:
    """Refuses groups of people where a protocol leaves out whole corpora.

    Raises:
      UserError: names the option.
    """
    if group_folds and split == "corpora":
        raise UserError(
            f"--group_folds={group_folds} groups people, but this protocol trains on one corpus "
            "and tests on the other; leave it out"
        )


# Integers that may be 0; all others count or measure something and start at 1.
_MAY_BE_ZERO = ("group_folds", "optimizer.warmup_steps")
_LESS_THAN_ONE = (
    "model.stochastic_depth",
    "model.dropout",
    "model.batch_norm_momentum",
    "optimizer.second_moment_decay",
)
_MORE_THAN_ZERO = ("model.initial_std", "optimizer.learning_rate")


def _numbers(options: dict, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yields every number among the options with its name on the command line."""
    for name, value in options.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{name}.")
        elif not isinstance(value, str):
            for number in value if isinstance(value, list) else [value]:
                yield prefix + name, number


def _conditions(config: TrainConfig) -> Iterator[tuple[str, bool]]:
    """Yields (what must hold, whether it does); each may rely on those before."""
    clip, model, optimizer = config.clip, config.model, config.optimizer
    for name, value in _numbers(as_dict(config)):
        if isinstance(value, int):
            least = 0 if name in _MAY_BE_ZERO else 2 if name == "clip.frames" else 1
            yield f"--{name} must be at least {least}, not {value}", value >= least
        elif name in _LESS_THAN_ONE:
            yield f"--{name} must be at least 0 and less than 1, not {value}", 0 <= value < 1
        elif name in _MORE_THAN_ZERO:
            yield f"--{name} must be finite and more than 0, not {value}", 0 < value < math.inf
        else:
            yield f"--{name} must be finite and not negative, not {value}", 0 <= value < math.inf
    for name in ("construction_channels", "resnet_channels"):
        yield f"--model.{name} must have at least one entry", len(getattr(model, name)) >= 1
    yield (
        f"--clip.flip_probability must be from 0 to 1, not {clip.flip_probability}",
        clip.flip_probability <= 1,
    )
    yield (
        f"--ablate=no_mer predicts no category, so --select={config.select} has nothing to choose "
        "a step by; use --select=last",
        config.ablate != "no_mer" or config.select == "last",
    )
    yield from _backbone_conditions(config)
    yield (
        f"--optimizer.warmup_steps={optimizer.warmup_steps} must be less than "
        f"--steps={config.steps}; lower it (0: no warm-up), or train longer",
        optimizer.warmup_steps < config.steps,
    )


def _backbone_conditions(config: TrainConfig) -> Iterator[tuple[str, bool]]:
    """Yields the conditions of the chosen backbone; those of the others do not matter."""
    model, clip = config.model, config.clip
    is_transformer = config.backbone in TRANSFORMERS
    yield (
        f"--ablate={config.ablate} removes relational aggregators, which "
        f"--backbone={config.backbone} does not have; choose --backbone="
        f"{', '.join(TRANSFORMERS)}, or another ablation",
        is_transformer or config.ablate not in (*NO_LOCAL, *NO_GLOBAL),
    )
    halvings = 2 ** max(
        len(model.output_channels) + 1 if is_transformer else 0, len(model.construction_channels)
    )
    yield (
        f"--clip.crop must be a multiple of {halvings} pixels",
        clip.crop > 0 and clip.crop % halvings == 0,
    )
    if is_transformer:
        yield from _transformer_conditions(model, clip)
    if config.backbone == "vit_base":
        yield (
            f"--model.vit_patch={model.vit_patch} must divide --clip.crop={clip.crop}",
            clip.crop % model.vit_patch == 0,
        )
        yield (
            f"--model.vit_channels={model.vit_channels} must be a multiple of "
            f"--model.vit_heads={model.vit_heads}",
            model.vit_channels % model.vit_heads == 0,
        )


def _transformer_conditions(model: ModelConfig, clip: ClipConfig) -> Iterator[tuple[str, bool]]:
    """Yields the conditions of the stages of the local-global feature-aware transformer."""
    stages = len(model.output_channels)
    per_stage = (model.local_channels, model.attention_channels, model.key_value_windows)
    yield (
        "--model.local_channels, attention_channels, output_channels and key_value_windows "
        "must have one entry a stage",
        stages > 0 and all(len(sizes) == stages for sizes in per_stage),
    )
    pairs = list(zip(model.attention_channels, model.output_channels, strict=True))
    widths = (*model.local_channels, *model.attention_channels, *(o - a for a, o in pairs))
    yield (
        f"--model.local_channels, attention_channels and output_channels less attention_channels "
        f"must be multiples of --model.head_channels={model.head_channels}",
        model.head_channels > 0 and all(w > 0 and w % model.head_channels == 0 for w in widths),
    )
    sides = [clip.crop // 4 // 2**stage for stage in range(stages)]
    windows = zip(sides, model.key_value_windows, strict=True)
    yield (
        f"--model.key_value_windows must divide the maps' sides {sides}",
        all(window > 0 and side % window == 0 for side, window in windows),
    )

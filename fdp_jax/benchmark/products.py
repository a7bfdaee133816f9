"""Arithmetic of the network's matrix products and convolutions, counted from its sizes.

Only what the network asks for: a form of a layer that multiplies more (zeros between heads, say)
is not credited for it. Counted are two operations for a multiplication and its addition; sums,
norms and activations are left out.
"""

from fdp_jax.config import ModelConfig, TrainConfig

# Each product is done once forward, and twice backward: towards its input and its weights.
PASSES_OF_A_STEP = 3


def step_flops(config: TrainConfig, classes: int) -> int:
    """Floating-point operations in the products of one training step."""
    return PASSES_OF_A_STEP * config.batch_size * forward_flops(config, classes)


def forward_flops(config: TrainConfig, classes: int) -> int:
    """The same of one clip, forward. Of the network as in the paper: no ablation, no other one."""
    clip, model = config.clip, config.model
    pixels = clip.crop**2
    frame = _transformer(model, clip.crop) + model.output_channels[-1] * pixels
    frame += pixels + 9 * pixels * model.pooled_channels  # rank scorer; its share of the pooling
    thirds = (clip.crop // 3) ** 2
    recognition = model.pooled_channels * thirds * model.recognition_units
    recognition += model.recognition_units * classes
    return 2 * (clip.frames * frame + recognition + _construction(model, pixels))


def _transformer(model: ModelConfig, side: int) -> int:
    """Multiplications of a frame's way through stem and stages."""
    side //= 2
    total = side**2 * 9 * 3 * model.stem_channels
    width = model.stem_channels
    for stage, window in enumerate(model.key_value_windows):
        side //= 2
        pixels = side**2
        local = model.local_channels[stage]
        for block in range(model.local_blocks):
            if block == 0 or width != local:
                total += pixels * width * local
            width = local
            total += pixels * _local_block(model, local)
        inner, outer = model.attention_channels[stage], model.output_channels[stage]
        for _ in range(model.global_blocks):
            if width != inner:
                total += pixels * width * inner
            width = outer
            total += _global_block(model, inner, outer, pixels, pixels // window**2)
    return total


def _local_block(model: ModelConfig, channels: int) -> int:
    """Multiplications a pixel: multi-head convolution, fusion, MLP."""
    return channels * (
        9 * model.head_channels + channels + 2 * model.local_mlp_ratio * channels
    )  # fmt: skip


def _global_block(model: ModelConfig, inner: int, outer: int, queries: int, keys: int) -> int:
    """Multiplications of a map: attention, multi-head convolution beside it, MLP."""
    attention = 2 * queries * inner**2 + 2 * keys * inner**2 + 2 * queries * keys * inner
    beside = inner * (outer - inner) + 9 * model.head_channels * (outer - inner)
    return attention + queries * (beside + 2 * model.global_mlp_ratio * outer**2)


def _construction(model: ModelConfig, pixels: int) -> int:
    """Multiplications of the dynamic image head."""
    total, narrow = 0, model.pooled_channels
    widths = model.construction_channels
    for level, wide in enumerate(widths):
        at_level = pixels // 4**level
        total += at_level * 9 * narrow * wide
        narrow = wide
    for level, width in enumerate(widths):
        at_level = pixels // 4**level
        wider = widths[min(level + 1, len(widths) - 1)]
        total += at_level // 4 * wider * 4 * width  # deconvolution
        total += at_level * 9 * width**2
    return total + pixels * widths[0]

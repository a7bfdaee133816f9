"""Twelve clips can be overfitted, which separates broken code from hard data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import LossConfig, OptimizerConfig, preset
from fdp_jax.input_pipeline import PackedClips, evaluation_batch
from fdp_jax.models.fdp import make_model
from fdp_jax.rng import fold_key
from fdp_jax.train_step import create_train_state, update

CLIPS = 12


def moving_clips() -> PackedClips:
    """Smooth random textures of 12 people that drift and brighten, each in its own way."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:72, 0:72] / 72 * 2 * np.pi
    frames = []
    for _ in range(CLIPS):
        waves = [(rng.integers(1, 5, 2), rng.uniform(0, 2 * np.pi)) for _ in range(4)]
        drift = rng.uniform(-1, 1, 2)
        for frame in range(8):
            shift = frame / 8 * drift
            image = sum(
                np.cos(a * (rows + shift[0]) + b * (columns + shift[1]) + phase)
                for (a, b), phase in waves
            )
            frames.append(np.clip(128 + 25 * image + 2 * frame, 0, 255))
    starts = np.arange(CLIPS, dtype=np.int32) * 8
    labels = np.arange(CLIPS, dtype=np.int32) % 5
    lengths = np.full(CLIPS, 8, np.int32)
    return PackedClips(np.array(frames, np.uint8)[..., None], starts, lengths, labels)


def fit(steps: int, **loss_weights: float) -> dict[str, float]:
    """The losses after training on one fixed batch of 12 clips."""
    model = dataclasses.replace(
        preset("small").model,
        local_channels=(16, 16, 32, 32), attention_channels=(16, 16, 32, 32),
        output_channels=(24, 24, 48, 64), local_blocks=1,
    )  # fmt: skip
    config = dataclasses.replace(
        preset("small"), steps=steps, batch_size=CLIPS, model=model,
        loss=LossConfig(**loss_weights), optimizer=OptimizerConfig(3e-3, weight_decay=0.0),
    )  # fmt: skip
    network = make_model(config, 5)
    batch = evaluation_batch(moving_clips(), jnp.arange(CLIPS), config.clip)
    step = jax.jit(lambda state: update(state, batch, {}, config, network))
    state = create_train_state(config, 5, fold_key(0, "overfit"))
    for _ in range(steps):
        state, metrics = step(state)
    return {name: float(value) for name, value in metrics.items()}


def test_category_and_order_are_fitted_together():
    losses = fit(280)
    assert losses["cross_entropy"] < 0.05
    assert losses["rank"] < 2  # the best constant has 16


@pytest.mark.slow
def test_dynamic_images_are_fitted_alone():
    losses = fit(200, recognition_weight=0.0, rank_weight=0.0)
    assert losses["dynamic_image"] < 1e-4

"""Batch normalisation by hand, stochastic depth, dropout, pooling."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import ModelConfig
from fdp_jax.models.layers import BatchNorm, DropPath, Layers, Mlp, average_pool, max_pool

RNG = np.random.default_rng(2)
SCALE, BIAS = np.array([2.0, 0.5, -1.0]), np.array([0.1, 0.0, 3.0])
FRESH = {"mean": np.zeros(3), "var": np.ones(3)}


def apply(x, scale=SCALE, bias=BIAS, statistics=FRESH, momentum=0.9):
    """Training mode -> (y, running statistics afterwards)."""
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": statistics}
    y, moved = BatchNorm(False, momentum).apply(variables, x, mutable=["batch_stats"])
    return y, moved["batch_stats"]


def by_hand(x, scale=SCALE, bias=BIAS):
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-5) * scale + bias


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def test_training_mode_uses_the_batch_and_moves_the_running_statistics(double):
    x = RNG.normal(size=(4, 2, 2, 3)) * [1.0, 3.0, 0.2] + [0.0, 5.0, -2.0]
    y, statistics = apply(x, momentum=0.75)
    np.testing.assert_allclose(y, by_hand(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(statistics["mean"], 0.25 * x.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(statistics["var"], 0.75 + 0.25 * x.var((0, 1, 2)), rtol=1e-12)


def test_evaluation_mode_uses_the_running_statistics(double):
    x = RNG.normal(size=(4, 3))
    statistics = {"mean": np.array([1.0, 0.0, -1.0]), "var": np.array([4.0, 1.0, 0.25])}
    variables = {"params": {"scale": SCALE, "bias": BIAS}, "batch_stats": statistics}
    y = BatchNorm(True).apply(variables, x)
    expected = (x - statistics["mean"]) / np.sqrt(statistics["var"] + 1e-5) * SCALE + BIAS
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_gradients_of_batch_normalisation_are_those_of_the_formula(double):
    x, ahead = RNG.normal(size=(6, 2, 3)), RNG.normal(size=(6, 2, 3))
    arguments = (x, SCALE, BIAS)
    got = jax.grad(lambda *a: (apply(*a)[0] * ahead).sum(), (0, 1, 2))(*arguments)

    def plain(x, scale, bias):
        mean = x.mean((0, 1))
        variance = ((x - mean) ** 2).mean((0, 1))
        return (((x - mean) / jnp.sqrt(variance + 1e-5) * scale + bias) * ahead).sum()

    expected = jax.grad(plain, (0, 1, 2))(*map(jnp.array, arguments))
    for array, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-9, atol=1e-10)


def test_a_large_mean_costs_no_more_digits_than_float32_has():
    x = (RNG.normal(size=(4096, 3)) + 1000.0).astype(np.float32)
    y, statistics = apply(x, np.ones(3, np.float32), np.zeros(3, np.float32), momentum=0.0)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(statistics["var"], exact.var(0), rtol=1e-4)
    np.testing.assert_allclose(y, by_hand(exact, 1.0, 0.0), atol=5e-3)


def test_half_precision_in_and_out_but_exact_statistics():
    x = jnp.asarray(RNG.normal(size=(64, 3)) + 3.0, jnp.bfloat16)
    float32 = {name: value.astype(np.float32) for name, value in FRESH.items()}
    scale, bias = SCALE.astype(np.float32), BIAS.astype(np.float32)
    y, statistics = apply(x, scale, bias, float32, momentum=0.0)
    assert y.dtype == jnp.bfloat16 and statistics["var"].dtype == jnp.float32
    exact = np.asarray(x, np.float64)
    np.testing.assert_allclose(statistics["mean"], exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(y, np.float64), by_hand(exact), atol=0.03)


@pytest.mark.parametrize("inner", [(2, 2, 1), (2, 2)], ids=["map", "tokens"])
def test_drop_path_zeroes_whole_clips_and_keeps_the_mean(inner):
    branch = jnp.ones((600, *inner))
    rngs = {"drop_path": jax.random.key(0)}
    kept = DropPath(0.4, frames=3, deterministic=False).apply({}, branch, rngs=rngs)
    by_clip = np.asarray(kept).reshape(200, 3 * 4)
    assert (by_clip == by_clip[:, :1]).all()
    assert set(np.unique(by_clip.round(4))) == {0.0, np.float32(1 / 0.6).round(4)}
    assert 0.5 < (by_clip[:, 0] > 0).mean() < 0.7
    unchanged = DropPath(0.4, frames=3, deterministic=True).apply({}, branch)
    np.testing.assert_array_equal(unchanged, branch)


def test_mlp_drops_hidden_and_output_values_in_training():
    config = dataclasses.replace(ModelConfig(), dropout=0.5)
    x = RNG.normal(size=(50, 8)).astype(np.float32)
    training, evaluation = (
        Mlp(Layers(config, frames=1, train=train), ratio=2) for train in (True, False)
    )
    variables = evaluation.init(jax.random.key(0), x)
    dropped = training.apply(variables, x, rngs={"dropout": jax.random.key(1)})
    kept = np.asarray(dropped) != 0
    assert 0.4 < kept.mean() < 0.6
    whole = np.asarray(evaluation.apply(variables, x))
    assert (whole != 0).all()
    assert not np.allclose(dropped[kept], 2 * whole[kept], rtol=1e-2)  # hidden ones dropped too


def test_pooling_ignores_incomplete_windows():
    x = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(max_pool(x, 3)[0, :, :, 0], [[18, 21], [42, 45]])
    np.testing.assert_array_equal(average_pool(x, 3)[0, :, :, 0], [[9, 12], [33, 36]])

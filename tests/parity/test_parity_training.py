"""Ten steps of Adam on both sides, and the twin's stochastic depth."""

import dataclasses

import jax
import numpy as np
import pytest
import torch

from fdp_jax.benchmark.torch_reference import DropPath, TorchFDP
from fdp_jax.config import preset
from fdp_jax.input_pipeline import Batch
from tests.parity.pairs import CLASSES, OPTIMIZER, Pair, decided, in_double, jax_step

STEPS = 10


def jax_losses(pair: Pair, variables: dict, batches: list[Batch]) -> np.ndarray:
    """Eq. 8 before each step of the JAX side."""
    state, losses = pair.state(variables), []
    for batch in batches:
        state, report = jax_step(pair.steps, state, batch)
        losses.append(float(report.total))
    return np.array(losses)


def twin_losses(
    pair: Pair, variables: dict, batches: list[Batch], optimizer: type[torch.optim.Optimizer]
) -> np.ndarray:
    """Eq. 8 before each step of the twin."""
    twin = pair.twin(variables)
    update = optimizer(
        twin.parameters(), lr=OPTIMIZER.learning_rate, weight_decay=OPTIMIZER.weight_decay
    )
    losses = []
    for batch in batches:
        losses.append(pair.twin_step(twin, batch).loss)
        update.step()
    return np.array(losses)


def test_ten_steps_in_single_precision(small: Pair) -> None:
    variables = decided(small.variables)
    batches = [small.make_batch(4, seed) for seed in range(10, 10 + STEPS)]
    losses = jax_losses(small, variables, batches)
    found = twin_losses(small, variables, batches, torch.optim.Adam)
    np.testing.assert_allclose(found, losses, rtol=1e-3)


def test_ten_steps_in_double_precision(small: Pair) -> None:
    variables = in_double(small.variables)
    batches = [in_double(small.make_batch(2, seed)) for seed in range(10, 10 + STEPS)]
    with jax.enable_x64(True):
        losses = jax_losses(small, variables, batches)
    found = twin_losses(small, variables, batches, torch.optim.Adam)
    np.testing.assert_allclose(found, losses, atol=1e-9, rtol=0)
    # Weight decay beside Adam instead of inside it would be noticed.
    beside = twin_losses(small, variables, batches, torch.optim.AdamW)
    assert np.abs(beside - losses).max() > 1e-4


def test_stochastic_depth_draws_once_a_clip() -> None:
    torch.manual_seed(0)
    skip = DropPath(0.25, frames=8)
    branch = torch.ones(4000 * 8, 1, 1, 1)
    clips = skip.train()(branch).reshape(4000, 8)
    assert (clips == clips[:, :1]).all()
    assert clips.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert clips.mean().item() == pytest.approx(1.0, abs=0.05)
    assert (skip.eval()(branch) == branch).all()


def test_stochastic_depth_rises_over_the_blocks() -> None:
    config = preset("paper").model
    rates = [block.skip.rate for block in TorchFDP(config, CLASSES).transformer.blocks.values()]
    np.testing.assert_allclose(rates, np.linspace(0.0, config.stochastic_depth, 12))


def test_stochastic_depth_acts_in_training_only(small: Pair) -> None:
    config = dataclasses.replace(small.config.model, stochastic_depth=0.5)
    twin = TorchFDP(config, CLASSES)
    clips = torch.rand(2, 8, 3, 64, 64)
    with torch.no_grad():
        first, second = twin.train()(clips), twin(clips)
        assert not torch.equal(first.features, second.features)
        first, second = twin.eval()(clips), twin(clips)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert [tuple(output.shape) for output in first] == [(2, 5), (2, 64, 64), (2, 8), (2, 8, 4096)]

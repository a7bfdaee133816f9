"""Ten steps of Adam in both networks, and the PyTorch reference's stochastic depth."""

import dataclasses

import jax
import numpy as np
import pytest
import torch

from fdp_jax.benchmark.torch_reference import DropPath, TorchFDP
from fdp_jax.config import preset
from fdp_jax.input_pipeline import Batch
from tests.parity.pairs import CLASSES, OPTIMIZER, Pair, decided, in_double

STEPS = 10


def torch_losses(
    pair: Pair, variables: dict, batches: list[Batch], optimizer: type[torch.optim.Optimizer]
) -> np.ndarray:
    """Eq. 8 in the PyTorch network before each step."""
    network = pair.torch_network(variables)
    update = optimizer(
        network.parameters(), lr=OPTIMIZER.learning_rate, weight_decay=OPTIMIZER.weight_decay
    )
    losses = []
    for batch in batches:
        losses.append(pair.torch_step(network, batch).loss)
        update.step()
    return np.array(losses)


def test_ten_steps_in_single_precision(small: Pair) -> None:
    variables = decided(small.variables)
    batches = [small.make_batch(4, seed) for seed in range(10, 10 + STEPS)]
    losses = small.losses(variables, batches)
    found = torch_losses(small, variables, batches, torch.optim.Adam)
    np.testing.assert_allclose(found, losses, rtol=1e-3)


@pytest.mark.parametrize("start", ["variables", "initial_variables"])
def test_ten_steps_in_double_precision(small: Pair, start: str) -> None:
    variables = in_double(getattr(small, start))
    batches = [in_double(small.make_batch(2, seed)) for seed in range(10, 10 + STEPS)]
    with jax.enable_x64(True):
        losses = small.losses(variables, batches)
    found = torch_losses(small, variables, batches, torch.optim.Adam)
    np.testing.assert_allclose(found, losses, rtol=1e-9)
    # Weight decay beside Adam instead of inside it would be noticed.
    beside = torch_losses(small, variables, batches, torch.optim.AdamW)
    assert np.abs(beside - losses).max() > 1e-4


def test_drop_path_draws_once_a_clip() -> None:
    torch.manual_seed(0)
    drop_path = DropPath(0.25, frames=8)
    branch = torch.ones(4000 * 8, 1, 1, 1)
    clips = drop_path.train()(branch).reshape(4000, 8)
    assert (clips == clips[:, :1]).all()
    assert clips.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert clips.mean().item() == pytest.approx(1.0, abs=0.05)
    assert (drop_path.eval()(branch) == branch).all()


def test_drop_path_rises_over_the_blocks() -> None:
    config = preset("paper").model
    rates = [
        block.drop_path.rate for block in TorchFDP(config, CLASSES).transformer.blocks.values()
    ]
    np.testing.assert_allclose(rates, np.linspace(0.0, config.stochastic_depth, 12))


def test_drop_path_acts_in_training_only(small: Pair) -> None:
    config = dataclasses.replace(small.config.model, stochastic_depth=0.5)
    network = TorchFDP(config, CLASSES)
    clips = torch.rand(2, 8, 3, 64, 64)
    with torch.no_grad():
        first, second = network.train()(clips), network(clips)
        assert not torch.equal(first.features, second.features)
        first, second = network.eval()(clips), network(clips)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert [tuple(output.shape) for output in first] == [(2, 5), (2, 64, 64), (2, 8), (2, 8, 4096)]

"""Gradients of the JAX network and of the PyTorch reference, leaf by leaf, in training mode.

In float64 they agree to rounding, from any weights. In float32 the pre-activations differ in the
last bits, so a few of millions of units lie on different sides of their ReLU, and one such unit is
visible in a small leaf; there the weights keep the units away from 0.
"""

import re

import jax
import numpy as np
import pytest

from fdp_jax.benchmark.torch_reference import TorchFDP
from fdp_jax.benchmark.torch_weights import flax_path, in_torch_layout
from tests.parity.pairs import Pair, decided, first_clips, in_double

# A constant added to whole channels is removed by the next batch normalisation, a constant value
# passes the softmax as such a constant, and a key's bias adds the same to all similarities.
WITHOUT_GRADIENT = re.compile(
    r"Global\d+\.attention\.(key\.bias|value\.bias|output\.bias|context\.1\.bias)|"
    r"(Global\d+|Local2)\.mlp\.3\.bias"
)


def wrong_gradients(
    network: TorchFDP,
    gradients: dict,
    found: dict[str, np.ndarray],
    relative: float,
    floor: float,
) -> list[str]:
    """Leaves whose gradients differ by more than `relative` of their largest entry plus `floor`.

    Args:
      network: names the leaves.
      gradients: of the JAX network.
      found: of the PyTorch network.
      relative: of a leaf's largest entry.
      floor: of the largest entry of all leaves.
    """
    expected = in_torch_layout(network, {"params": gradients})
    assert expected.keys() == found.keys()
    largest = {name: np.abs(array).max() for name, array in expected.items()}
    floor = floor * max(largest.values())
    modules = dict(network.named_modules())
    wrong = []
    for name, array in expected.items():
        difference = np.abs(array - found[name]).max()
        if not difference <= relative * largest[name] + floor:
            path = flax_path(name, modules[name.rsplit(".", 1)[0]])
            wrong.append(f"{path}: differs by {difference:.2g}, largest {largest[name]:.2g}")
    return wrong


@pytest.mark.parametrize("start", ["variables", "initial_variables"])
def test_gradients_in_double_precision(pair: Pair, start: str) -> None:
    variables, batch = in_double(getattr(pair, start)), in_double(first_clips(pair.batch, 2))
    with jax.enable_x64(True):
        loss, gradients = pair.loss_and_gradients(variables, batch)
    network = pair.torch_network(variables)
    found = pair.torch_step(network, batch)
    assert abs(found.loss - loss) <= 1e-9 * loss
    wrong = wrong_gradients(network, gradients, found.gradients, 1e-9, 1e-13)
    assert not wrong, "\n".join(wrong)
    if start == "variables":
        # The floor hides nothing: only leaves that cannot have a gradient are near it.
        largest = {name: np.abs(array).max() for name, array in found.gradients.items()}
        limit = 1e-6 * max(largest.values())
        vanishing = {name for name, value in largest.items() if value < limit}
        assert vanishing == {name for name in largest if WITHOUT_GRADIENT.search(name)}


def test_gradients_in_single_precision(small: Pair) -> None:
    variables = decided(small.variables)
    loss, gradients = small.loss_and_gradients(variables, small.batch)
    network = small.torch_network(variables)
    found = small.torch_step(network)
    assert abs(found.loss - loss) <= 1e-3
    # Two pixels that are almost equal in a max-pool's window cannot be kept apart so.
    wrong = wrong_gradients(network, gradients, found.gradients, 1e-2, 1e-6)
    assert not wrong, "\n".join(wrong)

"""The gradients of the JAX network and of its PyTorch twin, leaf by leaf, in training mode.

Twice. In float64 they must agree to rounding, with any weights. In float32 the pre-activations of
the two differ in the last bits, so of the millions of units some lie on different sides of their
ReLU, and one such unit is visible in a small leaf; there the weights keep the units away from 0.
"""

import re

import jax
import numpy as np

from fdp_jax.benchmark.torch_reference import TorchFDP
from tests.parity.correspondence import flax_path, in_twin_layout
from tests.parity.pairs import Pair, decided, first_clips, in_double, jax_step, recorded_gradients

# A constant added to whole channels is taken away by the next batch normalisation, a constant
# value passes the softmax as such a constant, and a key's bias adds the same to all similarities.
WITHOUT_GRADIENT = re.compile(
    r"Global\d+\.attention\.(key|value|output|norm)\.bias|(Global\d+|Local2)\.mlp\.narrow\.bias"
)


def wrong_gradients(
    twin: TorchFDP, gradients: dict, found: dict[str, np.ndarray], relative: float, floor: float
) -> list[str]:
    """Leaves whose gradients differ by more than `relative` of their largest entry plus `floor`.

    Args:
      twin: names the leaves.
      gradients: of the JAX network.
      found: of the twin.
      relative: of a leaf's largest entry.
      floor: of the largest entry of all leaves.
    """
    expected = in_twin_layout(twin, {"params": gradients})
    assert expected.keys() == found.keys()
    largest = {name: np.abs(array).max() for name, array in expected.items()}
    floor = floor * max(largest.values())
    modules = dict(twin.named_modules())
    wrong = []
    for name, array in expected.items():
        difference = np.abs(array - found[name]).max()
        if not difference <= relative * largest[name] + floor:
            path = flax_path(name, modules[name.rsplit(".", 1)[0]])
            wrong.append(f"{path}: differs by {difference:.2g}, largest {largest[name]:.2g}")
    return wrong


def test_gradients_in_double_precision(pair: Pair) -> None:
    variables, batch = in_double(pair.variables), in_double(first_clips(pair.batch, 2))
    with jax.enable_x64(True):
        state, report = jax_step(pair.steps, pair.state(variables), batch)
    twin = pair.twin(variables)
    found = pair.twin_step(twin, batch)
    assert abs(found.loss - float(report.total)) <= 1e-9
    wrong = wrong_gradients(twin, recorded_gradients(state), found.gradients, 1e-9, 1e-13)
    assert not wrong, "\n".join(wrong)

    # The floor hides nothing: only leaves that cannot have a gradient are near it.
    largest = {name: np.abs(array).max() for name, array in found.gradients.items()}
    vanishing = {name for name, value in largest.items() if value < 1e-6 * max(largest.values())}
    assert vanishing == {name for name in largest if WITHOUT_GRADIENT.search(name)}


def test_gradients_in_single_precision(small: Pair) -> None:
    variables = decided(small.variables)
    state, report = jax_step(small.steps, small.state(variables), small.batch)
    twin = small.twin(variables)
    found = small.twin_step(twin)
    assert abs(found.loss - float(report.total)) <= 1e-3
    # Two pixels that are almost equal in a max-pool's window cannot be kept apart so.
    wrong = wrong_gradients(twin, recorded_gradients(state), found.gradients, 1e-2, 1e-6)
    assert not wrong, "\n".join(wrong)

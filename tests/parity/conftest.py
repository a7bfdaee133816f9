"""The JAX network and the PyTorch reference with the same weights, created once per session."""

import importlib.util
import os

import pytest

# These networks are large enough for optimised programs to pay.
os.environ.pop("XLA_FLAGS", None)

# A test run without requirements/parity.txt leaves this folder out.
if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    import torch

    from tests.parity.pairs import Pair

    # On busy cores PyTorch's threads wait for one another: two can be a hundred times slower.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small() -> "Pair":
    return Pair("small", clips=4)


@pytest.fixture(scope="session")
def paper() -> "Pair":
    return Pair("paper", clips=2)


@pytest.fixture(params=["small", "paper"])
def pair(request: pytest.FixtureRequest) -> "Pair":
    """Both presets in turn, at full depth."""
    return request.getfixturevalue(request.param)

"""The JAX network and the PyTorch reference have equal outputs; wrong references do not."""

import re
from collections.abc import Callable

import jax
import numpy as np
import pytest
import torch
from flax.traverse_util import unflatten_dict
from torch import nn

from fdp_jax.benchmark.torch_reference import TorchFDP, TorchOutputs
from fdp_jax.benchmark.torch_weights import flax_path
from fdp_jax.config import preset
from fdp_jax.models.fdp import make_model
from tests.conftest import ROOT
from tests.parity.pairs import CLASSES, Pair, jax_evaluate, jax_forward, torch_clips

TOLERANCE = 1e-4


def differences(expected: object, found: TorchOutputs) -> dict[str, float]:
    """Largest difference of each output."""
    return {
        name: float(np.abs(np.asarray(getattr(expected, name)) - output.detach().numpy()).max())
        for name, output in found._asdict().items()
    }


def evaluate(network: TorchFDP, pair: Pair) -> TorchOutputs:
    with torch.no_grad():
        return network.eval()(torch_clips(pair.batch))


def test_transformer_has_the_papers_parameters() -> None:
    network = TorchFDP(preset("paper").model, CLASSES)
    assert sum(weight.numel() for weight in network.transformer.parameters()) == 14_820_128


def test_every_leaf_has_its_counterpart(pair: Pair) -> None:
    network = pair.torch_network(pair.variables)
    modules = dict(network.named_modules())
    named = {
        flax_path(name, modules[name.rsplit(".", 1)[0]])
        for name in network.state_dict()
        if not name.endswith("num_batches_tracked")
    }
    leaves, _ = jax.tree_util.tree_flatten_with_path(pair.variables)
    assert named == {"/".join(key.key for key in path) for path, _ in leaves}
    weights = jax.tree.leaves(pair.variables["params"])
    assert sum(p.numel() for p in network.parameters()) == sum(leaf.size for leaf in weights)


def test_outputs_in_training_mode(pair: Pair) -> None:
    found = differences(
        pair.forward[0], pair.torch_step(pair.torch_network(pair.variables)).outputs
    )
    assert max(found.values()) <= TOLERANCE, found


def test_outputs_in_evaluation_mode(pair: Pair) -> None:
    found = differences(
        pair.evaluated, evaluate(pair.torch_network(pair.evaluation_variables), pair)
    )
    assert max(found.values()) <= TOLERANCE, found


def test_outputs_from_the_initial_state(pair: Pair) -> None:
    variables = pair.initial_variables
    outputs, _ = jax_forward(pair.model, variables, pair.batch.clips)
    found = pair.torch_step(pair.torch_network(variables)).outputs
    largest = {name: float(output.detach().abs().max()) for name, output in found._asdict().items()}
    wrong = {
        name: difference
        for name, difference in differences(outputs, found).items()
        if not difference <= TOLERANCE * largest[name]
    }
    assert not wrong, (wrong, largest)
    evaluated = jax_evaluate(pair.model, variables, pair.batch.clips)
    found = differences(evaluated, evaluate(pair.torch_network(variables), pair))
    assert max(found.values()) <= TOLERANCE, found


def test_the_code_of_the_documents_loads_the_bundled_network() -> None:
    page = (ROOT / "docs" / "pytorch.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```text\n(from flax.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(code, names)
    weights, network = names["weights"], names["network"]
    model = make_model(weights.config, len(weights.classes))
    clips = np.random.default_rng(0).uniform(-1, 1, (2, 8, 64, 64, 3)).astype(np.float32)
    variables = unflatten_dict({tuple(k.split("/")): v for k, v in weights.arrays.items()})
    with torch.no_grad():
        found = network(torch.from_numpy(clips).permute(0, 1, 4, 2, 3).contiguous())
    wrong = differences(jax_evaluate(model, variables, clips), found)
    assert max(wrong.values()) <= 1e-3, wrong


def test_running_statistics(pair: Pair) -> None:
    network = pair.torch_network(pair.variables)
    counts = {}
    norms = {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.register_forward_hook(
            lambda _, inputs, output, name=name: counts.update({name: output[:, 0].numel()})
        )
    pair.torch_step(network)
    for name, norm in norms.items():
        place = flax_path(f"{name}.running_mean", norm).split("/")[1:-1]
        old, new = pair.variables["batch_stats"], pair.forward[1]
        for key in place:
            old, new = old[key], new[key]
        # PyTorch keeps the unbiased variance, Flax the biased one.
        unbiased = counts[name] / (counts[name] - 1)
        kept = 0.9 * old["var"]
        var = kept + unbiased * (np.asarray(new["var"]) - kept)
        mean = np.asarray(new["mean"])
        np.testing.assert_allclose(norm.running_mean, mean, atol=1e-5, rtol=1e-4, err_msg=name)
        np.testing.assert_allclose(norm.running_var, var, atol=1e-5, rtol=1e-4, err_msg=name)


def _reverse_time(network: TorchFDP) -> None:
    network.temporal_pooling.weight.data = network.temporal_pooling.weight.data.flip(2)


def _reverse_heads(network: TorchFDP) -> None:
    conv = network.transformer.blocks["Stage2Local1"].heads[0]
    conv.weight.data = conv.weight.data.unflatten(0, (conv.groups, -1)).flip(0).flatten(0, 1)


def _shift_attention_heads(network: TorchFDP) -> None:
    output = network.transformer.blocks["Stage2Global1"].attention.output
    output.weight.data = output.weight.data.roll(8, dims=1)


def _swap_queries_and_keys(network: TorchFDP) -> None:
    attention = network.transformer.blocks["Stage3Global1"].attention
    attention.query, attention.key = attention.key, attention.query


def _leave_keys_as_they_are(network: TorchFDP) -> None:
    network.transformer.blocks["Stage1Global1"].attention.context[1] = nn.Identity()


def _pool_at_most(network: TorchFDP) -> None:
    network.transformer.blocks["Stage4Local1"].embedding[0] = nn.MaxPool2d(2)


def _transpose_stem(network: TorchFDP) -> None:
    network.transformer.stem.weight.data = network.transformer.stem.weight.data.transpose(2, 3)


def _flatten_rows_first(network: TorchFDP) -> None:
    hidden = network.recognition.hidden
    hidden.weight.data = hidden.weight.data.unflatten(1, (8, -1)).transpose(1, 2).flatten(1)


def _transpose_deconvolution(network: TorchFDP) -> None:
    up = network.construction.up[0]
    up.weight.data = up.weight.data.transpose(2, 3)


def _leak_nothing(network: TorchFDP) -> None:
    network.construction.encoder[0][2] = nn.ReLU()


@pytest.mark.parametrize(
    "break_it",
    [
        _reverse_time,
        _reverse_heads,
        _shift_attention_heads,
        _swap_queries_and_keys,
        _leave_keys_as_they_are,
        _pool_at_most,
        _transpose_stem,
        _flatten_rows_first,
        _transpose_deconvolution,
        _leak_nothing,
    ],
)
def test_a_wrong_reference_is_noticed(small: Pair, break_it: Callable[[TorchFDP], None]) -> None:
    network = small.torch_network(small.evaluation_variables)
    break_it(network)
    assert max(differences(small.evaluated, evaluate(network, small)).values()) > 10 * TOLERANCE

"""The JAX network and its PyTorch twin say the same, and a wrong twin would not."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
import torch
from torch import nn

from fdp_jax.benchmark.torch_reference import TorchFDP, TwinOutputs
from fdp_jax.config import preset
from tests.parity.correspondence import flax_path
from tests.parity.pairs import CLASSES, Pair, twin_clips

TOLERANCE = 1e-4


def differences(expected: object, twin: TwinOutputs) -> dict[str, float]:
    """Largest difference of each output."""
    return {
        name: float(np.abs(np.asarray(getattr(expected, name)) - output.detach().numpy()).max())
        for name, output in twin._asdict().items()
    }


def evaluate(twin: TorchFDP, pair: Pair) -> TwinOutputs:
    with torch.no_grad():
        return twin.eval()(twin_clips(pair.batch))


def test_transformer_has_the_papers_parameters() -> None:
    twin = TorchFDP(preset("paper").model, CLASSES)
    assert sum(weight.numel() for weight in twin.transformer.parameters()) == 14_820_128


def test_every_leaf_has_its_counterpart(pair: Pair) -> None:
    twin = pair.twin(pair.variables)
    modules = dict(twin.named_modules())
    named = {
        flax_path(name, modules[name.rsplit(".", 1)[0]])
        for name in twin.state_dict()
        if not name.endswith("num_batches_tracked")
    }
    leaves, _ = jax.tree_util.tree_flatten_with_path(pair.variables)
    assert named == {"/".join(key.key for key in path) for path, _ in leaves}
    weights = jax.tree.leaves(pair.variables["params"])
    assert sum(p.numel() for p in twin.parameters()) == sum(leaf.size for leaf in weights)


def test_outputs_in_training_mode(pair: Pair) -> None:
    found = differences(pair.forward[0], pair.twin_step(pair.twin(pair.variables)).outputs)
    assert max(found.values()) <= TOLERANCE, found


def test_outputs_in_evaluation_mode(pair: Pair) -> None:
    found = differences(pair.evaluated, evaluate(pair.twin(pair.evaluation_variables), pair))
    assert max(found.values()) <= TOLERANCE, found


def test_running_statistics(pair: Pair) -> None:
    twin = pair.twin(pair.variables)
    counts = {}
    norms = {name: m for name, m in twin.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.register_forward_hook(
            lambda _, inputs, output, name=name: counts.update({name: output[:, 0].numel()})
        )
    pair.twin_step(twin)
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


def _reverse_time(twin: TorchFDP) -> None:
    twin.temporal_pooling.weight.data = twin.temporal_pooling.weight.data.flip(2)


def _reverse_heads(twin: TorchFDP) -> None:
    conv = twin.transformer.blocks["Stage2Local1"].heads.conv
    conv.weight.data = conv.weight.data.unflatten(0, (conv.groups, -1)).flip(0).flatten(0, 1)


def _shift_attention_heads(twin: TorchFDP) -> None:
    output = twin.transformer.blocks["Stage2Global1"].attention.output
    output.weight.data = output.weight.data.roll(8, dims=1)


def _swap_queries_and_keys(twin: TorchFDP) -> None:
    attention = twin.transformer.blocks["Stage3Global1"].attention
    attention.query, attention.key = attention.key, attention.query


def _leave_keys_as_they_are(twin: TorchFDP) -> None:
    twin.transformer.blocks["Stage1Global1"].attention.norm = nn.Identity()


def _pool_at_most(twin: TorchFDP) -> None:
    twin.transformer.blocks["Stage4Local1"].embedding.pool = nn.MaxPool2d(2)


def _transpose_stem(twin: TorchFDP) -> None:
    twin.transformer.stem.weight.data = twin.transformer.stem.weight.data.transpose(2, 3)


def _flatten_rows_first(twin: TorchFDP) -> None:
    hidden = twin.recognition.hidden
    hidden.weight.data = hidden.weight.data.unflatten(1, (8, -1)).transpose(1, 2).flatten(1)


def _transpose_deconvolution(twin: TorchFDP) -> None:
    up = twin.construction.up[0]
    up.weight.data = up.weight.data.transpose(2, 3)


def _leak_nothing(twin: TorchFDP) -> None:
    twin.construction.encoder[0].activation = nn.ReLU()


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
def test_a_wrong_twin_is_noticed(small: Pair, break_it: Callable[[TorchFDP], None]) -> None:
    twin = small.twin(small.evaluation_variables)
    break_it(twin)
    assert max(differences(small.evaluated, evaluate(twin, small)).values()) > 10 * TOLERANCE

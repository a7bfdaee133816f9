"""The page on adding a backbone: followed to the letter, its network is one."""

import json
import shlex

import pytest

from tests.conftest import ROOT
from tests.helpers.docs_pages import commands_of, follow, run_python
from tests.helpers.tiny import TINY_OPTIONS

PAGE = ROOT / "docs" / "new-backbone.md"
(TRAIN,) = commands_of(PAGE)
SIZES = ["--model.vit_patch=8", "--model.vit_channels=12"]
# A forward pass, and its gradient with respect to every weight of the backbone.
TRY = """
import json, sys
import jax, jax.numpy as jnp
from fdp_jax.models.fdp import make_model
from fdp_jax.options import parse_train_options

config = parse_train_options(sys.argv[1:], "train", "")[0].config
model = make_model(config, 3)
clips = jax.random.uniform(jax.random.key(1), (2, 4, 16, 16, 3), minval=-1.0)
start = model.init(jax.random.key(0), clips, train=False)

def loss(params):
    variables = start | {"params": params}
    outputs, _ = model.apply(variables, clips, train=True, mutable=["batch_stats"])
    return jnp.square(outputs.logits).sum() + jnp.square(outputs.features).sum(), outputs

gradient, outputs = jax.grad(loss, has_aux=True)(start["params"])
backbone = gradient["PatchAverage"]
print(json.dumps({
    "logits": outputs.logits.shape,
    "features": outputs.features.shape,
    "weights": {name: part["kernel"].shape for name, part in backbone.items()},
    "moved": [bool(jnp.abs(leaf).max() > 0) for leaf in jax.tree.leaves(backbone)],
}))
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder where the page was followed."""
    folder = tmp_path_factory.mktemp("reader")
    follow(PAGE, folder)
    return folder


def test_it_makes_features_and_every_weight_has_a_gradient(reader):
    typed = shlex.split(TRAIN)[3:]
    result = json.loads(run_python(reader, "-c", TRY, *typed, *TINY_OPTIONS, *SIZES))
    assert result["logits"] == [2, 3] and result["features"] == [2, 4, 16 * 16]
    assert result["weights"] == {"PatchEmbedding": [8 * 8 * 3, 12], "Mix": [12, 12]}
    assert len(result["moved"]) == 4 and all(result["moved"])


@pytest.mark.slow
def test_it_is_trained_by_its_name(reader, data_dir):
    typed = shlex.split(TRAIN)[1:]
    where = [f"--data_dir={data_dir}", "--workdir=trained"]
    run_python(reader, *typed, *TINY_OPTIONS, *SIZES, "--steps=2", *where)
    assert "backbone patch_average" in (reader / "trained" / "report.md").read_text()

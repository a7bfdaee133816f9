"""Files of weights, and trainings that start from them."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from datasets.crop import Crop
from datasets.errors import UserError
from fdp_jax.config import PRESETS, fine_tuned
from fdp_jax.options import parse_train_options
from fdp_jax.train_step import create_train_state, with_weights
from fdp_jax.weights import Weights, read_weights, write_weights
from tests.helpers.tiny import TINY, final_weights, make_tiny_plan, random_clips, train_plan

OUTPUT = "params/RecognitionHead/Output/"


@pytest.fixture(scope="module")
def state():
    return create_train_state(TINY, 3, jax.random.key(1))


@pytest.fixture(scope="module")
def weights(state) -> Weights:
    return Weights(
        config=TINY, classes=("a", "b", "c"), preset="tiny", seed=1, trained_on="made-up faces",
        command="a command", device="cpu", scores={"acc": 0.5}, crop=Crop(False, 72, 2.5),
        is_grey=False, arrays=flatten_dict(jax.device_get(state.variables), sep="/"),
    )  # fmt: skip


@pytest.fixture
def file(weights, tmp_path):
    write_weights(tmp_path / "tiny.weights", weights)
    return tmp_path / "tiny.weights"


def test_weights_come_back_as_float16_with_their_provenance(weights, file):
    read = read_weights(str(file))
    kept = ("config", "classes", "preset", "seed", "trained_on", "command", "scores", "crop")
    assert all(getattr(read, name) == getattr(weights, name) for name in kept)
    assert read.arrays.keys() == weights.arrays.keys()
    for name, array in weights.arrays.items():
        exact = np.float32 if name.startswith("batch_stats/") else np.float16
        np.testing.assert_array_equal(read.arrays[name], np.asarray(array, exact), err_msg=name)
        assert read.arrays[name].dtype == np.float32


def test_the_same_weights_give_the_same_bytes(weights, file, tmp_path):
    write_weights(tmp_path / "again.weights", weights)
    assert (tmp_path / "again.weights").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "damage, sentence",
    [
        (lambda content: content[:-1000], "cut or altered"),
        (lambda content: content[:5000] + b"?" + content[5001:], "cut or altered"),
        (lambda content: b"", "is empty"),
        (lambda content: b"PK" + bytes(2000), "is not weights written by"),
    ],
)
def test_a_damaged_file_is_refused(file, damage, sentence, tmp_path):
    path = tmp_path / "damaged.weights"
    path.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match=sentence):
        read_weights(str(path))
    with pytest.raises(UserError, match="cannot be read"):
        read_weights(str(tmp_path / "missing"))


def test_all_but_the_last_layer_of_recognition_is_loaded(state, weights):
    fresh = create_train_state(TINY, 2, jax.random.key(2))  # of another number of categories
    loaded = flatten_dict(with_weights(fresh, weights.arrays).variables, sep="/")
    before = flatten_dict(fresh.variables, sep="/")
    for name, array in loaded.items():
        source = before if name.startswith(OUTPUT) else weights.arrays
        np.testing.assert_array_equal(array, source[name], err_msg=name)


def test_a_run_starts_from_the_weights_and_says_so(file, tmp_path):
    config = dataclasses.replace(TINY, steps=1)
    clips = random_clips(people=2)
    options = {"folds": ("p0",), "init": str(file)}
    still = dataclasses.replace(config.optimizer, learning_rate=1e-12)
    plan = make_tiny_plan(tmp_path / "w", clips, dataclasses.replace(config, optimizer=still),
                          **options)  # fmt: skip
    train_plan(plan)
    trained = flatten_dict(final_weights(plan.tasks[0].directory), sep="/")
    for name, array in trained.items():
        if not f"params/{name}".startswith(OUTPUT):
            np.testing.assert_allclose(array, plan.init.arrays[f"params/{name}"], atol=1e-6)
    run = json.loads((tmp_path / "w" / "seed_0" / "run.json").read_text())
    assert plan.init.digest[:12] in run["init"] and "made-up faces" in run["init"]
    # The initial weights are part of the run's identity.
    with pytest.raises(UserError, match="init is"):
        make_tiny_plan(tmp_path / "w", clips, config, folds=("p0",)).claim_workdir()


def test_weights_of_other_sizes_are_refused_in_one_sentence(file, tmp_path):
    config = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, stem_channels=4))
    with pytest.raises(UserError, match=r"--model\.stem_channels=8, not 4; use --preset=tiny"):
        make_tiny_plan(tmp_path, random_clips(), config, init=str(file))


def test_a_network_without_global_aggregators_cannot_start_from_a_whole_one(file, tmp_path):
    config = dataclasses.replace(TINY, ablate="no_global")
    with pytest.raises(
        UserError, match=r"--ablate=no_global changes the widths .* leave out --init"
    ):
        make_tiny_plan(tmp_path, random_clips(), config, init=str(file))


def test_fine_tuning_has_a_third_of_steps_and_learning_rate_unless_given():
    small = PRESETS["small"]
    options, _ = parse_train_options(
        ["--dataset=synthetic", "--preset=small", "--init=bundled"], "train", ""
    )
    assert options.config == fine_tuned(small)
    assert (options.config.steps, options.config.optimizer.learning_rate) == (300, 5e-4)
    assert options.workdir.name == "synthetic_5class_small_from_bundled"
    options, _ = parse_train_options(
        ["--dataset=synthetic", "--preset=small", "--init=x.weights", "--steps=70"], "train", ""
    )
    assert options.config.steps == 70

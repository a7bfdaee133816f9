"""Trained networks, loaded from a work directory."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.config import PRESETS, as_dict, config_from_dict
from fdp_jax.inference.trained_network import find_folds, load_fold
from tests.conftest import run_module
from tests.helpers.networks import sampled_faces
from tests.helpers.tiny import CHANGES, TINY, random_clips, train_tiny


@pytest.fixture(scope="module")
def clips():
    return random_clips(people=3, each=2)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, clips):
    return train_tiny(tmp_path_factory.mktemp("trained"), clips, ("p0", "p2"))


def test_it_predicts_what_the_training_predicted_for_the_clips_left_out(workdir, clips):
    directory, _ = folders = find_folds(workdir)
    fold, other = map(load_fold, folders)
    assert (fold.name, other.name, fold.seed, fold.preset) == ("p0", "p2", 7, "tiny")
    assert (fold.classes, fold.crop, fold.is_grey) == (clips.protocol.classes, clips.crop, True)
    test = [index for index, person in enumerate(clips.subjects) if person == "p0"]
    outputs = fold.predict(sampled_faces(clips, test))
    with np.load(directory.outputs, allow_pickle=False) as stored:
        for name in ("frames", "target", "dynamic_image", "rank_scores"):
            np.testing.assert_allclose(outputs[name], stored[name], atol=1e-5, err_msg=name)
    with open(directory.predictions, newline="") as file:
        rows = list(csv.DictReader(file))
    stored = [[float(row["p_class0"]), float(row["p_class1"])] for row in rows]
    np.testing.assert_allclose(outputs["probabilities"], stored, atol=1e-5)


def test_one_fold_may_be_given_by_its_folder(workdir):
    folder = workdir / "seed_7" / "folds" / "p2"
    assert [found.path for found in find_folds(folder)] == [folder]


def test_folds_are_in_order_of_seed_and_name(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    shutil.copytree(workdir / "seed_7", tmp_path / "run" / "seed_10")
    found = [(fold.path.parents[1].name, fold.path.name) for fold in find_folds(tmp_path / "run")]
    assert found == [(s, f) for s in ("seed_7", "seed_10") for f in ("p0", "p2")]


def test_a_folder_without_a_trained_network_is_refused(workdir, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        find_folds(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is not the work directory"):
        find_folds(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="is finished yet; let the training"):
        find_folds(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "seed_7/run.json"])
def test_damaged_files_are_named(workdir, name):
    path = workdir / name
    whole = path.read_text()
    try:
        path.write_text(whole[:50])
        with pytest.raises(UserError, match=f"{path.name} is missing or damaged"):
            load_fold(find_folds(workdir)[0])
    finally:
        path.write_text(whole)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("seed_7/run.json", {"input": None}, "input is null"),
        (
            "seed_7/run.json",
            {"input": {"per_frame": False, "side": "72", "margin": 2.5}},
            "side is",
        ),
        ("seed_7/run.json", {"classes": "ab"}, 'classes is "ab"'),
        ("seed_7/run.json", {"classes": [1, 2]}, "classes is 1"),
        ("config.json", {"preset": None}, "preset is null"),
    ],
)
def test_files_of_another_version_are_named(workdir, tmp_path, file, change, message):
    shutil.copytree(workdir, tmp_path / "run")
    path = tmp_path / "run" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=rf"{path.name} is of another version .*\({message}"):
        load_fold(find_folds(tmp_path / "run")[0])


def test_a_list_is_not_a_run(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    (tmp_path / "run" / "seed_7" / "run.json").write_text("[]")
    with pytest.raises(UserError, match=r"run\.json is of another version"):
        load_fold(find_folds(tmp_path / "run")[0])


def test_a_fold_may_be_given_by_a_relative_path(workdir, monkeypatch):
    monkeypatch.chdir(workdir / "seed_7" / "folds" / "p0")
    for path in (Path("."), Path("../p0")):
        assert load_fold(find_folds(path)[0]).name == "p0"


def test_lost_weights_are_one_sentence(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    final = tmp_path / "run" / "seed_7" / "folds" / "p0" / "checkpoints" / "final"
    for path in final.rglob("d/*"):
        path.unlink()
    done = run_module(
        "fdp_jax.export", str(tmp_path / "run"), f"--out={tmp_path / 'n.fdp'}", check=False
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the checkpoint ") and "name another fold" in line


@pytest.mark.parametrize("config", [*PRESETS.values(), TINY], ids=[*PRESETS, "tiny"])
def test_options_are_read_back_from_json(config):
    stored = {"dataset": "x", **json.loads(json.dumps(as_dict(config)))}
    assert config_from_dict(stored, "here") == config


@pytest.mark.parametrize("name", CHANGES)
def test_each_option_is_read_back(name):
    stored = as_dict(TINY)
    *groups, last = name.split(".")
    inner = stored
    for group in groups:
        inner = inner[group]
    inner[last] = CHANGES[name]
    back = as_dict(config_from_dict(stored, "here"))
    assert back == stored


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", "7"), ("steps", True), ("steps", 0), ("model", 3), ("backbone", "vgg"),
     ("loss", {}), ("clip", {"frames": 8, "crop": None, "flip_probability": 0.5})],
)  # fmt: skip
def test_options_of_another_version_are_refused(name, value):
    with pytest.raises(UserError, match=r"config\.json does not hold|must be at least 1"):
        config_from_dict({**as_dict(TINY), name: value}, "config.json")
    with pytest.raises(UserError, match=r"config\.json does not hold"):
        config_from_dict({k: v for k, v in as_dict(TINY).items() if k != name}, "config.json")

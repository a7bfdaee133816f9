"""Reading a work directory: which folds count, and the reasons for those that do not."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.reporting.results import read_workdir
from tests.helpers.workdirs import CLASSES, change_json, make_workdir


@pytest.fixture
def workdir(tmp_path):
    return make_workdir(tmp_path / "work")


def test_reads_all_folds_in_the_order_of_run_json(workdir):
    config, (run,) = read_workdir(workdir)
    assert config["preset"] == "small"
    assert [fold.name for fold in run.folds] == ["006", "007", "011"] and not run.missing
    assert len(run.table) == 12
    outputs = run.outputs
    assert outputs.frames.shape == (12, 8, 64, 64) and outputs.rank_scores.shape == (12, 8)
    error = ((outputs.dynamic_image - outputs.target) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(error, run.table.dic_mse, rtol=1e-4)  # rows belong together


def _cut(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def _drop_last_row(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _change_array(path, name, change):
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays[name] = change(arrays[name])
    np.savez(path, **arrays)


def _fewer_frames(path):
    for name in ("frames", "rank_scores"):
        _change_array(path, name, lambda array: array[:, :4])


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        ("done.json", Path.unlink, "not finished"),
        ("done.json", _cut, "done.json is missing or damaged"),
        ("outputs.npz", _cut, "outputs.npz is missing or damaged"),
        ("outputs.npz", Path.unlink, "outputs.npz is missing or damaged"),
        ("log.jsonl", lambda p: _cut(p, 0.97), "log.jsonl is missing or damaged"),
        ("predictions.csv", _cut, "not a valid prediction table"),
        ("predictions.csv", Path.unlink, "cannot be read"),
        ("predictions.csv", _drop_last_row, "3 rows but outputs.npz 4"),
        ("outputs.npz", lambda p: _change_array(p, "rank_scores", lambda a: a * np.nan),
         "rank_scores has values that are not finite numbers"),
        ("outputs.npz", lambda p: _change_array(p, "target", lambda a: a / np.float32(0)),
         "target has values that are not finite numbers"),
        ("outputs.npz", lambda p: _change_array(p, "frames", np.float32), "are float32, not uint8"),
        ("outputs.npz", _fewer_frames, "frames unlike those of the folds before it"),
        ("done.json", lambda p: change_json(p, seconds="long"), 'seconds is "long"'),
        ("done.json", lambda p: p.write_text('{"seconds": NaN}'), "it has NaN"),
        ("done.json", lambda p: p.write_text('{"seconds": 1e400}'), "it has 1e400"),
        ("done.json", lambda p: change_json(p, final_losses=5), "final_losses is 5"),
        ("done.json", lambda p: change_json(p, final_losses={"rank": "low"}), 'rank is "low"'),
        ("done.json", lambda p: change_json(p, train_set_metrics=[1]), "train_set_metrics is [1]"),
        ("log.jsonl", lambda p: p.write_text('{"step": 1, "rank": Infinity}\n'), "has Infinity"),
        ("log.jsonl", lambda p: p.write_text('{"step": 1e400}\n'), "it has 1e400"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_damaged_fold_is_missing_with_its_reason(workdir, file, damage, reason):
    damage(workdir / "seed_0" / "folds" / "007" / file)
    _, (run,) = read_workdir(workdir)
    assert [fold.name for fold in run.folds] == ["006", "011"] and len(run.outputs.frames) == 8
    (missing,) = run.missing
    assert (missing.seed, missing.fold) == (0, "007")
    assert reason in missing.reason and str(workdir) not in missing.reason


def test_pickled_arrays_are_not_loaded(workdir):
    path = workdir / "seed_0" / "folds" / "007" / "outputs.npz"
    np.savez(path, frames=np.array([{}], dtype=object), target=np.zeros(1))
    _, (run,) = read_workdir(workdir)
    assert [fold.fold for fold in run.missing] == ["007"]


def test_a_fold_of_other_subjects_does_not_count(workdir):
    folds = workdir / "seed_0" / "folds"
    shutil.rmtree(folds / "007")
    shutil.copytree(folds / "006", folds / "007")
    _, (run,) = read_workdir(workdir)
    assert "other subjects" in run.missing[0].reason


def _other_protocol(workdir):
    make_workdir(workdir.parent / "other", seeds=(1,), classes=CLASSES[:3])
    shutil.copytree(workdir.parent / "other" / "seed_1", workdir / "seed_1")


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("", shutil.rmtree, "is not a folder"),
        ("", _other_protocol, "another dataset, protocol or classes"),
        ("config.json", Path.unlink, "is not a work directory"),
        ("config.json", _cut, "config.json is missing or damaged"),
        ("config.json", lambda p: p.write_text('{"a": NaN}'), "it has NaN"),
        ("config.json", lambda p: p.write_text('{"a": 1e400}'), "it has 1e400"),
        ("seed_0/run.json", Path.unlink, "run.json is missing or damaged"),
        ("seed_0/run.json", lambda p: p.write_text("{}"), "dataset is null"),
        ("seed_0/run.json", lambda p: change_json(p, versions=[]), "versions is []"),
        ("seed_0/run.json", lambda p: change_json(p, warnings=[5]), "warnings is 5"),
        ("seed_0/run.json", lambda p: change_json(p, evaluations={"last": "1"}), 'last is "1"'),
        ("seed_0/run.json", lambda p: change_json(p, parameters={"all": "many"}), 'is "many"'),
        ("seed_0/run.json", lambda p: change_json(p, folds=5), "folds is 5"),
        ("seed_0/run.json", lambda p: change_json(p, folds=[{"name": "006"}]), "datasets is null"),
        ("seed_0/run.json", lambda p: change_json(p, folds=["006"]), 'folds is "006"'),
        ("seed_0/folds", shutil.rmtree, "no finished fold yet (006: not started)"),
    ],
)
def test_an_unusable_work_directory_is_one_sentence(workdir, file, damage, words):
    damage(workdir / file)
    with pytest.raises(UserError) as caught:
        read_workdir(workdir)
    assert words in str(caught.value) and str(workdir) in str(caught.value)
    assert "\n" not in str(caught.value)

"""Reading a work directory: what counts as a finished fold, and what is said where one does not.

`make_workdir` writes a small work directory of random numbers; `test_report.py` uses it too.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.reporting.workdir import read_workdir

CLASSES = ("happiness", "surprise", "anger", "contempt", "others")
SLOPE = 1.0


def make_workdir(
    root: Path,
    *,
    seeds: tuple[int, ...] = (0,),
    subjects: tuple[str, ...] = ("006", "007", "011"),
    classes: tuple[str, ...] = CLASSES,
    clips_each: int = 4,
    right: float = 0.7,
    ablated: bool = False,
    built: float = 0.5,
    ranked: float = 0.5,
) -> Path:
    """A work directory of finished folds, one person each.

    `built` and `ranked` in [0, 1] say how far constructions and rank scores are from nothing
    learnt (the mean image, constant scores) towards the truth.
    """
    root.mkdir(parents=True, exist_ok=True)
    config = {"dataset": "synthetic", "protocol": "5class", "preset": "small", "select": "last"}
    (root / "config.json").write_text(json.dumps(config | {"steps": 40}))
    for seed in seeds:
        rng = np.random.default_rng(seed)
        folder = root / f"seed_{seed}"
        folder.mkdir()
        folds = [{"name": s, "subjects": [s], "n_clips": clips_each} for s in subjects]
        run = {
            "dataset": "synthetic", "protocol": "5class", "select": "last", "seed": seed,
            "folds": folds, "classes": list(classes), "group_folds": None,
            "parameters": {"total": 1234567, "LocalGlobalTransformer": 1000000}, "steps": 40,
            "label_version": "1", "corrections": [], "warnings": [], "trained_on": "all others",
            "versions": {"jax": "0.10.2"}, "rank_slope": SLOPE,
            "command": "python -m fdp_jax.train --dataset=synthetic",
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(run))
        for subject in subjects:
            _write_fold(folder, seed, subject, classes, clips_each, right, ablated, built, ranked,
                        rng)  # fmt: skip
    return root


def _write_fold(folder, seed, subject, classes, n, right, ablated, built, ranked, rng):
    fold = folder / "folds" / subject
    labels = [classes[int(rng.integers(len(classes)))] for _ in range(n)]
    probabilities = rng.dirichlet(np.ones(len(classes)), n).astype(np.float32)
    for row, label in enumerate(labels):
        if rng.random() < right:
            probabilities[row, classes.index(label)] += 1
    probabilities /= probabilities.sum(axis=1, keepdims=True)

    y, x = np.mgrid[0:64, 0:64] / 63
    face = np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) * 6)
    motion = np.array([np.exp(-((x - a) ** 2 + (y - b) ** 2) * 60) for a, b in rng.random((n, 2))])
    target = (0.5 + 0.4 * motion + 0.02 * rng.standard_normal((n, 64, 64))).clip(0, 1)
    made = 0.52 + built * (target - 0.52)
    arrays = {
        "frames": np.uint8(
            (200 * face + 40 * motion[:, None] * np.linspace(0, 1, 8)[:, None, None]).clip(0, 255)
        ),
        "target": target.astype(np.float32),
    }
    scores = 3.5 + ranked * (np.arange(8) - 3.5) + ranked * rng.standard_normal((n, 8))
    if not ablated:
        arrays["dynamic_image"] = made.astype(np.float32)
        arrays["rank_scores"] = scores.astype(np.float32)
    mse = None if ablated else ((made - target) ** 2).mean(axis=(1, 2))
    PredictionTable.of_fold(
        protocol="5class", select="last", seed=seed, fold=subject, classes=classes,
        datasets=["synthetic"] * n, subjects=[subject] * n,
        clips=[f"{subject}_{i}" for i in range(n)], labels=labels, probabilities=probabilities,
        dic_mse=mse,
    ).write(fold / "predictions.csv")  # fmt: skip
    np.savez_compressed(fold / "outputs.npz", **arrays)
    lines = []
    for step in range(10, 41, 10):
        fall = np.exp(-step / 25) + 0.03 * rng.standard_normal()
        losses = {"cross_entropy": 1.6 * fall, "dynamic_image": 0.02 * fall, "rank": 16 * fall}
        lines.append({"step": step, "total": 2.0, **losses, "accuracy": 0.5,
                      "learning_rate": 1e-4, "seconds": step / 10})  # fmt: skip
    (fold / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    final = {key: lines[-1][key] for key in ("total", "cross_entropy", "dynamic_image", "rank")}
    done = {"fold": subject, "n_clips": n, "steps": 40, "seconds": 12.5,
            "peak_memory_bytes": 900_000_000, "final_losses": final}  # fmt: skip
    (fold / "done.json").write_text(json.dumps(done))


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


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        ("done.json", Path.unlink, "not finished"),
        ("done.json", _cut, "done.json is missing or torn"),
        ("outputs.npz", _cut, "outputs.npz is missing or torn"),
        ("outputs.npz", Path.unlink, "outputs.npz is missing or torn"),
        ("log.jsonl", lambda path: _cut(path, 0.97), "log.jsonl is missing or torn"),
        ("predictions.csv", _cut, "not a prediction table"),
        ("predictions.csv", Path.unlink, "cannot be read"),
        ("predictions.csv", _drop_last_row, "3 rows but outputs.npz 4"),
    ],
)
def test_a_damaged_fold_is_missing_with_its_reason(workdir, file, damage, reason):
    damage(workdir / "seed_0" / "folds" / "007" / file)
    _, (run,) = read_workdir(workdir)
    assert [fold.name for fold in run.folds] == ["006", "011"]
    (missing,) = run.missing
    assert (missing.seed, missing.fold) == (0, "007")
    assert reason in missing.reason and str(workdir) not in missing.reason


def _change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


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
        ("outputs.npz", lambda p: _change_array(p, "rank_scores", lambda a: a * np.nan),
         "rank_scores does not hold numbers alone"),
        ("outputs.npz", lambda p: _change_array(p, "target", lambda a: a / np.float32(0)),
         "target does not hold numbers alone"),
        ("outputs.npz", lambda p: _change_array(p, "frames", np.float32), "are float32, not uint8"),
        ("outputs.npz", _fewer_frames, "has 4 frames of 64 x 64 pixels, unlike fold 006"),
        ("done.json", lambda p: _change_json(p, seconds="long"), 'seconds is "long"'),
        ("done.json", lambda p: p.write_text('{"seconds": NaN}'), "it holds NaN"),
        ("done.json", lambda p: p.write_text('{"seconds": 1e400}'), "it holds 1e400"),
        ("done.json", lambda p: _change_json(p, final_losses=5), "final_losses is 5"),
        ("done.json", lambda p: _change_json(p, training_people=[1]), "training_people is [1]"),
        ("log.jsonl", lambda p: p.write_text('{"step": 1, "rank": Infinity}\n'), "holds Infinity"),
        ("log.jsonl", lambda p: p.write_text('{"step": 1e400}\n'), "it holds 1e400"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_fold_of_strange_values_is_missing_with_its_reason(workdir, file, damage, reason):
    damage(workdir / "seed_0" / "folds" / "007" / file)
    _, (run,) = read_workdir(workdir)
    assert [fold.name for fold in run.folds] == ["006", "011"]
    assert reason in run.missing[0].reason
    assert len(run.outputs.frames) == 8


def test_pickled_arrays_are_not_loaded(workdir):
    path = workdir / "seed_0" / "folds" / "007" / "outputs.npz"
    np.savez(path, frames=np.array([{}], dtype=object), target=np.zeros(1))
    _, (run,) = read_workdir(workdir)
    assert [fold.fold for fold in run.missing] == ["007"]


def test_a_fold_of_other_people_is_not_counted(workdir):
    folds = workdir / "seed_0" / "folds"
    shutil.rmtree(folds / "007")
    shutil.copytree(folds / "006", folds / "007")
    _, (run,) = read_workdir(workdir)
    assert "other subjects" in run.missing[0].reason


def test_a_step_logged_twice_counts_as_the_later_line(workdir):
    path = workdir / "seed_0" / "folds" / "006" / "log.jsonl"
    with path.open("a") as file:
        file.write(json.dumps({"step": 40, "rank": 3.0}) + "\n")
    _, (run,) = read_workdir(workdir)
    assert [entry["step"] for entry in run.folds[0].log] == [10, 20, 30, 40]
    assert run.folds[0].log[-1]["rank"] == 3.0


def _remove_folds(workdir):
    shutil.rmtree(workdir / "seed_0" / "folds")


def _other_protocol(workdir):
    make_workdir(workdir.parent / "other", seeds=(1,), classes=CLASSES[:3])
    shutil.copytree(workdir.parent / "other" / "seed_1", workdir / "seed_1")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, "is not a folder"),
        (lambda workdir: (workdir / "config.json").unlink(), "is not a work directory"),
        (lambda workdir: _cut(workdir / "config.json"), "config.json is missing or torn"),
        (lambda workdir: (workdir / "seed_0" / "run.json").unlink(), "run.json is missing or torn"),
        (lambda workdir: (workdir / "seed_0" / "run.json").write_text("{}"), "dataset is null"),
        (lambda workdir: (workdir / "config.json").write_text('{"a": NaN}'), "it holds NaN"),
        (
            lambda workdir: _change_json(workdir / "seed_0" / "run.json", versions=[]),
            "versions is []",
        ),
        (
            lambda workdir: _change_json(workdir / "seed_0" / "run.json", warnings=[5]),
            "warnings is 5",
        ),
        (
            lambda workdir: _change_json(workdir / "seed_0" / "run.json", looks={"last": "1"}),
            "looks are no whole numbers",
        ),
        (
            lambda workdir: _change_json(
                workdir / "seed_0" / "run.json", parameters={"total": "many"}
            ),
            "parameters are no whole numbers",
        ),
        (lambda workdir: (workdir / "config.json").write_text('{"a": 1e400}'), "it holds 1e400"),
        (_remove_folds, "no finished fold yet (006: not started)"),
        (_other_protocol, "another dataset, protocol or classes"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(workdir, damage, words):
    damage(workdir)
    with pytest.raises(UserError) as caught:
        read_workdir(workdir)
    assert words in str(caught.value) and str(workdir) in str(caught.value)
    assert "\n" not in str(caught.value)

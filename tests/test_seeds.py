"""Several seeds in one run: each what it is by itself, and their mean and spread in the report."""

import dataclasses
import json

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.scores import SCORE_NAMES, score
from fdp_jax.report import summary_text, write_report
from tests.conftest import run_module
from tests.helpers.tiny import TINY, TINY_OPTIONS, make_tiny_plan, random_clips, train_plan

CONFIG = dataclasses.replace(TINY, select="all", steps=4, evaluate_every=3)


def train(workdir, *seeds, config=CONFIG, folds=(), clips=None):
    options = {"seeds": seeds, "folds": folds, "log_every": 2, "checkpoint_every": 100}
    clips = clips or random_clips(people=3, each=2)
    return train_plan(make_tiny_plan(workdir, clips, config, **options))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return train(tmp_path_factory.mktemp("seeds") / "run", 4, 7)


def folds_of(workdir, seed):
    return sorted((workdir / f"seed_{seed}" / "folds").iterdir())


def test_each_seed_is_what_it_is_by_itself(both, tmp_path):
    train(tmp_path, 7)
    for together, alone in zip(folds_of(both, 7), folds_of(tmp_path, 7), strict=True):
        for name in ("predictions.csv", "outputs.npz"):
            assert (together / name).read_bytes() == (alone / name).read_bytes()
    tables = [PredictionTable.read(folds_of(both, seed)[0] / "predictions.csv") for seed in (4, 7)]
    assert not np.array_equal(tables[0].probabilities, tables[1].probabilities)


def test_the_report_has_mean_and_standard_deviation_of_every_rule(both):
    report = write_report(both)
    assert report["seeds"] == [4, 7] and report["complete"]
    assert report["select"] == "last" and report["evaluations"] == 1
    assert [(run["select"], run["seed"]) for run in report["runs"]] == [
        (rule, seed) for seed in (4, 7) for rule in ("last", "test-best", "val")
    ]
    table = PredictionTable.read(both / "predictions.csv")
    for rule in report["selection"]["rules"]:
        assert rule["seeds"] == [4, 7] and rule["evaluations"] == (
            1 if rule["select"] == "last" else 2
        )
        values = {name: [] for name in SCORE_NAMES}
        for seed in (4, 7):
            rows = (np.array(table.select) == rule["select"]) & (table.seed == seed)
            part = table.take(np.flatnonzero(rows))
            assert len(part) == 6
            scores = score(part.label, part.prediction, part.classes)
            for name in SCORE_NAMES:
                values[name].append(getattr(scores, name))
        for name in SCORE_NAMES:
            assert rule[name] == pytest.approx(np.mean(values[name]), abs=1e-12)
            assert rule["spread"][name] == pytest.approx(np.std(values[name], ddof=1), abs=1e-12)
    assert "mean over seeds 4 and 7" in summary_text(report, both)


def test_run_json_has_the_evaluations_of_each_rule(both):
    for seed in (4, 7):
        info = json.loads((both / f"seed_{seed}" / "run.json").read_text())
        assert (info["seed"], info["select"]) == (seed, "all")
        assert info["evaluations"] == {"last": 1, "test-best": 2, "val": 2}


def test_what_is_finished_of_all_seeds_is_kept(both):
    before = [fold.joinpath("done.json").stat().st_mtime_ns for fold in folds_of(both, 4)]
    train(both, 4, 7)
    assert before == [fold.joinpath("done.json").stat().st_mtime_ns for fold in folds_of(both, 4)]


def test_nobody_to_hold_out_is_an_error_before_anything_is_written(tmp_path):
    clips = random_clips(people=2, each=2)
    with pytest.raises(UserError, match="trains on one person only"):
        train(tmp_path / "run", 0, clips=clips)
    assert not (tmp_path / "run").exists()
    train(tmp_path / "run", 0, clips=clips, config=dataclasses.replace(CONFIG, select="test-best"))


def test_the_command_trains_several_seeds_and_rules_in_one_run(data_dir, tmp_path):
    done = run_module(
        "fdp_jax.train", "--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={tmp_path}",
        *TINY_OPTIONS, "--folds=s01", "--seeds=1,0", "--select=all", "--evaluate_every=4",
    )  # fmt: skip
    # One bar counts both folds and both trainings of each.
    assert f"{2 * 2 * TINY.steps}/{2 * 2 * TINY.steps}" in done.stderr
    assert "fold 1/2 s01, seed 1" in done.stderr and "fold 2/2 s01, seed 0" in done.stderr
    assert sorted(path.name for path in tmp_path.glob("seed_*")) == ["seed_0", "seed_1"]
    assert "mean over seeds 0 and 1" in done.stdout
    assert "test-best is OPTIMISTIC" in done.stdout and "the best of 2 evaluations" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["select"] == "last" and len(report["runs"]) == 6

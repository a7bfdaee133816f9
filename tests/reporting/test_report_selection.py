"""Several selection rules in one report: side by side, with gaps, chance level and warnings."""

import numpy as np
import pytest

from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.scores import SCORE_NAMES, score
from fdp_jax.metrics.statistics import chance_level
from fdp_jax.report import write_report
from tests.helpers.workdirs import CLASSES, add_rules, make_workdir
from tests.reporting.test_report import all_texts

EVALUATIONS = {"last": 1, "test-best": 7, "val": 7}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    workdir = make_workdir(tmp_path_factory.mktemp("rules") / "work")
    plain = write_report(workdir)
    add_rules(workdir, EVALUATIONS)
    return workdir, plain, write_report(workdir)


def test_the_headline_is_last_and_every_rule_is_a_run(compared):
    workdir, plain, report = compared
    same = ("select", "n_clips", "confusion_matrix", "per_subject", "auxiliary", *SCORE_NAMES)
    assert {key: report[key] for key in same} == {key: plain[key] for key in same}
    assert [(run["select"], run["seed"], run["evaluations"]) for run in report["runs"]] == [
        ("last", 0, 1), ("test-best", 0, 7), ("val", 0, 7),
    ]  # fmt: skip
    assert report["complete"] and report["evaluations"] == 1
    assert plain["selection"] is None
    rows = PredictionTable.read(workdir / "predictions.csv")
    for run in report["runs"]:
        of_rule = rows.take([k for k, rule in enumerate(rows.select) if rule == run["select"]])
        expected = score(of_rule.label, of_rule.prediction, CLASSES)
        assert all(run[name] == getattr(expected, name) for name in SCORE_NAMES)


def test_the_rules_stand_side_by_side_with_their_gaps_and_chance_level(compared):
    workdir, _, report = compared
    scores = {run["select"]: run for run in report["runs"]}
    selection = report["selection"]
    assert [rule["select"] for rule in selection["rules"]] == ["last", "test-best", "val"]
    assert [gap["minus"] for gap in selection["test_best_gaps"]] == ["last", "val"]
    for gap in selection["test_best_gaps"]:
        for name in SCORE_NAMES:
            assert gap[name] == scores["test-best"][name] - scores[gap["minus"]][name]
    table = PredictionTable.read(workdir / "predictions.csv")
    labels = {
        fold: [table.label[k] for k in range(len(table)) if table.fold[k] == fold][:4]
        for fold in ("006", "007", "011")
    }
    expected = chance_level(labels, CLASSES, 7)
    assert selection["test_best_chance_level"] == expected
    for name, text in all_texts(*compared[::2]).items():
        if name == "json":
            continue
        for gap in selection["test_best_gaps"]:
            assert f"test-best minus {gap['minus']}" in text
            assert f"{100 * gap['uf1']:+.2f}" in text
        assert "test-best (OPTIMISTIC)" in text
        assert "by the labels of the test subjects" in text
        assert f"Acc {100 * expected['class_share']['acc']['mean']:.2f} %" in text
        assert "the best of 7 evaluations" in text


def test_a_run_of_test_best_alone_is_never_printed_without_its_warning(tmp_path):
    workdir = make_workdir(tmp_path / "work")
    add_rules(workdir, {"test-best": 7})
    report = write_report(workdir)
    assert report["select"] == "test-best" and report["evaluations"] == 7
    assert report["selection"]["test_best_gaps"] == []
    assert report["selection"]["test_best_chance_level"]["evaluations"] == 7
    texts = all_texts(workdir, report)
    del texts["json"]
    for text in texts.values():
        assert "test-best (OPTIMISTIC)" in text and "test-best is OPTIMISTIC" in text
        assert "Random guessing under the same rule, the best of 7 evaluations" in text


def test_a_fold_that_lacks_a_rule_is_missing(tmp_path):
    workdir = make_workdir(tmp_path / "work")
    add_rules(workdir, EVALUATIONS)
    path = workdir / "seed_0" / "folds" / "007" / "predictions.csv"
    table = PredictionTable.read(path)
    table.take(range(8)).write(path)  # `last` and `test-best`
    with np.load(path.with_name("outputs.npz")) as stored:
        arrays = {name: stored[name][:8] for name in stored}
    np.savez_compressed(path.with_name("outputs.npz"), **arrays)
    report = write_report(workdir)
    (missing,) = report["missing_folds"]
    assert (missing["fold"], report["n_clips"]) == ("007", 8)
    assert missing["reason"] == "predictions.csv has other selection rules than run.json"

"""Scores over several corpora, worked out by hand, and what the report says about them."""

import numpy as np
import pytest

from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.reporting import page
from fdp_jax.reporting.results import FinishedFold, MissingFold, Outputs, Run
from fdp_jax.reporting.summary import summarise

TWO = ("casme2", "samm")
CLASSES = ("happiness", "surprise", "others")
TESTED = {
    "casme2": (("happiness", "surprise", "others", "others", "others"),
               ("others", "surprise", "others", "others", "happiness")),
    "samm": (("happiness", "happiness", "surprise", "others"),
             ("happiness", "surprise", "surprise", "others")),
}  # fmt: skip
BY_HAND = {
    "casme2": {"acc": 3 / 5, "uf1": 5 / 9, "weighted_f1": 3 / 5, "uar": 5 / 9, "war": 3 / 5},
    "samm": {"acc": 3 / 4, "uf1": 7 / 9, "weighted_f1": 3 / 4, "uar": 5 / 6, "war": 3 / 4},
}
DIRECTIONS = {"casme2": "samm_to_casme2", "samm": "casme2_to_samm"}


def finished(fold, dataset, labels, predictions, seed) -> FinishedFold:
    n = len(labels)
    chosen = [CLASSES.index(name) for name in predictions]
    table = PredictionTable.of_fold(
        protocol="mixed", select="last", seed=seed, fold=fold, classes=CLASSES,
        datasets=[dataset] * n, subjects=["sub01"] * n, clips=[str(i) for i in range(n)],
        labels=labels, probabilities=np.eye(len(CLASSES))[chosen], dic_mse=np.zeros(n),
    )  # fmt: skip
    zeros = np.zeros((n, 4, 4), np.float32)
    outputs = Outputs(np.zeros((n, 2, 4, 4), np.uint8), zeros, zeros, np.zeros((n, 2)))
    return FinishedFold(fold, table, outputs, (), {"seconds": 1.0})


def read_run(split, tested=TESTED, missing=(), seed=0) -> Run:
    names = DIRECTIONS if split == "corpora" else {name: f"{name}_sub01" for name in TWO}
    info = {
        "dataset": "casme2+samm", "protocol": "mixed", "split": split, "select": "last",
        "evaluations": {"last": 1}, "parameters": {"total": 1}, "steps": 40, "warnings": [],
        "device": "cpu", "versions": {}, "rank_slope": 1.0, "command": "", "init": None,
        "seed": seed, "classes": list(CLASSES), "group_folds": None, "corrections": ["casme2: x."],
        "folds": [{"name": names[name]} for name in ("samm", "casme2")],
        "label_version": "casme2 2014, samm v2",
    }  # fmt: skip
    folds = [finished(names[name], name, *tested[name], seed) for name in tested]
    gone = tuple(MissingFold(seed, names[name], "not started") for name in missing)
    return Run(seed, "last", info, tuple(folds), gone)


def texts(report, *runs) -> dict[str, str]:
    return {
        "terminal": page.summary(report),
        "md": page.markdown(report, []),
        "html": page.html(report, {}, runs),
    }


def assert_tested_corpora(report, datasets=TWO):
    assert [entry["dataset"] for entry in report["per_dataset"]] == list(datasets)
    for entry in report["per_dataset"]:
        expected = BY_HAND[entry["dataset"]]
        assert {name: entry[name] for name in expected} == pytest.approx(expected)
        assert entry["n_clips"] == len(TESTED[entry["dataset"]][0]) and entry["n_subjects"] == 1


def test_directions_are_scored_separately_and_averaged():
    run = read_run("corpora")
    report = summarise({}, [run])
    assert_tested_corpora(report)
    assert {name: report[name] for name in BY_HAND["samm"]} == pytest.approx(
        {"acc": 27 / 40, "uf1": 2 / 3, "weighted_f1": 27 / 40, "uar": 25 / 36, "war": 27 / 40}
    )  # pooled, the accuracy would be 6 / 9
    assert report["complete"] is True and report["n_clips"] == 9 and report["n_subjects"] == 2
    assert report["confusion_matrix"] == [[1, 1, 1], [0, 2, 0], [1, 0, 3]]  # pooled
    assert report["per_class_recall"]["others"] == pytest.approx(3 / 4)
    assert report["largest_class_acc"] == pytest.approx((3 / 5 + 2 / 4) / 2)
    for name, words in texts(report, run).items():
        assert "mean of the two directions" in words, name
        assert "samm (casme2_to_samm)" in words and "casme2 (samm_to_casme2)" in words, name
        assert "67.50 %" in words and "55.56 %" in words and "77.78 %" in words, name
        assert "casme2 2014, samm v2" in words, name
    assert "1 cell corrected" in texts(report, run)["terminal"]


def test_several_corpora_are_scored_pooled_and_separately():
    run = read_run("people")
    report = summarise({}, [run])
    assert_tested_corpora(report)
    assert report["acc"] == pytest.approx(6 / 9)
    assert report["uf1"] == pytest.approx((2 / 5 + 4 / 5 + 3 / 4) / 3)
    assert report["uar"] == pytest.approx((1 / 3 + 1 + 3 / 4) / 3)
    # One name, two subjects.
    assert [(p["subject"], p["n_clips"]) for p in report["per_subject"]] == [
        ("casme2 sub01", 5), ("samm sub01", 4),
    ]  # fmt: skip
    for name, words in texts(report, run).items():
        assert "pooled over all folds" in words and "Each tested corpus separately" in words, name
        assert "directions" not in words and "66.67 %" in words and "75.00 %" in words, name


def test_one_direction_is_incomplete():
    half = {"samm": TESTED["samm"]}
    run = read_run("corpora", half, missing=["casme2"])
    report = summarise({}, [run])
    assert_tested_corpora(report, ["samm"])
    assert report["complete"] is False and report["n_clips"] == 4
    assert {name: report[name] for name in BY_HAND["samm"]} == pytest.approx(BY_HAND["samm"])
    assert report["per_subject"][0]["subject"] == "samm sub01"
    for name, words in texts(report, run).items():
        assert "one direction only (casme2_to_samm)" in words, name
        assert "INCOMPLETE: 1 of 2 folds is missing" in words, name
        assert "mean of the two directions" not in words, name


def test_seeds_are_averaged_and_an_unfinished_one_is_left_out():
    swapped = {"casme2": TESTED["casme2"], "samm": (TESTED["samm"][0], TESTED["samm"][0])}
    runs = [read_run("corpora"), read_run("corpora", swapped, seed=1)]
    report = summarise({}, runs)
    first, second = 27 / 40, (3 / 5 + 1) / 2
    assert report["acc"] == pytest.approx((first + second) / 2)
    assert report["spread"]["acc"] == pytest.approx((second - first) / 2**0.5)
    assert report["per_dataset"][1]["acc"] == pytest.approx((3 / 4 + 1) / 2)
    assert [run["acc"] for run in report["runs"]] == pytest.approx([first, second])
    assert report["runs"][1]["per_dataset"][1]["acc"] == 1
    assert all("averaged over the seeds" in words for words in texts(report, *runs).values())

    half = read_run("corpora", {"samm": TESTED["samm"]}, missing=["casme2"], seed=1)
    runs = [runs[0], half]
    report = summarise({}, runs)
    assert report["acc"] == pytest.approx(first)
    assert report["complete"] is False and report["seeds_left_out"] == [1]
    assert "mean of the two directions" in texts(report, *runs)["md"]


def test_a_class_that_one_corpus_lacks_is_named_with_the_corpus():
    labels = ("happiness", "others", "others", "others")
    run = read_run("corpora", {**TESTED, "samm": (labels, labels)})
    report = summarise({}, [run])
    assert report["classes_without_clips"] == []
    assert report["uar"] == pytest.approx((1 + 5 / 9) / 2)  # over the two classes that are there
    for name, words in texts(report, run).items():
        assert "No test clip of samm, left out of UF1 and UAR: surprise." in words, name

"""Every number of the report that comes from predictions, recomputed from `predictions.csv` alone.

Read with the csv module and scored by scikit-learn, without this project's code.
"""

import csv
import statistics

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from fdp_jax.report import write_report
from fdp_jax.reporting.comparison import compare
from tests.helpers.workdirs import CLASSES, make_workdir

EXACT = {"rel": 0, "abs": 1e-12}
SCORES = ("acc", "uf1", "weighted_f1", "uar", "war")


def rows_of(workdir) -> list[dict]:
    with (workdir / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scored(rows) -> dict[str, float]:
    true, named = [row["label"] for row in rows], [row["prediction"] for row in rows]
    there = sorted(set(true))
    kinds = {"labels": there, "zero_division": 0}
    return {
        "acc": sk.accuracy_score(true, named),
        "uf1": sk.f1_score(true, named, average="macro", **kinds),
        "weighted_f1": sk.f1_score(true, named, average="weighted", **kinds),
        "uar": sk.recall_score(true, named, average="macro", **kinds),
        "war": sk.recall_score(true, named, average="weighted", **kinds),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three seeds of five subjects, and their report."""
    workdir = make_workdir(
        tmp_path_factory.mktemp("recomputed") / "work", seeds=(0, 1, 2), clips_each=9,
        subjects=("006", "007", "011", "012", "013"), right=0.4,
    )  # fmt: skip
    report = write_report(workdir)
    return workdir, report, rows_of(workdir)


def by_seed(rows):
    return [[row for row in rows if row["seed"] == str(seed)] for seed in (0, 1, 2)]


def test_the_prediction_is_the_most_probable_class(made):
    for row in made[2]:
        shares = [float(row[f"p_{name}"]) for name in CLASSES]
        assert row["prediction"] == CLASSES[int(np.argmax(shares))]
        assert sum(shares) == pytest.approx(1, abs=1e-6)


def test_scores_of_every_seed_their_mean_and_their_spread(made):
    _, report, rows = made
    seeds = [scored(of_seed) for of_seed in by_seed(rows)]
    for name in SCORES:
        values = [scores[name] for scores in seeds]
        assert [run[name] for run in report["runs"]] == pytest.approx(values, **EXACT)
        assert report[name] == pytest.approx(statistics.mean(values), **EXACT)
        assert report["spread"][name] == pytest.approx(statistics.stdev(values), **EXACT)


def test_recall_by_class_and_confusion_matrix(made):
    _, report, rows = made
    true, named = [row["label"] for row in rows], [row["prediction"] for row in rows]
    matrix = sk.confusion_matrix(true, named, labels=CLASSES)
    assert report["confusion_matrix"] == matrix.tolist()
    recalls = [
        sk.recall_score(
            [row["label"] for row in of_seed], [row["prediction"] for row in of_seed],
            labels=CLASSES, average=None,
        )
        for of_seed in by_seed(rows)
    ]  # fmt: skip
    means = dict(zip(CLASSES, np.mean(recalls, axis=0), strict=True))
    assert report["per_class_recall"] == pytest.approx(means, **EXACT)


def test_subjects_baselines_and_the_image_error(made):
    _, report, rows = made
    for entry in report["per_subject"]:
        own = [row for row in rows if row["subject"] == entry["subject"]]
        assert entry["n_clips"] == len(own) / 3
        assert entry["acc"] == pytest.approx(scored(own)["acc"], **EXACT)
    first = [row["label"] for row in by_seed(rows)[0]]
    most = statistics.mode(first)
    assert report["largest_class_acc"] == pytest.approx(first.count(most) / len(first), **EXACT)
    errors = [statistics.mean(float(row["dic_mse"]) for row in seed) for seed in by_seed(rows)]
    assert report["dic_mse"] == pytest.approx(statistics.mean(errors), **EXACT)


def test_the_intervals(made):
    _, report, rows = made
    subjects = sorted({row["subject"] for row in rows})
    # As documented: 2,000 multinomial draws of the subjects with seed 0.
    times = np.random.default_rng(0).multinomial(5, [1 / 5] * 5, size=2000)
    assert report["intervals"]["draws"] == 2000
    for name in ("acc", "uf1", "uar"):
        low, high = report["intervals"][name]
        assert low < report[name] < high
    drawn = []
    for weights in times:
        times_of = dict(zip(subjects, weights, strict=True))
        of_seed = []
        for seed in by_seed(rows):
            weight = [times_of[row["subject"]] for row in seed]
            right = [row["label"] == row["prediction"] for row in seed]
            of_seed.append(np.average(right, weights=weight))
        drawn.append(np.mean(of_seed))
    expected = stats.scoreatpercentile(drawn, [2.5, 97.5])
    assert report["intervals"]["acc"] == pytest.approx(expected, **EXACT)


def test_a_single_subject_has_no_intervals(tmp_path):
    workdir = make_workdir(tmp_path / "work", subjects=("006",))
    assert write_report(workdir)["intervals"] is None
    assert "In brackets" not in (workdir / "report.md").read_text(encoding="utf-8")


def test_the_intervals_are_shown_everywhere(made):
    workdir, report, _ = made
    low, high = report["intervals"]["uf1"]
    for name in ("report.md", "report.html"):
        text = (workdir / name).read_text(encoding="utf-8")
        assert f"[{100 * low:.1f}, {100 * high:.1f}]" in text, name
        assert "95 % bootstrap interval over subjects (2,000 resamples)" in text, name


def test_mcnemar_of_two_runs(made, tmp_path):
    # The same subjects and labels: a seed draws the labels before the predictions.
    workdir, _, rows = made
    other = make_workdir(
        tmp_path / "work", seeds=(0,), clips_each=9, right=0.9,
        subjects=("006", "007", "011", "012", "013"),
    )  # fmt: skip
    write_report(other)
    found = compare(workdir, other)
    first = {(row["subject"], row["clip"]): row for row in by_seed(rows)[0]}
    second = {(row["subject"], row["clip"]): row for row in rows_of(other)}
    same = [key for key in first if first[key]["label"] == second[key]["label"]]
    right = np.array(
        [
            [rows[key]["label"] == rows[key]["prediction"] for key in same]
            for rows in (first, second)
        ]
    )
    (test,) = found["mcnemar"]["tests"]
    assert found["clips"]["common"] == len(same)
    discordant = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    assert [test["only_first"], test["only_second"]] == discordant
    # Two-sided and symmetric: twice the smaller tail of a fair coin.
    tail = stats.binom.cdf(min(discordant), sum(discordant), 0.5)
    assert test["p_value"] == pytest.approx(min(1, 2 * tail), **EXACT)

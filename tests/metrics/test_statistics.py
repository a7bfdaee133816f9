"""The bootstrap over subjects and the tests between methods, against values worked out by hand."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.statistics import (
    bootstrap_intervals,
    combined_p_value,
    mcnemar,
    percentile_interval,
    rank_sum,
    resample_subjects,
    weighted_scores,
)

ABC = ("a", "b", "c")


def table_of(answers, classes=ABC, seed=0) -> PredictionTable:
    """From (corpus, subject) -> text of pairs, each the true class and the prediction: `aa ab`."""
    rows = [(*person, *pair) for person, pairs in answers.items() for pair in pairs.split()]
    datasets, subjects, labels, named = zip(*rows, strict=True)
    chosen = [classes.index(name) for name in named]
    return PredictionTable.of_fold(
        protocol="p", select="last", seed=seed, fold="f", classes=classes, datasets=datasets,
        subjects=subjects, clips=[str(row) for row in range(len(rows))], labels=labels,
        probabilities=np.eye(len(classes))[chosen],
    )  # fmt: skip


def test_two_subjects_by_hand():
    table = table_of({("x", "1"): "aa aa bb", ("x", "2"): "ab"})
    resampled = resample_subjects(table.subjects, draws=4000, seed=0)
    drawn = weighted_scores([table], resampled)
    # Twice the first: all right. Twice the second: its one clip wrong. Both, which is half of the
    # draws: 3 of 4 clips; a has recall 2/3 and F1 4/5, b has recall 1 and F1 2/3.
    by_weights = {(2, 0): (1, 1, 1), (1, 1): (3 / 4, 11 / 15, 5 / 6), (0, 2): (0, 0, 0)}
    seen = {weights: 0 for weights in by_weights}
    for draw, weights in enumerate(map(tuple, resampled.tolist())):
        found = tuple(drawn[name][draw] for name in ("acc", "uf1", "uar"))
        assert found == pytest.approx(by_weights[weights], rel=1e-12)
        seen[weights] += 1
    # 0.027 is four standard deviations of a share of 1/4 in 4000 draws.
    assert seen[2, 0] / 4000 == pytest.approx(1 / 4, abs=0.03)
    assert seen[1, 1] / 4000 == pytest.approx(1 / 2, abs=0.03)


def test_intervals_by_hand():
    # Three subjects with 0.9, 0.5 and 0.2 of ten clips right. The lowest is drawn three times in
    # 1/27 = 3.7 % of the draws, more than 2.5 %; so is the highest.
    subjects = {
        ("x", str(right)): " ".join(["aa"] * right + ["ab"] * (10 - right)) for right in (9, 5, 2)
    }
    found = bootstrap_intervals([table_of(subjects)], draws=5000)
    assert found["acc"] == pytest.approx([0.2, 0.9])
    # Subjects weigh by clips: five with one right clip each, and one with 20 wrong ones. The
    # latter is left out in (5/6)^6 = 33 % of the draws, drawn three times or more in 6.2 %, four
    # times or more in 0.9 %: the interval ends at three right clips and 60 wrong ones.
    subjects = {("x", str(k)): "aa" for k in range(5)} | {("x", "9"): " ".join(["ab"] * 20)}
    found = bootstrap_intervals([table_of(subjects)], draws=5000)
    assert found["acc"] == pytest.approx([3 / 63, 1])


def test_percentiles_are_those_of_the_draws():
    # 0, 1, ..., 1000: 2.5 % of the way and 97.5 %.
    found = percentile_interval(np.random.default_rng(0).permutation(np.arange(1001.0)))
    assert found == pytest.approx([25, 975])


def test_seed_and_draws_count():
    table = table_of({("x", str(k)): "aa " * k + "bb " * (k % 3) + "ab" for k in range(12)})
    first = bootstrap_intervals([table], draws=100, seed=1)
    assert first == bootstrap_intervals([table], draws=100, seed=1)
    assert first != bootstrap_intervals([table], draws=100, seed=2)
    assert first != bootstrap_intervals([table], draws=200, seed=1)


def test_seeds_are_averaged_over_the_same_subjects():
    one = table_of({("x", "1"): "aa aa", ("x", "2"): "ab ab"})
    other = table_of({("x", "1"): "aa ab", ("x", "2"): "aa ab"}, seed=1)
    resampled = resample_subjects(one.subjects, draws=50)
    both = weighted_scores([one, other], resampled)["acc"]
    weight_of_first = resampled[:, 0]  # 0, 1 or 2
    np.testing.assert_allclose(both, (weight_of_first / 2 + 1 / 2) / 2, rtol=1e-12)


def test_corpora_are_resampled_separately_and_scored_as_their_protocol_says():
    table = table_of(
        {("x", "1"): "aa", ("x", "2"): "ab", ("y", "1"): "bb bb bb", ("y", "2"): "ba ba ba"}
    )
    resampled = resample_subjects(table.subjects, draws=300)
    assert table.subjects == [("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")]
    assert (resampled[:, :2].sum(axis=1) == 2).all()
    assert (resampled[:, 2:].sum(axis=1) == 2).all()
    x, y = resampled[:, 0], resampled[:, 2]
    pooled = weighted_scores([table], resampled, "people")["acc"]
    np.testing.assert_allclose(pooled, (x + 3 * y) / 8, rtol=1e-12)
    directions = weighted_scores([table], resampled, "corpora")["acc"]
    np.testing.assert_allclose(directions, (x / 2 + y / 2) / 2, rtol=1e-12)
    many = table_of({(c, str(k)): "aa " * k + "ab " * (9 - k) * (c == "y") + "ab" for c in "xy"
                     for k in range(9)})  # fmt: skip
    assert bootstrap_intervals([many], "corpora") != bootstrap_intervals([many], "people")


def test_a_single_subject_has_no_interval():
    assert bootstrap_intervals([table_of({("x", "1"): "aa ab"})]) is None
    two = {("x", "1"): "aa", ("x", "2"): "ab"}
    assert bootstrap_intervals([table_of(two)]) is not None
    assert bootstrap_intervals([table_of({**two, ("y", "1"): "ab"})]) is None
    # Seeds with different subjects cannot be resampled together.
    other = {("x", "1"): "aa", ("x", "3"): "ab"}
    assert bootstrap_intervals([table_of(two), table_of(other)]) is None


@pytest.mark.parametrize("seed", range(3))
def test_every_draw_is_what_scikit_learn_makes_of_the_repeated_rows(seed):
    rng = np.random.default_rng(seed)
    subjects = {
        ("x", f"{k}"): " ".join(
            "".join(rng.choice(list(ABC), 2)) for _ in range(rng.integers(1, 6))
        )
        for k in range(7)
    }
    table = table_of(subjects)
    resampled = resample_subjects(table.subjects, draws=60, seed=seed)
    drawn = weighted_scores([table], resampled)
    labels, named = np.array(table.label), np.array(table.prediction)
    subject = np.array(table.subject)
    for draw, weights in enumerate(resampled):
        times = dict(zip((name for _, name in table.subjects), weights, strict=True))
        rows = np.repeat(np.arange(len(table)), [times[name] for name in subject])
        there = np.unique(labels[rows])
        expected = {
            "acc": sk.accuracy_score(labels[rows], named[rows]),
            "uf1": sk.f1_score(labels[rows], named[rows], labels=there, average="macro",
                               zero_division=0),
            "uar": sk.recall_score(labels[rows], named[rows], labels=there, average="macro"),
        }  # fmt: skip
        for name, value in expected.items():
            assert drawn[name][draw] == pytest.approx(value, rel=0, abs=1e-12)


def test_mcnemar_by_hand():
    # Of 8 clips that one alone gets right the second has 7: 2 (C(8, 0) + C(8, 1)) / 2^8 = 18 / 256.
    first = np.array([1] * 5 + [1] + [0] * 7 + [0] * 2, bool)
    second = np.array([1] * 5 + [0] + [1] * 7 + [0] * 2, bool)
    found = mcnemar(first, second)
    assert found == {
        "both_correct": 5, "only_first": 1, "only_second": 7, "both_wrong": 2,
        "p_value": pytest.approx(18 / 256, rel=1e-12),
    }  # fmt: skip
    turned = mcnemar(second, first)
    assert (turned["only_first"], turned["only_second"]) == (7, 1)
    assert turned["p_value"] == found["p_value"]


def test_mcnemar_without_a_difference():
    right = np.array([True, False, True])
    assert mcnemar(right, right)["p_value"] == 1
    assert mcnemar(np.array([True, False]), np.array([False, True]))["p_value"] == 1


def test_p_values_of_seeds_are_combined_carefully():
    assert combined_p_value([0.03]) == 0.03
    assert combined_p_value([0.01, 0.03, 0.08]) == pytest.approx(0.08)
    assert combined_p_value([0.9, 0.8]) == 1


def by_hand(n, m):
    """The rank-sum's deviate and one-sided P-value where all n values are above all m rivals."""
    sum_of_ranks = sum(range(m + 1, m + n + 1))
    mean, variance = n * (n + m + 1) / 2, n * m * (n + m + 1) / 12
    z = (sum_of_ranks - mean) / math.sqrt(variance)
    return z, math.erfc(z / math.sqrt(2)) / 2


@pytest.mark.parametrize(("n", "m"), [(3, 3), (12, 13), (17, 17)])
def test_the_rank_sum_by_hand(n, m):
    found = rank_sum(90.0, np.arange(m) + 10.0, n)
    assert (found.statistic, found.p_value) == pytest.approx(by_hand(n, m), rel=1e-12)
    # The other way round it is as far below, and the P-value is one-sided.
    below = rank_sum(1.0, np.arange(m) + 10.0, n)
    assert below.statistic == pytest.approx(-found.statistic)
    assert below.p_value == pytest.approx(1 - found.p_value)

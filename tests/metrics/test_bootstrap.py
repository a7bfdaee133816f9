"""Drawing people with replacement: few enough of them to work every draw out by hand."""

import numpy as np
import pytest
from sklearn import metrics as sk

from fdp_jax.metrics.bootstrap import Resampling, drawn_scores, interval, subject_bootstrap
from fdp_jax.metrics.predictions import PredictionTable

ABC = ("a", "b", "c")


def table_of(answers, classes=ABC, seed=0) -> PredictionTable:
    """From (corpus, subject) -> text of pairs, each the true class and the one named: `aa ab`."""
    rows = [(*person, *pair) for person, pairs in answers.items() for pair in pairs.split()]
    datasets, subjects, labels, named = zip(*rows, strict=True)
    chosen = [classes.index(name) for name in named]
    return PredictionTable.of_fold(
        protocol="p", select="last", seed=seed, fold="f", classes=classes, datasets=datasets,
        subjects=subjects, clips=[str(row) for row in range(len(rows))], labels=labels,
        probabilities=np.eye(len(classes))[chosen],
    )  # fmt: skip


def test_two_people_by_hand():
    table = table_of({("x", "1"): "aa aa bb", ("x", "2"): "ab"})
    resampling = Resampling.of(table.people, draws=4000, seed=0)
    drawn = drawn_scores([table], resampling)
    # Twice the first: all right. Twice the second: its one clip wrong. Both, which is half of the
    # draws: 3 of 4 clips; a has recall 2/3 and F1 4/5, b has recall 1 and F1 2/3.
    by_weights = {(2, 0): (1, 1, 1), (1, 1): (3 / 4, 11 / 15, 5 / 6), (0, 2): (0, 0, 0)}
    seen = {weights: 0 for weights in by_weights}
    for draw, weights in enumerate(map(tuple, resampling.weights.tolist())):
        found = tuple(drawn[name][draw] for name in ("acc", "uf1", "uar"))
        assert found == pytest.approx(by_weights[weights], rel=1e-12)
        seen[weights] += 1
    # 0.027 is four standard deviations of a share of 1/4 in 4000 draws.
    assert seen[2, 0] / 4000 == pytest.approx(1 / 4, abs=0.03)
    assert seen[1, 1] / 4000 == pytest.approx(1 / 2, abs=0.03)


def test_intervals_by_hand():
    # Three people with 0.9, 0.5 and 0.2 of ten clips right. The lowest is drawn three times in
    # 1/27 = 3.7 % of the draws, more than 2.5 %; so is the highest.
    people = {
        ("x", str(right)): " ".join(["aa"] * right + ["ab"] * (10 - right)) for right in (9, 5, 2)
    }
    found = subject_bootstrap([table_of(people)], draws=5000)
    assert (found["acc"].low, found["acc"].high) == pytest.approx((0.2, 0.9))
    # A person weighs by clips: five with one right clip each, and one with 20 wrong ones. The
    # latter is left out in (5/6)^6 = 33 % of the draws, drawn three times or more in 6.2 %, four
    # times or more in 0.9 %: the interval ends at three right clips and 60 wrong ones.
    people = {("x", str(k)): "aa" for k in range(5)} | {("x", "9"): " ".join(["ab"] * 20)}
    found = subject_bootstrap([table_of(people)], draws=5000)
    assert found["acc"].high == 1
    assert found["acc"].low == pytest.approx(3 / 63)


def test_percentiles_are_those_of_the_draws():
    # 0, 1, ..., 1000: 2.5 % of the way and 97.5 %.
    found = interval(np.random.default_rng(0).permutation(np.arange(1001.0)))
    assert (found.low, found.high) == pytest.approx((25, 975))


def test_seed_and_draws_count():
    table = table_of({("x", str(k)): "aa " * k + "bb " * (k % 3) + "ab" for k in range(12)})
    first = subject_bootstrap([table], draws=100, seed=1)
    assert first == subject_bootstrap([table], draws=100, seed=1)
    assert first != subject_bootstrap([table], draws=100, seed=2)
    assert first != subject_bootstrap([table], draws=200, seed=1)


def test_seeds_are_averaged_over_the_same_people():
    one = table_of({("x", "1"): "aa aa", ("x", "2"): "ab ab"})
    other = table_of({("x", "1"): "aa ab", ("x", "2"): "aa ab"}, seed=1)
    resampling = Resampling.of(one.people, draws=50)
    both = drawn_scores([one, other], resampling)["acc"]
    weight_of_first = resampling.weights[:, 0]  # 0, 1 or 2
    np.testing.assert_allclose(both, (weight_of_first / 2 + 1 / 2) / 2, rtol=1e-12)


def test_corpora_are_drawn_by_themselves_and_scored_as_their_protocol_says():
    table = table_of(
        {("x", "1"): "aa", ("x", "2"): "ab", ("y", "1"): "bb bb bb", ("y", "2"): "ba ba ba"}
    )
    resampling = Resampling.of(table.people, draws=300)
    assert resampling.people == (("x", "1"), ("x", "2"), ("y", "1"), ("y", "2"))
    assert (resampling.weights[:, :2].sum(axis=1) == 2).all()
    assert (resampling.weights[:, 2:].sum(axis=1) == 2).all()
    x, y = resampling.weights[:, 0], resampling.weights[:, 2]
    pooled = drawn_scores([table], resampling, "people")["acc"]
    np.testing.assert_allclose(pooled, (x + 3 * y) / 8, rtol=1e-12)
    directions = drawn_scores([table], resampling, "corpora")["acc"]
    np.testing.assert_allclose(directions, (x / 2 + y / 2) / 2, rtol=1e-12)
    many = table_of({(c, str(k)): "aa " * k + "ab " * (9 - k) * (c == "y") + "ab" for c in "xy"
                     for k in range(9)})  # fmt: skip
    assert subject_bootstrap([many], "corpora") != subject_bootstrap([many], "people")


def test_one_person_says_nothing_of_others():
    assert subject_bootstrap([table_of({("x", "1"): "aa ab"})]) is None
    two = {("x", "1"): "aa", ("x", "2"): "ab"}
    assert subject_bootstrap([table_of(two)]) is not None
    assert subject_bootstrap([table_of({**two, ("y", "1"): "ab"})]) is None
    # Seeds of other people cannot be drawn together.
    other = {("x", "1"): "aa", ("x", "3"): "ab"}
    assert subject_bootstrap([table_of(two), table_of(other)]) is None


@pytest.mark.parametrize("seed", range(3))
def test_every_draw_is_what_scikit_learn_makes_of_the_repeated_rows(seed):
    rng = np.random.default_rng(seed)
    people = {
        ("x", f"{k}"): " ".join(
            "".join(rng.choice(list(ABC), 2)) for _ in range(rng.integers(1, 6))
        )
        for k in range(7)
    }
    table = table_of(people)
    resampling = Resampling.of(table.people, draws=60, seed=seed)
    drawn = drawn_scores([table], resampling)
    labels, named = np.array(table.label), np.array(table.prediction)
    subject = np.array(table.subject)
    for draw, weights in enumerate(resampling.weights):
        times = dict(zip((name for _, name in resampling.people), weights, strict=True))
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

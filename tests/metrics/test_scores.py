"""Scores against fractions worked out by hand, and against scikit-learn on random tables."""

from fractions import Fraction

import numpy as np
import pytest
from sklearn import metrics as sk

from fdp_jax.metrics.scores import SCORE_NAMES, confusion_matrices, score, score_matrices

ABC = ("a", "b", "c")


def table_of(matrix, classes):
    """Labels and predictions that have this confusion matrix (rows true, columns predicted)."""
    pairs = [
        (classes[i], classes[j])
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
        for _ in range(count)
    ]
    return [true for true, _ in pairs], [predicted for _, predicted in pairs]


def test_three_classes_by_hand():
    matrix = [[2, 1, 0], [0, 3, 1], [1, 0, 2]]
    scores = score(*table_of(matrix, ABC), ABC)
    # a: tp 2, fp 1, fn 1; b: tp 3, fp 1, fn 1; c: tp 2, fp 1, fn 1; F1 = 2 tp / (2 tp + fp + fn).
    f1 = [Fraction(4, 6), Fraction(6, 8), Fraction(4, 6)]
    recall = [Fraction(2, 3), Fraction(3, 4), Fraction(2, 3)]
    assert scores.acc == pytest.approx(float(Fraction(7, 10)), abs=1e-15)
    assert scores.uf1 == pytest.approx(float(sum(f1) / 3), abs=1e-15)
    assert scores.weighted_f1 == pytest.approx(
        float((3 * f1[0] + 4 * f1[1] + 3 * f1[2]) / 10), abs=1e-15
    )
    assert scores.uar == pytest.approx(float(sum(recall) / 3), abs=1e-15)
    assert scores.war == scores.acc
    assert list(scores.per_class_recall) == list(ABC)
    assert scores.per_class_recall["b"] == 0.75
    assert scores.confusion_matrix.tolist() == matrix
    assert scores.confusion_matrix.dtype == np.int64
    assert scores.classes_without_clips == ()


def test_a_class_without_a_true_clip_leaves_uf1_and_uar():
    # No clip is truly c, but an a was predicted as c: that still costs a its recall.
    matrix = [[3, 0, 1], [1, 1, 0], [0, 0, 0]]
    scores = score(*table_of(matrix, ABC), ABC)
    f1_a, f1_b = Fraction(2 * 3, 2 * 3 + 1 + 1), Fraction(2 * 1, 2 * 1 + 0 + 1)
    assert scores.uf1 == pytest.approx(float((f1_a + f1_b) / 2), abs=1e-15)
    assert scores.uar == pytest.approx(float((Fraction(3, 4) + Fraction(1, 2)) / 2), abs=1e-15)
    assert scores.weighted_f1 == pytest.approx(float((4 * f1_a + 2 * f1_b) / 6), abs=1e-15)
    assert scores.war == pytest.approx(float(Fraction(4, 6)), abs=1e-15)
    assert scores.per_class_recall == {"a": 0.75, "b": 0.5, "c": None}
    present = [value for value in scores.per_class_f1.values() if value is not None]
    assert scores.per_class_f1["c"] is None and scores.uf1 == pytest.approx(np.mean(present))
    assert scores.classes_without_clips == ("c",)
    assert scores.confusion_matrix[2].tolist() == [0, 0, 0]


def test_a_class_that_is_never_predicted_counts_as_zero():
    scores = score(*table_of([[2, 0], [2, 0]], ("a", "b")), ("a", "b"))
    assert scores.uf1 == pytest.approx(float(Fraction(4, 6) / 2), abs=1e-15)
    assert scores.uar == 0.5


def test_one_class_only_is_normal():
    scores = score(["a", "a"], ["a", "b"], ABC)
    assert (scores.uf1, scores.uar, scores.acc) == (pytest.approx(2 / 3), 0.5, 0.5)
    assert scores.classes_without_clips == ("b", "c")


def test_weighted_and_macro_f1_differ():
    # The paper's F1 may be either, so the two must not share code.
    scores = score(*table_of([[9, 0], [3, 1]], ("a", "b")), ("a", "b"))
    assert scores.uf1 == pytest.approx((18 / 21 + 2 / 5) / 2)
    assert scores.weighted_f1 == pytest.approx((9 * 18 / 21 + 4 * 2 / 5) / 13)


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    classes = [f"class {i}" for i in range(7)]
    labels = [classes[i] for i in np.r_[np.arange(7), rng.integers(7, size=60)]]
    predictions = [classes[i] for i in rng.integers(7, size=67)]
    ours = score(labels, predictions, classes)
    exact = {"rel": 0, "abs": 1e-12}
    assert ours.acc == pytest.approx(sk.accuracy_score(labels, predictions), **exact)
    macro = sk.f1_score(labels, predictions, average="macro", zero_division=0)
    assert ours.uf1 == pytest.approx(macro, **exact)
    weighted = sk.f1_score(labels, predictions, average="weighted", zero_division=0)
    assert ours.weighted_f1 == pytest.approx(weighted, **exact)
    assert ours.uar == pytest.approx(sk.balanced_accuracy_score(labels, predictions), **exact)
    reference = sk.confusion_matrix(labels, predictions, labels=classes)
    np.testing.assert_array_equal(ours.confusion_matrix, reference)


def test_classes_keep_their_order():
    scores = score(["b", "a"], ["b", "b"], ("b", "a"))
    assert scores.confusion_matrix.tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("labels", "predictions", "classes", "words"),
    [
        ([], [], ABC, "no clips"),
        (["a"], ["a", "b"], ABC, "1 labels but 2 predictions"),
        (["a"], ["d"], ABC, "not a class"),
        (["a"], ["a"], ("a", "a"), "listed twice"),
    ],
)
def test_invalid_input_is_refused(labels, predictions, classes, words):
    with pytest.raises(ValueError, match=words):
        score(labels, predictions, classes)


@pytest.mark.parametrize("n_true_classes", [3, 2, 1])
def test_many_matrices_give_the_scores_of_each(n_true_classes):
    rng = np.random.default_rng(n_true_classes)
    labels = rng.integers(n_true_classes, size=9)
    predictions = rng.integers(3, size=(40, 9))
    matrices = confusion_matrices(labels, predictions, 3)
    scores = score_matrices(matrices)
    names = [ABC[label] for label in labels]
    for draw, row in enumerate(predictions):
        alone = score(names, [ABC[k] for k in row], ABC)
        assert matrices[draw].tolist() == alone.confusion_matrix.tolist()
        for name in SCORE_NAMES:
            assert scores[name][draw] == pytest.approx(getattr(alone, name), rel=0, abs=1e-12)


def test_rows_are_true_classes():
    # Two clips, truly 0 and 1, both predicted as 0.
    assert confusion_matrices(np.array([0, 1]), np.array([[0, 0]]), 2).tolist() == [
        [[1, 0], [1, 0]]
    ]
    # 0: F1 = 2/3, recall 1; 1: F1 = 0, recall 0.
    scores = score_matrices(np.array([[1, 0], [1, 0]]))
    assert (scores["acc"], scores["uf1"], scores["uar"]) == (0.5, pytest.approx(1 / 3), 0.5)

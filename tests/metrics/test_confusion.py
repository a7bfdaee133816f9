"""Many confusion matrices at once give what the scores give for each by itself."""

import numpy as np
import pytest

from fdp_jax.metrics import scores as metrics
from fdp_jax.metrics.confusion import SCORED, confusion_matrices, scores_of

ABC = ("a", "b", "c")


@pytest.mark.parametrize("n_true_classes", [3, 2, 1])
def test_every_draw_is_scored_as_by_itself(n_true_classes):
    rng = np.random.default_rng(n_true_classes)
    labels = rng.integers(n_true_classes, size=9)
    predictions = rng.integers(3, size=(40, 9))
    matrices = confusion_matrices(labels, predictions, 3)
    scores = scores_of(matrices)
    names = [ABC[label] for label in labels]
    for draw, row in enumerate(predictions):
        alone = metrics.score(names, [ABC[k] for k in row], ABC)
        assert matrices[draw].tolist() == alone.confusion_matrix.tolist()
        for score in SCORED:
            assert scores[score][draw] == pytest.approx(getattr(alone, score), rel=0, abs=1e-12)


def test_rows_are_true_classes():
    # Two clips, truly 0 and 1, both called 0.
    assert confusion_matrices(np.array([0, 1]), np.array([[0, 0]]), 2).tolist() == [
        [[1, 0], [1, 0]]
    ]
    # 0: F1 = 2/3, recall 1; 1: F1 = 0, recall 0.
    scores = scores_of(np.array([[1, 0], [1, 0]]))
    assert (scores["acc"], scores["uf1"], scores["uar"]) == (0.5, pytest.approx(1 / 3), 0.5)

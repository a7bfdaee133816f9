"""The scores of many confusion matrices at once, for draws by the hundred.

One matrix gives what `fdp_jax.metrics.scores` gives for the labels and predictions behind it.
"""

import numpy as np

SCORED = ("acc", "uf1", "uar")


def confusion_matrices(labels: np.ndarray, predictions: np.ndarray, m: int) -> np.ndarray:
    """One matrix for each row of predictions of the same clips.

    Args:
      labels: int [n], the true class of each clip.
      predictions: int [draw, n], the class each clip was called.
      m: number of classes.

    Returns:
      int64 [draw, true, predicted].
    """
    draws = len(predictions)
    cells = (np.arange(draws)[:, None] * m + labels) * m + predictions
    return np.bincount(cells.ravel(), minlength=draws * m * m).reshape(draws, m, m)


def scores_of(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, UF1 and UAR (paper Eq. 9), classes without a true clip left out of the last two.

    Args:
      matrices: [..., true, predicted], counts; every matrix has a clip.

    Returns:
      float64 [...] under each name of `SCORED`.
    """
    right = np.diagonal(matrices, axis1=-2, axis2=-1)
    true, predicted = matrices.sum(-1), matrices.sum(-2)
    there = true > 0
    n_classes = there.sum(-1)
    recall = right / np.where(there, true, 1)
    f1 = 2 * right / np.where(there, true + predicted, 1)
    return {
        "acc": right.sum(-1) / true.sum(-1),
        "uf1": (f1 * there).sum(-1) / n_classes,
        "uar": (recall * there).sum(-1) / n_classes,
    }

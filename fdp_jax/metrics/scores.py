"""Scores of a pooled prediction table (paper section 4.1.2, Eq. 9 and 10).

Scores are computed from the table pooled over all folds; a mean of per-fold scores is a different
number. The paper reports "F1" without saying which one, so both are computed: UF1, the unweighted
mean of the per-class F1 scores (macro F1), and the F1 weighted by the clips of each true class.

A class without a true clip has no recall. UF1 and UAR leave it out (counting it as zero would
penalise every model), and `Scores.classes_without_clips` names it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SCORE_NAMES = ("acc", "uf1", "weighted_f1", "uar", "war")


@dataclass(frozen=True)
class Scores:
    """All scores of one table; fractions in [0, 1], not rounded."""

    acc: float
    uf1: float
    weighted_f1: float
    uar: float
    war: float
    per_class_recall: dict[str, float | None]  # None: the class has no true clip
    per_class_f1: dict[str, float | None]
    confusion_matrix: np.ndarray  # int64 [true, predicted]
    classes_without_clips: tuple[str, ...]


def score(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> Scores:
    """Returns the scores of n clips.

    Args:
      labels: the true class name of each clip, [n].
      predictions: the predicted class name of each clip, [n].
      classes: every class of the protocol, in its order, [m].

    Raises:
      ValueError: no clips, lengths that differ, a repeated class, or a name outside `classes`.
    """
    if len(labels) != len(predictions):
        raise ValueError(f"{len(labels)} labels but {len(predictions)} predictions")
    if not len(labels):
        raise ValueError("no clips to score")
    if len(set(classes)) != len(classes):
        raise ValueError(f"a class is listed twice: {list(classes)}")
    if unknown := sorted({*labels, *predictions} - set(classes)):
        raise ValueError(f"not a class: {unknown} (classes: {list(classes)})")
    index_of = {name: index for index, name in enumerate(classes)}
    true = np.array([index_of[name] for name in labels])
    predicted = np.array([index_of[name] for name in predictions])
    matrix = confusion_matrices(true, predicted, len(classes))
    recall, f1 = recall_and_f1(matrix)
    return Scores(
        **{name: float(value) for name, value in score_matrices(matrix).items()},
        per_class_recall=_by_class(classes, recall),
        per_class_f1=_by_class(classes, f1),
        confusion_matrix=matrix,
        classes_without_clips=tuple(
            name for name, clips in zip(classes, matrix.sum(axis=1), strict=True) if not clips
        ),
    )


def _by_class(classes: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(classes, values, strict=True)
    }


def confusion_matrices(labels: np.ndarray, predictions: np.ndarray, m: int) -> np.ndarray:
    """Returns int64 [..., true, predicted], one matrix per set of predictions of the same clips.

    Args:
      labels: int [n], the true class of each clip.
      predictions: int [..., n], the predicted class of each clip.
      m: number of classes.
    """
    cells = (labels * m + predictions).reshape(-1, len(labels))
    offsets = np.arange(len(cells))[:, None] * m * m
    counts = np.bincount((cells + offsets).ravel(), minlength=len(cells) * m * m)
    return counts.reshape(*predictions.shape[:-1], m, m)


def recall_and_f1(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns recall and F1 of each class, float64 [..., m]; NaN for a class without a true clip.

    Args:
      matrices: int [..., true, predicted], clip counts.
    """
    correct = np.diagonal(matrices, axis1=-2, axis2=-1)
    true, predicted = matrices.sum(axis=-1), matrices.sum(axis=-2)
    clips = np.where(true > 0, true, np.nan)
    return correct / clips, 2 * correct / (clips + predicted)


def score_matrices(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """Returns each score of `SCORE_NAMES`, float64 [...], of confusion matrices with clips.

    UAR is Eq. 9. WAR (Eq. 10) equals the accuracy because every clip has exactly one label.

    Args:
      matrices: int [..., true, predicted], clip counts.
    """
    recall, f1 = recall_and_f1(matrices)
    true = matrices.sum(axis=-1)
    n_clips = true.sum(axis=-1)
    acc = np.trace(matrices, axis1=-2, axis2=-1) / n_clips
    return {
        "acc": acc,
        "uf1": np.nanmean(f1, axis=-1),
        "weighted_f1": np.nansum(f1 * true, axis=-1) / n_clips,
        "uar": np.nanmean(recall, axis=-1),
        "war": acc,
    }

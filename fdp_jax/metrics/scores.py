"""The scores of a pooled prediction table (paper section 4.1.2, Eq. 9 and 10).

Everything here is a pure function of true labels, predicted labels and the list of classes, and is
meant for the table pooled over all folds: a mean of per-fold scores is another, wrong number.

The paper prints "F1" and does not say which. Both readings are computed: UF1, the unweighted mean
of the per-class F1 (macro F1), and the F1 weighted by the number of true clips of each class.

A class without any true clip has no recall. It is left out of UF1 and UAR (a zero would punish a
model for a class that nobody could be right about) and named in `Scores.classes_without_clips`.
Axes: true classes are rows (i), predicted classes are columns (j).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sk

SCORE_NAMES = ("acc", "uf1", "weighted_f1", "uar", "war")


@dataclass(frozen=True)
class Scores:
    """All scores of one table; fractions in [0, 1], not rounded."""

    classes: tuple[str, ...]
    n_clips: int
    acc: float
    uf1: float
    weighted_f1: float
    uar: float
    war: float
    per_class_recall: dict[str, float | None]  # None: the class has no true clip
    per_class_f1: dict[str, float | None]
    confusion_matrix: np.ndarray  # int64 [i, j]
    classes_without_clips: tuple[str, ...]


def score(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> Scores:
    """All scores of `n` clips at once.

    Args:
      labels: the true class name of each clip, [n].
      predictions: the predicted class name of each clip, [n].
      classes: every class of the protocol, in its order, [m].

    Raises:
      ValueError: no clips, lengths that differ, a repeated class, or a name outside `classes`.
    """
    true, _ = _indices(labels, predictions, classes)
    return Scores(
        classes=tuple(classes),
        n_clips=len(true),
        acc=accuracy(labels, predictions, classes),
        uf1=uf1(labels, predictions, classes),
        weighted_f1=weighted_f1(labels, predictions, classes),
        uar=uar(labels, predictions, classes),
        war=war(labels, predictions, classes),
        per_class_recall=per_class_recall(labels, predictions, classes),
        per_class_f1=per_class_f1(labels, predictions, classes),
        confusion_matrix=confusion_matrix(labels, predictions, classes),
        classes_without_clips=classes_without_clips(labels, classes),
    )


def accuracy(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> float:
    """Share of clips that are right. Arguments and errors as in `score`."""
    true, predicted = _indices(labels, predictions, classes)
    return float(sk.accuracy_score(true, predicted))


def uf1(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> float:
    """Unweighted F1, also called macro F1: mean of F1 over the classes that have a true clip."""
    true, predicted = _indices(labels, predictions, classes)
    present = np.unique(true)
    return float(sk.f1_score(true, predicted, labels=present, average="macro", zero_division=0))


def weighted_f1(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> float:
    """Mean of F1 over the classes, each weighted by its number of true clips."""
    true, predicted = _indices(labels, predictions, classes)
    present = np.unique(true)
    return float(sk.f1_score(true, predicted, labels=present, average="weighted", zero_division=0))


def uar(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> float:
    """Unweighted average recall (Eq. 9), over the classes that have a true clip."""
    true, predicted = _indices(labels, predictions, classes)
    present = np.unique(true)
    return float(sk.recall_score(true, predicted, labels=present, average="macro"))


def war(labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]) -> float:
    """Weighted average recall (Eq. 10). With one label per clip it equals the accuracy."""
    true, predicted = _indices(labels, predictions, classes)
    present = np.unique(true)
    return float(sk.recall_score(true, predicted, labels=present, average="weighted"))


def per_class_recall(
    labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]
) -> dict[str, float | None]:
    """Class name -> recall, in the order of `classes`; None where a class has no true clip."""
    true, predicted = _indices(labels, predictions, classes)
    present = np.unique(true)
    recalls = sk.recall_score(true, predicted, labels=present, average=None)
    return _by_class(present, recalls, classes)


def per_class_f1(
    labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]
) -> dict[str, float | None]:
    """Class name -> F1, as `per_class_recall`; UF1 is the mean of those that are there."""
    true, predicted = _indices(labels, predictions, classes)
    present = np.unique(true)
    found = sk.f1_score(true, predicted, labels=present, average=None, zero_division=0)
    return _by_class(present, found, classes)


def _by_class(
    present: np.ndarray, values: np.ndarray, classes: Sequence[str]
) -> dict[str, float | None]:
    found = {int(index): float(value) for index, value in zip(present, values, strict=True)}
    return {name: found.get(index) for index, name in enumerate(classes)}


def confusion_matrix(
    labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]
) -> np.ndarray:
    """int64 [i, j]: the number of clips of true class i that were called class j."""
    true, predicted = _indices(labels, predictions, classes)
    matrix = sk.confusion_matrix(true, predicted, labels=np.arange(len(classes)))
    return matrix.astype(np.int64)


def classes_without_clips(labels: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that no clip truly has, in the order of `classes`."""
    there = set(labels)
    return tuple(name for name in classes if name not in there)


def _indices(
    labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Names -> class indices int64 [n], [n], checked."""
    if len(labels) != len(predictions):
        raise ValueError(f"{len(labels)} labels but {len(predictions)} predictions")
    if not len(labels):
        raise ValueError("no clips to score")
    place = {name: index for index, name in enumerate(classes)}
    if len(place) != len(classes):
        raise ValueError(f"a class is listed twice: {list(classes)}")
    strange = sorted((set(labels) | set(predictions)) - set(place))
    if strange:
        raise ValueError(f"not a class: {strange} (classes: {list(classes)})")
    true = np.array([place[name] for name in labels], dtype=np.int64)
    predicted = np.array([place[name] for name in predictions], dtype=np.int64)
    return true, predicted

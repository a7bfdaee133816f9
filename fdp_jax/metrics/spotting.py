"""Scores of spotting: which intervals of a video hold an expression (the protocol of MEGC)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Interval = tuple[float, float]  # onset and offset
LEAST_IOU = 0.5


@dataclass(frozen=True)
class SpottingScores:
    """Intervals of all videos together.

    Attributes:
      truths, found: number of annotated and of spotted intervals.
      matched: spotted intervals that overlap an annotated one of their video enough; an annotated
        interval counts once.
    """

    truths: int
    found: int
    matched: int

    @property
    def precision(self) -> float:
        """Share of the spotted intervals that are right; 0 if there are none."""
        return self.matched / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of the annotated intervals that are spotted; 0 if there are none."""
        return self.matched / self.truths if self.truths else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 if there is no interval at all."""
        total = self.truths + self.found
        return 2 * self.matched / total if total else 0.0


def iou(first: Interval, second: Interval) -> float:
    """Returns intersection over union of two intervals of positive length."""
    overlap = min(first[1], second[1]) - max(first[0], second[0])
    union = max(first[1], second[1]) - min(first[0], second[0])
    return max(0.0, overlap) / union


def match(found: Sequence[Interval], truths: Sequence[Interval]) -> list[tuple[int, int]]:
    """Returns (place in `found`, place in `truths`) of pairs with an IoU of at least one half.

    The best overlaps are matched first, each interval once.
    """
    pairs = [(iou(a, b), i, j) for i, a in enumerate(found) for j, b in enumerate(truths)]
    matched: list[tuple[int, int]] = []
    for overlap, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        is_free = all(i != one and j != other for one, other in matched)
        if overlap >= LEAST_IOU and is_free:
            matched.append((i, j))
    return sorted(matched)


def score_spotting(
    found: Sequence[Sequence[Interval]], truths: Sequence[Sequence[Interval]]
) -> SpottingScores:
    """Scores the spotted intervals of several videos.

    Args:
      found, truths: [video], the intervals of each.
    """
    return SpottingScores(
        truths=sum(map(len, truths)),
        found=sum(map(len, found)),
        matched=sum(len(match(*pair)) for pair in zip(found, truths, strict=True)),
    )


def detection_auc(scores: Iterable[float], is_there: Iterable[bool]) -> float:
    """Returns the area under the ROC curve: how often a video with an expression scores higher.

    Raises:
      ValueError: all videos are of one kind.
    """
    values, there = np.array(list(scores), float), np.array(list(is_there), bool)
    positive, negative = values[there][:, None], values[~there][None]
    if not positive.size or not negative.size:
        raise ValueError("the area needs videos with and without an expression")
    return float(((positive > negative) + 0.5 * (positive == negative)).mean())

"""What pure guessing reaches under a selection rule that looks at the test clips.

`test-best` scores every fold at the best of its looks at the fold's own test clips. With few clips
a fold and many looks, the best of many random guesses is far better than one guess; that level,
and not one look's 1/m, is what a number under `test-best` has to be held against. No training is
needed to know it: the labels of each fold and the number of looks are enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fdp_jax.metrics.confusion import confusion_matrices, scores_of

DRAWS = 200
MOST_DRAWS = 100_000  # more would fill the memory


@dataclass(frozen=True)
class Range:
    """Mean of a score over the draws, and the range that holds 95 % of them; fractions."""

    mean: float
    low: float  # 2.5th percentile
    high: float  # 97.5th percentile


@dataclass(frozen=True)
class Level:
    """What one way of guessing reaches."""

    acc: Range
    uf1: Range


@dataclass(frozen=True)
class GuessingLevel:
    """What guessing reaches with a number of looks at each fold's test clips.

    Attributes:
      looks: at each fold; the best is kept.
      draws: how many times the whole protocol was guessed through.
      seed: of the draws.
      uniform: every class is guessed as often as any other.
      class_share: classes are guessed as often as the protocol's clips have them.
    """

    looks: int
    draws: int
    seed: int
    uniform: Level
    class_share: Level


def chance_level(
    labels_by_fold: Mapping[str, Sequence[str]],
    classes: Sequence[str],
    looks: int,
    draws: int = DRAWS,
    seed: int = 0,
    split: Literal["people", "corpora"] = "people",
) -> GuessingLevel:
    """Guesses a whole protocol `draws` times, keeping each fold's best look.

    A look guesses every test clip of a fold anew. The best look is the one with most clips right,
    the first of them on ties. The class shares are those of all clips given, a fold's own among
    them: without those a guesser would be a little worse (0.01 to 0.02 on SAMM). Where corpora
    are left out, they are those of the corpora trained on.

    Args:
      labels_by_fold: fold -> true class names of its test clips.
      classes: every class of the protocol.
      looks: at each fold's test clips, at least 1.
      draws: at least 1.
      seed: of the draws.
      split: of the protocol. Where people are left out, the folds are scored as one table; where
        corpora are, each by itself, and the scores are averaged.

    Raises:
      ValueError: no fold, a fold without clips, a label outside `classes`, or a number below 1.
    """
    if looks < 1 or draws < 1:
        raise ValueError(f"looks and draws are at least 1, not {looks} and {draws}")
    place = {name: number for number, name in enumerate(classes)}
    folds = [np.array([place.get(name, -1) for name in fold]) for fold in labels_by_fold.values()]
    if not folds or any(len(fold) == 0 or fold.min() < 0 for fold in folds):
        raise ValueError("every fold needs test clips, and every label has to be a class")
    rng = np.random.default_rng(seed)
    levels = []
    for by_share in (False, True):
        matrices = []
        for number, fold in enumerate(folds):
            trained_on = folds[:number] + folds[number + 1 :] if split == "corpora" else folds
            # The label of a clip taken at random has a class as often as the clips have it.
            labels = np.concatenate(trained_on or folds) if by_share else np.arange(len(classes))
            guesses = _best_looks(fold, labels, looks, draws, rng)
            matrices.append(confusion_matrices(fold, guesses, len(classes)))
        matrices = np.stack(matrices)  # [fold, draw, true, predicted]
        tables = matrices.sum(axis=0, keepdims=True) if split == "people" else matrices
        scores = {name: score.mean(axis=0) for name, score in scores_of(tables).items()}
        levels.append(Level(acc=_range(scores["acc"]), uf1=_range(scores["uf1"])))
    return GuessingLevel(looks, draws, seed, *levels)


def _best_looks(
    labels: np.ndarray, pool: np.ndarray, looks: int, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """int [draw, clip]: the guesses of each draw's best look, every guess taken from `pool`."""
    best = np.zeros((draws, len(labels)), pool.dtype)
    most_right = np.full(draws, -1)
    for _ in range(looks):
        guesses = pool[rng.integers(len(pool), size=(draws, len(labels)))]
        right = (guesses == labels).sum(axis=1)
        better = right > most_right
        best[better] = guesses[better]
        most_right = np.maximum(right, most_right)
    return best


def _range(scores: np.ndarray) -> Range:
    low, high = np.percentile(scores, (2.5, 97.5))
    return Range(float(scores.mean()), float(low), float(high))

"""Scores of random guessing under a selection rule that evaluates the test clips.

`test-best` scores each fold at the best of its evaluations on the fold's own test clips. With few
clips per fold, the best of many random guesses is far better than a single guess. Results under
`test-best` must be compared with that level, not with 1/m. It depends on the labels of each fold
and the number of evaluations only, so no training is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from fdp_jax.metrics.scores import confusion_matrices, score_matrices
from fdp_jax.metrics.statistics import percentile_interval

DRAWS = 200


def chance_level(
    labels_by_fold: Mapping[str, Sequence[str]],
    classes: Sequence[str],
    evaluations: int,
    draws: int = DRAWS,
    seed: int = 0,
    split: Literal["people", "corpora"] = "people",
) -> dict[str, Any]:
    """Simulates random guessing on a whole protocol, keeping the best evaluation of each fold.

    Each evaluation guesses every test clip of a fold anew. The best evaluation has the most correct
    clips; ties keep the first. Class shares are those of all given clips, including the fold's own
    (0.01 to 0.02 better on SAMM than without them), or of the training corpora if corpora are left
    out.

    Args:
      labels_by_fold: fold -> true class names of its test clips.
      classes: every class of the protocol.
      evaluations: per fold, at least 1.
      draws: number of simulated runs of the whole protocol, at least 1.
      seed: of the draws.
      split: of the protocol. `people` scores all folds as one table; `corpora` scores each fold
        separately and averages.

    Returns:
      `evaluations`, `draws`, `seed`, and two ways to guess: `uniform`, where every class is equally
      likely, and `class_share`, where classes are as likely as they are frequent. Each maps a score
      (`acc`, `uf1`) to its `mean` over the draws and the range of 95 % of them, `low` and `high`,
      as fractions.

    Raises:
      ValueError: no fold, a fold without clips, a label outside `classes`, or a number below 1.
    """
    if evaluations < 1 or draws < 1:
        raise ValueError(f"evaluations and draws must be at least 1, not {evaluations} and {draws}")
    index_of = {name: index for index, name in enumerate(classes)}
    folds = [np.array([index_of.get(n, -1) for n in names]) for names in labels_by_fold.values()]
    if not folds or any(len(fold) == 0 or fold.min() < 0 for fold in folds):
        raise ValueError("every fold needs test clips, and every label has to be a class")
    rng = np.random.default_rng(seed)
    level: dict[str, Any] = {"evaluations": evaluations, "draws": draws, "seed": seed}
    for way in ("uniform", "class_share"):
        matrices = []
        for index, fold in enumerate(folds):
            guessable = np.arange(len(classes))
            if way == "class_share":  # a random clip's label is as likely as its class is frequent
                others = folds[:index] + folds[index + 1 :]
                guessable = np.concatenate(others if split == "corpora" and others else folds)
            guesses = _best_guesses(fold, guessable, evaluations, draws, rng)
            matrices.append(confusion_matrices(fold, guesses, len(classes)))
        tables = np.stack(matrices)  # [fold, draw, true, predicted]
        if split == "people":
            tables = tables.sum(axis=0, keepdims=True)
        scores = score_matrices(tables)
        level[way] = {name: _range(scores[name].mean(axis=0)) for name in ("acc", "uf1")}
    return level


def _best_guesses(
    labels: np.ndarray,
    guessable: np.ndarray,
    evaluations: int,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Returns the best evaluation of each draw, int [draw, clip]; guesses are from `guessable`."""
    best = np.zeros((draws, len(labels)), guessable.dtype)
    most_correct = np.full(draws, -1)
    for _ in range(evaluations):
        guesses = guessable[rng.integers(len(guessable), size=(draws, len(labels)))]
        correct = (guesses == labels).sum(axis=1)
        better = correct > most_correct
        best[better] = guesses[better]
        most_correct = np.maximum(correct, most_correct)
    return best


def _range(scores: np.ndarray) -> dict[str, float]:
    low, high = percentile_interval(scores)
    return {"mean": float(scores.mean()), "low": low, "high": high}

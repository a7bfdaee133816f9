"""Uncertainty of scores, tests between methods, and scores of random guessing.

Clips of one subject are alike, so the bootstrap resamples subjects, not clips: as many as there
are, with replacement, within each corpus. A subject drawn k times contributes all of its clips k
times to the pooled table. Means over seeds use the same subjects for every seed, and comparisons
the same subjects for both methods.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.scores import SCORE_NAMES, confusion_matrices, score_matrices

DRAWS = 2000
INTERVAL_SCORES = ("acc", "uf1", "uar")

Subject = tuple[str, str]  # corpus, subject


def resample_subjects(
    subjects: Sequence[Subject], draws: int = DRAWS, seed: int = 0
) -> np.ndarray | None:
    """Returns how often each draw contains each subject, int64 [draw, subject].

    Args:
      subjects: all subjects, without duplicates, in sorted order.
      draws: number of bootstrap resamples.
      seed: of the random draws.

    Returns:
      None if a corpus has a single subject, since its resamples do not differ.
    """
    rng = np.random.default_rng(seed)
    weights = np.empty((draws, len(subjects)), np.int64)
    for corpus in sorted({corpus for corpus, _ in subjects}):
        columns = [k for k, subject in enumerate(subjects) if subject[0] == corpus]
        n = len(columns)
        if n == 1:
            return None
        weights[:, columns] = rng.multinomial(n, np.full(n, 1 / n), size=draws)
    return weights


def weighted_scores(
    tables: Sequence[PredictionTable], weights: np.ndarray, split: str = "people"
) -> dict[str, np.ndarray]:
    """Returns each score of `SCORE_NAMES`, float64 [draw], averaged over the tables.

    Args:
      tables: the pooled predictions of each seed, all of the same subjects.
      weights: int [draw, subject], how often each subject counts, in the order of
        `PredictionTable.subjects`.
      split: of the protocol. `people` scores the clips of all corpora as one table; `corpora`
        scores each corpus separately and averages.
    """
    per_table = [_weighted_scores(table, weights, split) for table in tables]
    return {name: np.mean([scores[name] for scores in per_table], axis=0) for name in SCORE_NAMES}


def _weighted_scores(
    table: PredictionTable, weights: np.ndarray, split: str
) -> dict[str, np.ndarray]:
    matrices = matrices_by_subject(table)
    corpora = np.array([corpus for corpus, _ in table.subjects])
    parts = [corpora == corpus for corpus in np.unique(corpora)]
    if split == "people":
        parts = [np.full(len(corpora), True)]
    scores = [
        score_matrices(np.tensordot(weights[:, part], matrices[part], axes=1)) for part in parts
    ]
    return {name: np.mean([part[name] for part in scores], axis=0) for name in SCORE_NAMES}


def matrices_by_subject(table: PredictionTable) -> np.ndarray:
    """Returns the confusion matrix of each subject's clips, int64 [subject, true, predicted]."""
    index_of = {subject: index for index, subject in enumerate(table.subjects)}
    class_of = {name: index for index, name in enumerate(table.classes)}
    m = len(class_of)
    matrices = np.zeros((len(index_of), m, m), np.int64)
    rows = zip(table.dataset, table.subject, table.label, table.prediction, strict=True)
    for dataset, subject, label, prediction in rows:
        matrices[index_of[dataset, subject], class_of[label], class_of[prediction]] += 1
    return matrices


def bootstrap_intervals(
    tables: Sequence[PredictionTable], split: str = "people", draws: int = DRAWS, seed: int = 0
) -> dict[str, list[float]] | None:
    """Returns the 95 % interval of each score of `INTERVAL_SCORES`, averaged over the tables.

    Args:
      tables: the pooled predictions of each seed.
      split: of the protocol; see `weighted_scores`.
      draws, seed: of the bootstrap.

    Returns:
      None if a corpus has a single subject, or the tables have different subjects.
    """
    if len({tuple(table.subjects) for table in tables}) > 1:
        return None
    weights = resample_subjects(tables[0].subjects, draws, seed)
    if weights is None:
        return None
    scores = weighted_scores(tables, weights, split)
    return {name: percentile_interval(scores[name]) for name in INTERVAL_SCORES}


def percentile_interval(values: np.ndarray) -> list[float]:
    """Returns the 2.5th and 97.5th percentiles of values [draw]."""
    return [float(end) for end in np.percentile(values, (2.5, 97.5))]


def mcnemar(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Returns McNemar's exact test of two methods on the same clips.

    Args:
      first, second: bool [clip], whether each method is correct.

    Returns:
      The numbers of clips `both_correct`, `only_first`, `only_second` and `both_wrong`, and the
      two-sided `p_value`: the probability of a split at least as uneven if each discordant clip
      were equally likely to favour either method; 1 without discordant clips.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    p_value = stats.binomtest(only_first, discordant).pvalue if discordant else 1.0
    return {
        "both_correct": int((first & second).sum()),
        "only_first": only_first,
        "only_second": only_second,
        "both_wrong": int((~first & ~second).sum()),
        "p_value": float(p_value),
    }


def combined_p_value(p_values: Sequence[float]) -> float:
    """Returns one P-value for tests with unknown dependence: twice their mean (Rueschendorf 1982).

    Seeds share their clips, so their tests are not independent. A single P-value is unchanged.
    """
    if len(p_values) == 1:
        return p_values[0]
    return min(1.0, 2 * float(np.mean(p_values)))


@dataclass(frozen=True)
class RankSum:
    """Result of a rank-sum test: the normal deviate and its one-sided P-value."""

    statistic: float
    p_value: float


def rank_sum(value: float, rivals: Sequence[float], repeats: int) -> RankSum:
    """Returns Wilcoxon's one-sided rank-sum test of a repeated value against its rivals.

    Uses the normal approximation without tie or continuity correction, as in Tables 12 and 13.

    Args:
      value: score of the method.
      rivals: scores of the other methods.
      repeats: how often the value counts.
    """
    result = stats.ranksums(np.full(repeats, value), rivals, alternative="greater")
    return RankSum(float(result.statistic), float(result.pvalue))


def chance_level(
    labels_by_fold: Mapping[str, Sequence[str]],
    classes: Sequence[str],
    evaluations: int,
    draws: int = 200,
    seed: int = 0,
    split: Literal["people", "corpora"] = "people",
) -> dict[str, Any]:
    """Returns the scores of random guessing, keeping the best evaluation of each fold.

    The selection rule `test-best` scores each fold at the best of its evaluations on the fold's own
    test clips. With few clips per fold, the best of many random guesses is far better than a single
    one, so results under `test-best` must be compared with this level, not with 1/m. It depends on
    the labels of each fold and the number of evaluations only; no training is needed.

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

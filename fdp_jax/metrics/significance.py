"""Tests of whether one method is better than another.

The paper's (Tables 12 and 13) compares printed scores: the F1 of FDP, repeated once for each rival,
against the F1 of the rivals, by a one-sided rank-sum test. Copies of one number are no sample, and
where FDP is above every rival the result depends on nothing but the number of rivals. It is
recomputed here to be seen beside the print. What holds compares predictions of the same clips:
McNemar's test here, and the bootstrap over people in `fdp_jax.metrics.bootstrap`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fdp_jax.paper.numbers import paper_table

OURS = ("FDP", "fdp")  # the paper's own method in the first column of its tables


@dataclass(frozen=True)
class RankSum:
    """Result of a rank-sum test: the normal deviate, and its one-sided P-value."""

    statistic: float
    p_value: float

    @property
    def printed(self) -> tuple[str, str]:
        """Both as the paper prints them, with four significant digits."""
        return f"{self.statistic:.3f}", f"{self.p_value:.3e}"


@dataclass(frozen=True)
class Recomputed:
    """One row of Table 12 or 13 beside what its own tables give.

    Attributes:
      benchmark: the row's name.
      value: F1 of FDP.
      rivals: F1 of every other method that has one.
      paper: as printed.
      ours: with `value` repeated once for each rival.
      repeats: how many repetitions, at most one for each rival, give the statistic as printed;
        None where no number of them does.
    """

    benchmark: str
    value: float
    rivals: tuple[float, ...]
    paper: RankSum
    ours: RankSum
    repeats: int | None


def rank_sum(value: float, rivals: Sequence[float], repeats: int | None = None) -> RankSum:
    """Whether a value repeated is above its rivals: Wilcoxon's rank-sum, normal approximation.

    Neither ties nor the steps of the statistic are corrected for, as in Tables 12 and 13.

    Args:
      value: of the method.
      rivals: of the others.
      repeats: how often the value counts; None means once for each rival.
    """
    repeated = np.full(len(rivals) if repeats is None else repeats, value)
    found = stats.ranksums(repeated, rivals, alternative="greater")
    return RankSum(float(found.statistic), float(found.pvalue))


def recompute(name: str) -> tuple[Recomputed, ...]:
    """Every row of `table12` or `table13`, from the F1 of the tables that it rests on."""
    table = paper_table(name)
    rows = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    return tuple(
        _recomputed(
            row["benchmark"],
            *_value_and_rivals(row["of_table"], row["of_column"]),
            RankSum(row["statistic"], row["p_value"]),
        )
        for row in rows
    )


def _value_and_rivals(name: str, column: str) -> tuple[float, tuple[float, ...]]:
    table = paper_table(name)
    of = dict(zip(table.column(table.columns[0]), table.column(column), strict=True))
    (value,) = (of[ours] for ours in OURS if ours in of)
    return value, tuple(f1 for row, f1 in of.items() if row not in OURS and f1 is not None)


def _recomputed(
    benchmark: str, value: float, rivals: tuple[float, ...], paper: RankSum
) -> Recomputed:
    fits = [
        repeats
        for repeats in range(1, len(rivals) + 1)
        if rank_sum(value, rivals, repeats).printed[0] == paper.printed[0]
    ]
    ours = rank_sum(value, rivals)
    return Recomputed(benchmark, value, rivals, paper, ours, max(fits, default=None))


def rank_sum_notes(rows: Sequence[Recomputed]) -> list[str]:
    """What differs from the print, and what the tests rest on, in sentences."""
    differing = [row for row in rows if row.paper.printed != row.ours.printed]
    lines = [_difference(row) for row in differing]
    same = len(rows) - len(differing)
    lines.append(f"{same} of {len(rows)} rows are reproduced to every printed digit.")
    if all(row.value > max(row.rivals) for row in rows):
        lines.append(
            "FDP is above every rival in all of them, so that each result depends on nothing but"
            " the number of rivals: by how much FDP is better, or on how many clips, never enters."
        )
    return lines


def _difference(row: Recomputed) -> str:
    n = len(row.rivals)
    text = (
        f"{row.benchmark}: {n} repetitions against {n} rivals, as in the other rows, give"
        f" {' / '.join(row.ours.printed)}, but the paper prints {' / '.join(row.paper.printed)}"
    )
    if row.repeats is not None:
        other = rank_sum(row.value, row.rivals, row.repeats)
        text += f"; {row.repeats} against {n} would give {' / '.join(other.printed)}"
    return text + "."


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two methods on the same clips.

    Attributes:
      both_right, only_first, only_second, both_wrong: clips, by which method is right.
      p_value: two-sided; the chance of clips this unevenly split, were each of those that only one
        method gets right as likely to be the one's as the other's. 1 where there is none.
    """

    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """The test from bool [clip] of each method: whether it is right."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differing = only_first + only_second
    p_value = stats.binomtest(only_first, differing).pvalue if differing else 1.0
    return McNemar(
        both_right=int((first & second).sum()),
        only_first=only_first,
        only_second=only_second,
        both_wrong=int((~first & ~second).sum()),
        p_value=float(p_value),
    )


def combined_p_value(p_values: Sequence[float]) -> float:
    """One P-value for tests that depend on each other in an unknown way: twice their mean.

    Seeds share their clips, so that their tests are not independent, and neither a product nor a
    mean of their P-values would be one. Twice the mean is, however they depend (Rueschendorf 1982);
    a single P-value stays as it is.
    """
    if len(p_values) == 1:
        return p_values[0]
    return min(1.0, 2 * float(np.mean(p_values)))

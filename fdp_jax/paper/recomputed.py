"""Tables 12 and 13, the paper's significance tests, recomputed from its own tables.

The paper compares printed scores: the F1 of FDP, repeated once per rival, against the F1 of the
rivals, by a one-sided rank-sum test. Copies of one number are not a sample, and if FDP is above
every rival, the result depends on the number of rivals alone. Valid tests compare predictions of
the same clips; see `fdp_jax.metrics.statistics`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fdp_jax.metrics.statistics import RankSum, rank_sum
from fdp_jax.paper_numbers import paper_table

Printed = tuple[str, str]  # statistic and P-value


@dataclass(frozen=True)
class Recomputed:
    """One row of Table 12 or 13 beside the result computed from the paper's other tables."""

    benchmark: str
    value: float  # F1 of FDP
    rivals: tuple[float, ...]  # F1 of every other method that has one
    paper: Printed
    ours: Printed  # with `value` repeated once per rival
    closest: tuple[int, Printed] | None  # repetitions that give the paper's statistic, if any do


def recompute(name: str) -> tuple[Recomputed, ...]:
    """Returns every row of `table12` or `table13`, from the F1 scores of the tables it cites."""
    return tuple(_recomputed(row) for row in paper_table(name).rows)


def _recomputed(row: dict) -> Recomputed:
    table = paper_table(row["of_table"])
    methods, scores = table.column(table.columns[0]), table.column(row["of_column"])
    f1 = dict(zip(methods, scores, strict=True))
    value = f1.pop("FDP" if "FDP" in f1 else "fdp")
    rivals = tuple(score for score in f1.values() if score is not None)
    paper = _printed(RankSum(row["statistic"], row["p_value"]))
    by_repeats = {n + 1: _printed(rank_sum(value, rivals, n + 1)) for n in range(len(rivals))}
    same = [(repeats, found) for repeats, found in by_repeats.items() if found[0] == paper[0]]
    ours = by_repeats[len(rivals)]
    return Recomputed(row["benchmark"], value, rivals, paper, ours, max(same, default=None))


def _printed(result: RankSum) -> Printed:
    """Returns statistic and P-value with four significant digits, as the paper prints them."""
    return f"{result.statistic:.3f}", f"{result.p_value:.3e}"


def rank_sum_notes(rows: Sequence[Recomputed]) -> list[str]:
    """Returns sentences on what differs from the print and what the tests depend on."""
    notes = [_difference(row) for row in rows if row.paper != row.ours]
    same = len(rows) - len(notes)
    notes.append(f"{same} of {len(rows)} rows are reproduced to every printed digit.")
    if all(row.value > max(row.rivals) for row in rows):
        notes.append(
            "FDP is above every rival in all of them, so each result depends on the number of"
            " rivals alone, not on the size of the improvement or the number of clips."
        )
    return notes


def _difference(row: Recomputed) -> str:
    n = len(row.rivals)
    text = (
        f"{row.benchmark}: {n} repetitions against {n} rivals, as in the other rows, give"
        f" {' / '.join(row.ours)}, but the paper prints {' / '.join(row.paper)}"
    )
    if row.closest:
        repeats, found = row.closest
        text += f"; {repeats} against {n} would give {' / '.join(found)}"
    return f"{text}."

"""Tables 12 and 13, the paper's significance tests, recomputed from its own tables.

The paper compares printed scores: the F1 of FDP, repeated once per rival, against the F1 of the
rivals, by a one-sided rank-sum test. Copies of one number are not a sample, and if FDP is above
every rival, the result depends on the number of rivals alone. Valid tests compare predictions of
the same clips; see `fdp_jax.metrics.statistics`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fdp_jax.metrics.statistics import RankSum, rank_sum
from fdp_jax.paper.numbers import paper_table


@dataclass(frozen=True)
class Recomputed:
    """One row of Table 12 or 13 beside the result computed from the paper's other tables."""

    benchmark: str
    value: float  # F1 of FDP
    rivals: tuple[float, ...]  # F1 of every other method that has one
    paper: RankSum  # as printed
    ours: RankSum  # with `value` repeated once per rival
    repeats: int | None  # number of repetitions that gives the printed statistic, if any does


def printed(result: RankSum) -> tuple[str, str]:
    """Returns statistic and P-value with four significant digits, as the paper prints them."""
    return f"{result.statistic:.3f}", f"{result.p_value:.3e}"


def recompute(name: str) -> tuple[Recomputed, ...]:
    """Returns every row of `table12` or `table13`, from the F1 scores of the tables it cites."""
    return tuple(_recomputed(row) for row in paper_table(name).rows)


def _recomputed(row: dict) -> Recomputed:
    table = paper_table(row["of_table"])
    methods, scores = table.column(table.columns[0]), table.column(row["of_column"])
    f1 = dict(zip(methods, scores, strict=True))
    value = f1.pop("FDP" if "FDP" in f1 else "fdp")
    rivals = tuple(score for score in f1.values() if score is not None)
    paper = RankSum(row["statistic"], row["p_value"])
    matching = [
        repeats
        for repeats in range(1, len(rivals) + 1)
        if printed(rank_sum(value, rivals, repeats))[0] == printed(paper)[0]
    ]
    ours = rank_sum(value, rivals)
    return Recomputed(row["benchmark"], value, rivals, paper, ours, max(matching, default=None))


def rank_sum_notes(rows: Sequence[Recomputed]) -> list[str]:
    """Returns sentences on what differs from the print and what the tests depend on."""
    notes = [_difference(row) for row in rows if printed(row.paper) != printed(row.ours)]
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
        f" {' / '.join(printed(row.ours))}, but the paper prints {' / '.join(printed(row.paper))}"
    )
    if row.repeats is not None:
        other = printed(rank_sum(row.value, row.rivals, row.repeats))
        text += f"; {row.repeats} against {n} would give {' / '.join(other)}"
    return text + "."

"""The numbers that the paper prints in Tables 1 to 15, from `paper_numbers.json`.

Scores are in percent, as printed. With several corpora, columns are named `<corpus>.<score>`. Cells
that the paper leaves empty are None.
"""

import functools
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

Cell = str | float | int | None

# Corpora and protocol -> table and first part of its columns; FDP has a row there.
_FDP = {
    ("casme2", "5class"): ("table4", "casme2"),
    ("samm", "5class"): ("table4", "samm"),
    ("casme2", "3class"): ("table5", "casme2"),
    ("samm", "3class"): ("table5", "samm"),
    ("casme_sq", "4class"): ("table6", "casme_sq"),
    ("casme3", "7class"): ("table7", "casme3"),
    ("casme2+samm", "cross"): ("table8", "average"),
}


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper.

    Attributes:
      columns: their names; the first one distinguishes the rows.
      rows: column -> cell.
      notes: sentences on what is printed.
      counts: column -> sentence on how many clips its accuracies may be of, if it has any.
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, Cell], ...]
    notes: tuple[str, ...]
    counts: dict[str, str]

    def column(self, name: str) -> tuple[Cell, ...]:
        """Returns the cells of a column from top to bottom."""
        return tuple(row[name] for row in self.rows)


def paper_table(name: str) -> PaperTable:
    """Returns a table, `table1` to `table15`."""
    table = _read()[name]
    columns = tuple(table["columns"])
    rows = tuple(dict(zip(columns, row, strict=True)) for row in table["rows"])
    return PaperTable(columns, rows, tuple(table.get("notes", ())), table.get("counts", {}))


@dataclass(frozen=True)
class PublishedScores:
    """FDP's row for one protocol.

    Attributes:
      table: its number.
      scores: acc, f1, uar or war -> percent, as printed.
      notes: sentences on how many clips they may be of.
    """

    table: int
    scores: dict[str, float]
    notes: tuple[str, ...]


def published_scores(dataset: str, protocol: str) -> PublishedScores | None:
    """Returns FDP's printed scores for a protocol, if the paper has any.

    Args:
      dataset: the corpora of the protocol, joined by `+`.
      protocol: name of the protocol.
    """
    if (dataset, protocol) not in _FDP:
        return None
    name, corpus = _FDP[dataset, protocol]
    table = paper_table(name)
    (row,) = [row for row in table.rows if row["method"] == "FDP"]
    of_corpus = {c.partition(".")[2]: row[c] for c in table.columns if c.startswith(f"{corpus}.")}
    # An average is one of all columns.
    is_concerned = [corpus in ("average", column.partition(".")[0]) for column in table.counts]
    notes = itertools.compress(table.counts.values(), is_concerned)
    return PublishedScores(int(name.removeprefix("table")), of_corpus, tuple(notes))


@functools.cache
def _read() -> dict:
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

"""The numbers that the paper prints in Tables 1 to 15, from `numbers.json`.

Scores are in percent, as printed. With several corpora, columns are named `<corpus>.<score>`. Cells
that the paper leaves empty are None.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

Cell = str | float | int | None


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper.

    Attributes:
      columns: their names; the first one distinguishes the rows.
      rows: column -> cell.
      notes: sentences on what is printed.
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, Cell], ...]
    notes: tuple[str, ...]

    def column(self, name: str) -> tuple[Cell, ...]:
        """Returns the cells of a column from top to bottom."""
        return tuple(row[name] for row in self.rows)


def paper_table(name: str) -> PaperTable:
    """Returns a table, `table1` to `table15`."""
    table = _read()[name]
    columns = tuple(table["columns"])
    rows = tuple(dict(zip(columns, row, strict=True)) for row in table["rows"])
    return PaperTable(columns, rows, tuple(table.get("notes", ())))


@functools.cache
def _read() -> dict:
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

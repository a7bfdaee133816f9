"""The numbers that the paper prints, Tables 1 to 15, from `paper_numbers.json` beside this file.

Scores are in percent, as printed. A column of several corpora is named `<corpus>.<score>`; a cell
that the paper leaves empty is None.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Cell = str | float | int | None


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes:
      name: `table4`.
      title: what it shows.
      columns: names, the first of which tells the rows apart.
      rows: cells in the order of `columns`.
      best: column -> first cell of the row in bold print.
      second: column -> first cell of the row that is underlined.
      used: corpus -> categories that the paper evaluates (table1).
      notes: sentences on the print.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    best: Mapping[str, Cell] = field(default_factory=dict)
    second: Mapping[str, Cell] = field(default_factory=dict)
    used: Mapping[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> tuple[Cell, ...]:
        """All cells of a column, from top to bottom; KeyError where there is none."""
        if name not in self.columns:
            raise KeyError(f"{self.name} has the columns {', '.join(self.columns)}, not {name}")
        place = self.columns.index(name)
        return tuple(row[place] for row in self.rows)

    def number(self, column: str, **cells: Cell) -> float | None:
        """The number in the one row that has these cells, `number("samm.f1", method="FDP")`.

        Raises:
          KeyError: there is no such column, or not exactly one such row.
        """
        fits = [
            row
            for row in zip(*(self.column(name) for name in (column, *cells)), strict=True)
            if row[1:] == tuple(cells.values())
        ]
        if len(fits) != 1:
            raise KeyError(f"{self.name} has {len(fits)} rows with {cells}")
        return None if fits[0][0] is None else float(fits[0][0])


def paper_table(name: str) -> PaperTable:
    """A table by its name, `table1` to `table15`; KeyError where there is none."""
    return _tables()[name]


@functools.cache
def _tables() -> dict[str, PaperTable]:
    path = Path(__file__).with_suffix(".json")
    return {
        name: PaperTable(
            name=name,
            **{
                **table,
                "columns": tuple(table["columns"]),
                "rows": tuple(tuple(row) for row in table["rows"]),
                "notes": tuple(table.get("notes", ())),
            },
        )
        for name, table in json.loads(path.read_text(encoding="utf-8")).items()
    }

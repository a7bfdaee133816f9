"""A finished table, and how it is printed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

Cell = str | float | int | None

# Decimals of a column; two in all others.
_DECIMALS = {"MSE e-3": 3, "rank loss": 3, "tau": 3, "tau seen": 3}


@dataclass(frozen=True)
class Sheet:
    """A finished table.

    Attributes:
      name, title: of the experiment.
      columns: names.
      rows: cells in the order of the columns; scores in percent. Where there are several seeds, a
        text of their mean and standard deviation.
      notes: sentences below it.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict:
        """For JSON; each row as column -> cell."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return asdict(self) | {"rows": rows}


def number(
    entry: Mapping | None, name: str, factor: float = 100, decimals: int = 2
) -> float | str | None:
    """A number of a report, with its standard deviation where there are several seeds.

    Args:
      entry: has the number and, maybe, `spread`; None where nothing was trained.
      name: of the number in it.
      factor: 100 for percent.
      decimals: kept.
    """
    value = entry[name] if entry else None
    if value is None:
        return None
    spread = (entry.get("spread") or {}).get(name)
    if spread is None:
        return round(factor * value, decimals)
    return f"{factor * value:.{decimals}f} ± {factor * spread:.{decimals}f}"


def as_text(sheet: Sheet) -> str:
    """For the terminal."""
    rows = [sheet.columns, *_shown(sheet)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{sheet.name}: {sheet.title}", ""]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", *sheet.notes])


def as_markdown(sheet: Sheet) -> str:
    """For a file."""
    rows = [sheet.columns, ("---",) * len(sheet.columns), *_shown(sheet)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    notes = "\n".join(f"- {note}" for note in sheet.notes)
    return f"# {sheet.name}: {sheet.title}\n\n{table}\n\n{notes}\n"


def _shown(sheet: Sheet) -> list[tuple[str, ...]]:
    return [tuple(map(_text, sheet.columns, row)) for row in sheet.rows]


def _text(column: str, cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.{_DECIMALS.get(column, 2)}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell

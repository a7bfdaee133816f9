"""Annotation sheets: lines by column name, wherever the header stands.

The header is the first row that has the cell `Subject`: some sheets begin with rows of notes, and
many people delete them. Columns are read by name and not by place, since copies differ in blank
columns. Nothing is dropped in silence: what is no line of annotation is handed back as a note.
"""

import dataclasses
from pathlib import Path
from typing import Any

from python_calamine import CalamineWorkbook

from datasets.errors import UserError

HEADER_CELL = "Subject"
SUFFIXES = {".xlsx", ".xls"}


@dataclasses.dataclass(frozen=True)
class Line:
    """One row of a table.

    Attributes:
      number: as a spreadsheet shows it, from 1.
      cells: by column name, of the columns that were asked for.
      row: all cells, by place.
    """

    number: int
    cells: dict[str, Any]
    row: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """The header's cells, lower case, the lines below it, and sentences on rows that are none."""

    names: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def find_workbooks(folder: Path) -> list[Path]:
    """All workbooks in `folder` or up to two levels deeper, sorted by depth and name."""
    found = []
    for pattern in ("*", "*/*", "*/*/*"):
        found += sorted(
            path
            for path in folder.glob(pattern)
            # `~$name` is what a spreadsheet leaves of an open file.
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(("~", "."))
        )
    return found


def read_tables(sheet: Path) -> list[list[list[Any]]]:
    """Every table of a workbook as rows of cells.

    Raises:
      UserError: the file is no workbook.
    """
    try:
        workbook = CalamineWorkbook.from_path(str(sheet))
        return [
            workbook.get_sheet_by_index(place).to_python(skip_empty_area=False)
            for place in range(len(workbook.sheet_names))
        ]
    except BaseException as error:  # a torn workbook can even make the reader panic
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{sheet} cannot be read as a workbook ({reason}); copy it again.") from (
            error
        )


def read_lines(sheet: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> Table:
    """The lines below the header, cells by column name.

    Args:
      sheet: a workbook, .xlsx or .xls; its first table with the header cell is read.
      columns: names that must be there; case and blanks do not matter. The first two name person
        and clip; a row with nothing in the others is a note.
      optional: names that are read where they are there.

    Raises:
      UserError: the file is no workbook, has no header cell, lacks a column, or has no line.
    """
    for table in read_tables(sheet):
        for number, row in enumerate(table, start=1):
            names = [_plain(cell) for cell in row]
            if HEADER_CELL.lower() in names:
                return _below(sheet, names, number, table[number:], columns, optional)
    raise UserError(
        f"no cell '{HEADER_CELL}' in {sheet}, so its header row cannot be found; take the sheet "
        "of the corpus as it was distributed."
    )


def _plain(cell: Any) -> str:
    return " ".join(str(cell).split()).lower()


def _below(
    sheet: Path,
    names: list[str],
    header: int,
    rows: list[list[Any]],
    columns: tuple[str, ...],
    optional: tuple[str, ...],
) -> Table:
    """The lines under a header that stands in row number `header`."""
    lacking = [column for column in columns if _plain(column) not in names]
    if lacking:
        raise UserError(
            f"{sheet} lacks the column {', '.join(lacking)}; its header has "
            f"{', '.join(name for name in names if name)}."
        )
    wanted = (*columns, *(column for column in optional if _plain(column) in names))
    places = {column: names.index(_plain(column)) for column in wanted}
    lines, notes = [], []
    for number, row in enumerate(rows, start=header + 1):
        cells = {column: row[place] for column, place in places.items()}
        if any(text(cells[column]) for column in columns[2:]):
            lines.append(Line(number, cells, tuple(row)))
        elif words := " ".join(filter(None, map(text, row))):
            notes.append(f"row {number} of {sheet.name} was taken for a note ({words[:60]}).")
    if not lines:
        raise UserError(f"{sheet} has no row below its header; take the sheet as distributed.")
    return Table(tuple(names), tuple(lines), tuple(notes))


def text(cell: Any) -> str:
    """A cell as text; a whole number without its decimal point."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def integer(cell: Any) -> int | None:
    """A cell as a whole number of at least 0; None where it holds none (empty, `/`, `nan`)."""
    try:
        number = float(text(cell))
    except ValueError:
        return None
    # Frame numbers of a camera have up to eight digits; more is no frame number.
    return int(number) if 0 <= number < 10**9 and number.is_integer() else None

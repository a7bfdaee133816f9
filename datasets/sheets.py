"""Annotation sheets: rows by column name, wherever the header stands.

The header is the first row that has the cell `Subject`: some sheets begin with rows of notes, and
many people delete them. Columns are read by name and not by place, since copies differ in blank
columns.
"""

from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook

from datasets.errors import UserError

HEADER_CELL = "Subject"


def _plain(cell: Any) -> str:
    return " ".join(str(cell).split()).lower()


def read_rows(sheet: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows below the header, as column name -> cell; rows without a subject are left out.

    Args:
      sheet: a workbook, .xlsx or .xls; its first table with the header cell is read.
      columns: names that must be there, and are read; case and blanks do not matter.

    Raises:
      UserError: the file is no workbook, has no header cell, or lacks a column.
    """
    try:
        tables = [
            table.to_python(skip_empty_area=False)
            for table in _tables(CalamineWorkbook.from_path(str(sheet)))
        ]
    except (CalamineError, OSError) as error:
        raise UserError(f"{sheet} cannot be read as a workbook ({error}).") from error
    for table in tables:
        for number, row in enumerate(table):
            names = [_plain(cell) for cell in row]
            if HEADER_CELL.lower() in names:
                return _below(sheet, names, table[number + 1 :], columns)
    raise UserError(
        f"no cell '{HEADER_CELL}' in {sheet}, so its header row cannot be found; take the sheet "
        "of the corpus as it was distributed."
    )


def _tables(workbook: CalamineWorkbook) -> list[Any]:
    return [workbook.get_sheet_by_index(i) for i in range(len(workbook.sheet_names))]


def _below(
    sheet: Path, names: list[str], rows: list[list[Any]], columns: tuple[str, ...]
) -> list[dict[str, Any]]:
    lacking = [column for column in columns if _plain(column) not in names]
    if lacking:
        raise UserError(
            f"{sheet} lacks the column {', '.join(lacking)}; its header has "
            f"{', '.join(name for name in names if name)}."
        )
    places = {column: names.index(_plain(column)) for column in columns}
    found = [{column: row[place] for column, place in places.items()} for row in rows]
    return [row for row in found if text(row[HEADER_CELL])]


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
    return int(number) if number.is_integer() and number >= 0 else None

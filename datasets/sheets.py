"""Annotation sheets: lines by column name, wherever the header stands.

The header is the first row that has the cell `Subject`: some sheets begin with rows of notes, and
many people delete them. Columns are read by name and not by place, since copies differ in blank
columns. Nothing is dropped in silence: what is no line of annotation is handed back as a note.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from python_calamine import CalamineWorkbook

from datasets.errors import UserError

HEADER_CELL = "Subject"
SUFFIXES = (".xlsx", ".xls")


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


def read_lines(
    sheet: Path,
    columns: tuple[str, ...],
    optional: tuple[str, ...],
    is_person: Callable[[str], bool],
) -> Table:
    """The lines below the header, cells by column name.

    Args:
      sheet: a workbook, .xlsx or .xls; its first table with the header cell is read.
      columns: names that must be there; case and blanks do not matter. The first two name person
        and clip; a row that names neither, or one of them and nothing else, is a note.
      optional: names that are read where they are there.
      is_person: whether a text names a person.

    Raises:
      UserError: the file is no workbook, has no header cell, lacks a column, or has no line.
    """
    for table in read_tables(sheet):
        for number, row in enumerate(table, start=1):
            names = [_plain(cell) for cell in row]
            if HEADER_CELL.lower() in names:
                _check_columns(sheet, names, columns)
                lines, notes = _below(sheet, names, number, table, (*columns, *optional), is_person)
                return Table(tuple(names), lines, notes)
    raise UserError(
        f"no cell '{HEADER_CELL}' in {sheet}, so its header row cannot be found; take the sheet "
        "of the corpus as it was distributed."
    )


def _plain(cell: Any) -> str:
    return " ".join(str(cell).split()).lower()


def _check_columns(sheet: Path, names: list[str], columns: tuple[str, ...]) -> None:
    lacking = [column for column in columns if _plain(column) not in names]
    if lacking:
        raise UserError(
            f"{sheet} lacks the column {', '.join(lacking)}; its header has "
            f"{', '.join(name for name in names if name)}."
        )


def _below(
    sheet: Path,
    names: list[str],
    header: int,
    table: list[list[Any]],
    columns: tuple[str, ...],
    is_person: Callable[[str], bool],
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """Lines and notes under a header that stands in row number `header`."""
    places = {column: names.index(_plain(column)) for column in columns if _plain(column) in names}
    lines, notes = [], []
    for number, row in enumerate(table[header:], start=header + 1):
        cells = {column: row[place] for column, place in places.items()}
        person, clip, *others = map(text, cells.values())
        if is_note(is_person(person), clip, others):
            if any(map(text, row)):
                notes.append(note_of(sheet, number, row))
        else:
            lines.append(Line(number, cells, tuple(row)))
    if not lines:
        raise UserError(f"{sheet} has no row below its header; take the sheet as distributed.")
    return tuple(lines), tuple(notes)


def is_note(names_person: bool, clip: str, others: Sequence[str]) -> bool:
    """Whether a row is text beside the annotation: it names no clip, as far as can be told."""
    if names_person and clip:
        return False
    return not (names_person or clip) or not any(others)


def note_of(sheet: Path, number: int, row: Sequence[Any]) -> str:
    """The sentence on a row that is none of the annotation."""
    words = " ".join(filter(None, map(text, row)))
    return f"row {number} of {sheet.name} was taken for a note ({words[:60]})."


def is_micro(kind: str) -> bool | None:
    """Whether a cell says micro- (or macro-)expression, also as ME and MaE; None: neither."""
    kind = kind.lower()
    if "micro" in kind or kind == "me":
        return True
    return False if "macro" in kind or kind == "mae" else None


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

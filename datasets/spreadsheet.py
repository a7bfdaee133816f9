"""Reading of annotation spreadsheets: the header row, cells by column name, values of cells.

The header is the first row with the cell `Subject`: some sheets begin with rows of notes, which
many users delete. Columns are read by name, since copies differ in blank columns. A file is read by
its content, since many a `.xls` is a `.xlsx` or a text table.
"""

import codecs
import csv
import dataclasses
import io
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from python_calamine import CalamineWorkbook

from datasets.errors import UserError

HEADER_CELL = "Subject"
SUFFIXES = (".xlsx", ".xls")
OTHER_SUFFIXES = (".xlsm", ".xlsb", ".ods", ".csv", ".tsv", ".txt")  # of sheets saved anew
FOREIGN_SUFFIXES = (".numbers", ".gsheet", ".sav", ".dta")
_WORKBOOKS = (b"PK", b"\xd0\xcf\x11\xe0")  # first bytes: zip, and what Excel wrote until 2003
_ENCODINGS = ("utf-8-sig", "gb18030", "cp1252", "latin-1")  # the last one reads any bytes


class OtherSheetError(UserError):
    """A file is a table, but not the sheet of the corpus."""


@dataclasses.dataclass(frozen=True)
class SheetRow:
    """One row below the header.

    Attributes:
      number: as a spreadsheet shows it, from 1.
      fields: the text of the requested cells by field; optional ones may be absent.
      cells: the text of all cells.
    """

    number: int
    fields: dict[str, str]
    cells: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Sheet:
    """The rows that are not blank, and the header's cells in lower case (none without a header)."""

    rows: tuple[SheetRow, ...] = ()
    header: tuple[str, ...] = ()


def read_workbook(path: Path) -> list[list[list[Any]]]:
    """Returns every table of a workbook, or of a text file, as rows of cells.

    Raises:
      UserError: the file holds no table, or cannot be read.
    """
    try:
        content = path.read_bytes()
        if not content.startswith(_WORKBOOKS) and (table := _text_table(content)):
            return [table]
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        return [
            workbook.get_sheet_by_index(place).to_python(skip_empty_area=False)
            for place in range(len(workbook.sheet_names))
        ]
    except BaseException as error:  # a corrupt workbook can even make the reader panic
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{path} cannot be read as a workbook ({reason}); copy it again, or save it as .xlsx."
        ) from error


def _text_table(content: bytes) -> list[list[str]]:
    """Returns the rows of comma-, semicolon- or tab-separated text; none if it is something else.

    Spreadsheet programs save text in UTF-8, UTF-16 or the encoding of the country.
    """
    is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if is_utf_16 else _ENCODINGS:
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        return []
    if "\0" in text or text.lstrip().startswith("<"):  # no text, or a page
        return []
    tables = [
        list(csv.reader(io.StringIO(text, newline=""), delimiter=separator)) for separator in ";,\t"
    ]
    table = max(tables, key=_usual_width)
    return [list(map(_whole, row)) for row in table] if _usual_width(table) > 1 else []


def _usual_width(table: Sequence[Sequence[str]]) -> int:
    widths = [len(row) for row in table if any(row)]
    return statistics.mode(widths) if widths else 0


def _whole(cell: str) -> str:
    return re.sub(r"^\s*(\d+)\.0+\s*$", r"\1", cell)


def read_sheet(path: Path, columns: Mapping[str, str], optional: Mapping[str, str]) -> Sheet:
    """Reads the first table that has a header.

    Args:
      path: a workbook or a text table.
      columns: field -> name of a required column; case, whitespace and underscores do not matter.
      optional: the same for columns that may be absent.

    Raises:
      OtherSheetError: the file has no header, or lacks a column.
      UserError: the file is not a workbook.
    """
    for table in read_workbook(path):
        for number, row in enumerate(table, start=1):
            header = [_normalized(cell) for cell in row]
            if HEADER_CELL.lower() not in header:
                continue
            lacking = [name for name in columns.values() if _normalized(name) not in header]
            if lacking:
                raise OtherSheetError(
                    f"{path} lacks the column {', '.join(lacking)}; its header has "
                    f"{', '.join(filter(None, header))}."
                )
            places = {
                field: header.index(_normalized(name))
                for field, name in (columns | optional).items()
                if _normalized(name) in header
            }
            return Sheet(_rows(table, number, places), tuple(header))
    raise OtherSheetError(
        f"no cell '{HEADER_CELL}' in {path}, so its header row cannot be found; take the sheet "
        "as distributed with the corpus."
    )


def read_sheet_without_header(path: Path, fields: Sequence[str]) -> Sheet:
    """Reads the first table, whose first columns hold `fields` in this order."""
    table = next(iter(read_workbook(path)), [])
    return Sheet(_rows(table, 0, {field: place for place, field in enumerate(fields)}))


def _rows(
    table: Sequence[Sequence[Any]], first: int, places: Mapping[str, int]
) -> tuple[SheetRow, ...]:
    rows = []
    for number, row in enumerate(table[first:], start=first + 1):
        cells = tuple(map(as_text, row))
        if any(cells):
            fields = {
                field: cells[place] if place < len(cells) else "" for field, place in places.items()
            }
            rows.append(SheetRow(number, fields, cells))
    return tuple(rows)


def _normalized(cell: Any) -> str:
    return " ".join(str(cell).replace("_", " ").split()).lower()


def as_text(cell: Any) -> str:
    """Returns a cell as text, a whole number without its decimal point."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def as_integer(text: str) -> int | None:
    """Returns a cell's text as a whole number of at least 0; None for any other (`/`, `nan`)."""
    try:
        number = float(text)
    except ValueError:
        return None
    # The frame numbers of a camera have up to eight digits.
    return int(number) if 0 <= number < 10**9 and number.is_integer() else None


def is_micro(kind: str) -> bool | None:
    """Returns True for micro-expression or ME, False for macro-expression or MaE, else None."""
    kind = kind.lower()
    if "micro" in kind or kind == "me":
        return True
    return False if "macro" in kind or kind == "mae" else None

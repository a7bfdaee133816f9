"""Workbooks of the example corpora: the same bytes every time."""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import xlwt

Table = Sequence[Sequence[Any]]  # rows of cells; None is an empty cell

_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def write_workbook(path: Path, tables: Mapping[str, Table]) -> None:
    """Writes a workbook, of the kind that its name tells.

    Args:
      path: ends in .xlsx or .xls; its folder is made where it is missing.
      tables: name of a sheet -> its rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write = {".xlsx": _xlsx, ".xls": _xls}[path.suffix]
    path.write_bytes(write(tables))


def _xlsx(tables: Mapping[str, Table]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in tables.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    written = io.BytesIO()
    book.save(written)
    return _without_times(written)


def _without_times(written: io.BytesIO) -> bytes:
    """The .xlsx with a fixed time in place of the one it was written at."""
    fixed = io.BytesIO()
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(fixed, "w") as new:
        for name in old.namelist():
            content = _TIME.sub(b"2000-01-01T00:00:00Z", old.read(name))
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return fixed.getvalue()


def _xls(tables: Mapping[str, Table]) -> bytes:
    book = xlwt.Workbook(encoding="utf-8")
    for name, rows in tables.items():
        sheet = book.add_sheet(name)
        for place, row in enumerate(rows):
            for column, cell in enumerate(row):
                if cell is not None:
                    sheet.write(place, column, cell)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()

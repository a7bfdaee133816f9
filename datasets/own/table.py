"""Reading of the user's own table, which has a row for each clip.

Columns, in any order, of which the last six are optional:

    subject        the person, spelled alike in all rows
    clip           name of the clip, unique within the subject
    path           folder of frames or video file, relative to the table
    emotion        any word
    onset, offset  first and last frame: numbers of the files' names, or in a video 1 for the first
                   frame; all frames by default
    apex           likewise
    fps            frames per second
    action_units   any text
    class          what the network distinguishes, the emotion by default; a clip with an empty cell
                   is left out

Cells are read as spreadsheet programs save them: decimal commas, 12.0 for 12, and `/`, `-`, `n/a`
or `nan` for nothing. Every fault is a sentence that names row and column.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.annotations import FRAME_FIELDS, UNKNOWN, Annotations, Row
from datasets.errors import UserError
from datasets.spreadsheet import OtherSheetError, Sheet, as_integer, read_sheet

REQUIRED = ("subject", "clip", "path", "emotion")
OPTIONAL = (*FRAME_FIELDS, "fps", "action units", "class")  # `_` and space are one
_NOTHING = ("", "/", "-", "n/a", "nan")
_SUBJECT = re.compile(r"\w(?:[\w .()@-]{0,98}[\w)])?")  # names a fold, and its folder
_MAX_RATE = 10_000.0  # frames per second
_TEMPLATE = "python -m datasets.example own --out=DIR writes a table to start from"


class CellError(Exception):
    """A cell of a row that cannot be used; the message is `column NAME: FAULT.`"""

    def __init__(self, column: str, fault: str):
        super().__init__(f"column {column}: {fault}.")


def alike(name: str) -> str:
    """Returns what two spellings of one name share: `S01` and `s1`."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.casefold())


def read_table(table: Path) -> Annotations:
    """Returns the rows of a table; `filename` is the path as written.

    Onset and offset are None where the table has none, and fps is 0.

    Raises:
      UserError: there is no such table, it lacks a column or has one twice, or has no row.
    """
    sheet = _read(table)
    found = Annotations(table, label_version=table.name)
    subjects: dict[str, Row] = {}
    clips: dict[tuple[str, str], Row] = {}
    without_class = 0
    for line in sheet.rows:
        cells = {
            name: unicodedata.normalize("NFC", " ".join(text.split()))
            for name, text in line.fields.items()
        }
        if cells.get("class", "given").lower() in _NOTHING:
            without_class += 1
            continue
        try:
            row = _row(cells | {"path": line.fields["path"]}, line.number)
            _check_names(row, subjects, clips)
        except CellError as error:
            found.problems.append(f"row {line.number} of {table.name}, {error}")
        else:
            found.rows.append(row)
    if without_class:
        found.notes.append(
            f"clips of {table.name} without a class, which are left out: {without_class} of "
            f"{len(sheet.rows)}."
        )
    if unread := [name for name in sheet.header if name and name not in REQUIRED + OPTIONAL]:
        found.notes.append(f"columns of {table.name} that are not read: {', '.join(unread)}.")
    if not found.problems:
        found.problems += _too_few(found.rows, table)
    return found


def _read(table: Path) -> Sheet:
    if not table.is_file():
        what = "is a folder" if table.is_dir() else "does not exist"
        raise UserError(f"the table {table} {what}; name a file such as clips.csv with --table.")
    required, optional = ({name: name for name in names} for names in (REQUIRED, OPTIONAL))
    try:
        sheet = read_sheet(table, required, optional)
    except OtherSheetError as error:
        fault = str(error).partition(";")[0].rstrip(".")
        raise UserError(f"{fault}; {_TEMPLATE}.") from error
    for name in (*REQUIRED, *OPTIONAL):
        if sheet.header.count(name) > 1:
            raise UserError(f"{table} has two columns {name}; rename one of them.")
    if not sheet.rows:
        raise UserError(f"{table} has no row below its header; {_TEMPLATE}.")
    return sheet


def _row(cells: Mapping[str, str], number: int) -> Row:
    for column in REQUIRED:
        if not cells[column]:
            raise CellError(column, "the cell is empty")
    subject, emotion = cells["subject"], cells["emotion"].lower()
    if not _SUBJECT.fullmatch(subject):
        fault = f"'{subject}' cannot name a folder of results; use letters, digits, - and _"
        raise CellError("subject", fault)
    onset, apex, offset = (_frame_number(cells, column) for column in FRAME_FIELDS)
    if None not in (onset, offset) and offset < onset:
        raise CellError("offset", f"{offset} is before the onset, {onset}")
    return Row(
        subject=subject,
        clip=cells["clip"],
        filename=cells["path"],
        emotion=emotion,
        objective_class=cells.get("class", emotion).lower(),
        action_units=cells.get("action units", ""),
        onset=onset,
        apex=UNKNOWN if apex is None else apex,
        offset=offset,
        fps=_rate(cells),
        line=number,
    )


def _frame_number(cells: Mapping[str, str], column: str) -> int | None:
    text = cells.get(column, "")
    if text.lower() in _NOTHING:
        return None
    number = as_integer(text.replace(",", "."))
    if number is None:
        fault = f"'{text}' is no frame number; write a whole number from 0, or nothing"
        raise CellError(column, fault)
    return number


def _rate(cells: Mapping[str, str]) -> float:
    """Returns the frames per second of a row; 0 if it has none."""
    text = cells.get("fps", "")
    if text.lower() in _NOTHING:
        return 0.0
    try:
        rate = float(text.replace(",", "."))
    except ValueError:
        rate = -1.0
    if not 0 < rate <= _MAX_RATE:
        fault = f"'{text}' is no number of frames per second; write one such as 29.97, or nothing"
        raise CellError("fps", fault)
    return rate


def _check_names(row: Row, subjects: dict[str, Row], clips: dict[tuple[str, str], Row]) -> None:
    """Adds a row to those seen; raises CellError if its clip is there, or its subject otherwise."""
    other = subjects.setdefault(alike(row.subject), row)
    if other.subject != row.subject:
        raise CellError(
            "subject",
            f"'{row.subject}' is '{other.subject}' in row {other.line}; spell one person alike in "
            "all rows, or the network is tested on somebody it was trained on",
        )
    other = clips.setdefault((row.subject, row.clip.lower()), row)
    if other is not row:
        fault = f"'{row.clip}' of {row.subject} is in row {other.line} already; rename one of them"
        raise CellError("clip", fault)


def _too_few(rows: Sequence[Row], table: Path) -> list[str]:
    """Returns a sentence if no network can be trained."""
    for what, values in (
        ("class", {row.objective_class for row in rows}),
        ("subject", {row.subject for row in rows}),
    ):
        if len(values) < 2:
            held = f"only the {what} '{values.pop()}'" if values else f"no clip with a {what}"
            return [f"{table.name} has {held}; at least two classes and two subjects are needed."]
    return []

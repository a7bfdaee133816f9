"""Annotation rows: what every corpus' sheet comes down to, corrected and checked in one way.

Known faults of the published sheets are data: `datasets/<corpus>/corrections.csv` has one line a
cell, with its reason and source. Whatever was corrected is told, and so is every row that cannot
be used.
"""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from datasets.errors import UserError

FRAME_FIELDS = ("onset", "apex", "offset")
UNKNOWN = -1  # an apex that the sheet does not tell


@dataclasses.dataclass(frozen=True)
class Row:
    """One micro-expression as the sheet tells it.

    Attributes:
      subject: the person, in the corpus' one spelling.
      clip: unique within the person.
      filename: as the sheet names the clip, by which its folder and its corrections are found.
      emotion: lower case.
      onset, apex, offset: frame numbers; None where the cell holds none.
      line: row number in the sheet; 0 where there is none.
      earlier_emotion: by the earlier label version; "" where the corpus has one version.
      duration: frames from onset to offset by the sheet's own count; None where it has none.
    """

    subject: str
    clip: str
    filename: str
    emotion: str
    onset: int | None
    apex: int | None
    offset: int | None
    line: int = 0
    earlier_emotion: str = ""
    objective_class: str = ""
    action_units: str = ""
    duration: int | None = None

    def __str__(self) -> str:
        return f"clip {self.clip} of {self.subject}"


@dataclasses.dataclass(frozen=True)
class Annotations:
    """All that a sheet (or the names of the folders, where a corpus has none) tells.

    Attributes:
      sheet: None where the corpus comes without one.
      label_version: of the emotions.
      rows: those that can be used; onset and offset are numbers, the apex one or `UNKNOWN`.
      problems: sentences, one for each row that cannot be used.
      corrections: sentences, one for each cell that was corrected.
      notes: sentences, what else is to be known.
      earlier_label_version: of the earlier emotions; "" where there is one version.
      other_clips: filenames by subject that the sheet lists but the corpus leaves out, such as
        macro-expressions.
    """

    sheet: Path | None
    label_version: str
    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    earlier_label_version: str = ""
    other_clips: frozenset[tuple[str, str]] = frozenset()


@dataclasses.dataclass(frozen=True)
class Correction:
    """A cell that is known to be wrong, and what it should be.

    Attributes:
      subject, clip: as in `Row.subject` and `Row.filename`.
      field: of `FRAME_FIELDS`.
      found: the wrong number; `any` for whatever else there is; `unusable` for no number, or an
        apex outside onset to offset.
      becomes: the right number.
      reason, source: why, and who says so.
    """

    subject: str
    clip: str
    field: str
    found: str
    becomes: int
    reason: str
    source: str

    def applies(self, row: Row) -> bool:
        """Whether the row has this fault."""
        if (self.subject, self.clip.lower()) != (row.subject, row.filename.lower()):
            return False
        value = getattr(row, self.field)
        if value == self.becomes:
            return False
        if self.found == "any":
            return True
        if self.found == "unusable":
            return value is None or (self.field == "apex" and not _inside(row))
        return value == int(self.found)


def read_corrections(corpus: str) -> tuple[Correction, ...]:
    """The table of known faults of a corpus' sheet; empty where it has none."""
    lines = read_data(corpus, "corrections.csv")
    return tuple(Correction(**{**line, "becomes": int(line["becomes"])}) for line in lines)


def read_data(corpus: str, file: str) -> list[dict[str, str]]:
    """The lines of a table in a corpus' folder, by column; none where it has no such table."""
    table = Path(__file__).parent / corpus / file
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def finish(
    annotations: Annotations,
    emotions: Sequence[str],
    known_faults: Sequence[Correction],
) -> Annotations:
    """Corrects the cells known to be wrong and sets apart the rows that cannot be used.

    Args:
      annotations: as read.
      emotions: all that the corpus has, lower case.
      known_faults: of the corpus' sheet.

    Raises:
      UserError: there is no row at all.
    """
    if not (annotations.rows or annotations.problems):
        where = annotations.sheet or "the folder 'micro' of every person"
        raise UserError(
            f"{where} lists no micro-expression{_after(annotations.notes)}; take it from the "
            "corpus as distributed."
        )
    sheet = annotations.sheet and annotations.sheet.name
    rows, problems = [], list(annotations.problems)
    corrections, notes = list(annotations.corrections), list(annotations.notes)
    lines: dict[tuple[str, str], int] = {}
    for read in annotations.rows:
        row, told = _corrected(read, known_faults)
        corrections += told
        where = f"row {row.line} of {sheet} ({row})" if row.line else str(row)
        if problem := _problem(row, where, emotions):
            problems.append(problem)
            continue
        key = (row.subject, row.clip.lower())
        if key in lines:
            problems.append(f"{where} is there twice, first in row {lines[key]}; keep one of them.")
            continue
        lines[key] = row.line
        if row.apex is not None and not _inside(row):
            notes.append(f"{where}: the apex {row.apex} is outside onset to offset and is unknown.")
        if row.duration not in (None, row.offset - row.onset + 1):
            notes.append(
                f"{where} lasts {row.offset - row.onset + 1} frames, but its duration is "
                f"{row.duration} in the sheet."
            )
        apex = row.apex if row.apex is not None and _inside(row) else UNKNOWN
        rows.append(dataclasses.replace(row, apex=apex))
    return dataclasses.replace(
        annotations,
        rows=tuple(rows),
        problems=tuple(problems),
        corrections=tuple(corrections),
        notes=tuple(notes),
    )


def _after(notes: Sequence[str]) -> str:
    return f" ({notes[0].rstrip('.')})" if notes else ""


def _inside(row: Row) -> bool:
    if row.apex is None or row.onset is None or row.offset is None:
        return False
    return row.onset <= row.apex <= row.offset


def _corrected(row: Row, known_faults: Sequence[Correction]) -> tuple[Row, list[str]]:
    told = []
    for field in FRAME_FIELDS:
        fitting = [fault for fault in known_faults if fault.field == field and fault.applies(row)]
        if not fitting:
            continue
        # A video holds several clips under one name: the fault is the next one after the onset.
        fault = min(fitting, key=lambda fault: (fault.becomes < (row.onset or 0), fault.becomes))
        old = getattr(row, field)
        row = dataclasses.replace(row, **{field: fault.becomes})
        told.append(
            f"{row}: {field} {'(none)' if old is None else old} became {fault.becomes}: "
            f"{fault.reason} ({fault.source})."
        )
    return row, told


def _problem(row: Row, where: str, emotions: Sequence[str]) -> str | None:
    """Why the row cannot be used; None if it can."""
    mend = "mend the cell, or take the sheet as distributed"
    if row.emotion not in emotions:
        return (
            f"{where} has the emotion '{row.emotion}', which is none of {', '.join(emotions)}; "
            f"{mend}."
        )
    for field in ("onset", "offset"):
        if getattr(row, field) is None:
            return f"{where}: the {field} is no frame number; {mend}."
    if row.offset < row.onset:
        return f"{where} ends ({row.offset}) before it begins ({row.onset}); {mend}."
    return None

"""Annotation rows of a corpus, corrected and checked in one way.

Known errors of the published sheets are data: `datasets/<corpus>/corrections.csv` has one line per
cell, with the reason and the source. Every correction and every unusable row is reported.
"""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from datasets.clip_tasks import Annotation
from datasets.errors import UserError

FRAME_FIELDS = ("onset", "apex", "offset")
UNKNOWN = -1  # an apex that the sheet does not give
TO_CORRECT = "correct the cell, or take the sheet as distributed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row(Annotation):
    """One micro-expression as annotated; frame numbers are None where a cell holds none.

    Attributes:
      filename: the clip in the sheet, by which its folder and its corrections are found.
      line: row number in the sheet; 0 if there is no sheet.
      duration: frames from onset to offset according to the sheet; None if it has none.
    """

    filename: str
    line: int = 0
    duration: int | None = None

    def __str__(self) -> str:
        return f"clip {self.clip} of {self.subject}"

    @property
    def has_apex_inside(self) -> bool:
        """Whether the apex is known and lies within onset to offset."""
        if None in (self.onset, self.apex, self.offset):
            return False
        return self.onset <= self.apex <= self.offset


@dataclasses.dataclass
class Annotations:
    """Content of a sheet, or of the folders' names in a corpus without one.

    Attributes:
      sheet: None in a corpus without one.
      label_version: of the emotions.
      earlier_label_version: of the earlier emotions; "" if there is one version.
      rows: onset and offset are numbers, and the apex is one or `UNKNOWN`, once they are checked.
      problems: sentences, one per row that cannot be used.
      corrections: sentences, one per corrected cell.
      notes: other sentences.
      other_clips: (subject's number, lower-case filename) of clips in the sheet that the corpus
        leaves out, such as macro-expressions.
    """

    sheet: Path | None
    label_version: str
    earlier_label_version: str = ""
    rows: list[Row] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    corrections: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    other_clips: set[tuple[int | None, str]] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True)
class Correction:
    """A cell that is known to be wrong, and its right value.

    Attributes:
      subject, clip: as in `Row.subject` and `Row.filename`.
      field: one of `FRAME_FIELDS`.
      found: the wrong number; `any` for every other value; `unusable` for no number, or an apex
        outside onset to offset.
      becomes: the right number.
      reason, source: why, and according to whom.
    """

    subject: str
    clip: str
    field: str
    found: str
    becomes: int
    reason: str
    source: str

    def applies_to(self, row: Row) -> bool:
        """Whether the row has this error."""
        if (self.subject, self.clip.lower()) != (row.subject, row.filename.lower()):
            return False
        value = getattr(row, self.field)
        if value == self.becomes:
            return False
        if self.found == "unusable":
            return value is None or (self.field == "apex" and not row.has_apex_inside)
        return self.found == "any" or value == int(self.found)


def read_table(corpus: str, file: str) -> list[dict[str, str]]:
    """Returns the lines of a .csv file in a corpus' folder by column; none if it is absent."""
    path = Path(__file__).parent / corpus / file
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def correct_and_check(found: Annotations, emotions: Sequence[str], corpus: str) -> None:
    """Applies the known corrections of a corpus and turns unusable rows into problems.

    Args:
      found: as read; is changed.
      emotions: all emotions of the corpus, lower case.
      corpus: name of the corpus.

    Raises:
      UserError: there is no row at all.
    """
    if not (found.rows or found.problems):
        why = f" ({found.notes[0].rstrip('.')})" if found.notes else ""
        raise UserError(
            f"{found.sheet or 'the folder micro of every subject'} lists no micro-expression{why}; "
            "take it from the corpus as distributed."
        )
    known_errors = [
        Correction(**line | {"becomes": int(line["becomes"])})
        for line in read_table(corpus, "corrections.csv")
    ]
    rows: dict[tuple[str, str], Row] = {}
    for row_as_read in found.rows:
        row, corrections = _correct(row_as_read, known_errors)
        found.corrections += corrections
        where = f"row {row.line} of {found.sheet.name} ({row})" if row.line else str(row)
        first = rows.get((row.subject, row.clip.lower()))
        if problem := _problem(row, emotions):
            found.problems.append(f"{where}{problem}; {TO_CORRECT}.")
        elif first:
            place = f"in row {first.line}" if first.line else f"as {first.emotion}"
            found.problems.append(f"{where} is annotated twice, first {place}; keep one of them.")
        else:
            found.notes += [f"{where}{note}." for note in _notes(row)]
            apex = row.apex if row.has_apex_inside else UNKNOWN
            rows[row.subject, row.clip.lower()] = dataclasses.replace(row, apex=apex)
    found.rows = list(rows.values())


def _correct(row: Row, known_errors: Sequence[Correction]) -> tuple[Row, list[str]]:
    sentences = []
    for field in FRAME_FIELDS:
        matching = [one for one in known_errors if one.field == field and one.applies_to(row)]
        if not matching:
            continue
        # A video may hold several clips of one name: take the next value after the onset.
        error = min(matching, key=lambda one: (one.becomes < (row.onset or 0), one.becomes))
        old = getattr(row, field)
        row = dataclasses.replace(row, **{field: error.becomes})
        sentences.append(
            f"{row}: {field} {'(none)' if old is None else old} became {error.becomes}: "
            f"{error.reason} ({error.source})."
        )
    return row, sentences


def _problem(row: Row, emotions: Sequence[str]) -> str | None:
    """Returns why the row cannot be used; None if it can."""
    if row.emotion not in emotions:
        return f" has the emotion '{row.emotion}', which is none of {', '.join(emotions)}"
    for field in ("onset", "offset"):
        if getattr(row, field) is None:
            return f": the {field} is not a frame number"
    if row.offset < row.onset:
        return f" ends ({row.offset}) before it begins ({row.onset})"
    return None


def _notes(row: Row) -> list[str]:
    notes, duration = [], row.offset - row.onset + 1
    if row.apex is not None and not row.has_apex_inside:
        notes.append(f": the apex {row.apex} is outside onset to offset and is taken as unknown")
    if row.duration not in (None, duration):
        notes.append(f" lasts {duration} frames, but its duration is {row.duration} in the sheet")
    return notes

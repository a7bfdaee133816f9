"""SAMM's sheet, `SAMM_Micro_FACS_Codes_v2.xlsx`: rows, and the cells known to be wrong.

Thirteen rows of notes precede the header in the official file; frame cells may be text or number;
`Other` is also written `Others`. A cell of the table below is corrected only where it is found
bad, and every correction is told.
"""

import dataclasses
from pathlib import Path

from datasets.clip_tasks import Annotation
from datasets.errors import UserError
from datasets.sheets import integer, read_rows, text

FPS = 200.0
LABEL_VERSION = "SAMM_Micro_FACS_Codes_v2"
COLUMNS = (
    "Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Action Units",
    "Estimated Emotion", "Objective Classes",
)  # fmt: skip
_ALIASES = {"others": "other"}


@dataclasses.dataclass(frozen=True)
class Correction:
    """A cell of the official sheet that is known to be wrong, and what it should be."""

    clip: str
    field: str  # of Annotation
    value: int
    reason: str
    source: str


CORRECTIONS = (
    Correction("013_1_9", "offset", 5739, "the official cell is not the clip's last frame",
               "MEB; other public loaders carry the typing error 5793"),
    Correction("028_4_1", "apex", 1124, "the official cell holds no apex",
               "the middle one of three public values, 1105, 1124 and 1134"),
    Correction("032_3_1", "apex", 4930, "the official cell holds no apex",
               "two of three public loaders"),
    Correction("032_3_2", "apex", 5127, "the official cell holds no apex",
               "two of three public loaders"),
)  # fmt: skip


def find_sheet(manual_dir: Path) -> Path:
    """The annotation sheet in `manual_dir` or a folder in it.

    Raises:
      UserError: there is none, or more than one.
    """
    for pattern in ("*", "*/*", "*/*/*"):
        sheets = sorted(
            path
            for path in manual_dir.glob(pattern)
            if path.suffix.lower() in {".xlsx", ".xls"} and not path.name.startswith(("~", "."))
        )
        # Other sheets of SAMM (long videos) may lie beside it.
        sheets = [path for path in sheets if "micro_facs" in path.name.lower()] or sheets
        if len(sheets) > 1:
            raise UserError(
                f"{manual_dir} holds several annotation sheets "
                f"({', '.join(path.name for path in sheets)}); keep one of them there."
            )
        if sheets:
            return sheets[0]
    raise UserError(
        f"no annotation sheet (SAMM_Micro_FACS_Codes_v2.xlsx) in {manual_dir}; put it there, or "
        "name the folder that holds it with --manual_dir."
    )


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the sheet; None where a cell holds no frame number."""

    subject: str
    clip: str
    emotion: str
    objective_class: str
    action_units: str
    onset: int | None
    apex: int | None
    offset: int | None


def read_sheet(sheet: Path) -> list[Row]:
    """All rows, as written; emotions in lower case and of one spelling.

    Raises:
      UserError: the sheet cannot be read, or is not SAMM's.
    """
    rows = []
    for cells in read_rows(sheet, COLUMNS):
        emotion = text(cells["Estimated Emotion"]).lower()
        rows.append(
            Row(
                subject=text(cells["Subject"]).zfill(3),
                clip=text(cells["Filename"]),
                emotion=_ALIASES.get(emotion, emotion),
                objective_class=text(cells["Objective Classes"]),
                action_units=text(cells["Action Units"]),
                onset=integer(cells["Onset Frame"]),
                apex=integer(cells["Apex Frame"]),
                offset=integer(cells["Offset Frame"]),
            )
        )
    if not rows:
        raise UserError(f"{sheet} has no row below its header; take the sheet as distributed.")
    return rows


def annotate(row: Row, last_frame: int, sheet: Path) -> tuple[Annotation, list[str]]:
    """The annotation of a row, corrected where it is known to be wrong.

    Args:
      row: of the sheet.
      last_frame: the largest number among the files of the clip's folder.
      sheet: for messages.

    Returns:
      The annotation, and one sentence for each correction.

    Raises:
      UserError: a row without a usable onset or offset for which no correction is known.
    """
    told = []
    numbers = {"onset": row.onset, "apex": row.apex, "offset": row.offset}
    for known in CORRECTIONS:
        old = numbers[known.field]
        bad = _is_bad(known.field, numbers, last_frame)
        # A wrong offset may look right; too small a one would shorten the clip without a word.
        bad = bad or (known.field == "offset" and known.value == last_frame)
        if known.clip == row.clip and old != known.value and bad:
            numbers[known.field] = known.value
            told.append(
                f"clip {row.clip}: {known.field} {'(none)' if old is None else old} became "
                f"{known.value}: {known.reason} ({known.source})."
            )
    for field in ("onset", "offset"):
        if numbers[field] is None:
            raise UserError(f"the {field} of clip {row.clip} in {sheet} is no frame number.")
    if numbers["offset"] < numbers["onset"]:
        raise UserError(f"clip {row.clip} in {sheet} ends before it begins; check its frames.")
    if _is_bad("apex", numbers, last_frame):
        numbers["apex"] = -1
    labels = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    return Annotation(**(labels | numbers), fps=FPS), told


def _is_bad(field: str, numbers: dict[str, int | None], last_frame: int) -> bool:
    value, onset = numbers[field], numbers["onset"] or 0
    if value is None:
        return True
    if field == "offset":  # the official folders end at the offset; longer ones are no fault
        return value < max(onset, numbers["apex"] or 0) or value > last_frame
    return not onset <= value <= (numbers["offset"] or value)

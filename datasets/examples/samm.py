"""SAMM in its official layouts.

The official sheet's wrong offset of 013_1_9 is not public, only the right one; here the cell holds
5793. The text of the thirteen rows of notes, inducement codes, objective classes, and the names
and emotions of most clips are made up.
"""

import dataclasses
from pathlib import Path

from datasets.examples.pictures import Film, write_frames
from datasets.examples.workbooks import Table, write_workbook

_FIRST_FACE = 10
_NOTES = 13  # rows above the header
_EXTRA = 3  # frames on either side of a clip where the folders are longer
_HEADER = (
    "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame",
    "Duration", "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Clip:
    name: str
    emotion: str
    onset: int
    apex: int | str | None
    offset: int
    units: str | int
    offset_cell: int | None = None  # where the sheet is wrong

    @property
    def subject(self) -> str:
        return self.name[:3]


_CLIPS = (
    _Clip("006_1_2", "Anger", 5562, 5566, 5571, "4+7"),
    _Clip("006_1_3", "Happiness", 1204, 1209, 1213, 12),
    _Clip("006_3_1", "Contempt", 95, 99, 104, "R14"),
    _Clip("006_5_9", "Surprise", 9995, 10000, 10004, "1+2 or 1+2+5"),
    _Clip("013_1_2", "Happiness", 310, 315, 319, "6+12"),
    _Clip("013_1_9", "Anger", 5730, 5734, 5739, "4", offset_cell=5793),
    _Clip("013_6_1", "Fear", 2200, 2204, 2209, "20 or 21"),
    _Clip("025_3_2", "Other", 712, 716, 721, "17"),
    _Clip("025_5_4", "Other", 3301, 3305, 3310, "24"),
    _Clip("028_3_2", "Contempt", 640, 645, 649, "14"),
    _Clip("028_4_1", "Surprise", 1119, "/", 1129, "5"),
    _Clip("032_3_1", "Anger", 4926, None, 4935, "4+7 or 4"),
    _Clip("032_3_2", "Others", 5122, "/", 5131, "7"),
    _Clip("032_4_6", "Happiness", 801, 806, 810, "12"),
    _Clip("032_6_2", "Sadness", 1510, 1514, 1519, "15"),
    _Clip("036_7_1", "Disgust", 420, 425, 429, "9"),
    _Clip("036_7_3", "Disgust", 2750, 2754, 2759, "10"),
)


@dataclasses.dataclass(frozen=True)
class _Layout:
    frames_in: str = "SAMM"
    digits: int = 5  # the frame numbers are padded to so many
    sheet: str = "SAMM_Micro_FACS_Codes_v2.xlsx"
    notes: int = _NOTES
    extra: int = 0


LAYOUTS = {
    "raw": _Layout(),
    "no_notes": _Layout("", digits=4, sheet="SAMM_20181215_Micro_FACS_Codes_v2.xlsx", notes=0),
    "crop": _Layout("SAMM_CROP/SAMM_CROP"),
    "unpadded": _Layout(digits=0),
    "longer": _Layout(extra=_EXTRA),
}
_MIXED = "006_3_1"  # every other file padded where the rest is not


def write(out: Path, layout: str) -> None:
    """Writes the corpus into `out`."""
    chosen = LAYOUTS[layout]
    people = sorted({clip.subject for clip in _CLIPS})
    for take, clip in enumerate(_CLIPS):
        person = _FIRST_FACE + people.index(clip.subject)
        film = Film(person, take, clip.emotion, clip.onset, clip.offset, colour=False)
        folder = out / chosen.frames_in / clip.subject / clip.name
        numbers = film.around(chosen.extra)
        file = f"{clip.subject}_{{:0{chosen.digits}d}}.jpg"
        if not chosen.digits and clip.name == _MIXED:
            write_frames(folder, film, numbers[1::2], f"{clip.subject}_{{:05d}}.jpg")
            numbers = numbers[::2]
        write_frames(folder, film, numbers, file)
    write_workbook(out / chosen.sheet, {"MICRO_ONLY": _rows(chosen.notes)})


def _rows(notes: int) -> Table:
    rows = [[f"Note {number + 1} on the coding of the micro-movements."] for number in range(notes)]
    rows.append(list(_HEADER))
    for clip in _CLIPS:
        rows.append(
            [clip.subject, clip.name, int(clip.name.split("_")[1]), clip.onset, clip.apex,
             clip.offset_cell or clip.offset, clip.offset - clip.onset + 1, "Micro - 1/2",
             clip.units, clip.emotion, "I", None]
        )  # fmt: skip
    return rows

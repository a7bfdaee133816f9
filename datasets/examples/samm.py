"""SAMM in its official layouts.

Of 013_1_9 only the right offset is public, not the wrong one of the official sheet; here the cell
holds 5793. Invented are the text of the thirteen rows of notes, inducement codes, objective
classes, and the names and emotions of most clips.
"""

from pathlib import Path
from typing import NamedTuple

from datasets.examples.writing import draw_clips, write_frames, write_workbook

_FIRST_FACE = 10
_HEADER = (
    "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame",
    "Duration", "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
)  # fmt: skip


class _Clip(NamedTuple):
    name: str
    emotion: str
    first: int
    apex: int | str | None
    last: int
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
_MIXED = "006_3_1"  # every other file padded where the rest is not


LAYOUTS = {
    "raw": dict(),
    "no_notes": dict(
        frames_in="", digits=4, sheet="SAMM_20181215_Micro_FACS_Codes_v2.xlsx", notes=0
    ),
    "crop": dict(frames_in="SAMM_CROP/SAMM_CROP"),
    "unpadded": dict(digits=0),
    "longer": dict(extra=3),
}


def write(
    out: Path,
    frames_in: str = "SAMM",
    digits: int = 5,
    sheet: str = "SAMM_Micro_FACS_Codes_v2.xlsx",
    notes: int = 13,
    extra: int = 0,
) -> None:
    """Writes the corpus into `out` in a layout.

    Args:
      digits: that frame numbers are padded to.
      notes: rows above the header.
      extra: frames on either side of a clip.
    """
    rows = [[f"Note {number + 1} on the coding of the micro-movements."] for number in range(notes)]
    rows.append(_HEADER)
    for clip, drawn in draw_clips(_CLIPS, _FIRST_FACE, colour=False):
        for place, number in enumerate(drawn.around(extra)):
            is_odd = not digits and clip.name == _MIXED and place % 2
            file = f"{clip.subject}_{{:0{5 if is_odd else digits}d}}.jpg"
            write_frames(out / frames_in / clip.subject / clip.name, drawn, [number], file)
        rows.append(
            (clip.subject, clip.name, int(clip.name.split("_")[1]), clip.first, clip.apex,
             clip.offset_cell or clip.last, clip.last - clip.first + 1, "Micro - 1/2", clip.units,
             clip.emotion, "I", None)
        )  # fmt: skip
    write_workbook(out / sheet, {"MICRO_ONLY": rows})

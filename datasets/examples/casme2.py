"""CASME II in its official layouts.

Which labels `CASME2_label_Ver_2.xls` carries is not known; here those of 2014, as in most copies.
The rows' order and all that the public sheets do not tell (onsets, action units of most clips,
emotions of most people) are made up.
"""

import dataclasses
from pathlib import Path

from datasets.examples.pictures import Film, write_frames
from datasets.examples.workbooks import Table, write_workbook

_FIRST_FACE = 0
_BEFORE_AND_AFTER = 8  # frames after the offset in the long release, which begins at frame 1


@dataclasses.dataclass(frozen=True)
class _Clip:
    subject: str
    folder: str
    emotion: str  # as of 2019
    onset: int
    apex: int | str
    offset: int
    units: str | int
    name: str = ""  # in the sheet, where it is not that of the folder
    earlier: str = ""  # emotion as of 2014, where it is another


_CLIPS = (
    _Clip("01", "EP02_01f", "happiness", 46, 51, 55, 12),
    _Clip("01", "EP03_02", "others", 30, 35, 39, "4+7+L10"),
    _Clip("01", "EP04_02", "repression", 26, 30, 35, "R2+15"),
    _Clip("01", "EP19_01", "surprise", 21, 25, 29, "1+2"),
    _Clip("01", "EP19_05f", "disgust", 95, 99, 104, "4+7"),
    _Clip("04", "EP12_01f", "disgust", 40, "/", 49, "4+9"),
    _Clip("04", "EP13_02f", "repression", 31, 33, 36, "14"),
    _Clip("04", "EP19_01", "surprise", 12, 16, 21, "1+2", name="EP19_01f"),
    _Clip("05", "EP06_10", "happiness", 18, 22, 27, "6+12"),
    _Clip("05", "EP09_05f", "disgust", 69, 69, 78, "9"),
    _Clip("05", "EP12_03f", "surprise", 15, 20, 24, "1+2+5"),
    _Clip("05", "EP16_04f", "fear", 52, 57, 61, "?", name="EP16_04"),
    _Clip("18", "EP08_01", "others", 33, 37, 42, "L10"),
    _Clip("18", "EP19_01", "others", 20, 24, 29, "17"),
    _Clip("24", "EP07_01", "surprise", 10, 14, 19, "1+4", earlier="sadness"),
    _Clip("24", "EP07_04f", "surprise", 41, 46, 50, "1", earlier="sadness"),
    _Clip("24", "EP10_03", "surprise", 22, 26, 31, "1+15", earlier="sadness"),
    _Clip("24", "EP18_03", "sadness", 35, 40, 44, "15+17"),
)
_ONE_MORE = _Clip("24", "EP02_07", "disgust", 61, 91, 106, "4+10")


@dataclasses.dataclass(frozen=True)
class _Layout:
    frames_in: str
    file: str
    sheet: str
    labels: int = 2014
    blank_columns: bool = True
    long: bool = False
    one_more: bool = False


LAYOUTS = {
    "raw_selected": _Layout(
        "CASME2_RAW_selected", "img{}.jpg", "CASME2-coding-20190701.xlsx", labels=2019
    ),
    "raw_selected_doubled": _Layout(
        "CASME2_RAW_selected/CASME2_RAW_selected", "img{}.jpg", "CASME2-coding-20140508.xlsx"
    ),
    "raw_long": _Layout(
        "CASME2-RAW", "img{}.jpg", "CASME2_label_Ver_2.xls", blank_columns=False, long=True
    ),
    "cropped": _Layout("Cropped", "reg_img{}.jpg", "CASME2-coding-20140508.xlsx"),
    "cropped_updated": _Layout(
        "Cropped-updated/Cropped", "reg_img{}.jpg", "CASME2-coding-updated.xlsx", one_more=True
    ),
}


def write(out: Path, layout: str) -> None:
    """Writes the corpus into `out`."""
    chosen = LAYOUTS[layout]
    clips = (*_CLIPS, _ONE_MORE) if chosen.one_more else _CLIPS
    people = sorted({clip.subject for clip in clips})
    for take, clip in enumerate(clips):
        person = _FIRST_FACE + people.index(clip.subject)
        film = Film(person, take, clip.emotion, clip.onset, clip.offset)
        numbers = range(1, clip.offset + _BEFORE_AND_AFTER) if chosen.long else film.numbers
        folder = out / chosen.frames_in / f"sub{clip.subject}" / clip.folder
        write_frames(folder, film, numbers, chosen.file)
    tables = {"Sheet1": _rows(clips, chosen), "Sheet2": (), "Sheet3": ()}
    write_workbook(out / chosen.sheet, tables)


def _rows(clips: tuple[_Clip, ...], layout: _Layout) -> Table:
    rows = [
        ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None,
         "Action Units", "Estimated Emotion"]
    ]  # fmt: skip
    for clip in clips:
        emotion = (clip.earlier if layout.labels == 2014 else "") or clip.emotion
        rows.append(
            [clip.subject, clip.name or clip.folder, None, clip.onset, clip.apex, clip.offset,
             None, clip.units, emotion]
        )  # fmt: skip
    if layout.blank_columns:
        return rows
    return [[cell for place, cell in enumerate(row) if place not in (2, 6)] for row in rows]

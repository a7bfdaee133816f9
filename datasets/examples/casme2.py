"""CASME II in its official layouts.

The labels of `CASME2_label_Ver_2.xls` are unknown; here they are those of 2014, as in most copies.
Invented are the order of the rows and what the public sheets do not contain: onsets, the action
units of most clips, the emotions of most people.
"""

from pathlib import Path
from typing import NamedTuple

from datasets.examples.writing import draw_clips, write_frames, write_workbook

_FIRST_FACE = 0
_AFTERWARDS = 8  # frames after the offset in the long release, which begins at frame 1


class _Clip(NamedTuple):
    subject: str
    folder: str
    emotion: str  # as of 2019
    first: int
    apex: int | str
    last: int
    units: str | int
    name: str = ""  # in the sheet, where it differs from the folder
    earlier: str = ""  # emotion as of 2014, where it differs


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
_UPDATED = (*_CLIPS, _Clip("24", "EP02_07", "disgust", 61, 91, 106, "4+10"))


_RAW, _OF_2014 = "CASME2_RAW_selected", "CASME2-coding-20140508.xlsx"

LAYOUTS = {
    "raw_selected": dict(frames_in=_RAW, sheet="CASME2-coding-20190701.xlsx", labels=2019),
    "raw_selected_doubled": dict(frames_in=f"{_RAW}/{_RAW}", sheet=_OF_2014),
    "raw_long": dict(frames_in="CASME2-RAW", sheet="CASME2_label_Ver_2.xls", is_long=True),
    "cropped": dict(frames_in="Cropped", sheet=_OF_2014, file="reg_img{}.jpg"),
    "cropped_updated": dict(
        frames_in="Cropped-updated/Cropped",
        sheet="CASME2-coding-updated.xlsx",
        file="reg_img{}.jpg",
        clips=_UPDATED,
    ),
}


def write(
    out: Path,
    frames_in: str,
    sheet: str,
    file: str = "img{}.jpg",
    clips: tuple[_Clip, ...] = _CLIPS,
    labels: int = 2014,
    is_long: bool = False,
) -> None:
    """Writes the corpus into `out` in a layout."""
    blank = () if is_long else (None,)  # a column without a name
    frames = ("OnsetFrame", "ApexFrame", "OffsetFrame")
    rows = [("Subject", "Filename", *blank, *frames, *blank, "Action Units", "Estimated Emotion")]
    for clip, drawn in draw_clips(clips, _FIRST_FACE):
        numbers = range(1, clip.last + _AFTERWARDS) if is_long else drawn.numbers
        folder = out / frames_in / f"sub{clip.subject}" / clip.folder
        write_frames(folder, drawn, numbers, file)
        emotion = clip.emotion if labels == 2019 else clip.earlier or clip.emotion
        name, frames = clip.name or clip.folder, (clip.first, clip.apex, clip.last)
        rows.append((clip.subject, name, *blank, *frames, *blank, clip.units, emotion))
    write_workbook(out / sheet, {"Sheet1": rows, "Sheet2": (), "Sheet3": ()})

"""CAS(ME)^2 in its official layouts.

`all` holds the three trees of frames, the others one each. A long video of `rawpic` ends shortly
after its last annotated expression. Only the second row of the sheet (anger1_1 of subject 1) and
the two sheets of naming rules are as distributed; the rest is invented. The third sheet lists the
nine stimuli.
"""

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from datasets.examples.writing import DrawnClip, draw_clips, write_frames, write_workbook

_FIRST_FACE = 20
_AFTERWARDS = 5  # frames of a long video after its last expression

_FOLDERS = (
    15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40
)  # number of a folder, by the sheet's subject from 1  # fmt: skip
_VIDEOS = {
    "disgust1": "0101disgustingteeth",
    "disgust2": "0102eatingworms",
    "anger1": "0401girlcrashing",
    "anger2": "0402beatingpregnantwoman",
    "happy1": "0502funnyerrors",
    "happy2": "0503unnyfarting",
    "happy3": "0505funnyinnovations",
    "happy4": "0507climbingthewall",
    "happy5": "0508funnydunkey",
}  # stimulus in a clip's name -> in a long video's folder


class _Clip(NamedTuple):
    subject: int
    name: str
    emotion: str
    first: int
    apex: int
    offset: int  # as in the sheet; 0 where the apex is the end
    units: str | int
    self_report: str
    kind: str = "micro-expression"
    has_folder: bool = True  # in `cropped` and `selectedpic`

    @property
    def last(self) -> int:
        return self.offset or self.apex

    @property
    def folder(self) -> int:
        return _FOLDERS[self.subject - 1]

    @property
    def video(self) -> str:
        return f"s{self.folder}/{self.folder}_{_VIDEOS[self.name.partition('_')[0]]}"


_CLIPS = (
    _Clip(1, "disgust2_2", "surprise", 88, 91, 97, "1+2", "disgust"),
    _Clip(1, "anger1_1", "negative", 557, 572, 608, "4+10+14+15", "anger", "macro-expression"),
    _Clip(1, "anger1_3", "negative", 995, 1000, 1004, "4+7", "anger"),
    _Clip(1, "disgust1_1", "others", 14, 18, 23, 38, "sadness"),
    _Clip(1, "happy1_1", "positive", 40, 44, 49, "6+12", "happiness"),
    _Clip(2, "happy5_12", "positive", 31, 35, 40, "12", "happiness"),
    _Clip(2, "happy5_13", "positive", 60, 66, 75, "6+12", "happiness", "macro-expression", False),
    _Clip(2, "anger2_1", "negative", 52, 61, 0, "4", "anger"),
    _Clip(2, "disgust1_2", "surprise", 95, 99, 104, "1+2+5", "disgust"),
    _Clip(9, "disgust1_1", "negative", 20, 25, 31, "9+10", "disgust", "macro-expression"),
    _Clip(10, "happy4_1", "positive", 22, 26, 31, "12", "happiness"),
    _Clip(10, "anger2_2", "negative", 18, 0, 27, "4+7", "anger"),
    _Clip(10, "disgust2_1", "others", 47, 51, 56, "14", "happiness"),
    _Clip(22, "happy3_2", "surprise", 35, 37, 40, "1+2", "surprise"),
    _Clip(22, "anger1_1", "negative", 29, 33, 38, "4+15", "sadness"),
    _Clip(22, "disgust1_1", "others", 12, 16, 21, "17", "disgust"),
    _Clip(22, "disgust1_2", "negative", 44, 48, 52, "9", "disgust"),
    _Clip(22, "happy2_1", "positive", 25, 30, 34, "6+12", "anger"),
)


LAYOUTS = {
    "cropped": dict(cropped="cropped"),
    "selectedpic": dict(
        selectedpic="selectedpic/selectedpic",
        sheet="CAS(ME)^2code_final(Updated).xlsx",
        first_sheet="CASMEcode_final",
    ),
    "rawpic": dict(rawpic="rawpic", sheet="code_final.xlsx"),
    "all": dict(cropped="cropped", selectedpic="selectedpic", rawpic="rawpic"),
}


def write(
    out: Path,
    cropped: str = "",
    selectedpic: str = "",
    rawpic: str = "",
    sheet: str = "CAS(ME)^2code_final.xlsx",
    first_sheet: str = "CASFEcode_final",
) -> None:
    """Writes the corpus into `out` in a layout.

    Args:
      cropped, selectedpic, rawpic: folders of the trees of frames; an empty one is left out.
    """
    drawn = dict(draw_clips(_CLIPS, _FIRST_FACE))
    for tree, prefix in ((cropped, ""), (selectedpic, "s")):
        for clip in _CLIPS:
            if tree and clip.has_folder:
                folder = out / tree / f"{prefix}{clip.folder}" / clip.name
                write_frames(folder, drawn[clip], drawn[clip].numbers, "img{}.jpg")
    if rawpic:
        _write_videos(out / rawpic, drawn)
    rows = [
        (clip.subject, clip.name, clip.first, clip.apex, clip.offset, clip.units, clip.emotion,
         clip.kind, clip.self_report)
        for clip in _CLIPS
    ]  # fmt: skip
    tables = {
        first_sheet: rows,
        "naming rule1": [(f, f"s{f}", number) for number, f in enumerate(_FOLDERS, start=1)],
        "naming rule2": [(video[:4], stimulus) for stimulus, video in _VIDEOS.items()],
    }
    write_workbook(out / sheet, tables)


def _write_videos(folder: Path, drawn: dict[_Clip, DrawnClip]) -> None:
    """Writes whole long videos, from their first frame on."""
    in_order = sorted(_CLIPS, key=lambda clip: (clip.video, clip.first))
    for video, clips in groupby(in_order, key=lambda clip: clip.video):
        begin = 1
        for clip in clips:
            end = clip.last + _AFTERWARDS + 1
            write_frames(folder / video, drawn[clip], range(begin, end), "img{:03d}.jpg")
            begin = end

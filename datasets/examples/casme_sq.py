"""CAS(ME)^2 in its official layouts.

`all` has the three trees of frames beside each other, the others one each. A long video of `rawpic`
ends shortly after its last annotated expression. Only the second row of the sheet (anger1_1 of
subject 1) and the two sheets of naming rules are as distributed; the rest is made up. The third
sheet lists the nine stimuli.
"""

import dataclasses
from itertools import groupby
from pathlib import Path

from datasets.examples.pictures import Film, write_frames
from datasets.examples.workbooks import write_workbook

_FIRST_FACE = 20
_AFTERWARDS = 5  # frames of a long video after its last expression

_FOLDERS = (
    15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40
)  # number of a folder, by the sheet's subject from 1  # fmt: skip
_STIMULI = {
    "disgust1": "0101disgustingteeth",
    "disgust2": "0102eatingworms",
    "anger1": "0401girlcrashing",
    "anger2": "0402beatingpregnantwoman",
    "happy1": "0502funnyerrors",
    "happy2": "0503unnyfarting",
    "happy3": "0505funnyinnovations",
    "happy4": "0507climbingthewall",
    "happy5": "0508funnydunkey",
}  # of a clip's name -> of a long video's folder


@dataclasses.dataclass(frozen=True)
class _Clip:
    subject: int
    name: str
    emotion: str
    onset: int
    apex: int
    offset: int  # as in the sheet; 0 where the apex is the end
    units: str | int
    told: str  # by the person
    kind: str = "micro-expression"
    has_clip: bool = True  # in `cropped` and `selectedpic`

    @property
    def folder(self) -> int:
        return _FOLDERS[self.subject - 1]

    @property
    def stimulus(self) -> str:
        return self.name.partition("_")[0]


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


@dataclasses.dataclass(frozen=True)
class _Layout:
    cropped: str = ""  # where each tree of frames lies; "" leaves it out
    selectedpic: str = ""
    rawpic: str = ""
    sheet: str = "CAS(ME)^2code_final.xlsx"
    first_sheet: str = "CASFEcode_final"


LAYOUTS = {
    "cropped": _Layout(cropped="cropped"),
    "selectedpic": _Layout(
        selectedpic="selectedpic/selectedpic",
        sheet="CAS(ME)^2code_final(Updated).xlsx",
        first_sheet="CASMEcode_final",
    ),
    "rawpic": _Layout(rawpic="rawpic", sheet="code_final.xlsx"),
    "all": _Layout("cropped", "selectedpic", "rawpic"),
}


def write(out: Path, layout: str) -> None:
    """Writes the corpus into `out`."""
    chosen = LAYOUTS[layout]
    films = _films()
    for tree, prefix in ((chosen.cropped, ""), (chosen.selectedpic, "s")):
        for clip, film in films.items() if tree else ():
            if clip.has_clip:
                folder = out / tree / f"{prefix}{clip.folder}" / clip.name
                write_frames(folder, film, film.numbers, "img{}.jpg")
    if chosen.rawpic:
        _write_videos(out / chosen.rawpic, films)
    rules = {
        "naming rule1": [[folder, f"s{folder}", number + 1]
                         for number, folder in enumerate(_FOLDERS)],
        "naming rule2": [[video[:4], stimulus] for stimulus, video in _STIMULI.items()],
    }  # fmt: skip
    write_workbook(out / chosen.sheet, {chosen.first_sheet: _rows()} | rules)


def _films() -> dict[_Clip, Film]:
    people = sorted({clip.subject for clip in _CLIPS})
    return {
        clip: Film(
            _FIRST_FACE + people.index(clip.subject),
            take,
            clip.emotion,
            clip.onset,
            clip.offset or clip.apex,
        )
        for take, clip in enumerate(_CLIPS)
    }


def _write_videos(folder: Path, films: dict[_Clip, Film]) -> None:
    """Whole long videos, from their first frame on."""

    def video(clip: _Clip) -> tuple[int, str]:
        return clip.folder, _STIMULI[clip.stimulus]

    for (number, name), clips in groupby(sorted(films, key=video), key=video):
        begun = 1
        for film in sorted((films[clip] for clip in clips), key=lambda film: film.first):
            end = film.last + _AFTERWARDS
            frames = range(begun, end + 1)
            write_frames(folder / f"s{number}" / f"{number}_{name}", film, frames, "img{:03d}.jpg")
            begun = end + 1


def _rows() -> list[list[int | str]]:
    return [
        [clip.subject, clip.name, clip.onset, clip.apex, clip.offset, clip.units, clip.emotion,
         clip.kind, clip.told]
        for clip in _CLIPS
    ]  # fmt: skip

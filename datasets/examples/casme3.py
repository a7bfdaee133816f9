"""CAS(ME)^3 Part A in its official layouts.

- A clip folder of the clip release has the onset of the sheet in its name, also where that cell is
  wrong.
- The long videos hold some frames round each clip, not all of the video.
- `extracted` counts the clips of a video from 1, in the order of the sheet, also where there is
  only one.
- Version 1 of the sheet differs from version 2 in the last row, which version 2 lost; what its two
  unnamed columns hold is not known.
- Action units, objective classes, and the frame numbers of clips without a known fault are made up.
"""

import dataclasses
from pathlib import Path

from datasets.examples.pictures import Film, write_depth, write_frames
from datasets.examples.workbooks import Table, write_workbook

_FIRST_FACE = 30
_AROUND = 4  # frames of a long video on either side of a clip
_HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion")


@dataclasses.dataclass(frozen=True)
class _Clip:
    subject: int
    name: str
    onset: int  # this and the next two as in the sheet
    apex: int
    offset: int
    units: str | int
    emotion: str
    first: int | None = None  # frame, where the onset is wrong
    last: int | None = None  # frame, where the offset is wrong
    missing: tuple[int, ...] = ()  # frames that no release holds
    only_v1: bool = False

    @property
    def video(self) -> str:
        return self.name.lower()


_CLIPS = (
    _Clip(1, "a", 355, 359, 364, "4+7", "disgust"),
    _Clip(1, "b", 166, 170, 175, "12", "happy"),
    _Clip(1, "b", 240, 246, 249, "1+2", "surprise"),
    _Clip(1, "c", 95, 99, 104, "4\uff0c7", "anger"),
    _Clip(14, "J", 40, 44, 49, "1+4", "fear"),
    _Clip(14, "J", 120, 125, 129, 15, "sad"),
    _Clip(14, "e", 77, 81, 86, "14", "Others", missing=(81,)),
    _Clip(40, "a", 12, 16, 21, "6+12", "happy", missing=(12, 13)),
    _Clip(40, "e", 1836, 1840, 0, "9", "disgust", last=1845),
    _Clip(40, "e", 2394, 2398, 0, "4", "anger", last=2403),
    _Clip(149, "d", 112, 83, 358, "L10", "others"),
    _Clip(149, "f", 60, 64, 69, "15+17", "sad"),
    _Clip(149, "g", 30, 30, 39, "5", "surprise"),
    _Clip(214, "c", 25, 29, 3460, "10", "disgust", last=34),
    _Clip(214, "h", 52, 54, 57, "20", "fear"),
    _Clip(216, "d", 3647, 2651, 2656, "1+2+5", "surprise", first=2647),
    _Clip(216, "e", 0, 0, 9, "9+10", "disgust", first=1),
    _Clip(216, "k", 305, 310, 316, "17", "others", missing=(307, 308, 313)),
    _Clip(151, "a", 200, 204, 209, "12", "happy", only_v1=True),
)


@dataclasses.dataclass(frozen=True)
class _Layout:
    frames_in: str
    kind: str  # clips, videos, or extracted
    sheet: str = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"


LAYOUTS = {
    "clips": _Layout("Part_A_ME_clip/Part_A_ME_clip", "clips"),
    "long": _Layout("part_A/data/part_A_split/part_A", "videos"),
    "long_v1": _Layout("part_A/data/part_A", "videos", "cas(me)3_part_A_ME_label_JpgIndex_v1.xls"),
    "extracted": _Layout("ME_A", "extracted"),
}
_FLAT_DEPTH = (1, "b")  # a video whose depth pictures lack their folder


def write(out: Path, layout: str) -> None:
    """Writes the corpus into `out`."""
    chosen = LAYOUTS[layout]
    is_v1 = chosen.sheet.endswith(".xls")
    clips = [clip for clip in _CLIPS if is_v1 or not clip.only_v1]
    write_clip = {"clips": _write_clip, "videos": _write_video, "extracted": _write_extracted}
    seen: list[tuple[int, str]] = []
    for take, clip in enumerate(clips):
        seen.append((clip.subject, clip.name))
        place = seen.count(seen[-1])  # within the video, from 1
        write_clip[chosen.kind](out / chosen.frames_in, clip, _film(clip, take), place)
    rows = _rows(clips)
    if is_v1:
        tables = {"Sheet1": [*rows[:1], *([*row, 0, 1] for row in rows[1:])]}
    else:
        tables = {"label": rows, "Sheet1": (), "Sheet3": ()}
    if chosen.kind == "clips":
        (out / chosen.frames_in / "video").mkdir()
    write_workbook(out / chosen.sheet, tables)


def _film(clip: _Clip, take: int) -> Film:
    people = list(dict.fromkeys(clip.subject for clip in _CLIPS))
    first = clip.onset if clip.first is None else clip.first
    last = clip.offset if clip.last is None else clip.last
    return Film(_FIRST_FACE + people.index(clip.subject), take, clip.emotion, first, last)


def _write_clip(root: Path, clip: _Clip, film: Film, place: int) -> None:
    name = f"spNo.{clip.subject}_{clip.video}_{clip.onset}"
    _write_frames(root / "frame" / name, clip, film, film.numbers)
    write_depth(root / "depth" / name, film.numbers)


def _write_video(root: Path, clip: _Clip, film: Film, place: int) -> None:
    video, numbers = root / f"spNO.{clip.subject}" / clip.video, film.around(_AROUND)
    _write_frames(video / "color", clip, film, numbers)
    is_flat = (clip.subject, clip.video) == _FLAT_DEPTH
    write_depth(video if is_flat else video / "depth", numbers)


def _write_extracted(root: Path, clip: _Clip, film: Film, place: int) -> None:
    folder = root / f"spNO.{clip.subject}" / f"{clip.video}{place}" / "color"
    _write_frames(folder, clip, film, film.numbers)


def _write_frames(folder: Path, clip: _Clip, film: Film, numbers: range) -> None:
    there = [number for number in numbers if number not in clip.missing]
    write_frames(folder, film, there, "{}.jpg")


def _rows(clips: list[_Clip]) -> Table:
    classes = {"happy": 1, "surprise": 2, "anger": 3, "disgust": 4, "fear": 5, "sad": 6}
    rows = [list(_HEADER)]
    for clip in clips:
        rows.append(
            [f"spNO.{clip.subject}", clip.name, clip.onset, clip.apex, clip.offset, clip.units,
             classes.get(clip.emotion, 7), clip.emotion]
        )  # fmt: skip
    return rows

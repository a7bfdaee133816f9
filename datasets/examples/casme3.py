"""CAS(ME)^3 Part A in its official layouts.

- A clip folder of the clip release has the onset of the sheet in its name, also where that cell is
  wrong.
- The long videos hold some frames round each clip, not all of the video.
- `extracted` counts the clips of a video from 1, in the order of the sheet, also a single one.
- Version 1 of the sheet has one more row than version 2, the last one, and two unnamed columns of
  unknown meaning.
- Invented are action units, objective classes, and the frame numbers of clips without a known
  fault.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from datasets.examples.writing import draw_clips, write_depth_maps, write_frames, write_workbook

_FIRST_FACE = 30
_AROUND = 4  # frames of a long video on either side of a clip
_HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion")
_OBJECTIVE_CLASSES = {"happy": 1, "surprise": 2, "anger": 3, "disgust": 4, "fear": 5, "sad": 6}


class _Clip(NamedTuple):
    subject: int
    name: str
    first: int
    apex: int
    last: int
    units: str | int
    emotion: str
    onset_cell: int | None = None  # where the onset in the sheet is wrong
    offset_cell: int | None = None  # where the offset in the sheet is wrong
    missing: tuple[int, ...] = ()  # frames that no release holds
    only_v1: bool = False


_CLIPS = (
    _Clip(1, "a", 355, 359, 364, "4+7", "disgust"),
    _Clip(1, "b", 166, 170, 175, "12", "happy"),
    _Clip(1, "b", 240, 246, 249, "1+2", "surprise"),
    _Clip(1, "c", 95, 99, 104, "4\uff0c7", "anger"),
    _Clip(14, "J", 40, 44, 49, "1+4", "fear"),
    _Clip(14, "J", 120, 125, 129, 15, "sad"),
    _Clip(14, "e", 77, 81, 86, "14", "Others", missing=(81,)),
    _Clip(40, "a", 12, 16, 21, "6+12", "happy", missing=(12, 13)),
    _Clip(40, "e", 1836, 1840, 1845, "9", "disgust", offset_cell=0),
    _Clip(40, "e", 2394, 2398, 2403, "4", "anger", offset_cell=0),
    _Clip(149, "d", 112, 83, 358, "L10", "others"),
    _Clip(149, "f", 60, 64, 69, "15+17", "sad"),
    _Clip(149, "g", 30, 30, 39, "5", "surprise"),
    _Clip(214, "c", 25, 29, 34, "10", "disgust", offset_cell=3460),
    _Clip(214, "h", 52, 54, 57, "20", "fear"),
    _Clip(216, "d", 2647, 2651, 2656, "1+2+5", "surprise", onset_cell=3647),
    _Clip(216, "e", 1, 0, 9, "9+10", "disgust", onset_cell=0),
    _Clip(216, "k", 305, 310, 316, "17", "others", missing=(307, 308, 313)),
    _Clip(151, "a", 200, 204, 209, "12", "happy", only_v1=True),
)
_FLAT_DEPTH = (1, "b")  # a video whose depth maps lack their folder


LAYOUTS = {
    "clips": dict(frames_in="Part_A_ME_clip/Part_A_ME_clip", kind="clips"),
    "long": dict(frames_in="part_A/data/part_A_split/part_A", kind="videos"),
    "long_v1": dict(frames_in="part_A/data/part_A", kind="videos", is_v1=True),
    "extracted": dict(frames_in="ME_A", kind="extracted"),
}


def write(out: Path, frames_in: str, kind: str, is_v1: bool = False) -> None:
    """Writes the corpus into `out` in a layout; `is_v1` chooses the version of the sheet."""
    root, rows, counts = out / frames_in, [_HEADER], Counter()
    clips = [clip for clip in _CLIPS if is_v1 or not clip.only_v1]
    for clip, drawn in draw_clips(clips, _FIRST_FACE):
        counts[clip.subject, clip.name] += 1
        onset = clip.first if clip.onset_cell is None else clip.onset_cell
        offset = clip.last if clip.offset_cell is None else clip.offset_cell
        video = root / f"spNO.{clip.subject}" / clip.name.lower()
        numbers = drawn.around(_AROUND) if kind == "videos" else drawn.numbers
        if kind == "clips":
            name = f"spNo.{clip.subject}_{clip.name.lower()}_{onset}"
            colour, depth = root / "frame" / name, root / "depth" / name
        elif kind == "videos":
            is_flat = (clip.subject, clip.name) == _FLAT_DEPTH
            colour, depth = video / "color", video if is_flat else video / "depth"
        else:
            colour, depth = Path(f"{video}{counts[clip.subject, clip.name]}", "color"), None
        write_frames(colour, drawn, [n for n in numbers if n not in clip.missing], "{}.jpg")
        if depth is not None:
            write_depth_maps(depth, numbers)
        unnamed = (0, 1) if is_v1 else ()
        rows.append(
            (f"spNO.{clip.subject}", clip.name, onset, clip.apex, offset, clip.units,
             _OBJECTIVE_CLASSES.get(clip.emotion, 7), clip.emotion, *unnamed)
        )  # fmt: skip
    if kind == "clips":
        (root / "video").mkdir()
    tables = {"Sheet1": rows} if is_v1 else {"label": rows, "Sheet1": (), "Sheet3": ()}
    version = "v1.xls" if is_v1 else "v2.xlsx"
    write_workbook(out / f"cas(me)3_part_A_ME_label_JpgIndex_{version}", tables)

"""SMIC-HS in its official layouts.

- SMIC-E has a row and a folder for a recording. One here holds two micro-expressions; in the
  packages of clips the second is a clip of its own, with the next free number.
- Columns 5 to 8 hold further pairs of onset and offset. One sheet of SMIC-E names these columns;
  the other does not, and writes the file names without the folders' zero.
- The package `all_raw` and `long` also hold recordings of another camera, which are not part of the
  corpus; in `long` they have their own sheet.
- Invented are all frame numbers but two, the names in `non_micro`, and the text below the rows.
"""

from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from datasets.examples.writing import DrawnClip, draw_clips, write_frames, write_workbook

_FIRST_FACE = 40
_FRAMES = 10  # of every clip
_AROUND = 4  # neutral frames on either side of a recording
_CLASSES = {"ne": "negative", "po": "positive", "sur": "surprise"}


class _Clip(NamedTuple):
    subject: int
    short: str  # of the class
    number: int
    first: int
    recording: int = 0  # number of the clip that shares its recording

    @property
    def last(self) -> int:
        return self.first + _FRAMES - 1

    @property
    def emotion(self) -> str:
        return _CLASSES[self.short]

    @property
    def name(self) -> str:
        return f"s{self.subject}_{self.short}_{self.number:02d}"

    @property
    def padded_name(self) -> str:
        return f"s{self.subject:02d}_{self.short}_{self.number:02d}"


_CLIPS = (
    _Clip(1, "ne", 1, 34208),
    _Clip(1, "po", 1, 559740),
    _Clip(1, "sur", 1, 99995),
    _Clip(3, "ne", 1, 612040),
    _Clip(3, "ne", 2, 614300),
    _Clip(3, "ne", 3, 612066, recording=1),
    _Clip(3, "po", 1, 999995),
    _Clip(3, "sur", 1, 1203377),
    _Clip(8, "ne", 1, 8801200),
    _Clip(8, "po", 1, 8803115),
    _Clip(8, "sur", 1, 8804462),
    _Clip(20, "ne", 1, 32615570),
    _Clip(20, "po", 1, 32617004),
    _Clip(20, "sur", 1, 32618821),
)
_OTHER_CAMERA = _Clip(20, "ne", 1, 101)
_WITH_TEXT = "s8_po_01"  # its cell of FirstF
_NOTES: list[list[Any]] = [
    [],
    [None, "Recordings with more than one micro-expression have several onsets."],
    ["Frame numbers are those of the camera."],
]


_LONG, _LONG_2019 = "SMIC-E_raw image/HS_long", "SMIC-E_raw_image/HS_long"

LAYOUTS = {
    "all_raw": dict(
        frames_in="SMIC_all_raw/HS", file="image{:06d}.bmp", others_in="SMIC_all_raw/VIS"
    ),
    "all_cropped": dict(frames_in="SMIC_all_cropped/HS", file="reg_image{:06d}.bmp"),
    "long": dict(
        frames_in=f"{_LONG}/SMIC-HS-E",
        sheet=f"{_LONG}/SMIC-HS-E_annotation.xlsx",
        others_in="SMIC-E_raw image/VIS_long/SMIC-VIS-E",
    ),
    "long_2019": dict(
        frames_in=f"{_LONG_2019}/SMIC-HS-E/HS",
        sheet=f"{_LONG_2019}/SMIC-HS-E_annotation_2019.xlsx",
        is_2019=True,
    ),
}


def write(
    out: Path,
    frames_in: str,
    file: str = "image{:06d}.jpg",
    sheet: str = "",
    is_2019: bool = False,
    others_in: str = "",
) -> None:
    """Writes the corpus into `out` in a layout.

    Args:
      sheet: of recordings; without one, clips are written into folders by class.
      is_2019: whether the sheet is the one of 2019.
      others_in: folder of another camera's frames.
    """
    drawn = dict(draw_clips((*_CLIPS, _OTHER_CAMERA), _FIRST_FACE))
    other = {_OTHER_CAMERA: drawn.pop(_OTHER_CAMERA)}
    if not sheet:
        _write_clips(out / frames_in, drawn, file)
        if others_in:
            _write_clip(out / others_in, _OTHER_CAMERA, other[_OTHER_CAMERA], file)
        return
    recordings: dict[Any, Any] = {}  # (subject, class, number) -> clips in the order of time
    for clip in _CLIPS:
        key = clip.subject, clip.short, clip.recording or clip.number
        recordings.setdefault(key, {})[clip] = drawn[clip]
    for recording in recordings.values():
        _write_recording(out / frames_in, recording, file)
    rows = [_row(recording, is_2019) for recording in recordings.values()]
    write_workbook(out / sheet, {"HS": [_header(is_2019), *rows, *_NOTES]})
    if others_in:
        _write_recording(out / others_in, other, file)
        other_sheet = out / Path(others_in).parent / "SMIC-VIS-E_annotation.xlsx"
        write_workbook(other_sheet, {"VIS": [_header(is_2019), _row(other, is_2019)]})


def _write_clip(root: Path, clip: _Clip, drawn: DrawnClip, file: str) -> None:
    folder = root / f"s{clip.subject}" / "micro" / clip.emotion / clip.name
    write_frames(folder, drawn, drawn.numbers, file)


def _write_clips(root: Path, drawn_clips: dict[_Clip, DrawnClip], file: str) -> None:
    """Writes a package of clips: a folder for each, in one for its class."""
    for clip, drawn in drawn_clips.items():
        _write_clip(root, clip, drawn, file)
        if (clip.short, clip.number) == ("ne", 1):
            rest = root / f"s{clip.subject}" / "non_micro" / f"s{clip.subject}_non_micro_01"
            write_frames(rest, drawn, range(clip.first - 9, clip.first - 1), file)


def _write_recording(root: Path, recording: dict[_Clip, DrawnClip], file: str) -> None:
    clips = list(recording)
    folder = root / f"s{clips[0].subject:02d}" / clips[0].padded_name
    begin = clips[0].first - _AROUND
    for clip, drawn in recording.items():
        end = clip.last + 1 + (_AROUND if clip is clips[-1] else 0)
        write_frames(folder, drawn, range(begin, end), file)
        begin = end


def _header(is_2019: bool) -> list[str | None]:
    pairs = [None] * 4 if is_2019 else ["Onset2F", "Offset2F", "Onset3F", "Offset3F"]
    totals = ["TotalMF1", "TotalMF2", "TotalMF3", "TotalVL"]
    return ["Subject", "Filename", "OnsetF", "OffsetF", *pairs, "FirstF", "LastF", *totals,
            "Emotion"]  # fmt: skip


def _row(recording: dict[_Clip, DrawnClip], is_2019: bool) -> list[int | str | None]:
    clips, no_pair = list(recording), [None] * (3 - len(recording))
    clip, first, last = clips[0], clips[0].first - _AROUND, clips[-1].last + _AROUND
    return [
        clip.subject,
        clip.name if is_2019 else clip.padded_name,
        *chain(*((each.first, each.last) for each in clips)), *no_pair, *no_pair,
        "see video" if clip.name == _WITH_TEXT else first,
        last,
        *[_FRAMES] * len(clips), *no_pair,
        last - first + 1,
        clip.emotion,
    ]  # fmt: skip

"""SMIC-HS in its official layouts.

- SMIC-E has a row and a folder for a recording; one here holds two micro-expressions, the second
  of which is a clip of its own, with the next free number, in the packages of clips.
- The pairs of onset and offset after the first, in columns 5 to 8, are named in one of SMIC-E's
  sheets and not in the other, which also writes the file names without the folders' zero.
- The package `all_raw` has recordings of another camera beside HS, and so has `long`, with a sheet
  of their own; they are not part of the corpus.
- Frame numbers but two, the names in `non_micro`, and the text below the rows are made up.
"""

import dataclasses
from itertools import chain
from pathlib import Path

from datasets.examples.pictures import Film, write_frames
from datasets.examples.workbooks import Table, write_workbook

_FIRST_FACE = 40
_FRAMES = 10  # of every clip
_AROUND = 4  # neutral frames on either side of a recording
_CLASSES = {"ne": "negative", "po": "positive", "sur": "surprise"}


@dataclasses.dataclass(frozen=True)
class _Clip:
    subject: int
    short: str  # of the class
    number: int
    onset: int
    recording: int | None = None  # number of the one that holds it, where that is another's

    @property
    def emotion(self) -> str:
        return _CLASSES[self.short]

    @property
    def name(self) -> str:
        return f"s{self.subject}_{self.short}_{self.number:02d}"


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
_WITH_TEXT = "s8_po_01"  # its cell of FirstF
_OTHER_CAMERA = _Clip(20, "ne", 1, 101)


@dataclasses.dataclass(frozen=True)
class _Layout:
    frames_in: str
    file: str
    sheet: str = ""  # "" has none, and clips by class
    names_pairs: bool = True
    pads_names: bool = True  # in the sheet
    others_in: str = ""  # where another camera's frames lie


LAYOUTS = {
    "all_raw": _Layout("SMIC_all_raw/HS", "image{:06d}.bmp", others_in="SMIC_all_raw/VIS"),
    "all_cropped": _Layout("SMIC_all_cropped/HS", "reg_image{:06d}.bmp"),
    "long": _Layout(
        "SMIC-E_raw image/HS_long/SMIC-HS-E",
        "image{:06d}.jpg",
        "SMIC-E_raw image/HS_long/SMIC-HS-E_annotation.xlsx",
        others_in="SMIC-E_raw image/VIS_long/SMIC-VIS-E",
    ),
    "long_2019": _Layout(
        "SMIC-E_raw_image/HS_long/SMIC-HS-E/HS",
        "image{:06d}.jpg",
        "SMIC-E_raw_image/HS_long/SMIC-HS-E_annotation_2019.xlsx",
        names_pairs=False,
        pads_names=False,
    ),
}


def write(out: Path, layout: str) -> None:
    """Writes the corpus into `out`."""
    chosen = LAYOUTS[layout]
    if not chosen.sheet:
        _write_clips(out, chosen)
        return
    for films in _recordings().values():
        _write_recording(out / chosen.frames_in, films, chosen.file)
    write_workbook(out / chosen.sheet, {"HS": _rows(chosen)})
    if chosen.others_in:
        other = {_OTHER_CAMERA: _film(_OTHER_CAMERA, len(_CLIPS))}
        _write_recording(out / chosen.others_in, other, chosen.file)
        rows = [_header(chosen), _row(other, chosen)]
        sheet = Path(chosen.others_in).parent / "SMIC-VIS-E_annotation.xlsx"
        write_workbook(out / sheet, {"VIS": rows})


def _film(clip: _Clip, take: int) -> Film:
    people = sorted({clip.subject for clip in _CLIPS})
    person = _FIRST_FACE + people.index(clip.subject)
    return Film(person, take, clip.emotion, clip.onset, clip.onset + _FRAMES - 1)


def _recordings() -> dict[tuple[int, str, int], dict[_Clip, Film]]:
    """(subject, class, number) of a recording -> its clips in the order of time."""
    found: dict[tuple[int, str, int], dict[_Clip, Film]] = {}
    for take, clip in enumerate(_CLIPS):
        key = clip.subject, clip.short, clip.recording or clip.number
        found.setdefault(key, {})[clip] = _film(clip, take)
    return found


def _write_clips(out: Path, layout: _Layout) -> None:
    """The packages of clips: a folder for each, in one for its class."""

    def write_clip(root: Path, clip: _Clip, film: Film) -> None:
        folder = root / f"s{clip.subject}" / "micro" / clip.emotion / clip.name
        write_frames(folder, film, film.numbers, layout.file)

    root = out / layout.frames_in
    for take, clip in enumerate(_CLIPS):
        film = _film(clip, take)
        write_clip(root, clip, film)
        if (clip.short, clip.number) == ("ne", 1):
            rest = root / f"s{clip.subject}" / "non_micro" / f"s{clip.subject}_non_micro_01"
            write_frames(rest, film, range(film.first - 9, film.first - 1), layout.file)
    if layout.others_in:
        film = _film(_OTHER_CAMERA, len(_CLIPS))
        write_clip(out / layout.others_in, _OTHER_CAMERA, film)


def _write_recording(root: Path, films: dict[_Clip, Film], file: str) -> None:
    clip, last = next(iter(films)), list(films.values())[-1]
    folder = root / f"s{clip.subject:02d}" / _padded(clip)
    begun = clip.onset - _AROUND
    for film in films.values():
        end = film.last + (_AROUND if film is last else 0)
        write_frames(folder, film, range(begun, end + 1), file)
        begun = end + 1


def _padded(clip: _Clip) -> str:
    return f"s{clip.subject:02d}_{clip.short}_{clip.number:02d}"


def _rows(layout: _Layout) -> Table:
    rows = [_header(layout)]
    rows += [_row(films, layout) for films in _recordings().values()]
    rows += [
        [],
        [None, "Recordings with more than one micro-expression have several onsets."],
        ["Frame numbers are those of the camera."],
    ]
    return rows


def _header(layout: _Layout) -> list[str | None]:
    pairs = ["Onset2F", "Offset2F", "Onset3F", "Offset3F"] if layout.names_pairs else [None] * 4
    totals = ["TotalMF1", "TotalMF2", "TotalMF3", "TotalVL"]
    return ["Subject", "Filename", "OnsetF", "OffsetF", *pairs, "FirstF", "LastF", *totals,
            "Emotion"]  # fmt: skip


def _row(films: dict[_Clip, Film], layout: _Layout) -> list[int | str | None]:
    clip, nothing = next(iter(films)), [None] * (3 - len(films))
    pairs = [(film.first, film.last) for film in films.values()]
    first, last = pairs[0][0] - _AROUND, pairs[-1][1] + _AROUND
    return [
        clip.subject,
        _padded(clip) if layout.pads_names else clip.name,
        *chain(*pairs), *nothing, *nothing,
        "see video" if clip.name == _WITH_TEXT else first,
        last,
        *[len(film.numbers) for film in films.values()], *nothing,
        last - first + 1,
        clip.emotion,
    ]  # fmt: skip

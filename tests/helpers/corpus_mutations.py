"""Random damage to tiny corpora: cells of their sheets, files and folders of their trees.

`python -m tests.helpers.corpus_mutations --count=500 [--first=0]` runs cases and prints how each
ends; a case that breaks a promise stops it, with the number of the case.
"""

import argparse
import contextlib
import dataclasses
import datetime
import os
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import openpyxl

from datasets.build import build_corpus
from datasets.doctor import diagnose
from datasets.errors import UserError
from datasets.example import LAYOUTS, write_example
from datasets.faces import FaceLandmarker
from datasets.image_corpus import get_image_corpus, read_annotations
from datasets.options import BuildOptions
from datasets.reading import open_corpus
from datasets.spreadsheet import as_text, read_workbook
from datasets.survey import survey

ONE_PROCESS = BuildOptions(workers=1)
PICTURES = {".jpg", ".bmp", ".png"}
ODD_CELLS = (
    "abc", "", -5, 3.7, 10**12, "12a", "/", "None", True, "nan", "inf", "1e3", "  ", "others",
    datetime.datetime(2014, 5, 8), "\N{FULLWIDTH COMMA}", "=A1", "0",
)  # fmt: skip


# --- sheets


@contextlib.contextmanager
def first_table(sheet: Path):
    """The first table of a workbook, which is saved with what is changed in it."""
    book = openpyxl.load_workbook(sheet)
    yield book.worksheets[0]
    book.save(sheet)


def _change_cells(sheet: Path, mutate, rng: random.Random) -> str:
    with first_table(sheet) as table:
        cells = [cell for row in table.iter_rows() for cell in row if cell.value is not None]
        return mutate(table, cells, rng)


def _delete_cell(table, cells, rng):
    cell = rng.choice(cells)
    cell.value = None
    return f"deleted {cell.coordinate}"


def _retype_cell(table, cells, rng):
    cell = rng.choice(cells)
    cell.value = rng.choice(ODD_CELLS)
    return f"{cell.coordinate} becomes {cell.value!r}"


def _swap_cells(table, cells, rng):
    one, other = rng.sample(cells, 2)
    one.value, other.value = other.value, one.value
    return f"swapped {one.coordinate} and {other.coordinate}"


def _swap_in_column(table, cells, rng):
    one = rng.choice(cells)
    other = rng.choice([cell for cell in cells if cell.column == one.column])
    one.value, other.value = other.value, one.value
    return f"swapped {one.coordinate} and {other.coordinate}"


def _insert_column(table, cells, rng):
    place = rng.randrange(1, table.max_column + 2)
    table.insert_cols(place)
    return f"inserted column {place}"


def _copy_sheet(sheet: Path, rng: random.Random) -> str:
    name = rng.choice(("copy of ", "2019 ", "")) + sheet.name
    copy = sheet.with_name(name) if name != sheet.name else sheet.parent / "more" / name
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(sheet, copy)
    changed = rng.random() < 0.5 and _change_cells(copy, _retype_cell, rng)
    return f"sheet copied to {name}{f', where {changed}' if changed else ''}"


def _spoil_sheet(sheet: Path, rng: random.Random) -> str:
    content = sheet.read_bytes()
    how = rng.choice(("cut", "empty", "text", "gone", "flipped"))
    match how:
        case "cut":
            sheet.write_bytes(content[: rng.randrange(len(content))])
        case "empty":
            sheet.write_bytes(b"")
        case "text":
            sheet.write_text("Subject,Filename\n1,2\n")
        case "gone":
            sheet.unlink()
        case "flipped":
            place = rng.randrange(len(content))
            flipped = bytes([content[place] ^ 0xFF])
            sheet.write_bytes(content[:place] + flipped + content[place + 1 :])
    return f"sheet {how}"


# --- trees


def _spoil_frame(path: Path, rng: random.Random) -> str:
    content = path.read_bytes()
    how = rng.choice(("removed", "cut", "empty", "text", "renumbered", "unnumbered", "other suffix",
                      "doubled", "resized", "folder"))  # fmt: skip
    path.unlink()
    match how:
        case "cut":
            path.write_bytes(content[: rng.randrange(len(content))])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("no picture")
        case "renumbered":
            path.with_name(f"img{rng.randrange(10**6)}{path.suffix}").write_bytes(content)
        case "unnumbered":
            path.with_name(f"img{path.suffix}").write_bytes(content)
        case "other suffix":
            path.with_suffix(".txt").write_bytes(content)
        case "doubled":
            path.write_bytes(content)
            path.with_name(f"copy_{path.name}").write_bytes(content)
        case "resized":
            path.write_bytes(content)
            cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (50, 40)))
        case "folder":
            path.mkdir()
    return f"{how}: {path.name} in {path.parent.name}"


def _spoil_folder(folder: Path, rng: random.Random) -> str:
    how = rng.choice(("removed", "renamed", "emptied", "file", "upper case"))
    match how:
        case "removed":
            shutil.rmtree(folder)
        case "renamed":
            folder.rename(folder.with_name(f"{folder.name}x"))
        case "emptied":
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        case "file":
            shutil.rmtree(folder)
            folder.write_text("a file")
        case "upper case":
            folder.rename(folder.with_name(folder.name.upper()))
    return f"folder {how}: {folder.name}"


def _put_beside(folder: Path, rng: random.Random) -> str:
    """A second tree, or a stray person's folder, beside what is there."""
    tops = sorted(path for path in folder.iterdir() if path.is_dir())
    people = [path for path in folder.rglob("*") if path.is_dir()
              and re.fullmatch(r"(s|sub|spn[oO]\.|spNO\.)?\d+", path.name)]  # fmt: skip
    if not (tops and people):
        return "nothing"
    if rng.random() < 0.5:
        top = rng.choice(tops)
        name = rng.choice((f"{top.name} copy", "cropped", "other", "zz_raw"))
        if (folder / name).exists():
            return "nothing"
        shutil.copytree(top, folder / name)
        return f"{TREE_COPIED} {top.name} to {name}"
    person = rng.choice(people)
    if (folder / person.name).exists():
        return "nothing"
    shutil.copytree(person, folder / person.name)
    return f"stray {person.name}"


TREE_COPIED = "tree copied:"


def spoil(folder: Path, rng: random.Random) -> str:
    """One change at random somewhere in a corpus; returns what it was."""
    sheets = sorted(folder.rglob("*.xlsx"))
    on_sheet = [_delete_cell, _retype_cell, _swap_cells, _swap_in_column, _retype_cell,
                _insert_column]  # fmt: skip
    kind = rng.choice(["cell"] * 6 + ["sheet", "sheet copy"] + ["frame"] * 4 + ["folder"] * 2
                      + ["beside"] * 2)  # fmt: skip
    if kind == "cell" and sheets:
        try:
            return _change_cells(sheets[0], rng.choice(on_sheet), rng)
        except Exception:  # spoilt before so that it cannot be opened
            return "nothing"
    if kind == "sheet" and sheets:
        return _spoil_sheet(sheets[0], rng)
    if kind == "sheet copy" and sheets:
        try:
            return _copy_sheet(sheets[0], rng)
        except Exception:  # as above
            return "nothing"
    if kind == "beside":
        return _put_beside(folder, rng)
    inside = sorted(folder.rglob("*"))
    if kind == "folder":
        folders = [path for path in inside if path.is_dir()]
        return _spoil_folder(rng.choice(folders), rng) if folders else "nothing"
    frames = [path for path in inside if path.suffix in PICTURES and path.is_file()]
    return _spoil_frame(rng.choice(frames), rng) if frames else "nothing"


# --- what every case must end in


class BrokenPromiseError(AssertionError):
    """A case that ended in neither a build nor a clear sentence, or that lost a clip silently."""


@dataclasses.dataclass(frozen=True)
class Whole:
    """A clip of the example as it was written.

    Attributes:
      span: frames, onset and offset.
      folder: that holds it.
      files: name and size of every file in the folder.
      header, cells: of the sheet and the clip's row, those that hold something; empty where there
        are none.
    """

    span: tuple[int, int, int]
    folder: Path
    files: frozenset
    header: tuple
    cells: tuple


def remember_whole(name: str, folder: Path) -> dict[tuple[str, str], Whole]:
    """Every clip of an example that was not spoilt yet, by (subject, clip)."""
    found = survey(get_image_corpus(name), folder, ONE_PROCESS.resolved(name))
    rows = {(row.subject, row.clip): row.line for row in found.annotations.rows}
    table = _cells(found.annotations.sheet)
    return {
        (clip.subject, clip.clip): Whole(
            (len(clip.files), clip.row.onset, clip.row.offset),
            clip.files[0].parent,
            _files(clip.files[0].parent),
            next((row for row in table if "Subject" in row), ()),
            table[rows[clip.subject, clip.clip] - 1] if table else (),
        )
        for clip in found.clips
    }


def _cells(sheet: Path | None) -> list[tuple]:
    """The rows of a sheet, of each the cells that hold something."""
    if sheet is None:
        return []
    return [tuple(filter(None, map(as_text, row))) for row in read_workbook(sheet)[0]]


def _files(folder: Path) -> frozenset:
    if not folder.is_dir():
        return frozenset()
    return frozenset((path.name, path.stat().st_size) for path in folder.iterdir())


def check_untouched(name: str, folder: Path, corpus, whole: dict, changes: str) -> None:
    """Raises BrokenPromiseError where a clip has changed that was not touched."""
    found = survey(get_image_corpus(name), folder, ONE_PROCESS.resolved(name))
    rows = _cells(found.annotations.sheet)
    used = {(clip.subject, clip.clip): clip.files[0].parent for clip in found.clips}
    built = {(clip["subject"], clip["clip"]): clip for clip in corpus}
    for key, was in whole.items():
        folders = [was.folder]
        if TREE_COPIED in changes or "stray" in changes:  # the other one may have been chosen
            folders.append(used.get(key, was.folder))
        if not {was.cells, was.header} - {()} <= set(rows):  # another header, other columns
            continue
        if any(_files(place) != was.files for place in folders):
            continue
        clip = built.get(key)
        now = clip and (len(clip["frames"]), clip["onset"], clip["offset"])
        if now != was.span:
            raise BrokenPromiseError(f"{key} was not touched, but {was.span} became {now}")


def judge(name: str, folder: Path, data_dir: Path, whole: dict, changes: str) -> str:
    """Doctor and build of a spoilt corpus; returns `built` or the sentence that both give.

    Args:
      name: of the corpus.
      folder: that holds it.
      data_dir: to build into.
      whole: its clips before they were spoilt.
      changes: what was spoilt.

    Raises:
      BrokenPromiseError: they disagree, a sentence is none, or a clip was lost silently.
    """
    found = refused = None
    try:
        found = diagnose(get_image_corpus(name), folder, ONE_PROCESS.resolved(name))
    except UserError as error:
        refused = str(error)
    try:
        build_corpus(name, data_dir, folder, ONE_PROCESS, overwrite=True)
    except UserError as error:
        sentence = str(error)
        if len(sentence) < 20 or "\n" in sentence or "Traceback" in sentence:
            raise BrokenPromiseError(f"no sentence: {sentence!r}") from error
        if found is not None and found.is_sound:
            raise BrokenPromiseError(f"the doctor finds nothing, the build: {sentence}") from error
        return sentence
    if refused or not found.is_sound:
        raise BrokenPromiseError(f"built although the doctor says: {refused or found.problems}")
    corpus = open_corpus(name, data_dir)
    annotations = read_annotations(name, folder)
    notes = [note for note in annotations.notes if "was taken for a note" in note]
    rows = len(annotations.rows)
    if not len(corpus) == rows == found.clips:
        raise BrokenPromiseError(f"{len(corpus)} clips of {rows} rows, doctor {found.clips}")
    if rows + len(notes) < len(whole) and name != "smic":  # a missing folder leaves no trace
        raise BrokenPromiseError(f"{rows} rows, {len(notes)} notes where there were {len(whole)}")
    check_untouched(name, folder, corpus, whole, changes)
    return "built"


def run_case(number: int, folder: Path) -> tuple[str, str, str]:
    """Case `number`: which corpus, what was spoilt, and what it ended in."""
    rng = random.Random(number)
    name = rng.choice(sorted(LAYOUTS))
    layout = rng.choice([layout for layout in LAYOUTS[name] if layout not in _LEFT_OUT])
    corpus = write_example(name, folder / "corpus", layout)
    whole = remember_whole(name, corpus)
    changes = "; ".join(spoil(corpus, rng) for _ in range(rng.choice((1, 1, 1, 2, 3))))
    return f"{name} {layout}", changes, judge(name, corpus, folder / "data", whole, changes)


# openpyxl, which changes the cells, writes no .xls; one has more rows.
_LEFT_OUT = {"raw_long", "long_v1", "cropped_updated"}


def remember_faces(set_attribute=setattr) -> None:
    """Looks for the face of equal frames once in this process: that is not what is tried here."""
    find, known = FaceLandmarker.find, {}

    def remembering(self, frame):
        key = (frame.shape, frame.tobytes())
        if key not in known:
            known[key] = find(self, frame)
        return known[key]

    set_attribute(FaceLandmarker, "find", remembering)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    remember_faces()
    ends = Counter()
    for number in range(options.first, options.first + options.count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                with open(os.devnull, "w") as nothing:
                    before, sys.stderr = sys.stderr, nothing
                    try:
                        where, changes, end = run_case(number, Path(folder))
                    finally:
                        sys.stderr = before
            except Exception as error:
                print(f"{number}: {type(error).__name__}: {error}", flush=True)
                ends["BROKEN"] += 1
                continue
        ends["built" if end == "built" else "sentence"] += 1
        print(f"{number}: {where}: {changes} -> {end.replace(folder, '')[:160]}", flush=True)
    print(dict(ends))
    if ends["BROKEN"]:
        sys.exit(1)


if __name__ == "__main__":
    main()

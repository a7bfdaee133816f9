"""SMIC, its HS part: folders without a sheet, or SMIC-E's long clips with one.

`SMIC_all_raw/HS/s1/micro/negative/s1_ne_01/image034208.bmp` (or `SMIC_all_cropped`, `reg_image`)
tells the emotion by the folder, onset and offset by the first and last frame.
`SMIC-E_raw image/HS_long/SMIC-HS-E/s01/s01_ne_01/image034208.jpg` has neutral frames around and
`SMIC-HS-E_annotation.xlsx`, some of whose rows hold two or three micro-expressions. No apex is
known but where a copy of the sheet has a column for it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from datasets.errors import UserError
from datasets.filmed import FilmedCorpus
from datasets.frames import index_frames
from datasets.rows import Annotations, Row, finish
from datasets.sheets import Line, Table, find_workbooks, integer, read_lines, text
from datasets.trees import Tree, find_roots

_COLUMNS = ("Subject", "Filename", "OnsetF", "OffsetF", "Emotion")
_NAME = re.compile(r"s(\d+)_([a-z]+)_(\d+)")  # of a clip: person, emotion, count
_MORE = 4  # columns after OffsetF: a second and a third onset and offset


class Smic(FilmedCorpus):
    """How SMIC names things."""

    name = "smic"
    title = "SMIC (HS)"
    fps = 100.0
    emotions = ("negative", "positive", "surprise")
    sheet_name = "SMIC-HS-E_annotation.xlsx"
    columns = {}  # noqa: RUF012 (read by place too)
    people = re.compile(r"s0*(\d{1,2})")
    person = "s{:02d}"
    avoid = ("vis", "nir", "vis_long", "nir_long", "smic-vis-e", "smic-nir-e")
    preference = ("all_raw", "raw", "crop")

    def sheet_rank(self, path: Path) -> int | None:
        """SMIC-E's annotation of HS, a later one first."""
        name = path.name.lower()
        if "annotation" not in name or "vis" in name or "nir" in name:
            return None
        return 0 if "2019" in name else 1

    def find_sheet(
        self, manual_dir: Path, label_version: str | None = None, frames_in: str | None = None
    ) -> Path | None:
        """SMIC-E's sheet where its clips are used; None where the folders tell."""
        tree = Tree()
        root = self._root_or_none(tree, manual_dir, frames_in)
        return None if root and _tells_by_folders(tree, root) else super().find_sheet(manual_dir)

    def annotations(
        self, manual_dir: Path, label_version: str | None = None, frames_in: str | None = None
    ) -> Annotations:
        """What the folders or the sheet tell."""
        tree = Tree()
        root = self._root_or_none(tree, manual_dir, frames_in)
        if root and _tells_by_folders(tree, root):
            read = self._read_folders(tree, root)
        else:
            read = self.read(super().find_sheet(manual_dir))
        return finish(read, self.emotions, ())

    def _root_or_none(self, tree: Tree, manual_dir: Path, frames_in: str | None) -> Path | None:
        """None where only a sheet is there, which can be judged without frames."""
        if not find_roots(tree, manual_dir, self.people, self.avoid) and find_workbooks(manual_dir):
            return None
        return self.root(tree, manual_dir, frames_in)[0]

    def _read_folders(self, tree: Tree, root: Path) -> Annotations:
        """One row for each clip folder below `micro/<emotion>`."""
        rows, problems = [], []
        for name, person in tree.folders(root).items():
            if not self.people.fullmatch(name):
                continue
            micro = tree.find(person, "micro")
            if micro is None:
                problems.append(f"{person} has no folder 'micro'; copy it from the corpus again.")
                continue
            clips = [
                (emotion, clip)
                for emotion, folder in tree.folders(micro).items()
                for clip in tree.folders(folder).values()
            ]
            for emotion, clip in clips:
                try:
                    numbers = list(index_frames(clip))
                except UserError as error:
                    problems.append(str(error))
                    continue
                if not numbers:
                    problems.append(f"the folder {clip} holds no frames; copy it again.")
                    continue
                subject = self.person.format(self.number(name))
                rows.append(
                    Row(subject, _clip_name(clip.name), clip.name, emotion, numbers[0], None,
                        numbers[-1])
                )  # fmt: skip
        return Annotations(None, "SMIC_all", tuple(rows), tuple(problems))

    def read(self, sheet: Path) -> Annotations:
        """Every onset and offset of SMIC-E's sheet."""
        table = read_lines(sheet, _COLUMNS, ("ApexF",))
        rows, problems = [], []
        for line in table.lines:
            number, filename = (
                self.number(text(line.cells["Subject"])),
                text(line.cells["Filename"]),
            )
            if number is None or not filename:
                problems.append(
                    f"row {line.number} of {sheet.name} names no person and clip "
                    f"('{text(line.cells['Subject'])}', '{filename}'); mend the cells."
                )
                continue
            for count, (onset, apex, offset) in enumerate(_spans(table, line), start=1):
                name = _clip_name(filename)
                rows.append(
                    Row(
                        subject=self.person.format(number),
                        clip=name if count == 1 else f"{name}_{count}",
                        filename=filename,
                        emotion=text(line.cells["Emotion"]).lower(),
                        onset=onset,
                        apex=apex,
                        offset=offset,
                        line=line.number,
                    )
                )
        return Annotations(sheet, "SMIC-E", tuple(rows), tuple(problems), notes=table.notes)

    def clip_folder(self, tree: Tree, root: Path, row: Row) -> Path | None:
        """Below `micro/<emotion>`, or in the person's folder."""
        person = tree.find_person(root, self.people, self.number(row.subject))
        if person is None:
            return None
        micro = tree.find(person, "micro")
        folder = tree.find(micro, row.emotion) if micro else person
        return folder and tree.find(folder, *self.folder_names(row))

    def folder_names(self, row: Row) -> tuple[str, ...]:
        """With the person's number padded or not."""
        parts = _NAME.fullmatch(row.filename.lower())
        if not parts:
            return (row.filename,)
        person, code, count = int(parts[1]), parts[2], int(parts[3])
        return (row.filename, f"s{person:02d}_{code}_{count:02d}", f"s{person}_{code}_{count:02d}")

    def has_a_folder_per_clip(self, root: Path) -> bool:
        """Only where a sheet lists them."""
        return not _tells_by_folders(Tree(), root)


def _tells_by_folders(tree: Tree, root: Path) -> bool:
    return any(tree.find(person, "micro") for person in tree.folders(root).values())


def _clip_name(filename: str) -> str:
    """One spelling of `s1_ne_01` and `s01_ne_01`."""
    parts = _NAME.fullmatch(filename.lower())
    return f"s{int(parts[1]):02d}_{parts[2]}_{int(parts[3]):02d}" if parts else filename.lower()


def _spans(table: Table, line: Line) -> Iterator[tuple[int | None, int | None, int | None]]:
    """Onset, apex and offset of every micro-expression in a row of SMIC-E's sheet."""
    yield (
        integer(line.cells["OnsetF"]),
        integer(line.cells.get("ApexF", "")),
        integer(line.cells["OffsetF"]),
    )
    first = table.names.index("offsetf") + 1
    ends = [table.names.index(name) for name in ("firstf", "apexf") if name in table.names]
    last = min([first + _MORE, *(end for end in ends if end >= first)])
    for place in range(first, last - 1, 2):
        onset, offset = line.row[place : place + 2]
        if text(onset) or text(offset):
            yield integer(onset), None, integer(offset)

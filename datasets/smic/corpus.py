"""SMIC, its HS part: folders without a sheet, or SMIC-E's long clips with one.

`SMIC_all_raw/HS/s1/micro/negative/s1_ne_01/image034208.bmp` (or `SMIC_all_cropped`, `reg_image`)
tells the emotion by the folder, onset and offset by the first and last frame.
`SMIC-E_raw image/HS_long/SMIC-HS-E/s01/s01_ne_01/image034208.jpg` has neutral frames around and
`SMIC-HS-E_annotation.xlsx`, some of whose rows hold two or three micro-expressions. No apex is
known but where a copy of the sheet has a column for it.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets.errors import UserError
from datasets.filmed import FilmedCorpus
from datasets.frames import index_frames
from datasets.rows import Annotations, Row, finish
from datasets.sheets import Line, Table, integer, read_lines, text
from datasets.trees import Tree, find_roots

_COLUMNS = ("Subject", "Filename", "OnsetF", "OffsetF", "Emotion")
_NAME = re.compile(r"s(\d+)_([a-z]+)_(\d+)")  # of a clip: person, emotion, count
_MORE = 4  # columns after OffsetF: a second and a third onset and offset
_OTHER_CAMERA = re.compile("(^|[^a-z])(vis|nir)([^a-z]|$)")
_HS = "^(?=.*(^|[^a-z])hs([^a-z]|$))"


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
    avoid = _OTHER_CAMERA
    preference = (f"{_HS}.*all_raw", f"{_HS}.*raw", f"{_HS}.*crop", _HS, "all_raw", "raw", "crop")

    def sheet_rank(self, path: Path) -> int | None:
        """SMIC-E's annotation of HS, a later one first."""
        name = path.name.lower()
        if "annotation" not in name or _OTHER_CAMERA.search(name):
            return None
        return 0 if "2019" in name else 1

    def find_sheet(
        self, manual_dir: Path, label_version: str | None = None, frames_in: str | None = None
    ) -> Path | None:
        """SMIC-E's sheet where its clips are used; None where the folders tell."""
        tree = Tree()
        root = self._root_or_none(tree, manual_dir, frames_in)
        return (
            None if root and self.takes_all_frames(tree, root) else super().find_sheet(manual_dir)
        )

    def annotations(
        self, manual_dir: Path, label_version: str | None = None, frames_in: str | None = None
    ) -> Annotations:
        """What the folders or the sheet tell."""
        tree = Tree()
        root = self._root_or_none(tree, manual_dir, frames_in)
        if not (root and self.takes_all_frames(tree, root)):
            return super().annotations(manual_dir, label_version, frames_in)
        return finish(self._read_folders(tree, root), self.emotions, ())

    def _root_or_none(self, tree: Tree, manual_dir: Path, frames_in: str | None) -> Path | None:
        """None where only a sheet is there, which can be judged without frames."""
        if not find_roots(tree, manual_dir, self.people, self.avoid) and self.sheets(manual_dir):
            return None
        return self.root(tree, manual_dir, frames_in)[0]

    def _read_folders(self, tree: Tree, root: Path) -> Annotations:
        """One row for each clip folder below `micro/<emotion>`."""
        rows, problems = [], []
        for name, person in tree.folders(root).items():
            if not self.people.fullmatch(name):
                continue
            micro = tree.find(root, f"{name}/micro")
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
        table = read_lines(sheet, _COLUMNS, ("ApexF",), lambda name: self.number(name) is not None)
        more = _columns_of_pairs(table)
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
            for count, (onset, apex, offset) in enumerate(_spans(line, more), start=1):
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

    def places(self, tree: Tree, root: Path, row: Row) -> tuple[str, ...]:
        """Below `micro/<emotion>`, or in the person's folder."""
        person = self.person_folder(tree, root, row)
        if self.takes_all_frames(tree, root):
            person = f"{person}/micro/{row.emotion}"
        return tuple(f"{person}/{name}" for name in self.folder_names(row))

    def folder_names(self, row: Row) -> tuple[str, ...]:
        """With the person's number padded or not."""
        parts = _NAME.fullmatch(row.filename.lower())
        if not parts:
            return (row.filename,)
        person, code, count = int(parts[1]), parts[2], int(parts[3])
        return (row.filename, f"s{person:02d}_{code}_{count:02d}", f"s{person}_{code}_{count:02d}")

    def has_a_folder_per_clip(self, tree: Tree, root: Path) -> bool:
        """Only where a sheet lists them."""
        return not self.takes_all_frames(tree, root)

    def takes_all_frames(self, tree: Tree, root: Path) -> bool:
        """Where the folders tell all."""
        return any(
            tree.find(root, f"{name}/micro")
            for name in tree.folders(root)
            if self.people.fullmatch(name)
        )


def _clip_name(filename: str) -> str:
    """One spelling of `s1_ne_01` and `s01_ne_01`."""
    parts = _NAME.fullmatch(filename.lower())
    return f"s{int(parts[1]):02d}_{parts[2]}_{int(parts[3]):02d}" if parts else filename.lower()


def _columns_of_pairs(table: Table) -> list[int]:
    """Places of the second and third onset and offset in SMIC-E's sheet."""
    first = table.names.index("offsetf") + 1
    ends = [
        place for place, name in enumerate(table.names) if name in ("firstf", "lastf", "emotion")
    ]
    last = min([end for end in ends if end >= first], default=len(table.names))
    places = [
        place
        for place in range(first, last)
        if not table.names[place].startswith("apex")
        # Copies differ in blank columns.
        and (table.names[place] or any(text(line.row[place]) for line in table.lines))
    ]
    return places[:_MORE]


def _spans(
    line: Line, more: Sequence[int]
) -> Iterator[tuple[int | None, int | None, int | None]]:  # fmt: skip
    """Onset, apex and offset of every micro-expression in a row of SMIC-E's sheet."""
    yield (
        integer(line.cells["OnsetF"]),
        integer(line.cells.get("ApexF", "")),
        integer(line.cells["OffsetF"]),
    )
    cells = [line.row[place] for place in more]
    for onset, offset in itertools.zip_longest(cells[::2], cells[1::2], fillvalue=""):
        if text(onset) or text(offset):
            yield integer(onset), None, integer(offset)

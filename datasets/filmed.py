"""Corpora of picture files: sheet -> annotation rows -> frames on disk -> clips to be aligned.

What differs between corpora is only the reading of the sheet and the naming of folders, which a
subclass of `FilmedCorpus` tells; `datasets.survey` does the rest.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datasets.clip_tasks import Annotation
from datasets.errors import UserError
from datasets.frames import read_frame
from datasets.rows import FRAME_FIELDS, Annotations, Row, finish, read_corrections
from datasets.sheets import find_workbooks, integer, read_lines, text
from datasets.trees import Tree, choose_root, find_roots


@dataclasses.dataclass(frozen=True)
class FilmedClip:
    """A clip of picture files.

    Attributes:
      known: what the sheet tells.
      files: from onset to offset.
      skips_unreadable: whether a file that cannot be read is left out, as a known loss.
    """

    known: Annotation
    files: tuple[Path, ...]
    skips_unreadable: bool = False

    @property
    def subject(self) -> str:
        """The person."""
        return self.known.subject

    @property
    def clip(self) -> str:
        """Name, unique within the person."""
        return self.known.clip

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.files[0].parent)

    def annotation(self) -> Annotation:
        """What the sheet tells."""
        return self.known

    def frames(self) -> Iterator[np.ndarray | None]:
        """The files as they are read; None for one that is left out."""
        for path in self.files:
            try:
                yield read_frame(path)
            except UserError:
                if not self.skips_unreadable:
                    raise
                yield None


class FilmedCorpus:
    """How one corpus names things.

    Attributes:
      name: of the corpus.
      title: as its authors call it.
      fps: frames a second.
      emotions: all there are, lower case.
      aliases: other spellings of an emotion.
      sheet_name: the annotation sheet as distributed, for messages.
      columns: field of `Row` -> column of the sheet, `subject` and `filename` first.
      optional_columns: the same, of columns that some copies lack.
      people: matches the name, lower case, of a person's folder; its group is the number.
      person: how a person is called here, by the number.
      avoid: folders, lower case, that hold something else than the frames.
      preference: patterns of folders, the best first, where the frames are there more than once.
      loses_frames: whether the official release itself lacks frames, so that a clip is built with
        what there is.
    """

    name: str
    title: str
    fps: float
    emotions: tuple[str, ...]
    aliases: Mapping[str, str] = {}
    sheet_name: str
    columns: Mapping[str, str]
    optional_columns: Mapping[str, str] = {}
    people: re.Pattern
    person: str
    avoid: tuple[str, ...] = ()
    preference: tuple[str, ...] = ()
    loses_frames: bool = False

    def read(self, sheet: Path) -> Annotations:
        """The rows of the sheet as written; raises UserError where it is not the corpus' sheet."""
        table = read_lines(
            sheet, tuple(self.columns.values()), tuple(self.optional_columns.values())
        )
        rows, problems = [], []
        for line in table.lines:
            columns = {**self.columns, **self.optional_columns}
            cells = {field: line.cells.get(column, "") for field, column in columns.items()}
            if not self.is_micro(cells):
                continue
            row = self.row(cells, line.number)
            if row is None:
                problems.append(
                    f"row {line.number} of {sheet.name} names no person and clip "
                    f"('{text(cells['subject'])}', '{text(cells['filename'])}'); mend the cells, "
                    "or take the sheet as distributed."
                )
            else:
                rows.append(row)
        return Annotations(
            sheet, self.version_of(sheet), tuple(rows), tuple(problems), notes=table.notes
        )

    def is_micro(self, cells: Mapping[str, Any]) -> bool:
        """Whether the cells are of a micro-expression, where a sheet lists others too."""
        return True

    def row(self, cells: Mapping[str, Any], line: int) -> Row | None:
        """One row from its cells by field; None where they name no person and clip."""
        number = self.number(text(cells["subject"]))
        filename = text(cells["filename"])
        if number is None or not filename:
            return None
        frames = {field: integer(cells.get(field, "")) for field in FRAME_FIELDS}
        emotion = text(cells["emotion"]).lower()
        return Row(
            subject=self.person.format(number),
            clip=self.clip_name(filename, frames["onset"]),
            filename=filename,
            emotion=self.aliases.get(emotion, emotion),
            **frames,
            line=line,
            objective_class=text(cells.get("objective_class", "")),
            action_units=text(cells.get("action_units", "")),
            duration=integer(cells.get("duration", "")),
        )

    def clip_name(self, filename: str, onset: int | None) -> str:
        """What a clip is called here; unique within the person."""
        return filename

    def number(self, subject: str) -> int | None:
        """The number of a person, however it is written; None if it is none."""
        match = self.people.fullmatch(subject.lower()) or re.fullmatch(r"(\d{1,3})", subject)
        return int(match[1]) if match else None

    def find_sheet(
        self, manual_dir: Path, label_version: str | None = None, frames_in: str | None = None
    ) -> Path | None:
        """The annotation sheet; the best of several. None where the folders tell all.

        Raises:
          UserError: there is none, or two that are equally good.
        """
        found = [path for path in find_workbooks(manual_dir) if self.sheet_rank(path) is not None]
        if label_version is not None:
            found = [path for path in found if self.version_of(path) == label_version]
        if not found:
            of = f" of label version {label_version}" if label_version else ""
            raise UserError(
                f"no annotation sheet{of} ({self.sheet_name}) in {manual_dir}; put it there, or "
                "name the folder that holds it with --manual_dir."
            )
        found.sort(key=self.sheet_rank)
        if len(found) > 1 and self.sheet_rank(found[0]) == self.sheet_rank(found[1]):
            raise UserError(
                f"{manual_dir} holds several annotation sheets "
                f"({', '.join(path.name for path in found)}); keep one of them there."
            )
        return found[0]

    def sheet_rank(self, path: Path) -> int | None:
        """How good a workbook is as the sheet, by its name: 0 is best, None is another's."""
        return 0

    def version_of(self, sheet: Path) -> str:
        """The label version of a sheet by its name; "" where names do not tell."""
        return ""

    def annotations(
        self, manual_dir: Path, label_version: str | None = None, frames_in: str | None = None
    ) -> Annotations:
        """The sheet in `manual_dir`, corrected and checked.

        Raises:
          UserError: there is no sheet, or it is not the corpus'.
        """
        sheet = self.find_sheet(manual_dir, label_version, frames_in)
        return finish(self.read(sheet), self.emotions, read_corrections(self.name))

    def root(self, tree: Tree, manual_dir: Path, frames_in: str | None) -> tuple[Path, list[str]]:
        """The folder of the people's folders, and a sentence where there was a choice.

        Raises:
          UserError: there is none, or several that are equally good.
        """
        roots = find_roots(tree, manual_dir, self.people, self.avoid)
        if not roots:
            raise UserError(
                f"no person's folder of {self.title} in {manual_dir}; name the folder that the "
                "corpus was unpacked into with --manual_dir."
            )
        return choose_root(roots, manual_dir, frames_in, self.preference)

    def clip_folder(self, tree: Tree, root: Path, row: Row) -> Path | None:
        """The folder that holds the frames of a row; None where there is none."""
        person = tree.find_person(root, self.people, self.number(row.subject))
        return person and tree.find(person, *self.folder_names(row))

    def has_a_folder_per_clip(self, root: Path) -> bool:
        """Whether a folder in a person's folder is one clip that the sheet should list."""
        return True

    def folder_names(self, row: Row) -> tuple[str, ...]:
        """What the folder of a row may be called, the likeliest first."""
        return (row.filename,)

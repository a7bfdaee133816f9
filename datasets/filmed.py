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
from datasets.sheets import SUFFIXES, integer, is_micro, read_lines, text
from datasets.sources import digest
from datasets.trees import NOTHING, Tree, choose_root, find_roots, relative


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
      people: matches the name, lower case, of a person's folder (or of a clip's that begins with
        the person's); its group is the number.
      person: how a person is called here, by the number.
      avoid: is found in the names, lower case, of folders that hold something else.
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
    avoid: re.Pattern = NOTHING
    preference: tuple[str, ...] = ()
    loses_frames: bool = False

    def read(self, sheet: Path) -> Annotations:
        """The rows of the sheet as written; raises UserError where it is not the corpus' sheet."""
        columns = {**self.columns, **self.optional_columns}
        table = read_lines(
            sheet,
            tuple(self.columns.values()),
            tuple(self.optional_columns.values()),
            lambda name: self.number(name) is not None,
        )
        rows, problems, macro = [], [], 0
        for line in table.lines:
            cells = {
                field: line.cells[column]
                for field, column in columns.items()
                if column in line.cells
            }
            micro = is_micro(text(cells["kind"])) if "kind" in cells else True
            row = self.row(cells, line.number)
            if micro is None:
                problems.append(
                    f"row {line.number} of {sheet.name} is of neither a micro- nor a "
                    f"macro-expression ('{text(cells['kind'])}'); mend the cell, or take the sheet "
                    "as distributed."
                )
            elif not micro:
                macro += 1
            elif row is None:
                problems.append(
                    f"row {line.number} of {sheet.name} names no person and clip "
                    f"('{text(cells['subject'])}', '{text(cells['filename'])}'); mend the cells, "
                    "or take the sheet as distributed."
                )
            else:
                rows.append(row)
        notes = [*table.notes, *macro_note(sheet, macro)]
        return Annotations(
            sheet, self.version_of(sheet), tuple(rows), tuple(problems), notes=tuple(notes)
        )

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
          UserError: there is none, or two that are equally good and differ.
        """
        return self._choose_sheet(manual_dir, label_version)[0]

    def sheets(self, manual_dir: Path) -> list[Path]:
        """Every workbook above the people's folders that may be the sheet, the best first."""
        tree = Tree()
        found = [
            path
            for folder in tree.walk(manual_dir, self.people, self.avoid)
            for path in tree.inside(folder)[1]
            if path.suffix.lower() in SUFFIXES and self.sheet_rank(path) is not None
        ]
        return sorted(found, key=self.sheet_rank)

    def _choose_sheet(self, manual_dir: Path, label_version: str | None) -> tuple[Path, list[str]]:
        """The sheet, and a sentence where there was a choice."""
        found = self.sheets(manual_dir)
        if label_version is not None:
            found = [path for path in found if self.version_of(path) == label_version]
        if not found:
            of = f" of label version {label_version}" if label_version else ""
            raise UserError(
                f"no annotation sheet{of} ({self.sheet_name}) in {manual_dir}; put it there, or "
                "name the folder that holds it with --manual_dir."
            )
        if len(found) > 1:  # of equal ones the first
            found = list({digest(path): path for path in reversed(found)}.values())[::-1]
        first, *others = [relative(path, manual_dir) for path in found]
        if others and self.sheet_rank(found[0]) == self.sheet_rank(found[1]):
            raise UserError(
                f"{manual_dir} holds several annotation sheets ({', '.join([first, *others])}); "
                "keep one of them there."
            )
        told = f"the sheet {first} is used, not {', '.join(others)}."
        return found[0], [told] if others else []

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
        sheet, notes = self._choose_sheet(manual_dir, label_version)
        read = self.read(sheet)
        read = dataclasses.replace(read, notes=(*notes, *read.notes))
        return finish(read, self.emotions, read_corrections(self.name))

    def root(self, tree: Tree, manual_dir: Path, frames_in: str | None) -> tuple[Path, list[str]]:
        """The folder of the people's folders, and a sentence where there was a choice.

        Raises:
          UserError: there is none, or several that are equally good.
        """
        start = manual_dir / (frames_in or "")
        inside = start.resolve().is_relative_to(manual_dir.resolve()) and start.is_dir()
        roots = find_roots(tree, start, self.people, self.avoid) if inside else {}
        if roots:
            return choose_root(roots, manual_dir, self.preference)
        if frames_in is not None:
            raise UserError(f"{start} holds no person's folder; name another --frames_in.")
        raise UserError(
            f"no person's folder of {self.title} in {manual_dir}; name the folder that the "
            "corpus was unpacked into with --manual_dir."
        )

    def clip_folder(self, tree: Tree, root: Path, row: Row) -> Path | None:
        """The folder that holds the frames of a row; None where there is none.

        Raises:
          UserError: there are two folders of one name or person.
        """
        found = (tree.find(root, place) for place in self.places(tree, root, row))
        return next(filter(None, found), None)

    def places(self, tree: Tree, root: Path, row: Row) -> tuple[str, ...]:
        """Folders, relative to `root`, that may hold the frames of a row, the likeliest first.

        Raises:
          UserError: there are two folders of the person.
        """
        person = self.person_folder(tree, root, row)
        return tuple(f"{person}/{name}" for name in self.folder_names(row))

    def person_folder(self, tree: Tree, root: Path, row: Row) -> str:
        """The name of the person's folder, as it is or as it should be."""
        found = tree.find_person(root, self.people, self.number(row.subject))
        return found.name if found else row.subject

    def folder_names(self, row: Row) -> tuple[str, ...]:
        """What the folder of a row may be called, the likeliest first."""
        return (row.filename,)

    def has_a_folder_per_clip(self, tree: Tree, root: Path) -> bool:
        """Whether a folder in a person's folder is one clip that the sheet should list."""
        return True

    def takes_all_frames(self, tree: Tree, root: Path) -> bool:
        """Whether onset and offset come from the files, so that none can be missing."""
        return False


def macro_note(sheet: Path, count: int) -> list[str]:
    """A sentence on rows that are left out; none where there are none."""
    return [f"{count} rows of {sheet.name} are of macro-expressions and were left out."][:count]

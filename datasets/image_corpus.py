"""Corpora of picture files: how each one names subjects, sheets, columns and folders.

A corpus is a subclass of `ImageCorpus` in `datasets/<name>/<name>_dataset_builder.py`; corpora
differ in little but names. `datasets.survey` finds their clips.
"""

import dataclasses
import enum
import hashlib
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.annotations import (
    FRAME_FIELDS,
    TO_CORRECT,
    Annotations,
    Row,
    correct_and_check,
)
from datasets.errors import UserError
from datasets.folder_search import (
    MAX_DEPTH,
    NO_NAME,
    FolderTree,
    choose_roots,
    choose_sheet,
    find_roots,
    rank,
    relative,
)
from datasets.options import BuildOptions
from datasets.protocols import CORPORA
from datasets.reading import needs_manual_dir
from datasets.spreadsheet import (
    FOREIGN_SUFFIXES,
    OTHER_SUFFIXES,
    SUFFIXES,
    OtherSheetError,
    Sheet,
    SheetRow,
    as_integer,
    is_micro,
    read_sheet,
)

if TYPE_CHECKING:
    from datasets.survey import Survey

# Other spellings of a subject's folder, which are read where there is none in the corpus' own.
_LOOSE_SUBJECT_FOLDER = re.compile(r"(?:s|sub|subject)?[ ._-]?0*(\d{1,3})")


class Layout(enum.Enum):
    """What a folder below a subject's folder is."""

    CLIPS = "one clip, listed in the sheet"
    VIDEOS = "a video that may hold several clips of the sheet"
    LABELLED = "one clip, whose label, onset and offset are in the names of folders and files"


@dataclasses.dataclass(frozen=True)
class FrameRoot:
    """The folder `path` of the subjects' folders, and the layout below them.

    A corpus that was unpacked in parts has several.
    """

    tree: FolderTree
    path: Path
    layout: Layout


class ImageCorpus:
    """Names and conventions of one corpus.

    Attributes:
      name: of the corpus.
      title: as its authors call it.
      fps: frames per second.
      emotions: all emotions, lower case.
      aliases: other spelling -> emotion.
      sheet_name: the annotation sheet as distributed, for messages.
      sheet_patterns: patterns of the sheet's lower-case name, best first.
      excluded_sheets: is found in the lower-case names of other sheets.
      label_version: of the emotions, if names of sheets do not differ by it.
      columns: field of `Row` -> column of the sheet, `subject` and `filename` first. The field
        `kind` is micro- or macro-expression; the latter are left out.
      optional_columns: the same for columns that some copies lack.
      subject_range: the subjects in the sheet, for messages.
      subject_folder: matches the lower-case name of a subject's folder (or of a clip's that begins
        with the subject's); its group is the subject's number.
      subject_id: format of a subject's name, given the number.
      excluded_folders: is found in the lower-case names of folders that hold something else.
      preferred_trees: patterns of paths, best first, for frames that are there more than once.
      is_incomplete: whether the official release itself lacks frames, so that a clip is built from
        those that are there.
    """

    name: str
    title: str
    fps: float
    emotions: tuple[str, ...]
    aliases: Mapping[str, str] = {}
    sheet_name: str
    sheet_patterns: tuple[str, ...] = ("",)
    excluded_sheets: re.Pattern = NO_NAME
    label_version: str = ""
    columns: Mapping[str, str]
    optional_columns: Mapping[str, str] = {}
    subject_range: str = ""
    subject_folder: re.Pattern
    subject_id: str
    excluded_folders: re.Pattern = NO_NAME
    preferred_trees: tuple[str, ...] = ()
    is_incomplete: bool = False

    def survey(self, manual_dir: Path, options: BuildOptions) -> "Survey":
        """Returns what the unpacked corpus holds; see `datasets.survey.survey`."""
        from datasets.survey import survey  # which imports this module

        return survey(self, manual_dir, options)

    # --- the annotation

    def annotations(self, tree: FolderTree, options: BuildOptions) -> Annotations:
        """Returns the annotation, corrected and checked.

        Raises:
          UserError: there is no sheet, or it is not the corpus' sheet.
        """
        path, notes = self.find_sheet(tree, options)
        found = self.read(path) if path else self.read_folders(tree, options)
        found.notes[:0] = notes
        correct_and_check(found, self.emotions, self.name)
        return found

    def find_sheet(self, tree: FolderTree, options: BuildOptions) -> tuple[Path | None, list[str]]:
        """Returns the best sheet, None if folder names are the annotation, and notes."""
        found, version = self.sheets(tree), options.label_version
        if version is not None:
            found = [path for path in found if self.version_of(path) == version]
        if not found:
            which = f" of label version {version}" if version else ""
            raise UserError(
                f"no annotation sheet{which} ({self.sheet_name}) in {tree.top}"
                f"{self.what_lies_there(tree)}; put it there, or name the folder that holds it "
                f"with --manual_dir{self._place_above(tree)}."
            )
        if len(found) == 1:
            return found[0], []
        contents = {path: self.content(path) for path in found}
        own = {path: content for path, content in contents.items() if content is not None}
        best, notes = choose_sheet(own or contents, self.sheet_patterns, tree.top)
        for path in found if own else ():
            if path not in own and (other := _corpus_of_sheet(path, self)):
                name = relative(path, tree.top)
                notes.append(f"the sheet {name} is one of {other.title} and is ignored.")
        return best, notes

    def sheets(self, tree: FolderTree, depth: int = MAX_DEPTH) -> list[Path]:
        """Returns every workbook above the subjects' folders that may be the sheet.

        Where there is none, those that were saved in another format and hold the columns.
        """
        files = [
            path
            for folder in tree.walk(tree.top, self.subject_folder, self.excluded_folders, depth)
            for path in tree.entries(folder)[1]
            if rank(path.name, self.sheet_patterns) < len(self.sheet_patterns)
            and not self.excluded_sheets.search(path.name.lower())
        ]
        workbooks = [path for path in files if path.suffix.lower() in SUFFIXES]
        others = (path for path in files if path.suffix.lower() in OTHER_SUFFIXES)
        return workbooks or [path for path in others if self.content(path)]

    def content(self, path: Path) -> str | None:
        """Returns a digest of the cells of a sheet; "" if it cannot be read.

        None if the file is a table, but not the sheet of this corpus.
        """
        try:
            sheet = self.read_sheet(path)
        except OtherSheetError:
            return None
        except UserError:
            return ""
        if not any(map(self.is_clip, sheet.rows)):
            return None
        cells = [" ".join(row.cells).split() for row in sheet.rows]
        return hashlib.sha256(repr((sheet.header, cells)).encode()).hexdigest()

    def is_clip(self, line: SheetRow) -> bool:
        """Whether a row names a subject, a clip, and a kind of expression if there are kinds."""
        subject, clip, *_ = line.fields.values()
        is_subject = self.subject_number(subject) is not None
        return is_subject and bool(clip) and is_micro(line.fields.get("kind", "micro")) is not None

    def version_of(self, path: Path) -> str:
        """Returns the label version of a sheet by its name."""
        return self.label_version

    def read(self, path: Path) -> Annotations:
        """Returns the rows of a sheet as written; raises UserError if it is another corpus'."""
        try:
            sheet = self.read_sheet(path)
        except OtherSheetError as error:
            if other := _corpus_of_sheet(path, self):
                raise UserError(
                    f"{str(error).rstrip('.')}; this looks like {other.title}, which is "
                    f"'{other.name}' here, not '{self.name}'."
                ) from error
            raise
        found = Annotations(path, self.version_of(path))
        macro_expressions = 0
        for line in sheet.rows:
            where = f"row {line.number} of {path.name}"
            subject, clip = line.fields["subject"], line.fields["filename"]
            number, kind = self.subject_number(subject), line.fields.get("kind", "micro")
            problem = None
            if self.is_note(line):
                words = " ".join(filter(None, line.cells))[:60]
                found.notes.append(f"{where} was taken for a note ({words}).")
            elif is_micro(kind) is None:
                problem = f"{where}: '{kind}' is neither a micro- nor a macro-expression"
            elif not is_micro(kind):
                macro_expressions += 1
                found.other_clips.add((number, clip.lower()))
            elif number is None:
                problem = f"{where} ('{clip}'): '{subject}' is not a subject{self.subject_range}"
            elif not clip:
                problem = f"{where}: the name of the clip is missing"
            else:
                found.rows += self.rows(line, number, sheet)
            if problem:
                found.problems.append(f"{problem}; {TO_CORRECT}.")
        if macro_expressions and "kind" in self.optional_columns:
            found.notes.append(
                f"{macro_expressions} rows of {path.name} are of macro-expressions and were left "
                "out."
            )
        return found

    def read_folders(self, tree: FolderTree, options: BuildOptions) -> Annotations:
        """Returns the rows of a corpus whose folder names are the annotation."""
        raise NotImplementedError

    def read_sheet(self, path: Path) -> Sheet:
        """Returns the rows of a sheet as text by the fields of `columns`."""
        return read_sheet(path, self.columns, self.optional_columns)

    def is_note(self, line: SheetRow) -> bool:
        """Whether a row is text beside the annotation: it does not name a clip at all."""
        subject, clip, *others = line.fields.values()
        is_subject = self.subject_number(subject) is not None
        if is_subject and clip:
            return False
        return not (is_subject or clip) or not any(others)

    def rows(self, line: SheetRow, number: int, sheet: Sheet) -> list[Row]:
        """Returns the micro-expressions in one row of `sheet`, of the subject `number`."""
        fields = line.fields
        frames = {field: as_integer(fields.get(field, "")) for field in FRAME_FIELDS}
        emotion = fields["emotion"].lower()
        row = Row(
            subject=self.subject_id.format(number),
            clip=self.clip_name(fields["filename"], frames["onset"]),
            filename=fields["filename"],
            emotion=self.aliases.get(emotion, emotion),
            objective_class=fields.get("objective_class", ""),
            action_units=fields.get("action_units", ""),
            **frames,
            fps=self.fps,
            duration=as_integer(fields.get("duration", "")),
            line=line.number,
        )
        return [row]

    def clip_name(self, filename: str, onset: int | None) -> str:
        """Returns the name of a clip, unique within the subject."""
        return filename

    def subject_number(self, cell: str) -> int | None:
        """Returns the number of a subject as the sheet names it; None for anything else."""
        return self.number(cell)

    def number(self, subject: str) -> int | None:
        """Returns the number of a subject, with or without its prefix; None for anything else."""
        match = self.subject_folder.fullmatch(subject.lower())
        match = match or re.fullmatch(r"(\d{1,3})", subject)
        return int(match[1]) if match else None

    # --- the frames

    def frame_roots(
        self, tree: FolderTree, options: BuildOptions
    ) -> tuple[list[FrameRoot], list[Path]]:
        """Returns the folder of the subjects' folders, or those of its parts, and those left out.

        Raises:
          UserError: there is none, or the two best ones rank equally and hold the same clips.
        """
        start = _start(tree, options.frames_in)
        for spelling in (self.subject_folder, _LOOSE_SUBJECT_FOLDER):
            roots = find_roots(tree, start, spelling, self.excluded_folders) if start else {}
            if options.frames_in is not None and start in roots:
                roots = {start: roots[start]}
            if roots:
                paths, left_out = choose_roots(
                    tree,
                    roots,
                    spelling,
                    self.excluded_folders,
                    self.preferred_trees,
                    lambda root: self.layout(tree, root),
                )
                return [FrameRoot(tree, path, self.layout(tree, path)) for path in paths], left_out
        raise self.no_frames(tree, options)

    def no_frames(self, tree: FolderTree, options: BuildOptions) -> UserError:
        """Returns that the tree, or `frames_in`, holds no subject's folder, and what it holds."""
        if options.frames_in is not None:
            start = tree.top / options.frames_in
            return UserError(f"{start} holds no subject's folder; name another --frames_in.")
        return UserError(
            f"no subject's folder of {self.title} in {tree.top}{self.what_lies_there(tree)}; name "
            "the folder that the corpus was unpacked into with --manual_dir."
        )

    def what_lies_there(self, tree: FolderTree) -> str:
        """Returns what a folder without sheet or frames holds instead, to be put into a message."""
        found = [
            f"the folder {relative(folder, tree.top)} cannot be read ({reason})"
            for folder, reason in tree.unreadable.items()
        ]
        if packed := tree.archives(self.subject_folder, self.excluded_folders):
            found.append(f"{', '.join(packed[:3])} seems to be still packed: unpack it")
        if inner := self._inside_a_subject(tree):
            found.append(
                f"{relative(inner, tree.top)} looks like a subject's folder, but seems to hold the "
                f"corpus: name it with --manual_dir={shlex.quote(str(inner))}"
            )
        for folder in tree.walk(tree.top, self.subject_folder, NO_NAME):
            found += filter(None, map(self._about_table, tree.entries(folder)[1]))
        return f" ({'; '.join(found[:4])})" if found else ""

    def _place_above(self, tree: FolderTree) -> str:
        """Returns the folder above the tree as the value of an option, if it holds a sheet."""
        above = FolderTree(tree.top.parent)
        above.entries(above.top)
        if above.unreadable or not any(map(self.content, self.sheets(above, depth=0))):
            return ""
        return f"={shlex.quote(str(above.top))}"

    def _inside_a_subject(self, tree: FolderTree) -> Path | None:
        """Returns a folder that is named as a subject's and holds a sheet or subjects' folders."""
        for folder in tree.walk(tree.top, self.subject_folder, self.excluded_folders):
            for path in tree.subject_folders(folder, self.subject_folder):
                below = FolderTree(path)
                roots = find_roots(below, path, self.subject_folder, self.excluded_folders)
                if any(len(subjects) > 1 for subjects in roots.values()) or self.sheets(below):
                    return path
        return None

    def _about_table(self, path: Path) -> str | None:
        """Returns whose sheet a file is, or why it is not this corpus'; None if it is no table."""
        if path.suffix.lower() in FOREIGN_SUFFIXES:
            return f"{path.name} cannot be read: save it as .xlsx"
        if path.suffix.lower() not in SUFFIXES + OTHER_SUFFIXES:
            return None
        if other := _corpus_of_sheet(path, self):
            return f"{path.name} looks like {other.title}, which is '{other.name}' here"
        if path.suffix.lower() in (*SUFFIXES, ".txt"):
            return None
        try:
            self.read_sheet(path)
        except UserError as error:
            return str(error).rstrip(".")
        return None

    def layout(self, tree: FolderTree, root: Path) -> Layout:
        """Returns what the folders below the subjects' folders are."""
        return Layout.CLIPS

    def clip_folder(self, root: FrameRoot, row: Row) -> Path | None:
        """Returns the folder that holds the frames of a row; None if there is none."""
        found = (root.tree.find(root.path, place) for place in self.places(root, row))
        return next(filter(None, found), None)

    def places(self, root: FrameRoot, row: Row) -> tuple[str, ...]:
        """Returns relative folders that may hold the frames of a row, likeliest first."""
        subject = self.subject_folder_name(root, row)
        return tuple(f"{subject}/{name}" for name in self.folder_names(row))

    def subject_folder_name(self, root: FrameRoot, row: Row) -> str:
        """Returns the name of the subject's folder; as it should be if there is none."""
        number = self.number(row.subject)
        for spelling in (self.subject_folder, _LOOSE_SUBJECT_FOLDER):
            if found := root.tree.find_subject(root.path, spelling, number):
                return found.name
        return row.subject

    def folder_names(self, row: Row) -> tuple[str, ...]:
        """Returns possible names of the folder of a row, likeliest first."""
        return (row.filename,)


def _start(tree: FolderTree, frames_in: str | None) -> Path | None:
    """Returns the folder to search for frames; None if it is not one, or not in the tree.

    A link in the tree may lead out of it.
    """
    start = Path(os.path.normpath(tree.top / (frames_in or "")))
    if not start.is_relative_to(tree.top) and start.resolve().is_relative_to(tree.top.resolve()):
        start = tree.top / start.resolve().relative_to(tree.top.resolve())
    return start if start.is_relative_to(tree.top) and start.is_dir() else None


def _corpus_of_sheet(path: Path, but: ImageCorpus) -> ImageCorpus | None:
    """Returns the corpus, other than `but`, whose sheet a file is."""
    others = (get_image_corpus(name) for name in CORPORA if needs_manual_dir(name))
    return next((other for other in others if other is not but and other.content(path)), None)


def get_image_corpus(name: str) -> ImageCorpus:
    """Returns the corpus `name`, which is one that is built from a folder or a table."""
    from datasets.builder import builder_class  # which loads TFDS and imports this module

    return builder_class(name).corpus


def read_annotations(
    name: str, manual_dir: Path, options: BuildOptions | None = None
) -> Annotations:
    """Returns the annotation of an unpacked corpus, which needs no frames.

    Raises:
      UserError: there is no sheet, or it is not the corpus' sheet.
    """
    return get_image_corpus(name).annotations(FolderTree(manual_dir), options or BuildOptions())

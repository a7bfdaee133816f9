"""SMIC, its HS part: micro-expressions, 100 frames per second, colour; licensed by its authors.

Built from one of two releases; see `datasets/README.md`. In
`SMIC_all_raw/HS/s1/micro/negative/s1_ne_01/image034208.bmp` (or `SMIC_all_cropped`, `reg_image`)
the folders hold the emotion, and the first and last files are onset and offset. SMIC-E,
`SMIC-E_raw image/HS_long/SMIC-HS-E/s01/s01_ne_01/image034208.jpg`, has neutral frames around each
clip, and `SMIC-HS-E_annotation.xlsx`, some of whose rows hold two or three micro-expressions. The
apex is known only where a copy of the sheet has a column for it.
X. Li, T. Pfister, X. Huang, G. Zhao and M. Pietikainen, "A spontaneous micro-expression database:
inducement, collection and baseline", 2013.
"""

import dataclasses
import itertools
import re
from pathlib import Path

from datasets.annotations import Annotations, Row
from datasets.builder import ImageCorpusBuilder
from datasets.errors import UserError
from datasets.folder_search import FolderTree, find_roots, index_parts
from datasets.image_corpus import FrameRoot, ImageCorpus, Layout
from datasets.options import BuildOptions
from datasets.spreadsheet import Sheet, SheetRow, as_integer

_CLIP = re.compile(r"s(\d+)_([a-z]+)_(\d+)")  # subject, emotion, count
_MORE = 4  # columns after OffsetF: a second and a third onset and offset
_OTHER_CAMERA = re.compile("(^|[^a-z])(vis|nir)([^a-z]|$)")
_HS = "^(?=.*(^|[^a-z])hs([^a-z]|$))"


class Smic(ImageCorpus):
    """Names of SMIC (HS)."""

    name = "smic"
    title = "SMIC (HS)"
    fps = 100.0
    emotions = ("negative", "positive", "surprise")
    sheet_name = "SMIC-HS-E_annotation.xlsx"
    sheet_patterns = ("annotation.*2019", "annotation")
    excluded_sheets = _OTHER_CAMERA
    label_version = "SMIC-E"
    columns = {  # noqa: RUF012
        "subject": "Subject",
        "filename": "Filename",
        "onset": "OnsetF",
        "offset": "OffsetF",
        "emotion": "Emotion",
    }
    optional_columns = {"apex": "ApexF"}  # noqa: RUF012
    subject_folder = re.compile(r"s0*(\d{1,2})")
    subject_id = "s{:02d}"
    excluded_folders = _OTHER_CAMERA
    preferred_trees = (
        f"{_HS}.*all_raw", f"{_HS}.*raw", f"{_HS}.*crop", _HS, "all_raw", "raw", "crop",
    )  # fmt: skip

    def find_sheet(self, tree: FolderTree, options: BuildOptions) -> tuple[Path | None, list[str]]:
        """Returns SMIC-E's sheet where its clips are used, and None for `SMIC_all`."""
        has_frames = find_roots(tree, tree.top, self.subject_folder, self.excluded_folders)
        # A sheet alone can be checked without frames.
        if has_frames or not self.sheets(tree):
            roots, _ = self.frame_roots(tree, options)
            if roots[0].layout is Layout.LABELLED:
                return None, []
        return super().find_sheet(tree, options)

    def read_folders(self, tree: FolderTree, options: BuildOptions) -> Annotations:
        """Returns one row per clip folder below `micro/<emotion>`."""
        roots, _ = self.frame_roots(tree, options)
        found = Annotations(None, "SMIC_all")
        clips: dict[tuple[int, str, str], list[Path]] = {}  # a clip may be spread over parts
        without: dict[int, Path] = {}
        subjects = [tree.subject_folders(root.path, self.subject_folder) for root in roots]
        for folder in itertools.chain(*subjects):
            number = self.number(folder.name)
            micro = tree.find(folder.parent, f"{folder.name}/micro")
            if micro is None:
                without[number] = folder
                continue
            for emotion, inner in tree.subfolders(micro).items():
                for name, clip in tree.subfolders(inner).items():
                    clips.setdefault((number, emotion, name), []).append(clip)
        found.problems += [
            f"{folder} has no folder 'micro'; copy it from the corpus again."
            for number, folder in without.items()
            if number not in {subject for subject, *_ in clips}
        ]
        for (number, emotion, _), folders in clips.items():
            try:
                found.rows.append(self._labelled_row(number, emotion, folders))
            except UserError as error:
                found.problems.append(str(error))
        return found

    def _labelled_row(self, number: int, emotion: str, folders: list[Path]) -> Row:
        """Returns the row of a clip; raises UserError if its folders hold no frames."""
        numbers = list(index_parts(folders))
        if not numbers:
            raise UserError(f"the folder {folders[0]} holds no frames; copy it again.")
        fields = {"filename": folders[0].name, "emotion": emotion}
        fields |= {"onset": str(numbers[0]), "offset": str(numbers[-1])}
        return super().rows(SheetRow(0, fields, ()), number, Sheet())[0]

    def rows(self, line: SheetRow, number: int, sheet: Sheet) -> list[Row]:
        """Returns every onset and offset in one row of SMIC-E's sheet."""
        rows = super().rows(line, number, sheet)
        cells = [line.cells[place] for place in _further_columns(sheet)]
        for onset, offset in itertools.zip_longest(cells[::2], cells[1::2], fillvalue=""):
            if onset or offset:
                span = {"onset": as_integer(onset), "apex": None, "offset": as_integer(offset)}
                name = f"{rows[0].clip}_{len(rows) + 1}"
                rows.append(dataclasses.replace(rows[0], clip=name, **span))
        return rows

    def clip_name(self, filename: str, onset: int | None) -> str:
        """Returns one spelling of `s1_ne_01` and `s01_ne_01`."""
        parts = _CLIP.fullmatch(filename.lower())
        return f"s{int(parts[1]):02d}_{parts[2]}_{int(parts[3]):02d}" if parts else filename.lower()

    def layout(self, tree: FolderTree, root: Path) -> Layout:
        """Returns whether there are folders `micro`, which only `SMIC_all` has."""
        has_micro = any(
            tree.find(root, f"{subject.name}/micro")
            for subject in tree.subject_folders(root, self.subject_folder)
        )
        return Layout.LABELLED if has_micro else Layout.CLIPS

    def places(self, root: FrameRoot, row: Row) -> tuple[str, ...]:
        """Returns folders in the subject's folder, or below its `micro/<emotion>`."""
        subject = self.subject_folder_name(root, row)
        if root.layout is Layout.LABELLED:
            subject = f"{subject}/micro/{row.emotion}"
        return tuple(f"{subject}/{name}" for name in self.folder_names(row))

    def folder_names(self, row: Row) -> tuple[str, ...]:
        """Returns the name with the subject's number padded or not."""
        parts = _CLIP.fullmatch(row.filename.lower())
        if not parts:
            return (row.filename,)
        subject, code, count = int(parts[1]), parts[2], int(parts[3])
        return (
            row.filename, f"s{subject:02d}_{code}_{count:02d}", f"s{subject}_{code}_{count:02d}",
        )  # fmt: skip


def _further_columns(sheet: Sheet) -> list[int]:
    """Returns the places of the second and third onset and offset in SMIC-E's sheet."""
    first = sheet.header.index("offsetf") + 1
    ends = (
        place
        for place, name in enumerate(sheet.header)
        if place >= first and name in ("firstf", "lastf", "emotion")
    )
    places = [
        place
        for place in range(first, min(ends, default=len(sheet.header)))
        if not sheet.header[place].startswith("apex")
        # Copies differ in blank columns.
        and (sheet.header[place] or any(row.cells[place] for row in sheet.rows))
    ]
    return places[:_MORE]


class Builder(ImageCorpusBuilder):
    """Builds SMIC (HS)."""

    name = "smic"
    corpus = Smic()

"""CAS(ME)^2: its micro-expressions, 30 frames per second, colour; licensed by its authors.

Built from `CAS(ME)^2code_final.xlsx` and `selectedpic/s15/anger1_1/img557.jpg`, the face crops
`cropped/15/anger1_1/...`, or the long videos `rawpic/s15/15_0401girlcrashing/img557.jpg`, which are
cut by onset and offset; see `datasets/README.md`. The sheet has no header. An offset of 0 means
that the apex is the last frame.
F. Qu, S.-J. Wang, W.-J. Yan, H. Li, S. Wu and X. Fu, "CAS(ME)2: a database for spontaneous
macro-expression and micro-expression spotting and recognition", 2018.
"""

import dataclasses
import functools
import re
from collections import Counter
from pathlib import Path

from datasets.annotations import Annotations, Row, read_table
from datasets.builder import ImageCorpusBuilder
from datasets.errors import UserError
from datasets.folder_search import FolderTree
from datasets.image_corpus import FrameRoot, ImageCorpus, Layout
from datasets.spreadsheet import Sheet, SheetRow, is_micro, read_sheet_without_header

_COLUMNS = ("subject", "filename", "onset", "apex", "offset", "action_units", "emotion", "kind")
_VIDEO = re.compile(r"\d+_\d{4}.*")  # folder of a long video


class CasmeSq(ImageCorpus):
    """Names of CAS(ME)^2."""

    name = "casme_sq"
    title = "CAS(ME)^2"
    fps = 30.0
    emotions = ("negative", "others", "positive", "surprise")
    aliases = {"other": "others"}  # noqa: RUF012
    sheet_name = "CAS(ME)^2code_final.xlsx"
    sheet_patterns = ("code_final.*updated", "code_final")
    subject_range = " from 1 to 22"
    subject_folder = re.compile(r"s?0*(\d{1,2})")
    subject_id = "s{}"
    excluded_folders = re.compile("^rawvideo$")
    preferred_trees = ("selectedpic", "cropped", "rawpic")

    def read_sheet(self, path: Path) -> Sheet:
        """Returns the rows of the first table, whose columns have fixed places."""
        return read_sheet_without_header(path, _COLUMNS)

    def is_note(self, line: SheetRow) -> bool:
        """Whether a row is text, also a header that a user wrote above the rows."""
        has_number = any(cell[:1].isdigit() for cell in line.cells)
        is_header = not has_number and is_micro(line.fields["kind"]) is None
        return is_header or super().is_note(line)

    def subject_number(self, cell: str) -> int | None:
        """Returns the number in the subject's folder name, which differs from the sheet's."""
        folder = _folder_by_subject().get(cell)
        return self.number(folder) if folder else None

    def read(self, path: Path) -> Annotations:
        """Returns the micro-expressions, with unique names and known offsets."""
        found = super().read(path)
        counts = Counter((row.subject, row.clip) for row in found.rows)
        for place, row in enumerate(found.rows):
            name = row.clip
            if counts[row.subject, name] > 1:
                name = f"{name}_{row.onset}"
            row = dataclasses.replace(row, clip=name, apex=row.apex or None)
            if row.offset == 0 and row.apex:
                row = dataclasses.replace(row, offset=row.apex)
                found.corrections.append(
                    f"{row}: offset 0 became its apex {row.apex}: the sheet has no offset."
                )
            found.rows[place] = row
        return found

    def layout(self, tree: FolderTree, root: Path) -> Layout:
        """Returns whether subjects' folders hold clips or long videos."""
        has_videos = any(
            _VIDEO.fullmatch(name)
            for subject in tree.subject_folders(root, self.subject_folder)
            for name in tree.subfolders(tree.find(root, subject.name))
        )
        return Layout.VIDEOS if has_videos else Layout.CLIPS

    def places(self, root: FrameRoot, row: Row) -> tuple[str, ...]:
        """Returns the clip's own folder, or the long video that holds it."""
        code = _code_by_video().get(row.filename.lower().rpartition("_")[0])
        if root.layout is Layout.CLIPS or code is None:
            return super().places(root, row)
        subject = self.subject_folder_name(root, row)
        folder = root.tree.find(root.path, subject)
        pattern = re.compile(rf"0*{self.number(row.subject)}_{code}.*")
        names = [path.name for path in root.tree.entries(folder)[0]] if folder else []
        names = list(filter(pattern.fullmatch, names))
        if len(names) > 1:
            raise UserError(
                f"{names[0]} and {names[1]} in {folder} may both hold {row}; move the other one "
                "elsewhere."
            )
        return (f"{subject}/{names[0] if names else f'{row.subject[1:]}_{code}...'}",)


@functools.cache
def _folder_by_subject() -> dict[str, str]:
    return {line["number"]: line["folder"] for line in read_table("casme_sq", "people.csv")}


@functools.cache
def _code_by_video() -> dict[str, str]:
    return {line["name"]: line["code"] for line in read_table("casme_sq", "videos.csv")}


class Builder(ImageCorpusBuilder):
    """Builds CAS(ME)^2."""

    name = "casme_sq"
    corpus = CasmeSq()

"""CAS(ME)^3 Part A: `cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx` beside one of three trees.

Clips (`Part_A_ME_clip/frame/spNO.1_b_166/166.jpg`), long videos (`part_A/spNO.1/a/color/355.jpg`),
or the running numbers of a public extraction (`ME_A/spNO.1/b1/color/166.jpg`). One video holds many
micro-expressions, so a clip is named by video and onset. The official release lacks some frames
and has some that are torn.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets.errors import UserError
from datasets.filmed import FilmedCorpus
from datasets.frames import index_frames
from datasets.rows import Row
from datasets.sheets import text
from datasets.trees import Tree


class Casme3(FilmedCorpus):
    """How CAS(ME)^3 names things."""

    name = "casme3"
    title = "CAS(ME)^3 Part A"
    fps = 30.0
    emotions = ("anger", "disgust", "fear", "happy", "others", "sad", "surprise")
    sheet_name = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
    columns = {  # noqa: RUF012
        "subject": "Subject",
        "filename": "Filename",
        "onset": "Onset",
        "apex": "Apex",
        "offset": "Offset",
        "action_units": "AU",
        "objective_class": "Objective class",
        "emotion": "emotion",
    }
    optional_columns = {"kind": "Expression type"}  # noqa: RUF012
    people = re.compile(r"spno\.(\d{1,3})(?:_[a-z]\d*_\d+)?")
    person = "spNO.{}"
    avoid = ("depth", "video", "part_a_mae_clip")
    preference = ("clip", "part_a", "")
    loses_frames = True

    def sheet_rank(self, path: Path) -> int | None:
        """The micro-expressions' sheet of frame numbers, version 2 before 1."""
        name = path.name.lower()
        if "part_a" not in name or "mae" in name:
            return None
        return 2 * ("jpgindex" not in name) + (self.version_of(path) != "v2")

    def version_of(self, sheet: Path) -> str:
        """Version 1 or 2, by the name."""
        match = re.search(r"_v(\d)", sheet.name.lower())
        return f"v{match[1]}" if match else "of no version"

    def is_micro(self, cells: Mapping[str, Any]) -> bool:
        """Some sheets list macro-expressions too."""
        return not text(cells["kind"]) or "micro" in text(cells["kind"]).lower()

    def clip_name(self, filename: str, onset: int | None) -> str:
        """The video's letter and the onset in the sheet."""
        return f"{filename.lower()}_{onset}"

    def clip_folder(self, tree: Tree, root: Path, row: Row) -> Path | None:
        """The clip's own folder, or the colour frames of its video."""
        own = {f"{row.subject}_{row.clip}", f"{row.subject}_{row.filename}_{row.onset}"}
        if found := tree.find(root, *sorted(own)):
            return _colour(tree, found)
        person = tree.folders(root).get(row.subject.lower())
        if person is None:
            return None
        if video := tree.find(person, row.filename):
            return _colour(tree, video)
        numbered = re.compile(rf"{re.escape(row.filename.lower())}\d+")
        folders = [
            _colour(tree, path)
            for name, path in tree.folders(person).items()
            if numbered.fullmatch(name)
        ]
        return max(folders, key=lambda folder: _inside(folder, row), default=None)

    def folder_names(self, row: Row) -> tuple[str, ...]:
        """For messages."""
        return (row.filename,)

    def has_a_folder_per_clip(self, root: Path) -> bool:
        """A folder is a video, or the clips are not in people's folders."""
        return False


def _colour(tree: Tree, folder: Path) -> Path:
    return tree.find(folder, "color") or folder


def _inside(folder: Path, row: Row) -> int:
    """How many frames of the row a folder holds."""
    try:
        return sum(row.onset <= number <= row.offset for number in index_frames(folder))
    except UserError:
        return 0

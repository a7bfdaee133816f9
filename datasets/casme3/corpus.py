"""CAS(ME)^3 Part A: `cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx` beside one of three trees.

Clips (`Part_A_ME_clip/frame/spNO.1_b_166/166.jpg`), long videos (`part_A/spNO.1/a/color/355.jpg`),
or the running numbers of a public extraction (`ME_A/spNO.1/b1/color/166.jpg`). One video holds many
micro-expressions, so a clip is named by video and onset. The official release lacks some frames
and has some that are torn.
"""

import re
from pathlib import Path

from datasets.errors import UserError
from datasets.filmed import FilmedCorpus
from datasets.frames import index_frames
from datasets.rows import Row
from datasets.trees import Tree

_PERSON = re.compile(r"spno\.(\d{1,3})")
_CLIP = re.compile(rf"{_PERSON.pattern}_[a-z]\d*_\d+")


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
    people = re.compile(rf"{_PERSON.pattern}(?:_[a-z]\d*_\d+)?")
    person = "spNO.{}"
    avoid = re.compile("^(depth|video|part_a_mae_clip)$")
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
        return f"v{match[1]}" if match else ""

    def clip_name(self, filename: str, onset: int | None) -> str:
        """The video's letter and the onset in the sheet."""
        return f"{filename.lower()}_{onset}"

    def clip_folder(self, tree: Tree, root: Path, row: Row) -> Path | None:
        """The clip's own folder, or the colour frames of its video."""
        found = super().clip_folder(tree, root, row)
        return found and (tree.find(found, "color") or found)

    def places(self, tree: Tree, root: Path, row: Row) -> tuple[str, ...]:
        """The clip's own folder, its video, or the video's running numbers."""
        names = tree.folders(root)
        if any(map(_CLIP.fullmatch, names)):
            own = [f"{row.subject}_{row.clip}", f"{row.subject}_{row.filename}_{row.onset}"]
            there = next(filter(_CLIP.fullmatch, names))
            prefix = names[there].name.partition(".")[0]  # spNo or spNO
            return tuple(f"{prefix}{name[len(prefix) :]}" for name in own)
        person = tree.find_person(root, _PERSON, self.number(row.subject))
        if person is None:
            return (f"{row.subject}/{row.filename}",)
        inside = tree.find(root, person.name)
        numbered = re.compile(rf"{re.escape(row.filename.lower())}\d+")
        running = [path for name, path in tree.folders(inside).items() if numbered.fullmatch(name)]
        running.sort(key=lambda path: _holds(tree, path, row), reverse=True)
        names = [row.filename, *(path.name for path in running)]
        if not running and any(re.fullmatch(r"[a-z]\d+", name) for name in tree.folders(inside)):
            names.insert(0, f"{row.filename}1")
        return tuple(f"{person.name}/{name}" for name in names)

    def has_a_folder_per_clip(self, tree: Tree, root: Path) -> bool:
        """A folder is a video, or the clips are not in people's folders."""
        return False


def _holds(tree: Tree, folder: Path, row: Row) -> int:
    """How many frames of the row a folder holds."""
    try:
        numbers = index_frames(tree.find(folder, "color") or folder)
    except UserError:
        return 0
    return sum(row.onset <= number <= row.offset for number in numbers)

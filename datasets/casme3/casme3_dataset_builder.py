"""CAS(ME)^3 Part A: micro-expressions, 30 frames per second, colour; licensed by its authors.

Built from `cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx` (or v1) and one of three trees: clips
(`Part_A_ME_clip/frame/spNO.1_b_166/166.jpg`), long videos (`part_A/spNO.1/a/color/355.jpg`), or the
running numbers of a public extraction (`ME_A/spNO.1/b1/color/166.jpg`); see `datasets/README.md`.
One video holds many micro-expressions, so a clip is named by video and onset. The official release
lacks some frames, and some are corrupt.
J. Li, Z. Dong, S. Lu, S.-J. Wang, W.-J. Yan, Y. Ma, Y. Liu, C. Huang and X. Fu, "CAS(ME)3: a third
generation facial spontaneous micro-expression database with depth information and high ecological
validity", 2023.
"""

import re
from pathlib import Path

from datasets.annotations import Row
from datasets.builder import ImageCorpusBuilder
from datasets.errors import UserError
from datasets.folder_search import FolderTree
from datasets.frames import index_frames
from datasets.image_corpus import FrameRoot, ImageCorpus, Layout

_SUBJECT = re.compile(r"spno\.(\d{1,3})")
_CLIP = re.compile(rf"{_SUBJECT.pattern}_[a-z]\d*_\d+")


class Casme3(ImageCorpus):
    """Names of CAS(ME)^3 Part A."""

    name = "casme3"
    title = "CAS(ME)^3 Part A"
    fps = 30.0
    emotions = ("anger", "disgust", "fear", "happy", "others", "sad", "surprise")
    sheet_name = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
    sheet_patterns = ("part_a.*jpgindex.*_v2", "part_a.*jpgindex", "part_a.*_v2", "part_a")
    excluded_sheets = re.compile("mae")  # of macro-expressions
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
    subject_folder = re.compile(rf"{_SUBJECT.pattern}(?:_[a-z]\d*_\d+)?")
    subject_id = "spNO.{}"
    excluded_folders = re.compile("^(depth|video|part_a_mae_clip)$")
    preferred_trees = ("clip", "part_a", "")
    is_incomplete = True

    def version_of(self, path: Path) -> str:
        """Returns version 1 or 2, by the name."""
        match = re.search(r"_v(\d)", path.name.lower())
        return f"v{match[1]}" if match else ""

    def clip_name(self, filename: str, onset: int | None) -> str:
        """Returns the letter of the video and the onset in the sheet."""
        return f"{filename.lower()}_{onset}"

    def layout(self, tree: FolderTree, root: Path) -> Layout:
        """Returns that a folder is a video, or that clips are not in subjects' folders."""
        return Layout.VIDEOS

    def clip_folder(self, root: FrameRoot, row: Row) -> Path | None:
        """Returns the clip's own folder, or the colour frames of its video."""
        found = super().clip_folder(root, row)
        return found and (root.tree.find(found, "color") or found)

    def places(self, root: FrameRoot, row: Row) -> tuple[str, ...]:
        """Returns the clip's own folder, its video, or the video's running numbers."""
        folders = root.tree.subfolders(root.path)
        if clips := [path.name for name, path in folders.items() if _CLIP.fullmatch(name)]:
            prefix = clips[0].partition(".")[0]  # spNo or spNO
            own = [f"{row.subject}_{row.clip}", f"{row.subject}_{row.filename}_{row.onset}"]
            return tuple(prefix + name[len(prefix) :] for name in own)
        subject = root.tree.find_subject(root.path, _SUBJECT, self.number(row.subject))
        if subject is None:
            return (f"{row.subject}/{row.filename}",)
        videos = root.tree.subfolders(root.tree.find(root.path, subject.name))
        numbered = re.compile(rf"{re.escape(row.filename.lower())}\d+")
        running = [path for name, path in videos.items() if numbered.fullmatch(name)]
        running.sort(key=lambda path: _frames_held(root.tree, path, row), reverse=True)
        names = [row.filename, *(path.name for path in running)]
        if not running and any(re.fullmatch(r"[a-z]\d+", name) for name in videos):
            names.insert(0, f"{row.filename}1")
        return tuple(f"{subject.name}/{name}" for name in names)


def _frames_held(tree: FolderTree, folder: Path, row: Row) -> int:
    """Returns how many frames of the row a folder holds."""
    try:
        numbers = index_frames(tree.find(folder, "color") or folder)
    except UserError:
        return 0
    return sum(row.onset <= number <= row.offset for number in numbers)


class Builder(ImageCorpusBuilder):
    """Builds CAS(ME)^3 Part A."""

    name = "casme3"
    corpus = Casme3()

"""Search for subjects' folders and annotation sheets in a corpus as it was unpacked.

Archives unpack doubled (`Cropped/Cropped/...`), in other case, or beside each other (raw frames and
crops), and users rename the top folder. So the frames are found by the names of the subjects'
folders, and the sheet in the folders above them.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.errors import UserError

NO_NAME = re.compile("(?!)")  # matches nothing
_DEPTH = 6  # levels below the first folder that are searched


class FolderTree:
    """The folders below `top`; each is listed once."""

    def __init__(self, top: Path):
        self.top = top
        self._listed: dict[Path, tuple[list[Path], list[Path]]] = {}

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Returns the folders and the files in `folder` by name, without hidden ones."""
        if folder not in self._listed:
            folders, files = [], []
            try:
                with os.scandir(folder) as scanned:
                    for entry in scanned:
                        # `~$name` is the lock file of an open spreadsheet.
                        if not entry.name.startswith((".", "~$", "__MACOSX")):
                            (folders if entry.is_dir() else files).append(folder / entry.name)
            except OSError as error:
                raise UserError(
                    f"the folder {folder} cannot be read ({error.strerror}); check its permissions."
                ) from error
            self._listed[folder] = sorted(folders), sorted(files)
        return self._listed[folder]

    def subfolders(self, folder: Path) -> dict[str, Path]:
        """Returns the folders in `folder` by lower-case name; raises UserError if two share one."""
        found: dict[str, Path] = {}
        for path in self.entries(folder)[0]:
            other = found.setdefault(path.name.lower(), path)
            if other is not path:
                raise UserError(
                    f"{other.name} and {path.name} in {folder} differ only in case; merge them "
                    "into one folder."
                )
        return found

    def find(self, folder: Path, path: str) -> Path | None:
        """Returns the folder `path` (with `/`) in `folder`, in any case, also if it is doubled."""
        for name in path.lower().split("/"):
            inner = self.subfolders(folder).get(name)
            if inner is None:
                return None
            folder = self.subfolders(inner).get(name, inner)
        return folder

    def find_subject(self, root: Path, pattern: re.Pattern, number: int) -> Path | None:
        """Returns the folder of a subject by its number; raises UserError if there are two."""
        found = [
            path
            for name, path in self.subfolders(root).items()
            if (match := pattern.fullmatch(name)) and int(match[1]) == number
        ]
        if len(found) > 1:
            raise UserError(
                f"{found[0].name} and {found[1].name} in {root} are both of subject {number}; "
                "merge them into one folder."
            )
        return next(iter(found), None)

    def walk(self, start: Path, subjects: re.Pattern, excluded: re.Pattern) -> Iterator[Path]:
        """Yields `start` and the folders below it, level by level.

        Folders whose lower-case name matches `subjects`, or in which `excluded` is found, are left
        out with everything below them.
        """
        level = [start]
        for _ in range(_DEPTH + 1):
            yield from level
            level = [
                path
                for folder in level
                for path in self.entries(folder)[0]
                if not (subjects.fullmatch(path.name.lower()) or excluded.search(path.name.lower()))
            ]


def find_roots(
    tree: FolderTree, start: Path, subjects: re.Pattern, excluded: re.Pattern
) -> dict[Path, int]:
    """Returns every folder that holds subjects' folders, nearest first, with their number.

    The group of `subjects` is the subject's number; see `FolderTree.walk`.
    """
    roots = {}
    for folder in tree.walk(start, subjects, excluded):
        matches = (subjects.fullmatch(path.name.lower()) for path in tree.entries(folder)[0])
        if numbers := {int(match[1]) for match in matches if match}:
            roots[folder] = len(numbers)
    return roots


def rank(name: str, patterns: Sequence[str]) -> int:
    """Returns the place of the first pattern found in `name` in lower case, or their number."""
    found = (place for place, pattern in enumerate(patterns) if re.search(pattern, name.lower()))
    return next(found, len(patterns))


def choose_root(
    roots: Mapping[Path, int], preferred: Sequence[str], top: Path
) -> tuple[Path, list[str]]:
    """Returns one of several places of the frames, and a note if there was a choice.

    Args:
      roots: at least one, with its number of subjects. A folder with less than half as many
        subjects as another one is never preferred to it.
      preferred: patterns of paths relative to `top`, best first.
      top: folder that holds all of them.

    Raises:
      UserError: the two best ones rank equally.
    """
    most = max(roots.values())
    ranks = {
        root: (2 * count < most, rank(relative(root, top), preferred))
        for root, count in roots.items()
    }
    return _choose(
        ranks,
        top,
        "{top} holds the subjects' folders more than once ({names}); choose one with --frames_in.",
        "the frames in {best} are used, not those in {others}; see --frames_in.",
    )


def choose_sheet(
    sheets: Sequence[Path], preferred: Sequence[str], top: Path
) -> tuple[Path, list[str]]:
    """Returns the best of at least one sheet, and a note if there was a choice.

    Args:
      sheets: below `top`.
      preferred: patterns of names, best first.
      top: folder that holds all of them.

    Raises:
      UserError: the two best ones rank equally and differ in content.
    """
    ranks = {path: rank(path.name, preferred) for path in sheets}
    unique: dict[str, Path] = {}  # of identical files the best
    for path in sorted(ranks, key=ranks.get):
        unique.setdefault(file_digest(path), path)
    return _choose(
        {path: ranks[path] for path in unique.values()},
        top,
        "{top} holds several annotation sheets ({names}); keep one of them there.",
        "the sheet {best} is used, not {others}.",
    )


def _choose(
    ranks: Mapping[Path, Any], top: Path, conflict: str, note: str
) -> tuple[Path, list[str]]:
    """Returns the path of lowest rank, and a note on the others; raises the conflict of two."""
    paths = sorted(ranks, key=ranks.get)
    best, *others = [relative(path, top) for path in paths]
    if not others:
        return paths[0], []
    if ranks[paths[0]] == ranks[paths[1]]:
        raise UserError(conflict.format(top=top, names=", ".join([best, *others])))
    return paths[0], [note.format(best=best, others=", ".join(others))]


def relative(path: Path, folder: Path) -> str:
    """Returns `path` relative to `folder`, with `/`."""
    return path.relative_to(folder).as_posix()


def file_digest(path: Path) -> str:
    """Returns the sha256 of a file; raises UserError if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the file.") from error

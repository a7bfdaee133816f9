"""Folders of a corpus as it was unpacked: where the people's folders are, whatever lies above.

Archives unpack doubled (`Cropped/Cropped/...`), in other case, beside each other (raw frames and
crops); people rename the top. So a corpus is found by the names of its people's folders, and its
sheet in the folders above them.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from datasets.errors import UserError

NOTHING = re.compile("(?!)")  # matches no name
_DEPTH = 6  # levels below the first folder that are looked through


class Tree:
    """Listings of folders, each read once."""

    def __init__(self):
        self._listed: dict[Path, tuple[list[Path], list[Path]]] = {}

    def inside(self, parent: Path) -> tuple[list[Path], list[Path]]:
        """The folders and the files in `parent` by name; hidden ones are left out.

        Raises:
          UserError: it cannot be read.
        """
        if parent not in self._listed:
            folders, files = [], []
            try:
                with os.scandir(parent) as entries:
                    for entry in entries:
                        # `~$name` is what a spreadsheet leaves of an open file.
                        if not entry.name.startswith((".", "~$", "__MACOSX")):
                            (folders if entry.is_dir() else files).append(parent / entry.name)
            except OSError as error:
                raise UserError(
                    f"the folder {parent} cannot be read ({error.strerror}); check its permissions."
                ) from error
            self._listed[parent] = sorted(folders), sorted(files)
        return self._listed[parent]

    def folders(self, parent: Path) -> dict[str, Path]:
        """The folders in `parent` by their names in lower case.

        Raises:
          UserError: two of them differ in case only.
        """
        found: dict[str, Path] = {}
        for path in self.inside(parent)[0]:
            twin = found.setdefault(path.name.lower(), path)
            if twin is not path:
                raise UserError(
                    f"{twin.name} and {path.name} in {parent} differ in case only; put what they "
                    "hold into one of them."
                )
        return found

    def find(self, parent: Path, path: str) -> Path | None:
        """The folder `path` (with `/`) in `parent`, whatever its case, or its doubled inner."""
        found: Path | None = parent
        for name in path.lower().split("/"):
            found = self.folders(found).get(name)
            if found is None:
                return None
            found = self.folders(found).get(name, found)
        return found

    def find_person(self, root: Path, pattern: re.Pattern, number: int) -> Path | None:
        """The folder in `root` whose name is of the pattern with that number, padded or not.

        Raises:
          UserError: there are two.
        """
        found = [
            path
            for name, path in self.folders(root).items()
            if (match := pattern.fullmatch(name)) and int(match[1]) == number
        ]
        if len(found) > 1:
            raise UserError(
                f"{found[0].name} and {found[1].name} in {root} are both person {number}; put what "
                "they hold into one of them."
            )
        return next(iter(found), None)

    def walk(self, start: Path, people: re.Pattern, avoid: re.Pattern) -> Iterator[Path]:
        """`start` and the folders below, level by level, up to and without the people's."""
        level = [start]
        for _ in range(_DEPTH + 1):
            yield from level
            level = [
                path
                for folder in level
                for path in self.inside(folder)[0]
                if not (people.fullmatch(path.name.lower()) or avoid.search(path.name.lower()))
            ]


def find_roots(
    tree: Tree, start: Path, people: re.Pattern, avoid: re.Pattern = NOTHING
) -> dict[Path, int]:
    """Every folder that holds people's folders, nearest first -> how many people.

    Args:
      tree: of listings.
      start: where to begin.
      people: matches the name, lower case, of a person's folder; its group is the number.
      avoid: is found in the names, lower case, of folders that hold something else (depth maps,
        other cameras).
    """
    roots = {}
    for folder in tree.walk(start, people, avoid):
        matches = [people.fullmatch(path.name.lower()) for path in tree.inside(folder)[0]]
        if numbers := {int(match[1]) for match in matches if match}:
            roots[folder] = len(numbers)
    return roots


def choose_root(
    roots: Mapping[Path, int], manual_dir: Path, preference: Sequence[str]
) -> tuple[Path, list[str]]:
    """One of several places of the frames, and a sentence where there was a choice.

    Args:
      roots: at least one -> how many people.
      manual_dir: that all are in.
      preference: patterns of paths relative to `manual_dir`, lower case, the best first. A folder
        with less than half as many people as another one is never preferred to it.

    Raises:
      UserError: two are equally good.
    """
    most = max(roots.values())

    def rank(root: Path) -> tuple[bool, int]:
        path = relative(root, manual_dir).lower()
        fitting = [place for place, pattern in enumerate(preference) if re.search(pattern, path)]
        return 2 * roots[root] < most, min(fitting, default=len(preference))

    ranked = sorted(roots, key=rank)
    first, *others = [relative(root, manual_dir) for root in ranked]
    if others and rank(ranked[0]) == rank(ranked[1]):
        raise UserError(
            f"{manual_dir} holds the people's folders more than once "
            f"({', '.join([first, *others])}); choose one with --frames_in."
        )
    if not others:
        return ranked[0], []
    told = f"the frames of {first} are used, not those of {', '.join(others)}; --frames_in chooses."
    return ranked[0], [told]


def relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`."""
    return path.relative_to(folder).as_posix()

"""Folders of a corpus as it was unpacked: where the people's folders are, whatever lies above.

Archives unpack doubled (`Cropped/Cropped/...`), in other case, beside each other (raw frames and
crops); people rename the top. So a corpus is found by the names of its people's folders.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from datasets.errors import UserError

_DEPTH = 6  # levels below --manual_dir that are looked through


class Tree:
    """Listings of folders, each read once."""

    def __init__(self):
        self._listed: dict[Path, dict[str, Path]] = {}

    def folders(self, parent: Path) -> dict[str, Path]:
        """The folders in `parent` by their names in lower case."""
        if parent not in self._listed:
            try:
                inside = sorted(parent.iterdir())
            except OSError as error:
                raise UserError(
                    f"the folder {parent} cannot be read ({error.strerror}); check its permissions."
                ) from error
            self._listed[parent] = {
                path.name.lower(): path
                for path in inside
                if not path.name.startswith((".", "__MACOSX")) and path.is_dir()
            }
        return self._listed[parent]

    def find(self, parent: Path, *names: str) -> Path | None:
        """The first of the folders `names` in `parent`, whatever its case, or its doubled inner."""
        for name in names:
            if found := self.folders(parent).get(name.lower()):
                return self.folders(found).get(name.lower(), found)
        return None

    def find_person(self, root: Path, pattern: re.Pattern, number: int) -> Path | None:
        """The folder in `root` whose name is of the pattern with that number, padded or not."""
        for name, path in self.folders(root).items():
            match = pattern.fullmatch(name)
            if match and int(match[1]) == number:
                return self.folders(path).get(name, path)
        return None


def find_roots(
    tree: Tree, manual_dir: Path, people: re.Pattern, avoid: Sequence[str]
) -> list[Path]:
    """Every folder that holds people's folders, nearest first; looks no deeper than a find.

    Args:
      tree: of listings.
      manual_dir: where to begin.
      people: matches the name, lower case, of a person's folder.
      avoid: folders, lower case, that hold something else (depth maps, other cameras).
    """
    roots, level = [], [manual_dir]
    for _ in range(_DEPTH + 1):
        deeper = []
        for folder in level:
            inside = tree.folders(folder)
            if any(people.fullmatch(name) for name in inside):
                roots.append(folder)
            else:
                deeper += [path for name, path in inside.items() if name not in avoid]
        level = deeper
    return roots


def choose_root(
    roots: Sequence[Path], manual_dir: Path, frames_in: str | None, preference: Sequence[str]
) -> tuple[Path, list[str]]:
    """One of several places of the frames, and a sentence where there was a choice.

    Args:
      roots: at least one.
      manual_dir: that all are in.
      frames_in: the user's choice, a folder in `manual_dir`; None for the corpus' own.
      preference: patterns of paths relative to `manual_dir`, lower case, the best first.

    Raises:
      UserError: `frames_in` holds none of them, or two are equally good.
    """
    if frames_in is not None:
        chosen = manual_dir / frames_in
        roots = [root for root in roots if root == chosen or chosen in root.parents]
        if not roots:
            raise UserError(f"{chosen} holds no person's folder; name another --frames_in.")
    ranked = sorted(roots, key=functools.partial(_rank, manual_dir, preference))
    if len(ranked) > 1:
        ranks = [_rank(manual_dir, preference, root) for root in ranked[:2]]
        names = ", ".join(_relative(manual_dir, root) for root in ranked)
        if ranks[0] == ranks[1]:
            raise UserError(
                f"{manual_dir} holds the people's folders more than once ({names}); choose one "
                "with --frames_in."
            )
        told = (
            f"the frames of {_relative(manual_dir, ranked[0])} are used, not those of "
            f"{', '.join(_relative(manual_dir, root) for root in ranked[1:])}; --frames_in chooses."
        )
        return ranked[0], [told]
    return ranked[0], []


def _relative(manual_dir: Path, root: Path) -> str:
    return root.relative_to(manual_dir).as_posix()


def _rank(manual_dir: Path, preference: Sequence[str], root: Path) -> int:
    path = _relative(manual_dir, root).lower()
    fitting = [place for place, pattern in enumerate(preference) if re.search(pattern, path)]
    return min(fitting, default=len(preference))

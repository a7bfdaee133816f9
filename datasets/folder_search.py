"""Search for subjects' folders and annotation sheets in a corpus as it was unpacked.

Archives unpack doubled (`Cropped/Cropped/...`), in other case, or beside each other (raw frames and
crops), and users rename the top folder. So the frames are found by the names of the subjects'
folders, and the sheet in the folders above them.
"""

import hashlib
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from datasets.errors import UserError
from datasets.frames import index_frames, is_picture

NO_NAME = re.compile("(?!)")  # matches nothing
MAX_DEPTH = 6  # levels below the first folder that are searched
# What servers and systems put into every folder, beside names that begin with a dot. `~$name` is
# the lock file of an open spreadsheet.
_OF_SYSTEMS = re.compile(
    r"\.|~\$|__macosx|(?:@(?:eadir|tmp|recycle|sharebin|recently-snapshot)|#(?:recycle|snapshot)"
    r"|~snapshot|\$recycle\.bin|\$extend|recycler|recycled|system volume information|lost\+found"
    r"|found\.\d{3}|network trash folder|temporary items|resource\.frk|dfsrprivate|_gsdata_"
    r"|thumbs\.db|desktop\.ini)$"
)
_ARCHIVE = re.compile(r"\.(?:zip|rar|7z|tar|tgz|gz|bz2|xz|z\d\d|zip\.\d{3}|7z\.\d{3})$")

# (Subject's number, what follows it, names of folders) of a clip -> the folders of its pictures.
Clips = dict[tuple, list[Path]]


class FolderTree:
    """The folders below `top`; each is listed once.

    Attributes:
      top: the first folder.
      unreadable: folder -> why it cannot be listed; it appears empty.
    """

    def __init__(self, top: Path):
        self.top = top
        self.unreadable: dict[Path, str] = {}
        self._listed: dict[Path, tuple[list[Path], list[Path]]] = {}

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Returns the folders and the files in `folder` by name, without hidden ones."""
        if folder not in self._listed:
            folders, files = [], []
            for path, is_folder in self._scan(folder):
                (folders if is_folder else files).append(path)
            self._listed[folder] = sorted(folders), sorted(files)
        return self._listed[folder]

    def _scan(self, folder: Path) -> Iterator[tuple[Path, bool]]:
        """Yields what is in a folder, and whether it is a folder."""
        try:
            with os.scandir(folder) as scanned:
                for entry in scanned:
                    if not _OF_SYSTEMS.match(entry.name.lower()):
                        yield folder / entry.name, _is_folder(entry)
        except OSError as error:
            self.unreadable[folder] = error.strerror

    def check_readable(self, folder: Path) -> None:
        """Raises UserError if `folder` could not be listed."""
        self.entries(folder)
        if folder in self.unreadable:
            raise UserError(
                f"the folder {folder} cannot be read ({self.unreadable[folder]}); check its "
                "permissions."
            )

    def subject_folders(self, folder: Path, subjects: re.Pattern) -> list[Path]:
        """Returns the folders in `folder` whose lower-case name matches `subjects`."""
        return [path for path in self.entries(folder)[0] if subjects.fullmatch(path.name.lower())]

    def picture_folders(
        self, folder: Path, excluded: re.Pattern, depth: int = MAX_DEPTH
    ) -> Iterator[Path]:
        """Yields `folder` if it holds pictures, else the folders below it that do."""
        inner = []
        for path, is_folder in self._scan(folder):  # a folder of pictures is not listed to its end
            if not is_folder and is_picture(path):
                yield folder
                return
            if is_folder and not excluded.search(path.name.lower()):
                inner.append(path)
        for path in sorted(inner) if depth else ():
            yield from self.picture_folders(path, excluded, depth - 1)

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
        """Returns the folder `path` (with `/`) in `folder`, in any case, also if it is doubled.

        Raises:
          UserError: a folder on the way cannot be read, or two differ only in case.
        """
        for name in path.lower().split("/"):
            inner = self.subfolders(folder).get(name)
            if inner is None:
                self.check_readable(folder)
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

    def walk(
        self, start: Path, subjects: re.Pattern, excluded: re.Pattern, depth: int = MAX_DEPTH
    ) -> Iterator[Path]:
        """Yields `start` and `depth` levels of folders below it, level by level, each once.

        Folders whose lower-case name matches `subjects`, or in which `excluded` is found, are left
        out with everything below them. Raises UserError if `start` cannot be read.
        """
        self.check_readable(start)
        level, seen = [start], {_identity(start)}
        for _ in range(depth + 1):
            yield from level
            below = [
                path
                for folder in level
                for path in self.entries(folder)[0]
                if not (subjects.fullmatch(path.name.lower()) or excluded.search(path.name.lower()))
            ]
            level = _new_ones(below, seen)

    def archives(self, subjects: re.Pattern, excluded: re.Pattern) -> list[str]:
        """Returns the files that seem to be still packed, relative to `top`."""
        places = list(self.walk(self.top, subjects, excluded))
        places += [path for place in places for path in self.subject_folders(place, subjects)]
        files = (path for folder in places for path in self.entries(folder)[1])
        return [relative(path, self.top) for path in files if _ARCHIVE.search(path.name.lower())]


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, or nowhere that may be seen
        return False


def _identity(path: Path) -> Hashable:
    """Returns what a folder has in common with every link to it."""
    try:
        status = path.stat()
    except OSError:
        return path
    return (status.st_dev, status.st_ino) if status.st_ino else path


def _new_ones(paths: Sequence[Path], seen: set[Hashable]) -> list[Path]:
    """Returns the folders that are not in `seen`, and adds them; a link comes after its target."""
    new = []
    for path in sorted(paths, key=Path.is_symlink):
        identity = _identity(path)
        if identity not in seen:
            seen.add(identity)
            new.append(path)
    return sorted(new, key=paths.index)


def find_roots(
    tree: FolderTree, start: Path, subjects: re.Pattern, excluded: re.Pattern
) -> dict[Path, list[Path]]:
    """Returns every folder that holds subjects' folders, nearest first, with these.

    The group of `subjects` is the subject's number; see `FolderTree.walk`.
    """
    found = {
        folder: tree.subject_folders(folder, subjects)
        for folder in tree.walk(start, subjects, excluded)
    }
    # A tree of links to the subjects of another one is the same tree again.
    new = set(_new_ones([path for paths in found.values() for path in paths], set()))
    return {
        folder: left
        for folder, paths in found.items()
        if (left := [path for path in paths if path in new])
    }


def rank(name: str, patterns: Sequence[str]) -> int:
    """Returns the place of the first pattern found in `name` in lower case, or their number."""
    found = (place for place, pattern in enumerate(patterns) if re.search(pattern, name.lower()))
    return next(found, len(patterns))


def choose_roots(
    tree: FolderTree,
    roots: Mapping[Path, Sequence[Path]],
    subjects: re.Pattern,
    excluded: re.Pattern,
    preferred: Sequence[str],
    layout: Callable[[Path], Hashable],
) -> tuple[list[Path], list[Path]]:
    """Returns the place of the frames, or the places of its parts, and the roots left out.

    Trees that hold different people, or different clips, are parts of one corpus, as archives
    unpacked beside each other are. Of trees that hold the same clips one is chosen. A tree without
    any picture is none, if there is another.

    Args:
      tree: that holds them.
      roots: at least one, from `find_roots`. One with less than half as many subjects as another
        one is never preferred to it.
      subjects, excluded: as for `find_roots`.
      preferred: patterns of paths relative to `tree.top`, best first.
      layout: of a root; parts have the same.

    Raises:
      UserError: the two best ones rank equally and hold the same clips.
    """
    if len(roots) == 1:
        return list(roots), []
    held = {root: _clips(tree, paths, subjects, excluded) for root, paths in roots.items()}
    held = {root: clips for root, clips in held.items() if clips} or {
        root: {_subject(path, subjects): [path] for path in paths} for root, paths in roots.items()
    }
    most = max(len(_people(clips)) for clips in held.values())
    ranks = {
        root: (2 * len(_people(clips)) < most, rank(relative(root, tree.top), preferred))
        for root, clips in held.items()
    }
    best, *others = sorted(ranks, key=ranks.get)
    parts, left_out, clips = [best], [], held[best]
    for root in others:
        more, is_alike = held[root], ranks[root][1] == ranks[best][1]
        if layout(root) == layout(best) and (
            _people(clips).isdisjoint(_people(more))
            or (is_alike and _complete_each_other(clips, more))
        ):
            parts.append(root)
            clips = clips | {clip: [*clips.get(clip, []), *more[clip]] for clip in more}
        else:
            if ranks[root] == ranks[best]:
                _refuse_two_versions(clips, more)
            left_out.append(root)
    if left_out and ranks[left_out[0]] == ranks[best]:
        names = ", ".join(relative(root, tree.top) for root in [best, *left_out])
        raise UserError(
            f"{tree.top} holds the subjects' folders more than once ({names}); choose one with "
            "--frames_in."
        )
    return parts, left_out


def _refuse_two_versions(one: Clips, other: Clips) -> None:
    """Raises UserError if two trees hold some clips twice, and each holds others."""
    shared = one.keys() & other.keys()
    if shared and len(shared) < min(len(one), len(other)):
        places = [clips[next(clip for clip in one if clip in shared)][0] for clips in (one, other)]
        raise UserError(
            f"{places[0]} and {places[1]} seem to be one clip in two versions, and each tree holds "
            "other clips too; move one folder of each such clip elsewhere, or choose one tree with "
            "--frames_in."
        )


def _people(clips: Clips) -> set[int]:
    return {number for number, *_ in clips}


def _subject(folder: Path, subjects: re.Pattern) -> tuple[int, str]:
    """Returns the number of a subject's folder, and what follows it in the name."""
    match = subjects.fullmatch(folder.name.lower())
    return int(match[1]), match.string[match.end(1) :]


def _clips(
    tree: FolderTree, folders: Sequence[Path], subjects: re.Pattern, excluded: re.Pattern
) -> Clips:
    """Returns the folders of pictures below subjects' folders, by the subject and their names."""
    clips: Clips = {}
    for subject in folders:
        for folder in tree.picture_folders(subject, excluded):
            names = dict.fromkeys(relative(folder, subject).lower().split("/"))  # doubled or not
            clips.setdefault((*_subject(subject, subjects), *names), []).append(folder)
    return clips


def _complete_each_other(one: Clips, other: Clips) -> bool:
    """Whether two trees are parts of one: both hold something that the other lacks.

    The frames of a clip may be spread over both. A frame in both must be the same file.
    """
    shared = one.keys() & other.keys()
    lacking = [bool(other.keys() - shared), bool(one.keys() - shared)]
    for clip in shared:
        try:
            frames, others = (index_parts(clips[clip]) for clips in (one, other))
        except UserError:
            return False
        both = [(frames[n], others[n]) for n in sorted(frames.keys() & others.keys())]
        together = frames.keys() | others.keys()
        is_spread = len(together) == max(together, default=0) - min(together, default=1) + 1
        if not (is_spread or both) or not _are_same_files(both):
            return False
        lacking[0] |= bool(others.keys() - frames.keys())
        lacking[1] |= bool(frames.keys() - others.keys())
    return all(lacking)


def _are_same_files(pairs: Sequence[tuple[Path, Path]]) -> bool:
    """Whether two files each agree in name and size, and the first two in content."""
    agree = all(
        one.name == other.name and one.stat().st_size == other.stat().st_size
        for one, other in pairs
    )
    return agree and all(file_digest(one) == file_digest(other) for one, other in pairs[:1])


def choose_sheet(
    sheets: Mapping[Path, str], preferred: Sequence[str], top: Path
) -> tuple[Path, list[str]]:
    """Returns the best of at least one sheet, and a note if there was a choice.

    Args:
      sheets: below `top`, with a digest of the content; "" if it cannot be read. Such a one is
        never preferred to another one of its rank.
      preferred: patterns of names, best first.
      top: folder that holds all of them.

    Raises:
      UserError: the two best ones rank equally and differ in content.
    """
    ranks = {path: (rank(path.name, preferred), not sheets[path]) for path in sheets}
    unique: dict[str, Path] = {}  # of equal sheets the best
    for path in sorted(ranks, key=ranks.get):
        unique.setdefault(sheets[path] or str(path), path)
    best, *others = unique.values()
    if not others:
        return best, []
    names = ", ".join(relative(path, top) for path in others)
    if ranks[others[0]] == ranks[best]:
        raise UserError(
            f"{top} holds several annotation sheets that differ ({relative(best, top)}, {names}); "
            "move all but one of them elsewhere."
        )
    return best, [f"the sheet {relative(best, top)} is used, not {names}."]


def index_parts(folders: Iterable[Path]) -> dict[int, Path]:
    """As `index_frames`, of a clip whose frames may be spread over several folders."""
    numbered: dict[int, Path] = {}
    for folder in folders:
        numbered = index_frames(folder) | numbered
    return dict(sorted(numbered.items()))


def relative(path: Path, folder: Path) -> str:
    """Returns `path` relative to `folder`, or as it is if it lies elsewhere, with `/`."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def folder_of(source: Path) -> Path:
    """Returns the folder that a corpus lies in: `source`, or where `source` is its table."""
    return source.parent if source.is_file() else source


def file_digest(path: Path) -> str:
    """Returns the sha256 of a file; raises UserError if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the file.") from error

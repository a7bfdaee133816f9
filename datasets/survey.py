"""Survey of an unpacked corpus: every annotated clip with its frames, or why it cannot be built.

Used by the builder and the doctor. A fault of a single clip is not raised but becomes a sentence.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from datasets.annotations import UNKNOWN, Annotations, Row
from datasets.clip_tasks import Annotation
from datasets.errors import UserError
from datasets.folder_search import FolderTree, file_digest, relative
from datasets.frames import index_frames, read_frame
from datasets.image_corpus import FrameRoot, ImageCorpus, Layout
from datasets.options import BuildOptions

_LONGEST = 2000  # frames; twice as long as any known clip


@dataclasses.dataclass(frozen=True)
class RowClip:
    """A row of the annotation with the files of its frames; a `datasets.clip_tasks.ClipTask`.

    Attributes:
      skips_unreadable: whether an unreadable frame is skipped, as a known loss.
    """

    row: Row
    files: tuple[Path, ...]
    skips_unreadable: bool = False

    @property
    def subject(self) -> str:
        """The subject."""
        return self.row.subject

    @property
    def clip(self) -> str:
        """Name, unique within the subject."""
        return self.row.clip

    def annotation(self) -> Annotation:
        """Returns the annotation."""
        return self.row

    def readings(self) -> Iterator[np.ndarray | UserError]:
        """Yields every frame from onset to offset, or why it cannot be read."""
        raise NotImplementedError

    def frames(self) -> Iterator[np.ndarray | None]:
        """Yields every frame; None for a skipped one."""
        for frame in self.readings():
            if not isinstance(frame, UserError):
                yield frame
            elif self.skips_unreadable:
                yield None
            else:
                raise frame


class ImageClip(RowClip):
    """A clip with a picture file for every frame."""

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.files[0].parent)

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return len(self.files)

    def readings(self) -> Iterator[np.ndarray | UserError]:
        """Yields every picture, or why it cannot be read."""
        for path in self.files:
            try:
                yield read_frame(path)
            except UserError as error:
                yield error


@dataclasses.dataclass
class Survey:
    """What an unpacked corpus holds, before any frame is read.

    Attributes:
      annotations: of the sheet.
      roots: folders of the subjects' folders, several if the corpus lies there in parts; none if
        they were not looked for.
      clips: those that can be built, judging by names.
      problems: sentences, one per row or clip that cannot be built; begins with the annotations'.
      missing: sentences, one per clip without (many of) its frames; also problems, unless such
        clips are skipped.
      losses: sentences, one per clip that lacks some frames and is built nevertheless.
      notes: other sentences; begins with the annotations'.
      longer: number of clips whose folder holds more than onset to offset.
      digest: changes with the sheet, the clips' folders, and the names of their files.
    """

    annotations: Annotations
    roots: tuple[Path, ...] = ()
    clips: list[ImageClip] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)
    losses: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    longer: int = 0
    digest: str = ""

    def __post_init__(self):
        self.problems += self.annotations.problems
        self.notes += self.annotations.notes


@dataclasses.dataclass
class _Located:
    """A row, its folders, and its files by frame number; or the problem that it lacks them.

    Attributes:
      folders: folder -> the root that it lies in; several if a clip is spread over parts.
    """

    row: Row
    folders: dict[Path, FrameRoot] = dataclasses.field(default_factory=dict)
    numbered: dict[int, Path] = dataclasses.field(default_factory=dict)
    problem: str = ""

    @property
    def folder(self) -> Path | None:
        """The (first) folder."""
        return next(iter(self.folders), None)


def survey(corpus: ImageCorpus, manual_dir: Path, options: BuildOptions) -> Survey:
    """Reads the sheet and finds the frames of every row.

    The options select sheet and frames, and whether clips without frames are a problem.

    Raises:
      UserError: there is no sheet, or no subject's folder.
    """
    tree = FolderTree(manual_dir)
    annotations = corpus.annotations(tree, options)
    roots, notes = corpus.frame_roots(tree, options)
    rows = [_shortened(row, options.after_apex) for row in annotations.rows]
    located = [_locate(corpus, roots, row) for row in rows]
    if not (roots := _used(corpus, roots, located, notes)):
        raise corpus.no_frames(tree, options)
    if roots[0].layout is Layout.CLIPS:
        _refuse_shared_folders(located)
        for root in roots:
            notes += _unlisted_folders(corpus, root, annotations, located)
    paths = tuple(root.path for root in roots)
    found = Survey(annotations, paths)
    found.notes += notes
    for one in located:
        files = [] if one.problem else _files(corpus, roots[0].layout, one, found)
        if one.problem:
            found.missing.append(one.problem)
        else:
            found.clips.append(ImageClip(one.row, tuple(files), corpus.is_incomplete))
            found.longer += len(one.numbered) > len(set(files))
    found.notes += [
        f"the folder {folder} cannot be read ({reason}) and was left out."
        for folder, reason in tree.unreadable.items()
    ]
    if found.missing and (packed := tree.archives(corpus.subject_folder, corpus.excluded_folders)):
        found.notes.append(
            f"{', '.join(packed)} seems to be still packed; unpack it if it holds clips."
        )
    if options.on_missing == "fail":
        found.problems += found.missing
    found.digest = _digest(annotations.sheet, manual_dir, located)
    return found


def _shortened(row: Row, after_apex: int | None) -> Row:
    """Returns the row with at most that many frames after the apex, if it is known."""
    if after_apex is None or row.apex == UNKNOWN:
        return row
    return dataclasses.replace(row, offset=min(row.offset, row.apex + after_apex))


def _locate(corpus: ImageCorpus, roots: Sequence[FrameRoot], row: Row) -> _Located:
    one = _Located(row)
    try:
        one.folders = _folders(corpus, roots, row)
        if not one.folders:
            place = corpus.places(roots[0], row)[0]
            where = " and ".join(str(root.path) for root in roots)
            none = "holds no" if len(roots) == 1 else "hold no"
            one.problem = (
                f"the folder of {row} is missing: {where} {none} {place}; copy it from the corpus."
            )
            return one
        for folder in one.folders:
            one.numbered = index_frames(folder) | one.numbered
        one.numbered = dict(sorted(one.numbered.items()))
    except UserError as error:
        one.problem = str(error)
        return one
    if not one.numbered:
        one.problem = (
            f"the folder {one.folder} of {row} holds no frames{_other_files(one.folder)}; copy it "
            "from the corpus."
        )
    return one


def _other_files(folder: Path) -> str:
    suffixes = {path.suffix.lower() for path in folder.iterdir() if not path.name.startswith(".")}
    return f" but {', '.join(sorted(suffixes))} files" if any(suffixes) else ""


def _folders(corpus: ImageCorpus, roots: Sequence[FrameRoot], row: Row) -> dict[Path, FrameRoot]:
    """Returns the folders of a row's frames: of the parts that hold it, all of one name."""
    found = {
        folder: root for root in roots if (folder := corpus.clip_folder(root, row)) is not None
    }
    if len(found) < 2:
        return found

    def names(folder: Path) -> list[str]:  # below the subject's folder, doubled or not
        return list(dict.fromkeys(relative(folder, found[folder].path).lower().split("/")[1:]))

    def fits(folder: Path) -> tuple[bool, int]:
        held = sum(row.onset <= number <= row.offset for number in index_frames(folder))
        return row.filename.lower() in names(folder), held

    best = names(max(found, key=fits))
    return {folder: root for folder, root in found.items() if names(folder) == best}


def _used(
    corpus: ImageCorpus,
    roots: Sequence[FrameRoot],
    located: Sequence[_Located],
    notes: list[str],
) -> list[FrameRoot]:
    """Returns the roots that hold clips of the sheet, and adds notes on them.

    None if no clip has a folder, and no subject's folder is named as in the corpus.
    """
    holding = {root.path for one in located for root in one.folders.values()}
    used = [root for root in roots if root.path in holding]
    if not used:
        names = (path.name.lower() for path in roots[0].tree.entries(roots[0].path)[0])
        used = roots[:1] if any(map(corpus.subject_folder.fullmatch, names)) else []
    names, others = (
        ", ".join(relative(root.path, root.tree.top) for root in group)
        for group in (used, [root for root in roots if root not in used])
    )
    respelt = {
        name: one.row.subject
        for one in located
        for folder, root in one.folders.items()
        if (name := folder.relative_to(root.path).parts[0])
        and not corpus.subject_folder.fullmatch(name.lower())
    }
    if respelt:
        notes.append(
            f"the subjects' folders {', '.join(respelt)} are read as {', '.join(respelt.values())}."
        )
    if len(used) > 1:
        notes.append(
            f"the frames lie in several folders that hold different clips and are read together: "
            f"{names}; --frames_in takes one alone."
        )
    if others and used:
        notes.append(f"the frames in {names} are used, not those in {others}; see --frames_in.")
    return used


def _files(corpus: ImageCorpus, layout: Layout, one: _Located, found: Survey) -> Collection[Path]:
    """Returns a file for every frame from onset to offset; sets the problem if many are missing."""
    row, numbers = one.row, list(one.numbered)
    first, last = numbers[0], numbers[-1]
    if layout is Layout.LABELLED:
        if gaps := missing_numbers(numbers, first, last):
            found.notes.append(
                f"the frame numbers of {row} in {one.folder} are not consecutive ({gaps} missing); "
                "the frames are taken one after the other."
            )
        return one.numbered.values()
    expected = row.offset - row.onset + 1
    counts_from_start = layout is Layout.CLIPS and first in (0, 1)
    is_consecutive = last - first + 1 == len(numbers)
    if counts_from_start and first != row.onset and is_consecutive and len(numbers) == expected:
        # Some users rename the frames from onset to offset so that they count from 0 or 1.
        return one.numbered.values()
    present = [number for number in numbers if row.onset <= number <= row.offset]
    lacking = expected - len(present)
    if not lacking:
        return [one.numbered[number] for number in present]
    gaps = missing_numbers(present, row.onset, row.offset)
    what = f"{one.folder} lacks {lacking} of the {expected} frames of {row} ({gaps})"
    tolerated = expected // 10
    if corpus.is_incomplete and expected <= _LONGEST:
        tolerated = expected - 1
    if counts_from_start and first < row.onset and last < row.offset:
        one.problem = (
            f"the frames in {one.folder} seem to be renumbered: they are {first} to {last}, "
            f"where {row} is {row.onset} to {row.offset}; copy it from the corpus again."
        )
    elif lacking > tolerated:
        one.problem = f"{what}; copy it from the corpus again."
    if one.problem:
        return []
    found.losses.append(f"{what}; the nearest frame present replaces each of them.")
    return [
        one.numbered[min(present, key=lambda there: abs(there - number))]
        for number in range(row.onset, row.offset + 1)
    ]


def missing_numbers(numbers: Iterable[int], first: int, last: int) -> str:
    """Returns what ascending `numbers` lack between first and last, as `3, 5-7`."""
    gaps = [
        (one + 1, other - 1)
        for one, other in itertools.pairwise([first - 1, *numbers, last + 1])
        if other - one > 1
    ]
    return ", ".join(f"{one}" if one == other else f"{one}-{other}" for one, other in gaps)


def _refuse_shared_folders(located: Sequence[_Located]) -> None:
    """Gives a folder claimed by rows of different names to the row of its name alone."""

    def has_own_name(one: _Located) -> bool:
        return one.row.filename.lower() == one.folder.name.lower()

    owners: dict[Path, Row] = {}
    for one in sorted((one for one in located if one.folder), key=has_own_name, reverse=True):
        owner = owners.setdefault(one.folder, one.row)
        if owner.filename.lower() != one.row.filename.lower():
            one.problem = (
                f"the folder of {one.row} is missing: {one.folder} is that of {owner}; copy it "
                "from the corpus."
            )


def _unlisted_folders(
    corpus: ImageCorpus, root: FrameRoot, annotations: Annotations, located: Sequence[_Located]
) -> Iterator[str]:
    """Yields sentences on clip folders that no row of the sheet names."""
    tree, used = root.tree, {folder for one in located for folder in one.folders}
    for name, subject in tree.subfolders(root.path).items():
        match = corpus.subject_folder.fullmatch(name)
        inner = tree.subfolders(tree.subfolders(subject).get(name, subject)) if match else {}
        for clip, folder in inner.items():
            is_other = match and (int(match[1]), clip) in annotations.other_clips
            if not is_other and tree.find(folder.parent, clip) not in used:
                yield f"the folder {folder} is named in no usable row of the sheet."


def _digest(sheet: Path | None, manual_dir: Path, located: Sequence[_Located]) -> str:
    digest = hashlib.sha256(file_digest(sheet).encode() if sheet else b"")
    for one in located:
        folder = one.folder and relative(one.folder, manual_dir)
        names = [path.name for path in one.numbered.values()]
        digest.update(repr((one.row.subject, one.row.clip, folder, names)).encode())
    return digest.hexdigest()

"""Survey of an unpacked corpus: every annotated clip with its frames, or why it cannot be built.

Used by the builder and the doctor. A fault of a single clip is not raised but becomes a sentence.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from datasets.annotations import UNKNOWN, Annotations, Row
from datasets.clip_tasks import Annotation
from datasets.errors import UserError
from datasets.folder_search import FolderTree, file_digest, index_parts, relative
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
    """A row with its folders and its files by frame number, or why it lacks them.

    Attributes:
      folders: folder -> the root that it lies in; several if a clip is spread over parts.
      problem: a sentence; "" if it has its files.
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
    parts, left_out = corpus.frame_roots(tree, options)
    rows = [_shortened(row, options.after_apex) for row in annotations.rows]
    located = [_locate(corpus, parts, row) for row in rows]
    if not (roots := _used(corpus, parts, located)):
        raise corpus.no_frames(tree, options)
    left_out += [root.path for root in parts if root not in roots]
    found = Survey(annotations, tuple(root.path for root in roots))
    found.notes += _notes_on_roots(corpus, tree.top, found.roots, left_out, located)
    if roots[0].layout is Layout.CLIPS:
        _refuse_shared_folders(located)
        for root in roots:
            found.notes += _unlisted_folders(corpus, root, annotations, located)
    for one in located:
        try:
            files = tuple(_files(corpus, roots[0].layout, one, found))
        except UserError as error:
            found.missing.append(str(error))
            continue
        found.clips.append(ImageClip(one.row, files, corpus.is_incomplete))
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
            where = " and ".join(str(root.path) for root in roots)
            none = "holds no" if len(roots) == 1 else "hold no"
            raise UserError(
                f"the folder of {row} is missing: {where} {none} "
                f"{corpus.places(roots[0], row)[0]}; copy it from the corpus."
            )
        one.numbered = index_parts(one.folders)
        if not one.numbered:
            raise UserError(
                f"the folder {one.folder} of {row} holds no frames{_other_files(one.folder)}; copy "
                "it from the corpus."
            )
    except UserError as error:
        one.problem = str(error)
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
    corpus: ImageCorpus, roots: Sequence[FrameRoot], located: Sequence[_Located]
) -> list[FrameRoot]:
    """Returns the roots that hold clips of the sheet.

    If none does, the best one where its subjects' folders are named as in the corpus.
    """
    holding = {root.path for one in located for root in one.folders.values()}
    if holding:
        return [root for root in roots if root.path in holding]
    best = roots[0]
    return [best] if best.tree.subject_folders(best.path, corpus.subject_folder) else []


def _notes_on_roots(
    corpus: ImageCorpus,
    top: Path,
    roots: Sequence[Path],
    left_out: Sequence[Path],
    located: Sequence[_Located],
) -> Iterator[str]:
    """Yields sentences on subjects' folders of other names, on parts, and on roots left out."""
    respelt = {
        name: one.row.subject
        for one in located
        for folder, root in one.folders.items()
        if (name := folder.relative_to(root.path).parts[0])
        and not corpus.subject_folder.fullmatch(name.lower())
    }
    if respelt:
        spellings = ", ".join(respelt.values())
        yield f"the subjects' folders {', '.join(respelt)} are read as {spellings}."
    names, others = (
        ", ".join(relative(root, top) for root in group) for group in (roots, left_out)
    )
    if len(roots) > 1:
        yield (
            f"the frames lie in several folders that hold different clips and are read together: "
            f"{names}; --frames_in takes one alone."
        )
    if others:
        yield f"the frames in {names} are used, not those in {others}; see --frames_in."


def _files(corpus: ImageCorpus, layout: Layout, one: _Located, found: Survey) -> Iterable[Path]:
    """Returns a file for every frame from onset to offset; raises UserError if many are missing."""
    if one.problem:
        raise UserError(one.problem)
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
    if counts_from_start and first < row.onset and last < row.offset:
        raise UserError(
            f"the frames in {one.folder} seem to be renumbered: they are {first} to {last}, "
            f"where {row} is {row.onset} to {row.offset}; copy it from the corpus again."
        )
    gaps = missing_numbers(present, row.onset, row.offset)
    what = f"{one.folder} lacks {lacking} of the {expected} frames of {row} ({gaps})"
    may_lack_most = corpus.is_incomplete and expected <= _LONGEST
    if lacking > (expected - 1 if may_lack_most else expected // 10):
        raise UserError(f"{what}; copy it from the corpus again.")
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
    for subject in tree.subject_folders(root.path, corpus.subject_folder):
        number, subject = corpus.number(subject.name), tree.find(root.path, subject.name)
        for clip, folder in tree.subfolders(subject).items():
            is_other = (number, clip) in annotations.other_clips
            if not is_other and tree.find(subject, clip) not in used:
                yield f"the folder {folder} is named in no usable row of the sheet."


def _digest(sheet: Path | None, manual_dir: Path, located: Sequence[_Located]) -> str:
    digest = hashlib.sha256(file_digest(sheet).encode() if sheet else b"")
    for one in located:
        folder = one.folder and relative(one.folder, manual_dir)
        names = [path.name for path in one.numbered.values()]
        digest.update(repr((one.row.subject, one.row.clip, folder, names)).encode())
    return digest.hexdigest()

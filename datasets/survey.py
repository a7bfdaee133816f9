"""Survey of an unpacked corpus: every annotated clip with its frames, or why it cannot be built.

Used by the builder and the doctor. A fault of a single clip is not raised but becomes a sentence.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from datasets.annotations import UNKNOWN, Annotations, Row
from datasets.errors import UserError
from datasets.folder_search import FolderTree, file_digest, relative
from datasets.frames import index_frames
from datasets.image_corpus import FrameRoot, ImageClip, ImageCorpus, Layout
from datasets.options import BuildOptions

_LONGEST = 2000  # frames; twice as long as any known clip


@dataclasses.dataclass
class Survey:
    """What an unpacked corpus holds, before any frame is read.

    Attributes:
      annotations: of the sheet.
      root: folder of the subjects' folders; None if it was not looked for.
      clips: those that can be built, judging by names.
      problems: sentences, one per row or clip that cannot be built.
      missing: sentences, one per clip without (many of) its frames; also problems, unless such
        clips are skipped.
      losses: sentences, one per clip that lacks some frames and is built nevertheless.
      notes: other sentences.
      longer: number of clips whose folder holds more than onset to offset.
      digest: changes with the sheet, the clips' folders, and the names of their files.
    """

    annotations: Annotations
    root: Path | None = None
    clips: list[ImageClip] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)
    losses: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    longer: int = 0
    digest: str = ""


@dataclasses.dataclass
class _Located:
    """A row, its folder, and its files by frame number; or the problem that it lacks them."""

    row: Row
    folder: Path | None = None
    numbered: dict[int, Path] = dataclasses.field(default_factory=dict)
    problem: str = ""


def survey(corpus: ImageCorpus, manual_dir: Path, options: BuildOptions) -> Survey:
    """Reads the sheet and finds the frames of every row.

    The options select sheet and frames, and whether clips without frames are a problem.

    Raises:
      UserError: there is no sheet, or no subject's folder.
    """
    tree = FolderTree(manual_dir)
    annotations = corpus.annotations(tree, options)
    root, notes = corpus.frame_root(tree, options)
    rows = [_shortened(row, options.after_apex) for row in annotations.rows]
    located = [_locate(corpus, root, row) for row in rows]
    if root.layout is Layout.CLIPS:
        _refuse_shared_folders(located)
        notes += _unlisted_folders(corpus, root, annotations, located)
    found = Survey(annotations, root.path, notes=[*annotations.notes, *notes])
    for one in located:
        files = [] if one.problem else _files(corpus, root.layout, one, found)
        if one.problem:
            found.missing.append(one.problem)
        else:
            found.clips.append(ImageClip(one.row, tuple(files), corpus.is_incomplete))
            found.longer += len(one.numbered) > len(set(files))
    found.problems += annotations.problems
    if options.on_missing == "fail":
        found.problems += found.missing
    found.digest = _digest(annotations.sheet, manual_dir, located)
    return found


def _shortened(row: Row, after_apex: int | None) -> Row:
    """Returns the row with at most that many frames after the apex, if it is known."""
    if after_apex is None or row.apex == UNKNOWN:
        return row
    return dataclasses.replace(row, offset=min(row.offset, row.apex + after_apex))


def _locate(corpus: ImageCorpus, root: FrameRoot, row: Row) -> _Located:
    one = _Located(row)
    try:
        one.folder = corpus.clip_folder(root, row)
        if one.folder is None:
            place = corpus.places(root, row)[0]
            one.problem = (
                f"the folder of {row} is missing: {root.path} holds no {place}; copy it from the "
                "corpus."
            )
            return one
        one.numbered = index_frames(one.folder)
    except UserError as error:
        one.problem = str(error)
        return one
    if not one.numbered:
        one.problem = f"the folder {one.folder} of {row} holds no frames; copy it from the corpus."
    return one


def _files(corpus: ImageCorpus, layout: Layout, one: _Located, found: Survey) -> Collection[Path]:
    """Returns a file for every frame from onset to offset; sets the problem if many are missing."""
    row, numbers = one.row, list(one.numbered)
    first, last = numbers[0], numbers[-1]
    if layout is Layout.LABELLED:
        if gaps := _gaps(numbers, first, last):
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
    gaps = _gaps(present, row.onset, row.offset)
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


def _gaps(numbers: Iterable[int], first: int, last: int) -> str:
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
    tree, used = root.tree, {one.folder for one in located}
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

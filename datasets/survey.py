"""Survey of an unpacked corpus: every annotated clip with its frames, or why it cannot be built.

Used by the builder and the doctor. A fault of a single clip is not raised but becomes a sentence.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from datasets.annotations import UNKNOWN, Annotations, Row
from datasets.errors import UserError
from datasets.folder_search import FolderTree, file_digest, relative
from datasets.frames import index_frames
from datasets.image_corpus import FrameRoot, ImageClip, ImageCorpus, Layout
from datasets.options import BuildOptions

_LONGEST = 2000  # frames; twice as long as any known clip


@dataclasses.dataclass(frozen=True)
class Survey:
    """What an unpacked corpus holds, before any frame is read.

    Attributes:
      annotations: of the sheet.
      root: folder of the subjects' folders.
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
    root: Path
    clips: tuple[ImageClip, ...]
    problems: tuple[str, ...]
    missing: tuple[str, ...]
    losses: tuple[str, ...]
    notes: tuple[str, ...]
    longer: int
    digest: str


@dataclasses.dataclass
class _Found:
    """A row, its folder, its files by number, and the clip they make."""

    row: Row
    folder: Path | None = None
    numbered: dict[int, Path] = dataclasses.field(default_factory=dict)
    clip: ImageClip | None = None
    problem: str = ""  # why there is no clip
    losses: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def survey(corpus: ImageCorpus, manual_dir: Path, options: BuildOptions) -> Survey:
    """Reads the sheet and finds the frames of every row.

    Args:
      corpus: to look for.
      manual_dir: folder it was unpacked into.
      options: which sheet and frames to take, and whether clips without frames are a problem.

    Raises:
      UserError: there is no sheet, or no subject's folder.
    """
    tree = FolderTree(manual_dir)
    annotations = corpus.annotations(tree, options)
    root, notes = corpus.frame_root(tree, options)
    rows = [_shortened(row, options.after_apex) for row in annotations.rows]
    found = [_find(corpus, root, row) for row in rows]
    if root.layout is Layout.CLIPS:
        _refuse_shared_folders(found)
        notes += _unlisted(corpus, root, annotations, found)
    missing = tuple(one.problem for one in found if one.problem)
    built = [one for one in found if not one.problem]
    return Survey(
        annotations=annotations,
        root=root.path,
        clips=tuple(one.clip for one in built),
        problems=annotations.problems + (() if options.on_missing == "skip" else missing),
        missing=missing,
        losses=tuple(itertools.chain.from_iterable(one.losses for one in built)),
        notes=(*annotations.notes, *notes, *itertools.chain.from_iterable(o.notes for o in built)),
        longer=sum(len(one.numbered) > len(set(one.clip.files)) for one in built),
        digest=_digest(annotations.sheet, manual_dir, found),
    )


def _shortened(row: Row, after_apex: int | None) -> Row:
    """Returns the row with at most that many frames after the apex, if it is known."""
    if after_apex is None or row.apex == UNKNOWN:
        return row
    return dataclasses.replace(row, offset=min(row.offset, row.apex + after_apex))


def _find(corpus: ImageCorpus, root: FrameRoot, row: Row) -> _Found:
    """Returns the row with its clip, or with the problem that prevents it."""
    found = _Found(row)
    try:
        found.folder = corpus.clip_folder(root, row)
        if found.folder is None:
            place = corpus.places(root, row)[0]
            found.problem = (
                f"the folder of {row} is missing: {root.path} holds no {place}; copy it from the "
                "corpus."
            )
            return found
        found.numbered = index_frames(found.folder)
    except UserError as error:
        found.problem = str(error)
        return found
    if not found.numbered:
        found.problem = (
            f"the folder {found.folder} of {row} holds no frames; copy it from the corpus."
        )
    elif root.layout is Layout.LABELLED:
        _take_all(corpus, found)
    else:
        _take_onset_to_offset(corpus, found, root.layout)
    return found


def _clip(corpus: ImageCorpus, row: Row, files: Iterable[Path]) -> ImageClip:
    return ImageClip(row.as_annotation(corpus.fps), tuple(files), corpus.is_incomplete)


def _take_all(corpus: ImageCorpus, found: _Found) -> None:
    """Makes a clip of all files."""
    row = found.row
    found.clip = _clip(corpus, row, found.numbered.values())
    if gaps := _gaps(found.numbered, row.onset, row.offset):
        found.notes.append(
            f"the frame numbers of {row} in {found.folder} are not consecutive ({gaps} "
            "missing); the frames are taken one after the other."
        )


def _take_onset_to_offset(corpus: ImageCorpus, found: _Found, layout: Layout) -> None:
    """Makes a clip of the files from onset to offset, or says why there is none."""
    row, numbers = found.row, list(found.numbered)
    first, last = numbers[0], numbers[-1]
    expected = row.offset - row.onset + 1
    is_consecutive = last - first + 1 == len(numbers)
    counts_from_start = layout is Layout.CLIPS and first in (0, 1)
    if counts_from_start and first != row.onset and is_consecutive and len(numbers) == expected:
        # Some users rename the frames from onset to offset so that they count from 0 or 1.
        found.clip = _clip(corpus, row, found.numbered.values())
        return
    present = [number for number in numbers if row.onset <= number <= row.offset]
    lacking = expected - len(present)
    gaps = _gaps(present, row.onset, row.offset)
    what = f"{found.folder} lacks {lacking} of the {expected} frames of {row} ({gaps})"
    tolerated = expected // 10
    if corpus.is_incomplete and expected <= _LONGEST:
        tolerated = expected - 1
    if lacking and counts_from_start and first < row.onset and last < row.offset:
        found.problem = (
            f"the frames in {found.folder} seem to be renumbered: they are {first} to {last}, "
            f"where {row} is {row.onset} to {row.offset}; copy it from the corpus again."
        )
    elif lacking > tolerated:
        found.problem = f"{what}; copy it from the corpus again."
    else:
        if lacking:
            found.losses.append(f"{what}; the nearest frame present replaces each of them.")
        found.clip = _clip(corpus, row, _nearest(found.numbered, present, row))


def _gaps(numbers: Iterable[int], first: int, last: int) -> str:
    """Returns what ascending `numbers` lack between first and last, as `3, 5-7`."""
    gaps = [
        (one + 1, other - 1)
        for one, other in itertools.pairwise([first - 1, *numbers, last + 1])
        if other - one > 1
    ]
    return ", ".join(f"{one}" if one == other else f"{one}-{other}" for one, other in gaps)


def _nearest(numbered: dict[int, Path], present: Sequence[int], row: Row) -> Iterator[Path]:
    """Yields a file for every number from onset to offset: its own or the nearest one present."""
    nearest = 0
    for number in range(row.onset, row.offset + 1):
        while nearest + 1 < len(present) and (
            abs(present[nearest + 1] - number) < abs(present[nearest] - number)
        ):
            nearest += 1
        yield numbered[present[nearest]]


def _refuse_shared_folders(found: Sequence[_Found]) -> None:
    """Gives a folder claimed by rows of different names to the row of its name alone."""

    def has_own_name(one: _Found) -> bool:
        return one.row.filename.lower() == one.folder.name.lower()

    owners: dict[Path, Row] = {}
    for one in sorted((one for one in found if one.folder), key=has_own_name, reverse=True):
        owner = owners.setdefault(one.folder, one.row)
        if owner.filename.lower() != one.row.filename.lower():
            one.problem = (
                f"the folder of {one.row} is missing: {one.folder} is that of {owner}; copy it "
                "from the corpus."
            )


def _unlisted(
    corpus: ImageCorpus, root: FrameRoot, annotations: Annotations, found: Sequence[_Found]
) -> Iterator[str]:
    """Yields sentences on clip folders that no row of the sheet names."""
    tree, used = root.tree, {one.folder for one in found}
    for name, subject in tree.subfolders(root.path).items():
        match = corpus.subject_folder.fullmatch(name)
        inner = tree.subfolders(tree.subfolders(subject).get(name, subject)) if match else {}
        for clip, folder in inner.items():
            is_other = match and (int(match[1]), clip) in annotations.other_clips
            if not is_other and tree.find(folder.parent, clip) not in used:
                yield f"the folder {folder} is named in no usable row of the sheet."


def _digest(sheet: Path | None, manual_dir: Path, found: Sequence[_Found]) -> str:
    content = hashlib.sha256(file_digest(sheet).encode() if sheet else b"")
    for one in found:
        folder = one.folder and relative(one.folder, manual_dir)
        names = [path.name for path in one.numbered.values()]
        content.update(repr((one.row.subject, one.row.clip, folder, names)).encode())
    return content.hexdigest()

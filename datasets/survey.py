"""What an unpacked corpus holds: every row of its sheet with its frames, or why not.

For the builder and for the doctor. Nothing is raised that belongs to a single clip: there is a
sentence for each.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets.clip_tasks import Annotation
from datasets.errors import UserError
from datasets.filmed import FilmedClip, FilmedCorpus
from datasets.frames import index_frames
from datasets.options import BuildOptions
from datasets.rows import UNKNOWN, Annotations, Row
from datasets.sources import digest
from datasets.trees import Tree

_LONGEST = 2000  # frames; twice as long as any known clip


@dataclasses.dataclass(frozen=True)
class Survey:
    """What was found of a corpus, before any frame is read.

    Attributes:
      annotations: of the sheet.
      root: folder of the people's folders; None where frames were not asked for.
      clips: those that can be built as far as names tell.
      problems: sentences, each a row or clip that cannot be built.
      missing: sentences, each a clip without (many of) its frames; also problems, unless such
        clips are to be skipped.
      losses: sentences, each a clip that lacks some frames and is built all the same.
      notes: sentences on what else is to be known.
      longer: clips whose folder reaches beyond onset to offset.
      digest: changes with the sheet, and with any clip's folder or the names in it.
    """

    annotations: Annotations
    root: Path | None = None
    clips: tuple[FilmedClip, ...] = ()
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    longer: int = 0
    digest: str = ""


@dataclasses.dataclass
class _Found:
    """A row's folder, its files by number, and what came of them."""

    row: Row
    folder: Path | None = None
    numbered: dict[int, Path] = dataclasses.field(default_factory=dict)
    clip: FilmedClip | None = None
    problem: str = ""  # why there is no clip
    losses: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def survey(corpus: FilmedCorpus, manual_dir: Path, options: BuildOptions) -> Survey:
    """Reads the sheet and finds the frames of every row.

    Args:
      corpus: which.
      manual_dir: where it was unpacked.
      options: say which sheet and frames, and whether clips without their frames are a problem.

    Raises:
      UserError: no sheet, or no person's folder.
    """
    tree = Tree()
    annotations = corpus.annotations(manual_dir, options.label_version, options.frames_in)
    root, notes = corpus.root(tree, manual_dir, options.frames_in)
    takes_all = corpus.takes_all_frames(tree, root)
    is_own_folder = corpus.has_a_folder_per_clip(tree, root)
    found = []
    for row in annotations.rows:
        one = _found(corpus, tree, root, _cut(row, options.after_apex))
        if not one.problem and takes_all:
            _take_all(corpus, one)
        elif not one.problem:
            _take(corpus, one, is_own_folder)
        found.append(one)
    if is_own_folder:
        _refuse_shared_folders(found)
        notes += _unlisted(corpus, tree, root, annotations, found)
    missing = tuple(one.problem for one in found if one.problem)
    clips = [one for one in found if not one.problem]
    return Survey(
        annotations=annotations,
        root=root,
        clips=tuple(one.clip for one in clips),
        problems=(*annotations.problems, *(() if options.on_missing == "skip" else missing)),
        missing=missing,
        losses=tuple(itertools.chain.from_iterable(one.losses for one in clips)),
        notes=(*annotations.notes, *notes, *itertools.chain.from_iterable(o.notes for o in clips)),
        longer=sum(len(one.numbered) > len(set(one.clip.files)) for one in clips),
        digest=_digest(annotations, manual_dir, found),
    )


def _cut(row: Row, after_apex: int | None) -> Row:
    """The row with at most so many frames after the apex, where that is known."""
    if after_apex is None or row.apex == UNKNOWN:
        return row
    return dataclasses.replace(row, offset=min(row.offset, row.apex + after_apex))


def _found(corpus: FilmedCorpus, tree: Tree, root: Path, row: Row) -> _Found:
    """The row's folder and files, or what keeps them from being found."""
    found = _Found(row)
    try:
        found.folder = corpus.clip_folder(tree, root, row)
        if found.folder is None:
            found.problem = (
                f"the folder of {row} is missing: {root} holds no "
                f"{corpus.places(tree, root, row)[0]}; copy it from the corpus."
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
    return found


def _take_all(corpus: FilmedCorpus, found: _Found) -> None:
    """The clip of every file there is."""
    found.clip = _clip(corpus, found.row, found.numbered.values())
    if gaps := _gaps(list(found.numbered), found.row.onset, found.row.offset):
        found.notes.append(
            f"the numbers of the frames of {found.row} in {found.folder} do not run on "
            f"({_ranges(gaps)} are not there); they are taken one after the other."
        )


def _take(corpus: FilmedCorpus, found: _Found, is_own_folder: bool) -> None:
    """The clip from onset to offset, or the reason why there is none."""
    row, numbers = found.row, list(found.numbered)
    expected = row.offset - row.onset + 1
    if is_own_folder and _is_renumbered(numbers, row, expected):
        found.clip = _clip(corpus, row, found.numbered.values())
        return
    there = [number for number in numbers if row.onset <= number <= row.offset]
    gaps = _gaps(there, row.onset, row.offset)
    lacking = expected - len(there)
    what = f"{lacking} of the {expected} frames of {row} ({_ranges(gaps)})"
    most = expected // 10
    if corpus.loses_frames and expected <= _LONGEST:
        most = expected - 1
    if lacking and is_own_folder and numbers[0] in (0, 1) and _is_around(numbers, row):
        found.problem = (
            f"the frames in {found.folder} seem to be renumbered: they are {numbers[0]} to "
            f"{numbers[-1]}, where {row} is {row.onset} to {row.offset}; copy it from the corpus "
            "again."
        )
    elif lacking > most:
        found.problem = f"{found.folder} lacks {what}; copy it from the corpus again."
    else:
        if lacking:
            found.losses.append(
                f"{found.folder} lacks {what}; the nearest frame that is there takes the place of "
                "each."
            )
        found.clip = _clip(corpus, row, _filled(found.numbered, there, row))


def _is_renumbered(numbers: list[int], row: Row, expected: int) -> bool:
    """Whether the frames, onset to offset, were renamed to count from 0 or 1, as some users do."""
    return any(
        start != row.onset and numbers == [*range(start, start + len(numbers))]
        for start in (0, 1)
    ) and len(numbers) == expected  # fmt: skip


def _is_around(numbers: list[int], row: Row) -> bool:
    return numbers[0] < row.onset and numbers[-1] < row.offset


def _gaps(numbers: Sequence[int], first: int, last: int) -> list[tuple[int, int]]:
    """From and to of what `numbers`, in their order, lack between first and last."""
    return [
        (one + 1, other - 1)
        for one, other in itertools.pairwise([first - 1, *numbers, last + 1])
        if other - one > 1
    ]


def _ranges(gaps: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{one}" if one == other else f"{one}-{other}" for one, other in gaps)


def _filled(numbered: dict[int, Path], there: Sequence[int], row: Row) -> Iterator[Path]:
    """A file for every number from onset to offset: its own, or that of the nearest there is."""
    nearest = 0
    for number in range(row.onset, row.offset + 1):
        while nearest + 1 < len(there) and (
            abs(there[nearest + 1] - number) < abs(there[nearest] - number)
        ):
            nearest += 1
        yield numbered[there[nearest]]


def _clip(corpus: FilmedCorpus, row: Row, files) -> FilmedClip:
    known = Annotation(
        **{field: getattr(row, field) for field in _COMMON_FIELDS}, fps=corpus.fps
    )  # fmt: skip
    return FilmedClip(known, tuple(files), skips_unreadable=corpus.loses_frames)


_COMMON_FIELDS = (
    "subject", "clip", "emotion", "earlier_emotion", "objective_class", "action_units", "onset",
    "apex", "offset",
)  # fmt: skip


def _refuse_shared_folders(found: Sequence[_Found]) -> None:
    """Of rows of different names that come to one folder, only the one of its name has it."""
    owners: dict[Path, _Found] = {}

    def bears_its_name(one: _Found) -> bool:
        return one.row.filename.lower() == one.folder.name.lower()

    for one in sorted((o for o in found if o.folder), key=bears_its_name, reverse=True):
        owner = owners.setdefault(one.folder, one)
        if owner.row.filename.lower() != one.row.filename.lower():
            one.problem = (
                f"the folder of {one.row} is missing: {one.folder} is that of {owner.row}; copy it "
                "from the corpus."
            )


def _unlisted(
    corpus: FilmedCorpus,
    tree: Tree,
    root: Path,
    annotations: Annotations,
    found: Sequence[_Found],
) -> Iterator[str]:
    """Sentences on clip folders that no row of the sheet names."""
    used = {one.folder for one in found}
    others = {(corpus.number(subject), name.lower()) for subject, name in annotations.other_clips}
    for name, person in tree.folders(root).items():
        match = corpus.people.fullmatch(name)
        inner = tree.folders(tree.folders(person).get(name, person)) if match else {}
        for clip, folder in inner.items():
            if tree.find(folder.parent, clip) not in used and (int(match[1]), clip) not in others:
                yield f"the folder {folder} is named in no usable row of the sheet."


def _digest(annotations: Annotations, manual_dir: Path, found: Sequence[_Found]) -> str:
    told = hashlib.sha256(digest(annotations.sheet).encode() if annotations.sheet else b"")
    for one in found:
        folder = one.folder and one.folder.relative_to(manual_dir).as_posix()
        names = [path.name for path in one.numbered.values()]
        told.update(repr((one.row.subject, one.row.clip, folder, names)).encode())
    return told.hexdigest()

"""What an unpacked corpus holds: every row of its sheet with its frames, or why not.

For the builder and for the doctor. Nothing is raised that belongs to a single clip: there is a
sentence for each.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from datasets.clip_tasks import Annotation
from datasets.errors import UserError
from datasets.filmed import FilmedClip, FilmedCorpus
from datasets.frames import index_frames
from datasets.rows import Annotations, Row
from datasets.trees import Tree


@dataclasses.dataclass(frozen=True)
class Survey:
    """What was found of a corpus, before any frame is read.

    Attributes:
      annotations: of the sheet.
      root: folder of the people's folders; None where frames were not asked for.
      clips: those that can be built as far as names tell.
      problems: sentences, each a row or clip that cannot be built.
      missing: sentences, each a clip without (most of) its frames; also problems, unless such
        clips are to be skipped.
      losses: sentences, each a clip that lacks some frames and is built with the others.
      notes: sentences on what else is to be known.
      longer: clips whose folder reaches beyond onset to offset.
    """

    annotations: Annotations
    root: Path | None = None
    clips: tuple[FilmedClip, ...] = ()
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    longer: int = 0


def survey(
    corpus: FilmedCorpus,
    manual_dir: Path,
    label_version: str | None = None,
    frames_in: str | None = None,
    skip_missing: bool = False,
) -> Survey:
    """Reads the sheet and finds the frames of every row.

    Args:
      corpus: which.
      manual_dir: where it was unpacked.
      label_version: which sheet, where there are several.
      frames_in: folder in `manual_dir` that holds the people's folders, where there are several.
      skip_missing: whether clips without their frames are no problem.

    Raises:
      UserError: no sheet, or no person's folder.
    """
    tree = Tree()
    annotations = corpus.annotations(manual_dir, label_version, frames_in)
    root, notes = corpus.root(tree, manual_dir, frames_in)
    clips, missing, losses, longer = [], [], [], 0
    for row in annotations.rows:
        found = _film(corpus, tree, root, row)
        if isinstance(found, str):
            missing.append(found)
            continue
        clip, lost, is_longer = found
        clips.append(clip)
        losses += lost
        longer += is_longer
    return Survey(
        annotations=annotations,
        root=root,
        clips=tuple(clips),
        problems=(*annotations.problems, *(() if skip_missing else missing)),
        missing=tuple(missing),
        losses=tuple(losses),
        notes=(*annotations.notes, *notes, *_unlisted(corpus, tree, root, annotations)),
        longer=longer,
    )


def _film(
    corpus: FilmedCorpus, tree: Tree, root: Path, row: Row
) -> tuple[FilmedClip, list[str], bool] | str:
    """A row with its files, a sentence on what is lost, and whether there are more files.

    A sentence alone where the clip cannot be built.
    """
    folder = corpus.clip_folder(tree, root, row)
    if folder is None:
        return (
            f"the folder of {row} is missing: {root} holds no {row.subject}/"
            f"{corpus.folder_names(row)[0]}; copy it from the corpus."
        )
    try:
        numbered = index_frames(folder)
    except UserError as error:
        return str(error)
    if not numbered:
        return f"the folder {folder} of {row} holds no frames; copy it from the corpus."
    expected = row.offset - row.onset + 1
    files = [path for number, path in numbered.items() if row.onset <= number <= row.offset]
    if _is_renamed(list(numbered), row) and corpus.has_a_folder_per_clip(root):
        files = list(numbered.values())
    least = 1 if corpus.loses_frames else (expected + 1) // 2
    if len(files) < least:
        return (
            f"{folder} holds {len(files)} of the {expected} frames of {row} from onset "
            f"{row.onset} to offset {row.offset}; copy it from the corpus again."
        )
    lost = []
    if len(files) < expected:
        lost = [f"{row} has {len(files)} of its {expected} frames."]
    known = Annotation(
        **{field: getattr(row, field) for field in _COMMON_FIELDS}, fps=corpus.fps
    )  # fmt: skip
    clip = FilmedClip(known, tuple(files), skips_unreadable=corpus.loses_frames)
    return clip, lost, len(numbered) > len(files)


def _is_renamed(numbers: list[int], row: Row) -> bool:
    """Whether the frames, onset to offset, were renamed to count from 1, as some users do."""
    return row.onset != 1 and numbers == list(range(1, row.offset - row.onset + 2))


_COMMON_FIELDS = (
    "subject", "clip", "emotion", "earlier_emotion", "objective_class", "action_units", "onset",
    "apex", "offset",
)  # fmt: skip


def _unlisted(
    corpus: FilmedCorpus, tree: Tree, root: Path, annotations: Annotations
) -> Iterator[str]:
    """Sentences on clip folders that no row of the sheet names."""
    if not corpus.has_a_folder_per_clip(root):
        return
    listed = set()
    for row in annotations.rows:
        listed |= {(corpus.number(row.subject), name.lower()) for name in corpus.folder_names(row)}
    listed |= {(corpus.number(subject), name.lower()) for subject, name in annotations.other_clips}
    for name, person in tree.folders(root).items():
        match = corpus.people.fullmatch(name)
        inner = tree.folders(tree.folders(person).get(name, person)) if match else {}
        for clip, folder in inner.items():
            if (int(match[1]), clip) not in listed:
                yield f"the folder {folder} is named in no usable row of the sheet."

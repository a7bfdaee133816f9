"""What is right and wrong with an unpacked corpus, as data; `datasets.doctor` prints it."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets.errors import UserError
from datasets.examination import examine_clips
from datasets.face_models import get_face_models
from datasets.filmed import FilmedCorpus
from datasets.options import BuildOptions
from datasets.protocol_counts import ProtocolCounts, protocol_counts
from datasets.survey import Survey, survey


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Everything the doctor found.

    Attributes:
      sheet: relative to the folder; None where the corpus has none.
      frames_in: the folder of the people's folders, relative; None with annotations only.
      layout: an example of a frame's path, relative, and how clips are cut.
      rows: of the sheet, each an annotated clip, usable or not.
      clips, subjects, frames: that can be built.
      emotions: emotion -> clips.
      problems: each a sentence on a row, clip or file that keeps a clip from being built.
      can_skip: whether a build can leave all clips with problems out.
      losses: known of the official release, or frames that a clip is built without.
    """

    corpus: str
    title: str
    manual_dir: str
    annotations_only: bool
    sheet: str | None
    label_version: str
    earlier_label_version: str
    frames_in: str | None
    layout: str | None
    rows: int
    clips: int
    subjects: int
    frames: int | None
    fps: float
    emotions: dict[str, int]
    protocols: tuple[ProtocolCounts, ...]
    corrections: tuple[str, ...]
    notes: tuple[str, ...]
    losses: tuple[str, ...]
    problems: tuple[str, ...]
    can_skip: bool

    @property
    def is_sound(self) -> bool:
        """Whether every annotated clip can be built."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self) | {"is_sound": self.is_sound}


def diagnose(
    corpus: FilmedCorpus, manual_dir: Path, options: BuildOptions, annotations_only: bool = False
) -> Diagnosis:
    """Looks at the sheet, and unless told otherwise at every frame.

    Raises:
      UserError: there is no sheet or no person's folder, or it is another corpus' sheet.
    """
    if annotations_only:
        annotations = corpus.annotations(manual_dir, options.label_version, options.frames_in)
        found = Survey(annotations, problems=annotations.problems, notes=annotations.notes)
        usable: Sequence[Any] = annotations.rows
        losses, problems, can_skip = (), found.problems, False
    else:
        found = survey(corpus, manual_dir, options)
        usable, losses, problems, can_skip = _examined(corpus, found, options)
    annotations = found.annotations
    return Diagnosis(
        corpus=corpus.name,
        title=corpus.title,
        manual_dir=str(manual_dir),
        annotations_only=annotations_only,
        sheet=_relative(annotations.sheet, manual_dir),
        label_version=annotations.label_version,
        earlier_label_version=annotations.earlier_label_version,
        frames_in=_relative(found.root, manual_dir),
        layout=_layout(found, manual_dir),
        rows=len(annotations.rows) + len(annotations.problems),
        clips=len(usable),
        subjects=len({clip.subject for clip in usable}),
        frames=None if annotations_only else sum(len(clip.files) for clip in found.clips),
        fps=corpus.fps,
        emotions=dict(sorted(Counter(clip.emotion for clip in usable).items())),
        protocols=tuple(protocol_counts(corpus.name, usable, annotations.label_version)),
        corrections=annotations.corrections,
        notes=found.notes,
        losses=losses,
        problems=problems,
        can_skip=can_skip,
    )


def _examined(
    corpus: FilmedCorpus, found: Survey, options: BuildOptions
) -> tuple[list[Any], tuple[str, ...], tuple[str, ...], bool]:
    """Reads the frames: what can be built, losses, problems, and whether all can be skipped."""
    losses, problems = list(found.losses), list(found.problems)
    skippable = len(found.missing)
    try:
        models = get_face_models(options.face_models)
    except UserError as error:
        problems.append(f"faces were not looked for: {error}")
        models = None
    usable = []
    for clip, seen in zip(
        found.clips, examine_clips(found.clips, models, options.workers), strict=True
    ):
        (losses if corpus.loses_frames else problems).extend(seen.unreadable)
        problems += (*seen.faults, *seen.faceless)
        skippable += len(seen.faceless)
        if not (seen.faults or seen.faceless) and (corpus.loses_frames or not seen.unreadable):
            usable.append(clip.known)
    return usable, tuple(losses), tuple(problems), skippable == len(problems)


def _relative(path: Path | None, manual_dir: Path) -> str | None:
    return path and path.relative_to(manual_dir).as_posix()


def _layout(found: Survey, manual_dir: Path) -> str | None:
    if not found.clips:
        return None
    cut = "onset to offset only"
    if found.longer:
        cut = f"{found.longer} of {len(found.clips)} clips are longer and are cut"
    return f"{_relative(found.clips[0].files[0], manual_dir)}, {cut}"

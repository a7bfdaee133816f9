"""The corpus `samm`: spontaneous micro-expressions, 200 frames a second, grey.

Built from SAMM's official folder (`006/006_1_2/006_05562.jpg`, raw or face crops) and its sheet;
see `datasets/README.md`. A. K. Davison, C. Lansley, N. Costen, K. Tan and M. H. Yap, "SAMM: a
spontaneous micro-facial movement dataset", 2018; had under licence from its authors.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.clip_tasks import Annotation
from datasets.common import CorpusBuilder, Plan
from datasets.errors import UserError
from datasets.frames import find_folder, index_frames, read_frame
from datasets.samm.annotations import LABEL_VERSION, Row, annotate, find_sheet, read_sheet

__all__ = ["Builder", "find_sheet"]


@dataclasses.dataclass(frozen=True)
class _FilmedClip:
    """A clip of picture files."""

    known: Annotation
    files: tuple[Path, ...]

    @property
    def subject(self) -> str:
        return self.known.subject

    @property
    def clip(self) -> str:
        return self.known.clip

    @property
    def where(self) -> str:
        return str(self.files[0].parent)

    def annotation(self) -> Annotation:
        return self.known

    def frames(self) -> Iterator[np.ndarray]:
        return map(read_frame, self.files)


class Builder(CorpusBuilder):
    """Builds SAMM from `manual_dir`."""

    name = "samm"

    def plan(self) -> Plan:
        """Every row of the sheet with its frames."""
        sheet = find_sheet(self.corpus_dir)
        rows = read_sheet(sheet)
        root = find_root(self.corpus_dir, rows)
        tasks, corrections, warnings = [], [], []
        for row in rows:
            task, corrected, warned = _task(row, root, sheet)
            tasks.append(task)
            corrections += corrected
            warnings += warned
        return Plan(tuple(tasks), LABEL_VERSION, tuple(corrections), tuple(warnings))


def find_root(manual_dir: Path, rows: list[Row]) -> Path:
    """The folder that holds the subjects' folders: `manual_dir`, or one or two levels in it.

    Raises:
      UserError: there is none, or more than one (raw frames beside crops).
    """
    subjects = sorted({row.subject for row in rows})
    for pattern in ("", "*", "*/*"):
        folders = sorted(manual_dir.glob(pattern)) if pattern else [manual_dir]
        roots = [
            folder
            for folder in folders
            if folder.is_dir() and any(find_folder(folder, subject) for subject in subjects)
        ]
        if len(roots) > 1:
            raise UserError(
                f"{manual_dir} holds the subjects' folders more than once "
                f"({', '.join(root.name for root in roots)}); keep raw frames or crops, not both."
            )
        if roots:
            return roots[0]
    raise UserError(
        f"no subject folder ({subjects[0]}, ...) of SAMM in {manual_dir}; name the folder that "
        "holds them with --manual_dir."
    )


def _task(row: Row, root: Path, sheet: Path) -> tuple[_FilmedClip, list[str], list[str]]:
    """A row with its files, and sentences on what was corrected and what is missing."""
    subject = find_folder(root, row.subject)
    folder = subject and find_folder(subject, row.clip)
    if folder is None:
        raise UserError(
            f"the folder of clip {row.clip} is missing: there is no "
            f"{root / row.subject / row.clip}; copy it from the corpus."
        )
    numbered = index_frames(folder)
    if not numbered:
        raise UserError(f"the clip folder {folder} holds no frames; copy it from the corpus.")
    annotation, corrected = annotate(row, max(numbered), sheet)
    expected = annotation.offset - annotation.onset + 1
    files = [
        path for number, path in numbered.items() if annotation.onset <= number <= annotation.offset
    ]
    if not files and len(numbered) == expected:
        files = list(numbered.values())  # renamed to count from 1, as some users do
    if 2 * len(files) < expected:
        raise UserError(
            f"{folder} holds {len(files)} of the {expected} frames from onset "
            f"{annotation.onset} to offset {annotation.offset}; copy it from the corpus again."
        )
    warned = []
    if len(files) < expected:
        warned.append(f"clip {row.clip} has {len(files)} of its {expected} frames.")
    return _FilmedClip(annotation, tuple(files)), corrected, warned

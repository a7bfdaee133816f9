"""Checks a corpus as it was unpacked: what is there, what is missing, what to do next.

    python -m datasets.doctor samm --manual_dir=DIR
    python -m datasets.doctor casme3 --manual_dir=DIR --annotations_only
    python -m datasets.doctor own --table=clips.csv

Ends with status 0 only when every annotated clip can be built. The corpora are casme2, samm,
casme_sq (CAS(ME)^2), casme3 (CAS(ME)^3 Part A), smic (HS), and own: one of yours, from a table.
"""

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from tqdm import tqdm

from datasets.alignment import similarity_of_face
from datasets.annotations import Row
from datasets.command_line import parse_options, run_command
from datasets.crop import Crop
from datasets.errors import UserError
from datasets.face_models import FaceModels, get_face_models
from datasets.faces import FaceLandmarker
from datasets.folder_search import FolderTree, folder_of, relative
from datasets.frames import EightBitFrames
from datasets.image_corpus import ImageCorpus, get_image_corpus
from datasets.options import BuildOptions, corpus_command
from datasets.processes import map_in_processes
from datasets.protocols import CORPORA, OWN, ProtocolCounts, own_name, protocol_counts
from datasets.reading import check_is_folder, check_source, needs_manual_dir
from datasets.survey import ImageClip, Survey

_SHOWN = 20  # sentences of one kind on the screen


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Everything that the doctor found; the keys of `--json`.

    Attributes:
      sheet: relative to the folder; None in a corpus without one.
      frames_in: relative folder of the subjects' folders, or several with `, ` between them; None
        with annotations only.
      layout: an example of a frame's relative path, and how clips are cut.
      rows: annotated clips, usable or not.
      clips, subjects, frames: that can be built.
      emotions: emotion -> clips.
      losses: sentences on frames that the official release lacks, or that a clip is built without.
      problems: sentences, each on a row, clip or file that keeps a clip from being built.
      can_skip: whether a build can skip all clips with problems.
      is_sound: whether every annotated clip can be built.
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
    protocols: list[ProtocolCounts]
    corrections: list[str]
    notes: list[str]
    losses: list[str]
    problems: list[str]
    can_skip: bool
    is_sound: bool


def diagnose(
    corpus: ImageCorpus, manual_dir: Path, options: BuildOptions, annotations_only: bool = False
) -> Diagnosis:
    """Checks the sheet and, unless `annotations_only`, every frame.

    Raises:
      UserError: there is no sheet or no subject's folder, or the sheet is another corpus'.
    """
    if annotations_only:
        annotations = corpus.annotations(FolderTree(manual_dir), options)
        found = Survey(annotations)
        usable, can_skip = annotations.rows, False
    else:
        found = corpus.survey(manual_dir, options)
        annotations = found.annotations
        usable, can_skip = _check_clips(corpus, found, options)
    folder = folder_of(manual_dir)
    return Diagnosis(
        corpus=corpus.name,
        title=corpus.title,
        manual_dir=str(manual_dir),
        annotations_only=annotations_only,
        sheet=annotations.sheet and relative(annotations.sheet, folder),
        label_version=annotations.label_version,
        earlier_label_version=annotations.earlier_label_version,
        frames_in=", ".join(relative(root, folder) for root in found.roots) or None,
        layout=_layout(found, folder) if found.clips else None,
        rows=len(annotations.rows) + len(annotations.problems),
        clips=len(usable),
        subjects=len({row.subject for row in usable}),
        frames=None if annotations_only else sum(clip.frame_count for clip in found.clips),
        fps=corpus.fps,
        emotions=dict(sorted(Counter(row.emotion for row in usable).items())),
        protocols=protocol_counts(corpus.name, usable, annotations.label_version),
        corrections=annotations.corrections,
        notes=found.notes,
        losses=found.losses,
        problems=found.problems,
        can_skip=can_skip,
        is_sound=not found.problems,
    )


def _layout(found: Survey, manual_dir: Path) -> str:
    cut = "onset to offset only"
    if found.longer:
        cut = f"{found.longer} of {len(found.clips)} clips are longer and are cut"
    return f"{relative(found.clips[0].files[0], manual_dir)}, {cut}"


def _check_clips(
    corpus: ImageCorpus, found: Survey, options: BuildOptions
) -> tuple[list[Row], bool]:
    """Reads the frames, and adds what is wrong with them to `found`.

    Returns:
      The rows that can be built, and whether a build can skip all clips with problems.
    """
    models, usable, skippable = None, [], len(found.missing)
    try:
        models = get_face_models(options.face_models)
    except UserError as error:
        found.problems.append(f"faces were not searched for: {error}")
    checks = map_in_processes(_ClipChecker, (models, options.crop), found.clips, options.workers)
    checks = tqdm(checks, "reading frames", len(found.clips), unit="clip")
    for clip, (unreadable, faceless, faults) in zip(found.clips, checks, strict=True):
        if corpus.is_incomplete:
            found.losses += unreadable
        else:
            faults = unreadable + faults
        found.problems += faults + faceless
        skippable += len(faceless)
        if not (faults or faceless):
            usable.append(clip.row)
    return usable, skippable == len(found.problems)


class _ClipChecker:
    """Checks clips; one object per process. Without models it does not search for faces."""

    def __init__(self, models: FaceModels | None, crop: Crop):
        self._landmarker = models and FaceLandmarker(models)
        self._crop = crop

    def __call__(self, clip: ImageClip) -> tuple[list[str], list[str], list[str]]:
        """Returns sentences on unreadable files, on a missing face, and on other faults."""
        unreadable, faceless, faults = [], [], []
        sizes, has_face = Counter(), self._landmarker is None
        for frame in clip.readings():
            if isinstance(frame, UserError):
                unreadable.append(str(frame))
                continue
            sizes[frame.shape[:2]] += 1
            has_face = has_face or self._shows_face(frame)
        where = f"clip {clip.clip} of {clip.subject} ({clip.where})"
        if not sizes:
            faceless.append(f"{where} has no readable frame; copy it again.")
        elif not has_face:
            faceless.append(f"no face was found in any frame of {where}; check its frames.")
        if len(sizes) > 1:
            counts = ", ".join(f"{count} of {w}x{h}" for (h, w), count in sizes.most_common())
            faults.append(f"{where} has frames of different sizes ({counts}); copy it again.")
        once = list(dict.fromkeys(unreadable))  # a file may stand in for missing ones
        return once, faceless, faults

    def _shows_face(self, frame: np.ndarray) -> bool:
        (pixels,) = EightBitFrames(lambda: [frame])
        return similarity_of_face(self._landmarker.find(pixels), self._crop) is not None


def screen(found: Diagnosis, options: BuildOptions) -> Iterator[str]:
    """Yields the lines of the report; `options` are repeated in the next command."""
    versions = " and ".join(filter(None, [found.label_version, found.earlier_label_version]))
    version = f", label version {versions}" if versions else ""
    frames = "not checked" if found.frames is None else found.layout or "none found"
    count = "" if found.frames is None else f", {found.frames:,} frames"
    emotions = ", ".join(f"{name} {number}" for name, number in found.emotions.items())
    yield f"{found.title} ({found.corpus}) in {found.manual_dir}"
    yield ""
    yield f"  sheet     {found.sheet or 'none: folder names are the annotation'}{version}"
    yield f"  frames    {frames}"
    clips = f"{found.clips} of {found.rows} can be built, {found.subjects} subjects{count}"
    yield f"  clips     {clips}"
    yield f"  emotions  {emotions}"
    of_protocols = [counts.note for counts in found.protocols if counts.note]
    for heading, sentences in (
        ("corrected", found.corrections),
        ("notes", found.notes + of_protocols),
        ("lost, and built without", found.losses),
        ("PROBLEMS", found.problems),
    ):
        if sentences:
            yield ""
            yield f"{heading} ({len(sentences)})"
            yield from (f"  {sentence}" for sentence in sentences[:_SHOWN])
        if len(sentences) > _SHOWN:
            yield f"  ... and {len(sentences) - _SHOWN} more; --json lists all."
    yield ""
    yield from _protocol_table(found.protocols)
    yield ""
    yield from _next_step(found, options)


def _protocol_table(protocols: Sequence[ProtocolCounts]) -> Iterator[str]:
    yield "protocol      clips     subjects  clips per class (as published)"
    for counts in protocols:
        published = counts.published_per_class or {}
        classes = ", ".join(
            f"{name} {_beside(number, published.get(name))}"
            for name, number in counts.per_class.items()
        )
        status = "differs" if counts.deviation else "as published"
        if counts.published_clips is None:
            status = "nothing published"
        name = f"{counts.protocol}{' *' if counts.is_part_of_composite else ''}"
        clips = _beside(counts.clips, counts.published_clips)
        subjects = _beside(counts.subjects, counts.published_subjects)
        yield f"{name:<13} {clips:<9} {subjects:<9} {classes}: {status}"
    if any(counts.is_part_of_composite for counts in protocols):
        yield "* this corpus' part of a protocol over several"


def _beside(number: int, published: int | None) -> str:
    """Returns a number, with the published one in brackets if they differ."""
    return str(number) if published in (None, number) else f"{number} ({published})"


def _next_step(found: Diagnosis, options: BuildOptions) -> Iterator[str]:
    where = found.corpus, found.manual_dir, options
    doctor = f"  {corpus_command('datasets.doctor', *where)}"
    build = f"  {corpus_command('datasets.build', *where, '--data_dir=data')}"
    if found.problems:
        yield "next: fix the problems above, then check again with"
        yield doctor
        if found.can_skip and found.clips:
            yield "or build without the clips that lack their frames or show no face:"
            yield f"{build} --on_missing=skip --on_no_face=skip"
    elif found.annotations_only:
        yield "next: check the frames"
        yield doctor
    else:
        yield "next: every annotated clip can be built"
        yield build


@dataclasses.dataclass(frozen=True)
class _Arguments:
    """The command line."""

    corpus: tyro.conf.Positional[Literal[*filter(needs_manual_dir, CORPORA), OWN]]
    """Which corpus to check."""

    manual_dir: Path | None = None
    """The folder that the corpus was unpacked into; all but own need it."""

    table: Path | None = None
    """own only: the table of the clips."""

    name: str = ""
    """own only: what the corpus is to be called; by default own."""

    annotations_only: bool = False
    """Check only the sheet, which needs no frames."""

    json: bool = False
    """Print everything as JSON, for programs."""

    frames_in: str | None = None
    """Folder in --manual_dir that holds the subjects' folders, where there are several."""

    label_version: str | None = None
    """casme3 only: v1 or v2, where both sheets are there."""

    after_apex: int | None = None
    """casme3 only: check at most so many frames after the apex."""

    face_models: Path | None = None
    """Folder that holds the two .tflite face models; without it pip downloads them once."""

    workers: int = 0
    """Processes that read frames; 0 = one per core."""


def main() -> None:
    """The command line."""
    program = "python -m datasets.doctor"
    parsed = parse_options(_Arguments, sys.argv[1:], program=program, description=__doc__)
    chosen = ("frames_in", "label_version", "after_apex", "face_models", "workers")
    options = BuildOptions(**{name: getattr(parsed, name) for name in chosen})
    name = own_name(parsed.corpus, parsed.name)
    options = options.resolved(name)
    check_source(name, parsed.manual_dir, parsed.table)
    source = (parsed.table or parsed.manual_dir).expanduser().resolve()
    if not parsed.table:
        check_is_folder(source)
    found = diagnose(get_image_corpus(name), source, options, parsed.annotations_only)
    if parsed.json:
        print(json.dumps(dataclasses.asdict(found), indent=2, ensure_ascii=False))
    else:
        sys.stdout.reconfigure(errors="replace")
        print("\n".join(screen(found, options)))
    if not found.is_sound:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)

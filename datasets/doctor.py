"""Looks at a corpus as it was unpacked: what is there, what is missing, what to do next.

    python -m datasets.doctor samm --manual_dir=DIR
    python -m datasets.doctor casme3 --manual_dir=DIR --annotations_only

Ends with status 0 only when every annotated clip can be built. The corpora are casme2, samm,
casme_sq (CAS(ME)^2), casme3 (CAS(ME)^3 Part A) and smic (HS).
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Literal

import tyro

from datasets.command_line import parse_options, run_command
from datasets.errors import UserError
from datasets.options import BuildOptions, corpus_command
from datasets.protocols import CORPORA
from datasets.reading import needs_manual_dir

_SHOWN = 20  # sentences of one kind on the screen


@dataclasses.dataclass(frozen=True)
class _Arguments:
    """The command line."""

    corpus: tyro.conf.Positional[Literal[*filter(needs_manual_dir, CORPORA)]]
    """Which corpus to check."""

    manual_dir: Path
    """The folder that the corpus was unpacked into."""

    annotations_only: bool = False
    """Judge the sheet alone; no frame needs to be on the disk."""

    json: bool = False
    """Print everything as JSON, for programs."""

    frames_in: str | None = None
    """Folder in --manual_dir that holds the people's folders, where there are several."""

    label_version: str | None = None
    """casme3 only: v1 or v2, where both sheets are there."""

    after_apex: int | None = None
    """casme3 only: at most so many frames after the apex are looked at."""

    face_models: Path | None = None
    """Folder that holds the two .tflite face models; without it pip fetches them once."""

    workers: int = 0
    """Processes that read frames; 0 = one per core."""


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parsed = parse_options(
        _Arguments,
        sys.argv[1:] if arguments is None else arguments,
        program="python -m datasets.doctor",
        description=__doc__,
    )
    options = BuildOptions(
        frames_in=parsed.frames_in,
        label_version=parsed.label_version,
        after_apex=parsed.after_apex,
        face_models=parsed.face_models,
        workers=parsed.workers,
    ).resolved(parsed.corpus)
    manual_dir = parsed.manual_dir.expanduser().resolve()
    if not manual_dir.is_dir():
        raise UserError(f"the folder {manual_dir} does not exist; name another --manual_dir.")
    # Late, since OpenCV takes its time; a mistake in the options is told before.
    from datasets.diagnosis import diagnose
    from datasets.filmed_corpora import FILMED

    found = diagnose(FILMED[parsed.corpus], manual_dir, options, parsed.annotations_only)
    if parsed.json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        sys.stdout.reconfigure(errors="replace")
        print("\n".join(_screen(found, options)))
    if not found.is_sound:
        sys.exit(1)


def _screen(found, options: BuildOptions) -> list[str]:
    """The diagnosis in words, line by line; `options` go with the next command."""
    versions = " and ".join(filter(None, [found.label_version, found.earlier_label_version]))
    version = f", label version {versions}" if versions else ""
    frames = "not looked at" if found.frames is None else found.layout or "none found"
    count = "" if found.frames is None else f", {found.frames:,} frames"
    emotions = ", ".join(f"{name} {number}" for name, number in found.emotions.items())
    lines = [
        f"{found.title} ({found.corpus}) in {found.manual_dir}",
        "",
        f"  sheet     {found.sheet or 'none: the folders tell'}{version}",
        f"  frames    {frames}",
        f"  clips     {found.clips} of {found.rows} can be built, {found.subjects} people{count}",
        f"  emotions  {emotions}",
    ]
    for heading, sentences in (
        ("corrected", found.corrections),
        ("to know", (*found.notes, *(p.note for p in found.protocols if p.note))),
        ("lost, and built without", found.losses),
        ("PROBLEMS", found.problems),
    ):
        if sentences:
            lines += ["", f"{heading} ({len(sentences)})"]
            lines += [f"  {sentence}" for sentence in sentences[:_SHOWN]]
            if len(sentences) > _SHOWN:
                lines.append(f"  ... and {len(sentences) - _SHOWN} more; --json lists all.")
    return [*lines, "", *_protocols(found), "", *_next(found, options)]


def _protocols(found) -> list[str]:
    lines = ["protocol      clips  people  clips of each class (as published)"]
    for counts in found.protocols:
        published = counts.published_per_class or {}
        parts = [
            f"{name} {number}" + ("" if published.get(name, number) == number else
                                  f" ({published[name]})")
            for name, number in counts.per_class.items()
        ]  # fmt: skip
        name = f"{counts.protocol}{' *' if counts.is_part_of_composite else ''}"
        mark = "differs" if counts.deviation else "as published"
        mark = mark if counts.published_clips is not None else "nothing published"
        people = str(counts.subjects)
        if counts.published_subjects not in (None, counts.subjects):
            people += f" ({counts.published_subjects})"
        clips = str(counts.clips)
        if counts.published_clips not in (None, counts.clips):
            clips += f" ({counts.published_clips})"
        lines.append(f"{name:<13} {clips:<9} {people:<8} {', '.join(parts)}: {mark}")
    if any(counts.is_part_of_composite for counts in found.protocols):
        lines.append("* this corpus' part of a protocol over several")
    return lines


def _next(found, options: BuildOptions) -> list[str]:
    where = found.corpus, found.manual_dir, options
    doctor = f"  {corpus_command('datasets.doctor', *where)}"
    build = f"  {corpus_command('datasets.build', *where, '--data_dir=data')}"
    if found.problems:
        lines = ["next: mend the problems above, then look again with", doctor]
        if found.can_skip and found.clips:
            lines.append("or build without the clips that lack their frames or show no face:")
            lines.append(f"{build} --on_missing=skip --on_no_face=skip")
        return lines
    if found.annotations_only:
        return ["next: the frames", doctor]
    return ["next: every annotated clip can be built", build]


if __name__ == "__main__":
    run_command(main)

"""Chance level of a protocol, from the labels of its test clips: `report chance`.

Labels come from a corpus' annotation (no frame is needed), a built corpus, or the predictions in a
work directory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import UserError
from datasets.protocols import Membership, Protocol, is_own
from datasets.reading import needs_manual_dir
from fdp_jax.clips import load_clips
from fdp_jax.corpora import folder_of
from fdp_jax.metrics.statistics import chance_level
from fdp_jax.reporting.formatting import GUESSING, bullets, range_text, table
from fdp_jax.reporting.results import headline_runs, read_workdir
from fdp_jax.splits import make_folds


@dataclass(frozen=True)
class FoldLabels:
    """True classes of a protocol's test clips, by fold."""

    dataset: str  # all corpora, in one word
    protocol: str
    split: str  # people or corpora
    classes: tuple[str, ...]
    by_fold: dict[str, Sequence[str]]  # fold -> true class names of its test clips
    n_subjects: int
    warnings: Sequence[str]  # how the clips differ from the published ones, or what is missing
    evaluations: int | None = None  # per fold by test-best, if a work directory has it


def labels_of_protocol(
    protocol: Protocol, annotations: Path | None, data_dir: Path, group_folds: int = 0
) -> FoldLabels:
    """Reads the labels of a protocol's corpora.

    Args:
      protocol: names the corpora.
      annotations: folder with the annotation sheet of the corpus (or the folders of a corpus
        without one); for several corpora, the parent of one such folder per corpus. None reads the
        built corpora instead.
      data_dir: of the built corpora.
      group_folds: groups of subjects, or 0 for one subject at a time.

    Raises:
      UserError: a folder or sheet is missing or cannot be read, or a corpus is not built.
    """
    if annotations is None:
        clips = load_clips(protocol, data_dir)
        datasets, subjects, warnings = clips.datasets, clips.subjects, clips.warnings
        labels = [protocol.classes[label] for label in clips.labels]
    else:
        rows, warnings = [], []
        for part in protocol.parts:
            rows += _annotated_clips(protocol, part, annotations, warnings)
        datasets, subjects, labels = zip(*rows, strict=True)
    folds = make_folds(datasets, subjects, protocol.split, group_folds)
    return FoldLabels(
        dataset=protocol.dataset,
        protocol=protocol.name,
        split=protocol.split,
        classes=protocol.classes,
        by_fold={fold.name: [labels[clip] for clip in fold.test] for fold in folds},
        n_subjects=len(set(zip(datasets, subjects, strict=True))),
        warnings=warnings,
    )


def _annotated_clips(
    protocol: Protocol, part: Membership, folder: Path, warnings: list[str]
) -> list[tuple[str, str, str]]:
    """Returns (corpus, subject, class) of each clip of one corpus; appends to `warnings`."""
    from datasets.image_corpus import read_annotations  # loads OpenCV

    if not needs_manual_dir(part.dataset) or is_own(part.dataset):
        raise UserError(
            f"{part.dataset} has no annotation sheet; build it and name --data_dir instead."
        )
    if not folder.is_dir():
        raise UserError(f"the folder {folder} does not exist; name another --annotations.")
    own = folder_of(part.dataset, folder) if protocol.is_composite else folder
    if own is None:
        raise UserError(
            f"{folder} has no folder {part.dataset}; {protocol.name} needs one for each of "
            f"{', '.join(protocol.datasets)}."
        )
    found = read_annotations(part.dataset, own)
    clips = [(row.subject, part.class_of_clip(vars(row))) for row in found.rows]
    clips = [(subject, name) for subject, name in clips if name is not None]
    if not clips:
        raise UserError(f"no clip of {part.dataset} belongs to the protocol {protocol.name}.")
    is_earlier = part.label_field == "earlier_emotion"
    version = found.earlier_label_version if is_earlier else found.label_version
    subjects, names = zip(*clips, strict=True)
    deviation = protocol.deviation(part, names, subjects, version)
    warnings += [*found.problems, *([deviation] if deviation else [])]
    return [(part.dataset, *clip) for clip in clips]


def labels_of_workdir(workdir: Path) -> FoldLabels:
    """Reads the predictions behind the headline of a training.

    Raises:
      UserError: it is not a work directory, or no fold is finished.
    """
    _, runs = read_workdir(workdir)
    run = headline_runs(runs)[0]
    missing = f"{len(run.missing)} of {len(run.info['folds'])} folds are missing."
    return FoldLabels(
        dataset=run.info["dataset"],
        protocol=run.info["protocol"],
        split=run.info["split"],
        classes=tuple(run.info["classes"]),
        by_fold={fold.name: fold.table.label for fold in run.folds},
        n_subjects=len(run.table.subjects),
        warnings=[missing] if run.missing else [],
        evaluations=next((run.evaluations for run in runs if run.select == "test-best"), None),
    )


def chance_levels(
    labels: FoldLabels, evaluations: Sequence[int], draws: int, seed: int
) -> dict[str, object]:
    """Returns the chance level for each number of evaluations, as plain values."""
    levels = [
        chance_level(labels.by_fold, labels.classes, number, draws, seed, labels.split)
        for number in evaluations
    ]
    return {
        "dataset": labels.dataset,
        "protocol": labels.protocol,
        "split": labels.split,
        "classes": list(labels.classes),
        "n_clips": sum(map(len, labels.by_fold.values())),
        "n_subjects": labels.n_subjects,
        "n_folds": len(labels.by_fold),
        "levels": levels,
        "warnings": list(labels.warnings),
    }


def text(found: dict) -> str:
    """Returns the content of `chance_levels` as text."""
    rows = [("Evaluations per fold", "Guessing", "Acc", "UF1 (macro F1)")]
    for level in found["levels"]:
        for way, title in GUESSING.items():
            scores = (range_text(level[way][name]) for name in ("acc", "uf1"))
            rows.append((str(level["evaluations"]), title, *scores))
    directions = "scored by direction and averaged" if found["split"] == "corpora" else "pooled"
    parts = [
        f"Chance level of {found['dataset']} {found['protocol']}: {found['n_clips']} clips of"
        f" {found['n_subjects']} subjects, {found['n_folds']} folds, {len(found['classes'])}"
        " classes",
        table(rows),
        f"Mean and, in brackets, 95 % range of {level['draws']} random runs (seed {level['seed']}),"
        f" folds {directions}. Nothing was trained. Each evaluation guesses every test clip, and"
        " each fold keeps the evaluation with the most correct clips, as the selection rule"
        " test-best does. A result under test-best shows learning only as far as it exceeds the row"
        " with the same number of evaluations. The rules last and val do not select on test clips:"
        " compare them with 1 evaluation.",
    ]
    if found["warnings"]:
        parts.append(bullets(f"WARNING: {sentence}" for sentence in found["warnings"]))
    return "\n\n".join(parts)

"""The true classes of a protocol's test clips by fold, from wherever they are to be had.

No frame is needed: a corpus' annotation alone tells them, and so does a corpus as built, or the
predictions in a work directory.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import UserError
from datasets.protocols import Membership, Protocol
from datasets.reading import needs_manual_dir, open_corpus
from fdp_jax.corpora import folder_of
from fdp_jax.reporting.summary import headline_runs, split_of
from fdp_jax.reporting.workdir import read_workdir
from fdp_jax.splits import make_folds


@dataclass(frozen=True)
class ProtocolLabels:
    """Who is tested on what.

    Attributes:
      dataset: corpora of the protocol, in one word.
      protocol: its name.
      split: what it leaves out, people or corpora.
      classes: its class names, in its order.
      by_fold: fold -> true class names of its test clips.
      people: how many there are.
      looks: that a work directory's `test-best` took at each fold; None without one.
      warnings: sentences, how the clips differ from the published ones, or what is missing.
    """

    dataset: str
    protocol: str
    split: str
    classes: tuple[str, ...]
    by_fold: dict[str, list[str]]
    people: int
    looks: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def clips(self) -> int:
        """Test clips of all folds."""
        return sum(map(len, self.by_fold.values()))


@dataclass(frozen=True)
class _Part:
    """(subject, class) of every clip that one corpus brings, and what is to be known of them."""

    dataset: str
    clips: list[tuple[str, str]]
    warnings: list[str]


def labels_of_annotations(protocol: Protocol, folder: Path, group_folds: int = 0) -> ProtocolLabels:
    """From the annotation alone: the sheet, or the names of folders where a corpus has none.

    Args:
      protocol: names the corpora.
      folder: holds the sheet; of a composite, the folder that holds one such folder a corpus.
      group_folds: groups of people, or 0 for one person at a time.

    Raises:
      UserError: no such folder or sheet, a sheet that cannot be read, or a corpus without any.
    """
    parts = [_annotated(protocol, part, folder) for part in protocol.parts]
    return _in_folds(protocol, parts, group_folds)


def labels_of_corpus(protocol: Protocol, data_dir: Path, group_folds: int = 0) -> ProtocolLabels:
    """From the corpora as built in `data_dir`; the other arguments as above.

    Raises:
      UserError: a corpus is not built there, or is damaged.
    """
    parts = []
    for part in protocol.parts:
        corpus = open_corpus(part.dataset, data_dir)
        clips = [(example["subject"], part.class_of_clip(example)) for example in corpus]
        version = corpus.label_version_of(part.label_field)
        parts.append(_admitted(protocol, part, clips, version, corpus.warnings))
    return _in_folds(protocol, parts, group_folds)


def labels_of_workdir(workdir: Path) -> ProtocolLabels:
    """From the predictions of a training, those that its report's headline comes from.

    Raises:
      UserError: it is no work directory, or no fold is finished.
    """
    _, runs = read_workdir(workdir)
    run = headline_runs(runs)[0]
    by_fold = defaultdict(list)
    for fold, label in zip(run.table.fold, run.table.label, strict=True):
        by_fold[fold].append(label)
    missing = len(run.missing)
    return ProtocolLabels(
        dataset=run.info["dataset"],
        protocol=run.info["protocol"],
        split=split_of(run.info),
        classes=tuple(run.info["classes"]),
        by_fold=dict(by_fold),
        people=len(run.table.people),
        looks=next((run.looks for run in runs if run.select == "test-best"), None),
        warnings=(f"{missing} of {len(run.info['folds'])} folds are missing.",) if missing else (),
    )


def _annotated(protocol: Protocol, part: Membership, folder: Path) -> _Part:
    from datasets.image_corpus import read_annotations  # late: it loads OpenCV

    if not needs_manual_dir(part.dataset):
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
    clips = [
        (
            row.subject,
            part.class_of_clip(
                {
                    "subject": row.subject,
                    "clip": row.clip,
                    "emotion": row.emotion,
                    "earlier_emotion": row.earlier_emotion,
                }
            ),
        )
        for row in found.rows
    ]
    earlier = part.label_field == "earlier_emotion"
    version = found.earlier_label_version if earlier else found.label_version
    return _admitted(protocol, part, clips, version, found.problems)


def _admitted(
    protocol: Protocol,
    part: Membership,
    clips: Sequence[tuple[str, str | None]],
    version: str,
    warnings: Sequence[str],
) -> _Part:
    """The clips that have a class; raises UserError where there is none."""
    members = [(subject, name) for subject, name in clips if name is not None]
    if not members:
        raise UserError(f"no clip of {part.dataset} belongs to the protocol {protocol.name}.")
    subjects, names = zip(*members, strict=True)
    deviation = protocol.deviation(part, names, subjects, version)
    return _Part(part.dataset, members, [*warnings, *([deviation] if deviation else [])])


def _in_folds(protocol: Protocol, parts: Sequence[_Part], group_folds: int) -> ProtocolLabels:
    rows = [(part.dataset, *clip) for part in parts for clip in part.clips]
    datasets, subjects, labels = zip(*rows, strict=True)
    folds = make_folds(datasets, subjects, protocol.split, group_folds)
    return ProtocolLabels(
        dataset=protocol.dataset,
        protocol=protocol.name,
        split=protocol.split,
        classes=protocol.classes,
        by_fold={fold.name: [labels[clip] for clip in fold.test] for fold in folds},
        people=len(set(zip(datasets, subjects, strict=True))),
        warnings=tuple(sentence for part in parts for sentence in part.warnings),
    )

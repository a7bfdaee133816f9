"""Clips of the built corpora of one protocol, in memory."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.crop import Crop
from datasets.errors import UserError
from datasets.protocols import Membership, Protocol
from datasets.reading import Corpus, build_command, open_corpus


@dataclass(frozen=True)
class Clips:
    """All clips of a protocol, sorted by corpus (in the protocol's order), subject and name.

    Attributes:
      protocol: classes, and which clips of which corpora belong to it.
      frames: uint8 [N, h, w, c], all clips one after the other; c is 1 where all are grey.
      starts: int32 [clip], index of a clip's first frame.
      lengths: int32 [clip], number of frames.
      labels: int32 [clip], index into `protocol.classes`.
      datasets: [clip], corpus.
      subjects: [clip], person; unique within a corpus.
      names: [clip], unique within a person.
      label_version: label version of each corpus as built.
      corrections: sentences on cells of the sheets that the builds corrected.
      warnings: sentences on differences from the published corpora.
      crop: geometry of the face crops.
    """

    protocol: Protocol
    frames: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    datasets: tuple[str, ...]
    subjects: tuple[str, ...]
    names: tuple[str, ...]
    label_version: str
    corrections: tuple[str, ...]
    warnings: tuple[str, ...]
    crop: Crop

    @property
    def side(self) -> int:
        """Height and width of a frame in pixels."""
        return self.frames.shape[1]

    @property
    def is_grey(self) -> bool:
        """Whether all frames are grey."""
        return self.frames.shape[-1] == 1

    def digest(self) -> str:
        """Returns 16 hexadecimal digits that change with any frame, label or person."""
        content = hashlib.blake2b(digest_size=8)
        for array in (self.frames, self.starts, self.labels):
            content.update(np.ascontiguousarray(array).data)
        texts = (*self.subjects, *self.names)
        if self.protocol.is_composite:  # the name of a single corpus carries no information
            texts += self.datasets
        content.update("\n".join(texts).encode())
        return content.hexdigest()


def load_clips(protocol: Protocol, data_dir: Path, last_frame: str = "offset") -> Clips:
    """Reads the built corpora of a protocol, each clip from its onset to `last_frame`.

    Args:
      protocol: which clips.
      data_dir: folder of built corpora.
      last_frame: `offset` or `apex`; clips without an annotated apex end at the offset.

    Raises:
      UserError: a corpus is not built there, none of its clips belongs to the protocol, or the
        corpora's face crops differ.
    """
    corpora = {name: open_corpus(name, data_dir) for name in protocol.datasets}
    crop = _common_crop({name: corpus.crop for name, corpus in corpora.items()}, data_dir)
    rows, versions, corrections, warnings = [], [], [], []
    for part in protocol.parts:
        corpus, name = corpora[part.dataset], part.dataset
        chosen, without_apex = _choose_clips(corpus, part, last_frame)
        if not chosen:
            emotions = {example[part.label_field] for example in corpus} - {""}
            raise UserError(
                f"no clip of {name} in {data_dir} belongs to the protocol {protocol.name}: "
                f"its emotions are {', '.join(sorted(emotions)) or 'not given'}"
            )
        chosen.sort(key=lambda row: row[:2])
        rows += [(name, *row) for row in chosen]
        version = corpus.label_version_of(part.label_field)
        versions.append(f"{name} {version}" if protocol.is_composite else version)
        lead = f"{name}: " if protocol.is_composite else ""
        corrections += [f"{lead}{correction}" for correction in corpus.corrections]
        warnings += [f"{lead}{warning}" for warning in corpus.warnings]
        if without_apex:
            warnings.append(
                f"{lead}{without_apex} clips without an apex in the sheet end at the offset"
            )
        subjects, categories = [row[0] for row in chosen], [row[2] for row in chosen]
        if deviation := protocol.deviation(part, categories, subjects, version):
            warnings.append(deviation)
    if protocol.note:
        warnings.append(protocol.note)
    datasets, subjects, names, categories, frames = zip(*rows, strict=True)
    lengths = np.array([len(clip) for clip in frames], np.int32)
    channels = 1 if all((clip == clip[..., :1]).all() for clip in frames) else 3
    return Clips(
        protocol=protocol,
        frames=np.concatenate([clip[..., :channels] for clip in frames]),
        starts=(np.cumsum(lengths) - lengths).astype(np.int32),
        lengths=lengths,
        labels=np.array([protocol.classes.index(category) for category in categories], np.int32),
        datasets=datasets,
        subjects=subjects,
        names=names,
        label_version=", ".join(versions),
        corrections=tuple(corrections),
        warnings=tuple(warnings),
        crop=crop,
    )


def _choose_clips(
    corpus: Corpus, part: Membership, last_frame: str
) -> tuple[list[tuple[str, str, str, np.ndarray]], int]:
    """Returns (subject, clip, class, frames) of the clips that belong to the protocol.

    With them comes the number of those without an apex, if they are to end there.
    """
    chosen, without_apex = [], 0
    for example in corpus:
        category = part.class_of_clip(example)
        if category is not None:
            frames = example["frames"]
            if last_frame == "apex":
                count = _frames_until_apex(example)
                without_apex += count is None
                frames = frames[:count]
            chosen.append((example["subject"], example["clip"], category, frames))
    return chosen, without_apex


def _frames_until_apex(example: dict) -> int | None:
    """Returns how many frames there are from onset to apex; None if the apex is unknown.

    Frames may be missing on the disk, so the apex is found by its share of the duration.
    """
    onset, apex, offset = (example[name] for name in ("onset", "apex", "offset"))
    if not onset < apex <= offset:
        return None
    share = (apex - onset) / (offset - onset)
    return round(share * (len(example["frames"]) - 1)) + 1


def _common_crop(crops: dict[str, Crop], data_dir: Path) -> Crop:
    """Returns the geometry of the face crops of all corpora, which must be the same."""
    wanted = max(crops.values(), key=lambda crop: crop.side)
    if set(crops.values()) != {wanted}:
        found = ", ".join(f"{dataset} {crop.as_options}" for dataset, crop in crops.items())
        builds = "; ".join(
            f"{build_command(dataset, data_dir)} {wanted.as_options} --overwrite"
            for dataset in crops
            if crops[dataset] != wanted
        )
        raise UserError(
            f"the face crops of the corpora in {data_dir} differ ({found}); build them alike, as "
            f"with: {builds}"
        )
    return wanted

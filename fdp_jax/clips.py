"""Clips of the built corpora of one protocol, in memory."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.crop import Crop
from datasets.errors import UserError
from datasets.protocols import Membership, Protocol
from datasets.reading import build_command, open_corpus


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


@dataclass(frozen=True)
class _Part:
    """Clips of one corpus; in a composite the sentences name it.

    Attributes:
      dataset: name of the corpus.
      rows: (subject, clip, class, frames) of each clip, sorted by subject and clip.
      label_version: version of the emotions that the protocol uses.
      corrections, warnings: sentences.
      crop: geometry of the face crops.
    """

    dataset: str
    rows: list[tuple[str, str, str, np.ndarray]]
    label_version: str
    corrections: tuple[str, ...]
    warnings: tuple[str, ...]
    crop: Crop


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
    parts = [_load_part(protocol, part, data_dir, last_frame) for part in protocol.parts]
    crop = _common_crop(parts, data_dir)
    rows = [(part.dataset, *row) for part in parts for row in part.rows]
    frames = [row[4] for row in rows]
    lengths = np.array([len(clip) for clip in frames], np.int32)
    channels = 1 if all((clip == clip[..., :1]).all() for clip in frames) else 3
    warnings = [warning for part in parts for warning in part.warnings]
    return Clips(
        protocol=protocol,
        frames=np.concatenate([clip[..., :channels] for clip in frames]),
        starts=(np.cumsum(lengths) - lengths).astype(np.int32),
        lengths=lengths,
        labels=np.array([protocol.classes.index(row[3]) for row in rows], np.int32),
        datasets=tuple(row[0] for row in rows),
        subjects=tuple(row[1] for row in rows),
        names=tuple(row[2] for row in rows),
        label_version=", ".join(part.label_version for part in parts),
        corrections=tuple(sentence for part in parts for sentence in part.corrections),
        warnings=tuple([*warnings, protocol.note] if protocol.note else warnings),
        crop=crop,
    )


def _load_part(protocol: Protocol, part: Membership, data_dir: Path, last_frame: str) -> _Part:
    """Returns the clips of one corpus that belong to the protocol.

    Raises:
      UserError: none does.
    """
    corpus = open_corpus(part.dataset, data_dir)
    rows, emotions, without_apex = [], set(), 0
    for example in corpus:
        emotions.add(example[part.label_field])
        category = part.class_of_clip(example)
        if category is not None:
            frames = example["frames"]
            if last_frame == "apex":
                count = _frames_until_apex(example)
                without_apex += count is None
                frames = frames[:count]
            rows.append((example["subject"], example["clip"], category, frames))
    if not rows:
        raise UserError(
            f"no clip of {part.dataset} in {data_dir} belongs to the protocol {protocol.name}: "
            f"its emotions are {', '.join(sorted(emotions - {''})) or 'not given'}"
        )
    rows.sort(key=lambda row: row[:2])
    version = corpus.label_version_of(part.label_field)
    deviation = protocol.deviation(
        part, [row[2] for row in rows], [row[0] for row in rows], version
    )
    lead = f"{part.dataset}: " if protocol.is_composite else ""
    warnings = [f"{lead}{warning}" for warning in corpus.warnings]
    if without_apex:
        warnings.append(
            f"{lead}{without_apex} clips without an apex in the sheet end at the offset"
        )
    return _Part(
        dataset=part.dataset,
        rows=rows,
        label_version=f"{part.dataset} {version}" if protocol.is_composite else version,
        corrections=tuple(f"{lead}{correction}" for correction in corpus.corrections),
        warnings=tuple([*warnings, deviation] if deviation else warnings),
        crop=corpus.crop,
    )


def _frames_until_apex(example: dict) -> int | None:
    """Returns how many frames there are from onset to apex; None if the apex is unknown.

    Frames may be missing on the disk, so the apex is found by its share of the duration.
    """
    onset, apex, offset = (example[name] for name in ("onset", "apex", "offset"))
    if not onset < apex <= offset:
        return None
    share = (apex - onset) / (offset - onset)
    return round(share * (len(example["frames"]) - 1)) + 1


def _common_crop(parts: list[_Part], data_dir: Path) -> Crop:
    """Returns the geometry of all face crops; raises UserError unless it is the same."""
    crops = {part.dataset: part.crop for part in parts}
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

"""A built corpus in memory, seen through a protocol."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.errors import UserError
from datasets.protocols import Protocol
from datasets.reading import open_corpus


@dataclass(frozen=True)
class Clips:
    """Every clip that the protocol admits, sorted by subject and name.

    Attributes:
      protocol: classes and how emotions map to them.
      frames: uint8 [N, h, w, c], all clips one after the other; c is 1 for a grey corpus.
      starts: int32 [clip], number of a clip's first frame.
      lengths: int32 [clip], frames of a clip.
      labels: int32 [clip], index into `protocol.classes`.
      subjects: [clip], the person.
      names: [clip], unique.
      label_version: of the corpus as built.
      corrections: sentences, cells of the sheet that the build corrected.
      warnings: sentences, what differs from the published corpus.
    """

    protocol: Protocol
    frames: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    subjects: tuple[str, ...]
    names: tuple[str, ...]
    label_version: str
    corrections: tuple[str, ...]
    warnings: tuple[str, ...]

    def digest(self) -> str:
        """Sixteen hexadecimal digits that any change of a frame, label or person changes."""
        content = hashlib.blake2b(digest_size=8)
        for array in (self.frames, self.starts, self.labels):
            content.update(np.ascontiguousarray(array).data)
        content.update("\n".join((*self.subjects, *self.names)).encode())
        return content.hexdigest()


def load_clips(protocol: Protocol, data_dir: Path) -> Clips:
    """Reads the corpus of a protocol from where it was built.

    Raises:
      UserError: the corpus is not built there, or none of its clips belongs to the protocol.
    """
    corpus = open_corpus(protocol.dataset, data_dir)
    rows, emotions = [], set()
    for example in corpus:
        emotions.add(example[protocol.label_field])
        category = protocol.class_of.get(example[protocol.label_field].lower())
        if category is not None:
            frames = example["frames"]
            grey = (frames == frames[..., :1]).all()
            rows.append((example["subject"], example["clip"], category, frames, grey))
    if not rows:
        raise UserError(
            f"no clip of {protocol.dataset} in {data_dir} belongs to the protocol {protocol.name}: "
            f"its emotions are {', '.join(sorted(emotions))}"
        )
    rows.sort(key=lambda row: row[:2])
    channels = 1 if all(row[4] for row in rows) else 3
    lengths = np.array([len(row[3]) for row in rows], np.int32)
    categories = [row[2] for row in rows]
    subjects = tuple(row[0] for row in rows)
    return Clips(
        protocol=protocol,
        frames=np.concatenate([row[3][..., :channels] for row in rows]),
        starts=(np.cumsum(lengths) - lengths).astype(np.int32),
        lengths=lengths,
        labels=np.array([protocol.classes.index(name) for name in categories], np.int32),
        subjects=subjects,
        names=tuple(row[1] for row in rows),
        label_version=corpus.label_version,
        corrections=tuple(corpus.corrections),
        warnings=(*corpus.warnings, *protocol.deviations(categories, subjects)),
    )

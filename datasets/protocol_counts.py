"""What every protocol has of some clips, beside what it should have."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from datasets.protocols import memberships_of


@dataclasses.dataclass(frozen=True)
class ProtocolCounts:
    """What a protocol will have of the corpus, and what it should have.

    Attributes:
      protocol: its name.
      per_class, published_per_class: class -> clips; published is None where nothing is.
      deviation: the difference in a sentence; None if there is none.
      note: of the protocol.
    """

    protocol: str
    is_part_of_composite: bool
    clips: int
    subjects: int
    per_class: dict[str, int]
    published_clips: int | None
    published_subjects: int | None
    published_per_class: dict[str, int] | None
    deviation: str | None
    note: str


def protocol_counts(corpus: str, clips: Sequence[Any], label_version: str) -> list[ProtocolCounts]:
    """What every protocol has of some clips.

    Args:
      corpus: name.
      clips: with subject, clip, emotion and earlier_emotion.
      label_version: of the emotions.
    """
    counts = []
    for protocol, part in memberships_of(corpus):
        members = [(clip.subject, part.class_of_clip(vars(clip))) for clip in clips]
        members = [(subject, name) for subject, name in members if name is not None]
        names, subjects = [name for _, name in members], [subject for subject, _ in members]
        expected, found = part.expected_counts(label_version), Counter(names)
        counts.append(
            ProtocolCounts(
                protocol=protocol.name,
                is_part_of_composite=protocol.is_composite,
                clips=len(names),
                subjects=len(set(subjects)),
                per_class={name: found[name] for name in protocol.classes},
                published_clips=expected and expected.clips,
                published_subjects=expected and expected.subjects,
                published_per_class=expected
                and dict(zip(protocol.classes, expected.per_class, strict=True)),
                deviation=protocol.deviation(part, names, subjects, label_version),
                note=protocol.note,
            )
        )
    return counts

"""Protocols: which clips of a built corpus count, and as which class. Standard library only.

A protocol is data over one built corpus: the paper's single-dataset protocols (section 4.1), with
the counts that the corpora have as published. A corpus that does not meet the counts can be used
all the same; `Protocol.deviations` says how it differs.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from datasets.errors import UserError


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One label map and membership rule.

    Attributes:
      dataset: name of the corpus.
      name: of the protocol, unique within the corpus.
      label_field: field of the examples that carries the emotion.
      classes: class names in the order of the labels.
      class_of: emotion, lower case -> class; a clip of any other emotion is left out.
      expected_clips: clips in the published corpus; None where unknown or free.
      expected_subjects: people who have a clip.
      expected_per_class: clips of each class, in the order of `classes`.
    """

    dataset: str
    name: str
    label_field: str
    classes: tuple[str, ...]
    class_of: Mapping[str, str]
    expected_clips: int | None = None
    expected_subjects: int | None = None
    expected_per_class: tuple[int, ...] | None = None

    def deviations(self, classes_of_clips: Sequence[str], subjects: Sequence[str]) -> list[str]:
        """How a corpus differs from the published counts, one sentence each; empty if not.

        Args:
          classes_of_clips: class of every clip that the protocol admits.
          subjects: person of every such clip, in the same order.
        """
        sentences = []
        where = f"{self.dataset} {self.name}"
        if self.expected_clips not in (None, len(classes_of_clips)):
            sentences.append(
                f"{where} has {len(classes_of_clips)} clips, published are {self.expected_clips}."
            )
        if self.expected_subjects not in (None, len(set(subjects))):
            sentences.append(
                f"{where} has {len(set(subjects))} subjects, published are "
                f"{self.expected_subjects}."
            )
        counts = Counter(classes_of_clips)
        for name, expected in zip(self.classes, self.expected_per_class or (), strict=False):
            if counts[name] != expected:
                sentences.append(
                    f"{where} has {counts[name]} clips of class {name}, published are {expected}."
                )
        return sentences


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


# The first protocol of a corpus is its default.
_PROTOCOLS = (
    Protocol(
        dataset="samm",
        name="5class",
        label_field="emotion",
        classes=("anger", "contempt", "happiness", "surprise", "other"),
        class_of=_same("anger", "contempt", "happiness", "surprise", "other") | {"others": "other"},
        expected_clips=136,
        expected_subjects=27,
        expected_per_class=(57, 12, 26, 15, 26),
    ),
    Protocol(
        dataset="samm",
        name="3class",
        label_field="emotion",
        classes=("negative", "positive", "surprise"),
        class_of=dict.fromkeys(("anger", "contempt", "disgust", "fear", "sadness"), "negative")
        | {"happiness": "positive", "surprise": "surprise"},
        expected_clips=133,
        expected_subjects=28,
        expected_per_class=(92, 26, 15),
    ),
    Protocol(
        dataset="synthetic",
        name="5class",
        label_field="emotion",
        classes=("anger", "disgust", "happiness", "sadness", "surprise"),
        class_of=_same("anger", "disgust", "happiness", "sadness", "surprise"),
    ),
)

CORPORA: tuple[str, ...] = tuple(dict.fromkeys(protocol.dataset for protocol in _PROTOCOLS))


def check_corpus(name: str) -> None:
    """Raises UserError, with the names there are, unless `name` is a corpus."""
    if name not in CORPORA:
        raise UserError(f"there is no corpus '{name}'; the corpora are {', '.join(CORPORA)}.")


def protocols_of(dataset: str) -> tuple[str, ...]:
    """Names of the protocols of a corpus, the default first.

    Raises:
      UserError: there is no such corpus.
    """
    check_corpus(dataset)
    return tuple(protocol.name for protocol in _PROTOCOLS if protocol.dataset == dataset)


def get_protocol(dataset: str, name: str | None = None) -> Protocol:
    """The protocol `name` of a corpus, or its default.

    Raises:
      UserError: there is no such corpus or protocol.
    """
    names = protocols_of(dataset)
    name = names[0] if name is None else name
    for protocol in _PROTOCOLS:
        if (protocol.dataset, protocol.name) == (dataset, name):
            return protocol
    raise UserError(f"{dataset} has no protocol '{name}'; its protocols are {', '.join(names)}.")

"""Protocols: which clips of the built corpora count, and as which class. Standard library only.

A protocol is data over built corpora: the paper's single-dataset and cross-dataset protocols
(section 4.1) and the composite of MEGC 2019, each with the counts of the corpora as published. A
corpus that does not meet the counts can be used all the same; `Protocol.deviation` says how it
differs.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from datasets.errors import UserError


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many clips of each class, in the protocol's order, and how many people have one."""

    per_class: tuple[int, ...]
    subjects: int | None = None  # None: not established

    @property
    def clips(self) -> int:
        """Clips of all classes."""
        return sum(self.per_class)


@dataclasses.dataclass(frozen=True)
class Membership:
    """What one corpus brings to a protocol.

    Attributes:
      dataset: name of the corpus.
      class_of: emotion, lower case -> class; a clip of any other emotion is left out.
      label_field: field of the examples that carries the emotion: `emotion`, or
        `earlier_emotion`, the one of the corpus' earlier label version.
      left_out: (subject, clip) that the protocol does not count, whatever their emotion.
      expected: label version -> counts as published; the version "" stands for any.
    """

    dataset: str
    class_of: Mapping[str, str]
    label_field: Literal["emotion", "earlier_emotion"] = "emotion"
    left_out: frozenset[tuple[str, str]] = frozenset()
    expected: Mapping[str, Counts] = dataclasses.field(default_factory=dict)

    def class_of_clip(self, example: Mapping[str, str]) -> str | None:
        """The class by an example's subject, clip and emotion; None where it does not count."""
        if (example["subject"], example["clip"]) in self.left_out:
            return None
        return self.class_of.get(example[self.label_field])

    def expected_counts(self, label_version: str) -> Counts | None:
        """The published counts for a label version; None where there are none."""
        return self.expected.get(label_version, self.expected.get(""))


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Classes, and what counts of which corpora.

    Attributes:
      name: unique within its corpora.
      classes: class names in the order of the labels.
      parts: one for each corpus.
      split: `people`, each person (of each corpus) is left out in turn; `corpora`, trained on all
        of one corpus and tested on all of another, each way.
      note: what is to be known of the protocol besides its counts; "" if nothing.
    """

    name: str
    classes: tuple[str, ...]
    parts: tuple[Membership, ...]
    split: Literal["people", "corpora"] = "people"
    note: str = ""

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the corpora, in the protocol's order."""
        return tuple(part.dataset for part in self.parts)

    @property
    def dataset(self) -> str:
        """The corpora in one word: `samm`, `casme2+samm`."""
        return "+".join(self.datasets)

    @property
    def is_composite(self) -> bool:
        """Whether it is over several corpora."""
        return len(self.parts) > 1

    def deviation(
        self, part: Membership, classes: Sequence[str], subjects: Sequence[str], label_version: str
    ) -> str | None:
        """How the clips of one part differ from the published ones, in a sentence; None if not.

        Args:
          part: one of `parts`.
          classes: class of every clip that the part admits.
          subjects: person of every such clip, in the same order.
          label_version: of the labels that were read.
        """
        expected = part.expected_counts(label_version)
        if expected is None:
            return None
        found = Counter(classes)
        pairs = [("clips", len(classes), expected.clips)]
        if expected.subjects is not None:
            pairs.append(("people", len(set(subjects)), expected.subjects))
        pairs += [
            (name, found[name], count)
            for name, count in zip(self.classes, expected.per_class, strict=True)
        ]
        differing = [f"{what} {here} ({there})" for what, here, there in pairs if here != there]
        if not differing:
            return None
        return (
            f"{part.dataset} differs from the published corpus in the protocol {self.name}; here, "
            f"and in brackets as published: {', '.join(differing)}."
        )


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _into(name: str, *emotions: str) -> dict[str, str]:
    return dict.fromkeys(emotions, name)


def _either_ending(subject: str, clip: str) -> set[tuple[str, str]]:
    # Copies of CASME II's sheet differ in whether a name ends in f.
    return {(subject, clip), (subject, f"{clip}f")}


_NEGATIVE_POSITIVE_SURPRISE = ("negative", "positive", "surprise")
_CASME2_FIVE = ("happiness", "disgust", "repression", "surprise", "others")
_CASME3_SEVEN = ("happy", "anger", "disgust", "fear", "surprise", "sad", "others")

# A row of one public copy of the sheet only; the published counts do not hold it.
_CASME2_EXTRA = frozenset(_either_ending("sub24", "EP02_07"))
# What the composite's published list of clips does not hold.
_CASME2_NOT_MEGC = _CASME2_EXTRA | _either_ending("sub04", "EP12_01") | _either_ending(
    "sub05", "EP09_05"
)  # fmt: skip

_SAMM_THREE = (
    _into("negative", "anger", "contempt", "disgust", "fear", "sadness")
    | {"happiness": "positive", "surprise": "surprise"}
)  # fmt: skip
_SMIC_THREE = Membership(
    "smic", _same(*_NEGATIVE_POSITIVE_SURPRISE), expected={"": Counts((70, 51, 43), 16)}
)

# The first protocol of a corpus is its default.
_PROTOCOLS = (
    Protocol(
        "5class",
        _CASME2_FIVE,
        (
            Membership("casme2", _same(*_CASME2_FIVE), left_out=_CASME2_EXTRA,
                       expected={"": Counts((32, 63, 27, 28, 99), 26)}),
        ),
    ),
    Protocol(
        "3class",
        _NEGATIVE_POSITIVE_SURPRISE,
        (
            Membership("casme2",
                       _into("negative", "disgust", "repression", "sadness", "fear")
                       | {"happiness": "positive", "surprise": "surprise"},
                       left_out=_CASME2_EXTRA, expected={"": Counts((96, 32, 28), 25)}),
        ),
    ),
    Protocol(
        "5class_2014",
        _CASME2_FIVE,
        (
            Membership("casme2", _same(*_CASME2_FIVE), "earlier_emotion", _CASME2_EXTRA,
                       {"": Counts((32, 63, 27, 25, 99), 26)}),
        ),
    ),
    Protocol(
        "5class",
        ("anger", "contempt", "happiness", "surprise", "other"),
        (
            Membership("samm", _same("anger", "contempt", "happiness", "surprise", "other"),
                       expected={"": Counts((57, 12, 26, 15, 26), 27)}),
        ),
    ),
    Protocol(
        "3class",
        _NEGATIVE_POSITIVE_SURPRISE,
        (Membership("samm", _SAMM_THREE, expected={"": Counts((92, 26, 15), 28)}),),
    ),
    Protocol(
        "4class",
        ("positive", "surprise", "negative", "others"),
        (
            Membership("casme_sq", _same("positive", "surprise", "negative", "others"),
                       expected={"": Counts((8, 9, 21, 19))}),
        ),
    ),
    Protocol(
        "7class",
        _CASME3_SEVEN,
        (
            Membership("casme3", _same(*_CASME3_SEVEN), expected={
                "v2": Counts((55, 64, 250, 86, 187, 57, 161), 94),
                "v1": Counts((60, 67, 275, 91, 199, 63, 166), 95),
            }),
        ),
        note="The paper's 943 clips of CAS(ME)^3 cannot be had from the public sheets, whose "
             "version 1 lists 921 and version 2 lists 860.",
    ),
    Protocol("3class", _NEGATIVE_POSITIVE_SURPRISE, (_SMIC_THREE,)),
    Protocol(
        "cross",
        ("happiness", "surprise", "others"),
        (
            Membership("casme2", _same("happiness", "surprise", "others"), "earlier_emotion",
                       _CASME2_EXTRA, {"": Counts((32, 25, 99))}),
            Membership("samm", _same("happiness", "surprise") | {"other": "others"},
                       expected={"": Counts((26, 15, 26))}),
        ),
        split="corpora",
    ),
    Protocol(
        "megc2019",
        _NEGATIVE_POSITIVE_SURPRISE,
        (
            Membership("casme2",
                       _into("negative", "disgust", "repression")
                       | {"happiness": "positive", "surprise": "surprise"},
                       "earlier_emotion", _CASME2_NOT_MEGC, {"": Counts((88, 32, 25), 24)}),
            Membership("samm", _SAMM_THREE, expected={"": Counts((92, 26, 15), 28)}),
            _SMIC_THREE,
        ),
    ),
    Protocol(
        "5class",
        ("anger", "disgust", "happiness", "sadness", "surprise"),
        (Membership("synthetic", _same("anger", "disgust", "happiness", "sadness", "surprise")),),
    ),
)  # fmt: skip

CORPORA: tuple[str, ...] = tuple(
    dict.fromkeys(protocol.dataset for protocol in _PROTOCOLS if not protocol.is_composite)
)
COMPOSITES: tuple[str, ...] = tuple(
    protocol.name for protocol in _PROTOCOLS if protocol.is_composite
)


def check_corpus(name: str) -> None:
    """Raises UserError, with the names there are, unless `name` is a corpus."""
    if name not in CORPORA:
        raise UserError(f"there is no corpus '{name}'; the corpora are {', '.join(CORPORA)}.")


def protocols_of(dataset: str) -> tuple[str, ...]:
    """Names of the protocols over one corpus alone, the default first.

    Raises:
      UserError: there is no such corpus.
    """
    check_corpus(dataset)
    return tuple(protocol.name for protocol in _PROTOCOLS if protocol.dataset == dataset)


def memberships_of(dataset: str) -> tuple[tuple[Protocol, Membership], ...]:
    """Every protocol that a corpus takes part in, with its part; composites last.

    Raises:
      UserError: there is no such corpus.
    """
    check_corpus(dataset)
    return tuple(
        (protocol, part)
        for protocol in _PROTOCOLS
        for part in protocol.parts
        if part.dataset == dataset
    )


def get_protocol(dataset: str | None, name: str | None = None) -> Protocol:
    """The protocol `name` of a corpus, or its default; a composite by its name alone.

    Raises:
      UserError: there is no such corpus or protocol, or a composite was asked of one corpus.
    """
    if name in COMPOSITES:
        found = next(p for p in _PROTOCOLS if p.is_composite and p.name == name)
        if dataset:
            raise UserError(
                f"the protocol {name} has its own corpora ({', '.join(found.datasets)}); leave "
                "out --dataset."
            )
        return found
    if not dataset:
        raise UserError(
            f"name a corpus with --dataset ({', '.join(CORPORA)}), or a composite with --protocol "
            f"({', '.join(COMPOSITES)})."
        )
    names = protocols_of(dataset)
    name = names[0] if name is None else name
    for protocol in _PROTOCOLS:
        if (protocol.dataset, protocol.name) == (dataset, name):
            return protocol
    raise UserError(
        f"{dataset} has no protocol '{name}'; its protocols are {', '.join(names)} (and "
        f"{', '.join(COMPOSITES)} name no corpus)."
    )

"""Protocols: which clips of the built corpora count, and as which class. Standard library only.

A protocol is data: the paper's single-dataset and cross-dataset protocols (section 4.1) and the
composite of MEGC 2019, each with the counts of the corpora as published. A corpus that differs from
the counts can still be used; `Protocol.deviation` says how it differs.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from datasets.errors import UserError


@dataclasses.dataclass(frozen=True)
class Counts:
    """Number of clips of each class, in the protocol's order, and of subjects with a clip."""

    per_class: tuple[int, ...]
    subjects: int | None = None  # None: not established

    @property
    def clips(self) -> int:
        """Clips of all classes."""
        return sum(self.per_class)


@dataclasses.dataclass(frozen=True)
class Membership:
    """Contribution of one corpus to a protocol.

    Attributes:
      dataset: name of the corpus.
      class_of: lower-case emotion -> class; clips of other emotions are left out.
      label_field: field of the examples that holds the emotion; `earlier_emotion` is that of the
        corpus' earlier label version, `objective_class` the class in a table of the user's own.
      left_out: (subject, clip) that the protocol excludes, whatever their emotion.
      expected: label version -> published counts; the version "" stands for any.
    """

    dataset: str
    class_of: Mapping[str, str]
    label_field: Literal["emotion", "earlier_emotion", "objective_class"] = "emotion"
    left_out: frozenset[tuple[str, str]] = frozenset()
    expected: Mapping[str, Counts] = dataclasses.field(default_factory=dict)

    def class_of_clip(self, example: Mapping[str, str]) -> str | None:
        """Returns the class by an example's subject, clip and emotion; None if it is left out."""
        if (example["subject"], example["clip"]) in self.left_out:
            return None
        return self.class_of.get(example[self.label_field])

    def expected_counts(self, label_version: str) -> Counts | None:
        """Returns the published counts of a label version; None if there are none."""
        return self.expected.get(label_version, self.expected.get(""))


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Classes, and the clips of one or several corpora that count.

    Attributes:
      name: unique within its corpora.
      classes: class names in the order of the labels.
      parts: one per corpus.
      split: `people` leaves out each subject (of each corpus) in turn; `corpora` trains on all of
        one corpus and tests on all of another, in both directions.
      note: sentence about the protocol besides its counts; "" if there is none.
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
        """Name of the corpora: `samm`, `casme2+samm`."""
        return "+".join(self.datasets)

    @property
    def is_composite(self) -> bool:
        """Whether it is over several corpora."""
        return len(self.parts) > 1

    def deviation(
        self, part: Membership, classes: Sequence[str], subjects: Sequence[str], label_version: str
    ) -> str | None:
        """Returns how the clips of one part differ from the published ones; None if they do not.

        Args:
          part: one of `parts`.
          classes: class of every clip that the part admits.
          subjects: subject of every such clip, in the same order.
          label_version: of the labels.
        """
        expected = part.expected_counts(label_version)
        if expected is None:
            return None
        found = Counter(classes)
        per_class = zip(self.classes, expected.per_class, strict=True)
        counts = [
            ("clips", len(classes), expected.clips),
            ("subjects", len(set(subjects)), expected.subjects),
            *((name, found[name], count) for name, count in per_class),
        ]
        differing = [
            f"{what} {here} ({there})" for what, here, there in counts if there not in (None, here)
        ]
        if not differing:
            return None
        return (
            f"{part.dataset} differs from the published corpus in the protocol {self.name}; here, "
            f"and in brackets as published: {', '.join(differing)}."
        )


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _three_classes(*negative: str) -> dict[str, str]:
    return dict.fromkeys(negative, "negative") | {"happiness": "positive", "surprise": "surprise"}


_THREE = ("negative", "positive", "surprise")
_CASME3_SEVEN = ("happy", "anger", "disgust", "fear", "surprise", "sad", "others")
_SYNTHETIC_FIVE = ("anger", "disgust", "happiness", "sadness", "surprise")

# A row of one public copy of the sheet only; the published counts exclude it. Copies differ in
# whether a name ends in f.
_CASME2_EXTRA = frozenset({("sub24", "EP02_07"), ("sub24", "EP02_07f")})
# Clips that the composite's published list lacks.
_CASME2_NOT_MEGC = _CASME2_EXTRA | {
    ("sub04", "EP12_01"), ("sub04", "EP12_01f"), ("sub05", "EP09_05"), ("sub05", "EP09_05f"),
}  # fmt: skip

_CASME2_THREE = Membership(
    "casme2",
    _three_classes("disgust", "repression", "sadness", "fear"),
    left_out=_CASME2_EXTRA,
    expected={"": Counts((96, 32, 28), 25)},
)
_CASME2_MEGC = Membership(
    "casme2",
    _three_classes("disgust", "repression"),
    "earlier_emotion",
    _CASME2_NOT_MEGC,
    {"": Counts((88, 32, 25), 24)},
)
_CASME2_CROSS = Membership(
    "casme2",
    _same("happiness", "surprise", "others"),
    "earlier_emotion",
    _CASME2_EXTRA,
    {"": Counts((32, 25, 99))},
)
_SAMM_THREE = Membership(
    "samm",
    _three_classes("anger", "contempt", "disgust", "fear", "sadness"),
    expected={"": Counts((92, 26, 15), 28)},
)
_SAMM_CROSS = Membership(
    "samm",
    _same("happiness", "surprise") | {"other": "others"},
    expected={"": Counts((26, 15, 26))},
)
_CASME3 = Membership(
    "casme3",
    _same(*_CASME3_SEVEN),
    expected={
        "v2": Counts((55, 64, 250, 86, 187, 57, 161), 94),
        "v1": Counts((60, 67, 275, 91, 199, 63, 166), 95),
    },
)
_SMIC = Membership("smic", _same(*_THREE), expected={"": Counts((70, 51, 43), 16)})
_SYNTHETIC = Membership("synthetic", _same(*_SYNTHETIC_FIVE))


def _emotions(
    name: str, dataset: str, per_class: dict[str, int], subjects: int | None, **part: Any
) -> Protocol:
    """Returns a protocol over one corpus whose classes are its emotions, with published counts."""
    expected = {"": Counts(tuple(per_class.values()), subjects)}
    member = Membership(dataset, _same(*per_class), expected=expected, **part)
    return Protocol(name, tuple(per_class), (member,))


_CASME2_FIVE = {"happiness": 32, "disgust": 63, "repression": 27, "surprise": 28, "others": 99}
_SAMM_FIVE = {"anger": 57, "contempt": 12, "happiness": 26, "surprise": 15, "other": 26}

# The first protocol of a corpus is its default.
_PROTOCOLS = (
    _emotions("5class", "casme2", _CASME2_FIVE, 26, left_out=_CASME2_EXTRA),
    Protocol("3class", _THREE, (_CASME2_THREE,)),
    _emotions(
        "5class_2014",
        "casme2",
        _CASME2_FIVE | {"surprise": 25},
        26,
        left_out=_CASME2_EXTRA,
        label_field="earlier_emotion",
    ),
    _emotions("5class", "samm", _SAMM_FIVE, 27),
    Protocol("3class", _THREE, (_SAMM_THREE,)),
    _emotions(
        "4class", "casme_sq", {"positive": 8, "surprise": 9, "negative": 21, "others": 19}, None
    ),
    Protocol(
        "7class",
        _CASME3_SEVEN,
        (_CASME3,),
        note="The paper's 943 clips of CAS(ME)^3 cannot be reproduced from the public sheets, "
        "whose version 1 lists 921 and version 2 lists 860.",
    ),
    Protocol("3class", _THREE, (_SMIC,)),
    Protocol(
        "cross", ("happiness", "surprise", "others"), (_CASME2_CROSS, _SAMM_CROSS), split="corpora"
    ),
    Protocol("megc2019", _THREE, (_CASME2_MEGC, _SAMM_THREE, _SMIC)),
    Protocol("5class", _SYNTHETIC_FIVE, (_SYNTHETIC,)),
)

CORPORA: tuple[str, ...] = tuple(
    dict.fromkeys(protocol.dataset for protocol in _PROTOCOLS if not protocol.is_composite)
)
COMPOSITES: tuple[str, ...] = tuple(
    protocol.name for protocol in _PROTOCOLS if protocol.is_composite
)

OWN = "own"  # a corpus from a table of the user's own, unless --name gives it another name
_NOT_OWN = (*CORPORA, *COMPOSITES, "animated", "bundled", "drawn")  # mean something else already


def is_own(name: str) -> bool:
    """Whether a name is that of no corpus here, so that its corpus must come from a table."""
    return name not in CORPORA


def check_own_name(name: str) -> None:
    """Raises UserError unless a corpus from a table can have this name."""
    if name in _NOT_OWN:
        raise UserError(
            f"the name {name} is reserved; give the corpus of your table another one, or leave out "
            "--table."
        )
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise UserError(
            f"a corpus cannot be called '{name}'; use lower-case letters, digits and _, a letter "
            "first, as in mmew."
        )


def own_name(corpus: str, name: str) -> str:
    """Returns the name of the corpus on a command line; `name` is that of a table's, or "".

    Raises:
      UserError: such a name is given to another corpus, or cannot be given.
    """
    if name and corpus != OWN:
        raise UserError(f"--name is for {OWN} only, not for {corpus}; leave it out.")
    if name:
        check_own_name(name)
    return name or corpus


def own_protocol(dataset: str, classes: Sequence[str]) -> Protocol:
    """Returns the protocol of a corpus whose clips have their class in the user's table."""
    part = Membership(dataset, _same(*classes), "objective_class")
    return Protocol(f"{len(classes)}class", tuple(classes), (part,))


def check_corpus(name: str, own: Sequence[str] = ()) -> None:
    """Raises UserError, which lists the corpora, unless `name` is one here or in `own`."""
    if name not in (*CORPORA, *own):
        raise UserError(
            f"there is no corpus '{name}'; the corpora are {', '.join(CORPORA)}, and those that "
            f"are built from a table ({', '.join(own) or OWN})."
        )


def protocols_of(dataset: str) -> tuple[str, ...]:
    """Returns the names of the protocols over one corpus alone, the default first."""
    check_corpus(dataset)
    return tuple(protocol.name for protocol in _PROTOCOLS if protocol.dataset == dataset)


def memberships_of(dataset: str) -> tuple[tuple[Protocol, Membership], ...]:
    """Returns every protocol that a corpus takes part in, with its part; composites last."""
    check_corpus(dataset)
    return tuple(
        (protocol, part)
        for protocol in _PROTOCOLS
        for part in protocol.parts
        if part.dataset == dataset
    )


def get_protocol(dataset: str | None, name: str | None = None) -> Protocol:
    """Returns the protocol `name` of a corpus, or its default; a composite by its name alone.

    Raises:
      UserError: there is no such corpus or protocol, or a composite was given a corpus.
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


@dataclasses.dataclass(frozen=True)
class ProtocolCounts:
    """Clips of a corpus in a protocol, beside the published ones.

    Attributes:
      protocol: its name.
      per_class, published_per_class: class -> clips; published values are None if there are none.
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
    """Returns the counts of every protocol of a corpus.

    Args:
      corpus: name.
      clips: objects with subject, clip, emotion, earlier_emotion and objective_class.
      label_version: of the emotions.
    """
    if is_own(corpus):
        own = own_protocol(corpus, sorted({clip.objective_class for clip in clips}))
        memberships = ((own, own.parts[0]),)
    else:
        memberships = memberships_of(corpus)
    counts = []
    for protocol, part in memberships:
        members = [(clip.subject, part.class_of_clip(vars(clip))) for clip in clips]
        subjects = [subject for subject, name in members if name is not None]
        classes = [name for _, name in members if name is not None]
        expected, found = part.expected_counts(label_version), Counter(classes)
        published = expected and dict(zip(protocol.classes, expected.per_class, strict=True))
        counts.append(
            ProtocolCounts(
                protocol=protocol.name,
                is_part_of_composite=protocol.is_composite,
                clips=len(classes),
                subjects=len(set(subjects)),
                per_class={name: found[name] for name in protocol.classes},
                published_clips=expected and expected.clips,
                published_subjects=expected and expected.subjects,
                published_per_class=published,
                deviation=protocol.deviation(part, classes, subjects, label_version),
                note=protocol.note,
            )
        )
    return counts

"""Protocols as data: names, label maps, membership, composites, and how corpora deviate."""

import pytest

from datasets.errors import UserError
from datasets.protocols import (
    COMPOSITES,
    CORPORA,
    get_protocol,
    memberships_of,
    protocols_of,
)


def _clip(subject, clip, emotion, earlier=""):
    return {"subject": subject, "clip": clip, "emotion": emotion, "earlier_emotion": earlier}


def test_names_are_those_of_the_contract():
    assert CORPORA == ("casme2", "samm", "casme_sq", "casme3", "smic", "synthetic")
    assert COMPOSITES == ("cross", "megc2019")
    assert protocols_of("casme2") == ("5class", "3class", "5class_2014")
    assert protocols_of("samm") == ("5class", "3class")
    assert [protocols_of(name) for name in ("casme_sq", "casme3", "smic", "synthetic")] == [
        ("4class",), ("7class",), ("3class",), ("5class",),
    ]  # fmt: skip
    assert get_protocol("samm").name == "5class"
    assert get_protocol(None, "cross").dataset == "casme2+samm"
    assert get_protocol("", "megc2019").datasets == ("casme2", "samm", "smic")


@pytest.mark.parametrize("dataset", CORPORA)
def test_every_label_map_leads_to_the_classes(dataset):
    for protocol, part in memberships_of(dataset):
        assert set(part.class_of.values()) == set(protocol.classes)
        for counts in part.expected.values():
            assert len(counts.per_class) == len(protocol.classes)


def test_a_class_follows_from_the_label_version_that_the_protocol_picks():
    relabelled = _clip("sub24", "EP07_01", "surprise", "sadness")
    parts = {protocol.name: part for protocol, part in memberships_of("casme2")}
    classes = {name: part.class_of_clip(relabelled) for name, part in parts.items()}
    assert classes == {
        "5class": "surprise", "3class": "surprise", "5class_2014": None, "cross": None,
        "megc2019": None,
    }  # fmt: skip
    sad = _clip("sub24", "EP18_03", "sadness", "sadness")
    assert parts["3class"].class_of_clip(sad) == "negative"
    assert parts["megc2019"].class_of_clip(sad) is None


@pytest.mark.parametrize("ending", ["", "f"])
def test_clips_that_a_protocol_leaves_out(ending):
    parts = {protocol.name: part for protocol, part in memberships_of("casme2")}
    extra = _clip("sub24", f"EP02_07{ending}", "disgust", "disgust")
    assert {part.class_of_clip(extra) for part in parts.values()} == {None}
    for subject, clip in (("sub04", "EP12_01"), ("sub05", "EP09_05")):
        example = _clip(subject, clip + ending, "disgust", "disgust")
        assert parts["megc2019"].class_of_clip(example) is None
        assert parts["5class"].class_of_clip(example) == "disgust"


def test_deviations_from_the_published_counts_are_one_sentence():
    protocol = get_protocol("samm", "5class")
    part = protocol.parts[0]
    whole = [
        c for c, n in zip(protocol.classes, (57, 12, 26, 15, 26), strict=True) for _ in [0] * n
    ]
    people = [f"{i % 27}" for i in range(136)]
    assert protocol.deviation(part, whole, people, "any") is None
    deviation = protocol.deviation(part, whole[1:], people[1:], "any")
    assert deviation.endswith("as published: clips 135 (136), anger 56 (57).")
    synthetic = get_protocol("synthetic")
    assert synthetic.deviation(synthetic.parts[0], ["anger"], ["s01"], "any") is None


def test_expected_counts_follow_the_label_version():
    part = get_protocol("casme3").parts[0]
    assert part.expected_counts("v1").clips == 921
    assert part.expected_counts("v2").clips == 860
    assert part.expected_counts("of no version") is None


@pytest.mark.parametrize(
    ("dataset", "name", "sentence"),
    [
        ("samm", "4class", r"samm has no protocol '4class'; its protocols are 5class, 3class"),
        ("sam", None, r"no corpus 'sam'; the corpora are casme2, samm"),
        ("samm", "cross", r"cross has its own corpora \(casme2, samm\); leave out --dataset"),
        (None, None, r"name a corpus with --dataset .* or a composite with --protocol"),
        (None, "5class", r"name a corpus with --dataset"),
    ],
)
def test_mistakes_name_what_there_is(dataset, name, sentence):
    with pytest.raises(UserError, match=sentence):
        get_protocol(dataset, name)

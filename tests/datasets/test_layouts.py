"""Every official layout of every corpus: doctor and build, with identical examples."""

import json

import numpy as np
import pytest

from datasets.build import build_corpus
from datasets.doctor import diagnose
from datasets.example import LAYOUTS, write_example
from datasets.image_corpus import get_image_corpus, read_annotations
from datasets.options import BuildOptions
from datasets.reading import open_corpus
from tests.conftest import run_module

ONE_PROCESS = BuildOptions(workers=1)
# What a layout's own sheet has more than the others, as the official one does.
MORE = {
    ("casme2", "cropped_updated"): {("sub24", "EP02_07")},
    ("casme3", "long_v1"): {("spNO.151", "a_200")},
}
# The second micro-expression of a recording has no name of its own in SMIC-E's sheet.
RENAMED = {("s03", "s03_ne_01_2"): ("s03", "s03_ne_03")}


def _examples(name, manual_dir, data_dir, options=ONE_PROCESS):
    build_corpus(name, data_dir, manual_dir, options)
    corpus = open_corpus(name, data_dir)
    examples = {}
    for example in corpus:
        key = (example["subject"], example.pop("clip"))
        examples[RENAMED.get(key, key)] = example
    assert len(examples) == len(corpus) == corpus.metadata["counts"]["clips"]
    return examples, corpus


def _assert_same(one, other):
    assert set(one) == set(other)
    for key in one:
        for field in one[key]:
            if field != "label_version":
                np.testing.assert_array_equal(one[key][field], other[key][field], str(key))


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """The examples of every corpus in its first layout."""
    built = {}
    for name in LAYOUTS:
        folder = tmp_path_factory.mktemp(name)
        built[name] = _examples(name, write_example(name, folder / "corpus"), folder / "data")[0]
    return built


@pytest.mark.parametrize(
    ("name", "layout"), [(name, layout) for name in LAYOUTS for layout in LAYOUTS[name]]
)
def test_doctor_and_build_of_every_layout(references, tmp_path, name, layout):
    folder = write_example(name, tmp_path / "corpus", layout)
    found = diagnose(get_image_corpus(name), folder, ONE_PROCESS.resolved(name))
    assert found.is_sound, found.problems
    examples, corpus = _examples(name, folder, tmp_path / "data")
    assert found.clips == found.rows == len(examples)
    assert found.label_version == corpus.label_version
    more = MORE.get((name, layout), set())
    assert more <= set(examples)
    _assert_same({key: examples[key] for key in examples if key not in more}, references[name])


def test_the_frames_of_one_of_several_trees_are_chosen(references, tmp_path):
    folder = write_example("casme_sq", tmp_path / "corpus", "all")
    options = BuildOptions(workers=1, frames_in="rawpic")
    examples, corpus = _examples("casme_sq", folder, tmp_path / "data", options)
    _assert_same(examples, references["casme_sq"])
    assert corpus.warnings == []
    found = diagnose(get_image_corpus("casme_sq"), folder, ONE_PROCESS)
    assert found.frames_in == "selectedpic"
    assert any("--frames_in" in note for note in found.notes)


def test_a_label_version_is_chosen_where_both_sheets_are_there(tmp_path):
    folder = write_example("casme3", tmp_path / "corpus", "long_v1")
    other = write_example("casme3", tmp_path / "other", "long")
    sheet = next(other.glob("*v2.xlsx"))
    sheet.rename(folder / sheet.name)
    newest = read_annotations("casme3", folder)
    older = read_annotations("casme3", folder, BuildOptions(label_version="v1"))
    assert (newest.label_version, older.label_version) == ("v2", "v1")
    assert len(older.rows) == len(newest.rows) + 1
    _, corpus = _examples("casme3", folder, tmp_path / "data",
                          BuildOptions(workers=1, label_version="v1"))  # fmt: skip
    assert corpus.label_version == "v1" and len(corpus) == len(older.rows)


def test_clips_keep_what_the_sheets_tell(references):
    casme2, casme3 = references["casme2"], references["casme3"]
    relabelled = casme2["sub24", "EP07_01"]
    assert (relabelled["emotion"], relabelled["earlier_emotion"]) == ("surprise", "sadness")
    assert casme2["sub04", "EP12_01f"]["apex"] == -1
    assert casme2["sub05", "EP09_05f"]["onset"] == casme2["sub05", "EP09_05f"]["apex"] == 69
    assert min(len(clip["frames"]) for clip in casme2.values()) < 8
    assert casme3["spNO.149", "d_112"]["apex"] == 123
    assert casme3["spNO.216", "d_3647"]["onset"] == 2647
    assert [casme3["spNO.40", clip]["offset"] for clip in ("e_1836", "e_2394")] == [1845, 2403]
    assert {clip["fps"] for clip in casme3.values()} == {30.0}
    assert references["samm"]["013", "013_1_9"]["offset"] == 5739
    grey = references["samm"]["013", "013_1_9"]["frames"]
    assert (grey == grey[..., :1]).all()
    colour = casme2["sub24", "EP07_01"]["frames"]
    assert not (colour == colour[..., :1]).all()
    assert references["casme_sq"]["s16", "anger2_1"]["offset"] == 61
    assert {clip["apex"] for clip in references["smic"].values()} == {-1}


def test_the_doctor_as_a_command(tmp_path):
    folder = write_example("samm", tmp_path / "corpus")
    shown = run_module("datasets.doctor", "samm", f"--manual_dir={folder}").stdout
    assert "17 of 17 can be built" in shown
    assert "SAMM/006/006_1_2/006_05562.jpg, onset to offset only" in shown
    assert "clip 013_1_9 of 013: offset 5793 became 5739" in shown
    assert f"python -m datasets.build samm --manual_dir={folder}" in shown
    output = json.loads(
        run_module("datasets.doctor", "samm", f"--manual_dir={folder}", "--json",
                   "--annotations_only").stdout
    )  # fmt: skip
    assert output["is_sound"] and output["frames"] is None and output["rows"] == 17
    five = next(p for p in output["protocols"] if p["protocol"] == "5class")
    assert five["published_clips"] == 136 and "(136)" in five["deviation"]

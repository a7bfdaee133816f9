"""Protocols over several corpora: clips, folds, a training from end to end, and the command."""

import contextlib
import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from datasets import build
from datasets.errors import UserError
from datasets.protocols import Counts, Membership, Protocol
from datasets.reading import Corpus
from fdp_jax import clips as clips_module
from fdp_jax import corpora
from fdp_jax.clips import load_clips
from fdp_jax.options import parse_train_options
from fdp_jax.report import summary_text, write_report
from fdp_jax.reporting.results import read_workdir
from fdp_jax.splits import make_folds
from fdp_jax.train import _Progress
from tests.helpers.tiny import make_tiny_plan, random_clips, train_plan

TWO = ("casme2", "samm")
CLASSES = ("happiness", "surprise", "others")


# Corpora in memory, as a build leaves them.


def parse(arguments):
    return parse_train_options(arguments, "train", "")


def example(subject, clip, emotion, grey=False, side=72, earlier="") -> dict:
    rng = np.random.default_rng(len(subject + clip))
    frames = rng.integers(0, 256, (3, side, side, 1 if grey else 3), np.uint8)
    return {
        "frames": np.broadcast_to(frames, (3, side, side, 3)),
        "subject": subject, "clip": clip, "emotion": emotion, "earlier_emotion": earlier,
    }  # fmt: skip


def metadata(version, side=72, margin=2.5, per_frame=False, **changes) -> dict:
    options = {"side": side, "margin": margin, "per_frame": per_frame, "interpolation": "area"}
    entries = {"label_version": version, "corrections": [], "warnings": [], "options": options}
    return entries | changes


def colour() -> list[dict]:
    return [
        example("sub02", "EP02_01f", "others", earlier="others"),
        example("sub01", "EP02_01f", "happiness", earlier="happiness"),
        example("sub01", "EP01_01f", "surprise", earlier="happiness"),
        example("sub03", "EP09_05", "surprise", earlier="disgust"),
    ]


def grey() -> list[dict]:
    return [
        example("sub01", "EP02_01f", "other", grey=True),
        example("006", "006_1_2", "happiness", grey=True),
        example("007", "007_1_2", "contempt", grey=True),
    ]


PROTOCOL = Protocol(
    "mixed",
    CLASSES,
    (
        Membership("casme2", {name: name for name in CLASSES}, "earlier_emotion",
                   expected={"": Counts((2, 0, 99))}),
        Membership("samm", {"happiness": "happiness", "other": "others"}),
    ),
    note="One thing to know.",
)  # fmt: skip
PARTS = {part.dataset: part for part in PROTOCOL.parts}


@pytest.fixture
def built(monkeypatch):
    """Corpora by name; what a test puts in here is what `load_clips` finds."""
    found = {
        "casme2": Corpus(
            colour(),
            Path("casme2"),
            metadata("2019", earlier_label_version="2014", corrections=["a cell."]),
        ),
        "samm": Corpus(grey(), Path("samm"), metadata("v2", warnings=["a clip was skipped."])),
    }
    monkeypatch.setattr(clips_module, "open_corpus", lambda name, data_dir: found[name])
    return found


def test_clips_that_end_at_the_apex_only_rise_and_those_without_one_stay_whole(built):
    # Of 3 frames from 10 to 30, as where others are missing: the apex 20 is the second one.
    annotations = [{"onset": 10, "apex": 20, "offset": 30}, {"onset": 10, "apex": -1, "offset": 30}]
    annotations += [
        {"onset": 10, "apex": 30, "offset": 30},
        {"onset": 10, "apex": 14, "offset": 30},
    ]
    for name, rows in (("casme2", colour()), ("samm", grey())):
        rows = [row | annotation for row, annotation in zip(rows, annotations, strict=False)]
        built[name] = Corpus(rows, Path(name), built[name].metadata)
    whole, rising = load_clips(PROTOCOL, Path("data")), load_clips(PROTOCOL, Path("data"), "apex")
    assert whole.lengths.tolist() == [3] * 5
    # Sorted: casme2 sub01 EP01 (30), sub01 EP02 (none), sub02 (20); samm 006 (none), sub01 (20).
    assert rising.lengths.tolist() == [3, 3, 2, 3, 2]
    np.testing.assert_array_equal(rising.frames[6:8], whole.frames[6:8])
    assert rising.starts.tolist() == [0, 3, 6, 8, 11]
    assert [text for text in rising.warnings if "apex" in text] == [
        f"{name}: 1 clips without an apex in the sheet end at the offset" for name in TWO
    ]


def test_clips_are_sorted_by_corpus_person_and_name_and_know_their_corpus(built):
    clips = load_clips(PROTOCOL, Path("data"))
    assert list(zip(clips.datasets, clips.subjects, clips.names, strict=True)) == [
        ("casme2", "sub01", "EP01_01f"), ("casme2", "sub01", "EP02_01f"),
        ("casme2", "sub02", "EP02_01f"), ("samm", "006", "006_1_2"), ("samm", "sub01", "EP02_01f"),
    ]  # fmt: skip
    # By the earlier version in CASME II, and by each corpus' own names of the classes.
    assert [CLASSES[label] for label in clips.labels] == [
        "happiness", "happiness", "others", "happiness", "others",
    ]  # fmt: skip


def test_grey_frames_beside_colour_ones_keep_three_equal_channels(built):
    clips = load_clips(PROTOCOL, Path("data"))
    assert clips.frames.shape == (15, 72, 72, 3)
    np.testing.assert_array_equal(clips.frames[:3], colour()[2]["frames"])
    np.testing.assert_array_equal(clips.frames[9:12], grey()[1]["frames"])
    built["casme2"] = Corpus(
        [example("s", "c", "others", grey=True, earlier="others")], Path(), metadata("2019")
    )
    assert load_clips(PROTOCOL, Path("data")).frames.shape == (9, 72, 72, 1)


def test_every_corpus_names_its_labels_corrections_and_deviation(built):
    clips = load_clips(PROTOCOL, Path("data"))
    assert clips.label_version == "casme2 2014, samm v2"
    assert clips.corrections == ("casme2: a cell.",)
    deviation, skipped, note = clips.warnings
    assert deviation.startswith("casme2 differs") and "clips 3 (101), others 1 (99)" in deviation
    assert (skipped, note) == ("samm: a clip was skipped.", "One thing to know.")
    alone = Protocol("5class", CLASSES, (PARTS["casme2"],))
    clips = load_clips(alone, Path("data"))
    assert (clips.label_version, clips.corrections) == ("2014", ("a cell.",))


def test_digest_tells_two_corpora_apart():
    clips = random_clips(people=2, each=2, corpora=TWO)
    swapped = dataclasses.replace(clips, datasets=clips.datasets[::-1])
    assert clips.digest() != swapped.digest()


def test_corpora_that_do_not_fit_together_are_one_sentence(built):
    larger = [example("006", "006_1_2", "other", side=96)]
    built["samm"] = Corpus(larger, Path("samm"), metadata("v2", side=96))
    with pytest.raises(UserError, match=r"samm --side=96 .*build casme2 .*--side=96 --margin=2\.5"):
        load_clips(PROTOCOL, Path("data"))
    for change, text in (({"margin": 3.0}, "--side=72 --margin=3"), ({"per_frame": True}, "--per")):
        built["samm"] = Corpus(grey(), Path("samm"), metadata("v2", **change))
        with pytest.raises(UserError, match=rf"face crops of the corpora .*samm {text}"):
            load_clips(PROTOCOL, Path("data"))
    built["samm"] = Corpus([example("006", "006_1_2", "fear")], Path("samm"), metadata("v2"))
    with pytest.raises(UserError, match=r"no clip of samm .* emotions are fear"):
        load_clips(PROTOCOL, Path("data"))


# Folds.


def test_people_of_two_corpora_are_left_out_one_by_one_under_their_corpus():
    datasets = ["casme2"] * 3 + ["samm"] * 4
    subjects = ["sub02", "sub01", "sub02", "sub01", "006", "006", "sub01"]
    folds = make_folds(datasets, subjects)
    assert [(fold.name, fold.test.tolist()) for fold in folds] == [
        ("casme2_sub01", [1]), ("casme2_sub02", [0, 2]), ("samm_006", [4, 5]),
        ("samm_sub01", [3, 6]),
    ]  # fmt: skip
    assert folds[0].people == (("casme2", "sub01"),)
    assert folds[0].train.tolist() == [0, 2, 3, 4, 5, 6]  # the other sub01 is somebody else


def test_groups_hold_people_of_several_corpora():
    datasets, subjects = ["casme2", "casme2", "samm", "samm"], ["a", "b", "a", "b"]
    folds = make_folds(datasets, subjects, group_folds=2)
    assert [fold.name for fold in folds] == ["group_1", "group_2"]
    everybody = [person for fold in folds for person in fold.people]
    assert sorted(everybody) == sorted(zip(datasets, subjects, strict=True))
    for fold in folds:
        assert {(datasets[i], subjects[i]) for i in fold.test} == set(fold.people)


def test_corpora_are_trained_on_and_tested_on_each_way():
    folds = make_folds(["casme2"] * 2 + ["samm"] * 3, ["b", "a", "a", "c", "c"], "corpora")
    assert [(f.name, f.train.tolist(), f.test.tolist(), f.people) for f in folds] == [
        ("casme2_to_samm", [0, 1], [2, 3, 4], (("samm", "a"), ("samm", "c"))),
        ("samm_to_casme2", [2, 3, 4], [0, 1], (("casme2", "a"), ("casme2", "b"))),
    ]
    with pytest.raises(UserError, match=r"--group_folds=2 groups people, but"):
        make_folds(["casme2", "samm"], ["a", "b"], "corpora", group_folds=2)


# From clips to the report, with a network that is really trained.


def train(workdir, clips, folds=()):
    return write_report(train_plan(make_tiny_plan(workdir, clips, folds=folds)))


def rows_of(workdir) -> list[dict]:
    with (workdir / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_people_named_alike_in_two_corpora_stay_two_to_the_end(tmp_path):
    report = train(tmp_path, random_clips(people=2, each=2, corpora=TWO))
    names = ["casme2_p0", "casme2_p1", "samm_p0", "samm_p1"]
    assert sorted(path.name for path in (tmp_path / "seed_0" / "folds").iterdir()) == names
    rows = rows_of(tmp_path)
    assert [(row["dataset"], row["subject"], row["fold"]) for row in rows] == [
        (*name.split("_"), name) for name in names for _ in range(2)
    ]
    assert {row["clip"] for row in rows} == {"EP00_01f", "EP01_01f"}  # eight clips
    assert report["complete"] is True
    assert (report["dataset"], report["n_clips"], report["n_subjects"]) == ("casme2+samm", 8, 4)
    assert [(e["dataset"], e["n_clips"], e["n_subjects"]) for e in report["per_dataset"]] == [
        ("casme2", 4, 2), ("samm", 4, 2),
    ]  # fmt: skip
    right = [row["label"] == row["prediction"] for row in rows]
    assert report["acc"] == pytest.approx(np.mean(right))
    assert report["per_dataset"][1]["acc"] == pytest.approx(np.mean(right[4:]))
    assert "casme2 p0 / EP00_01f" in (tmp_path / "report.html").read_text()
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["dataset"], config["protocol"]) == ("casme2+samm", "2class")


def test_a_fold_of_the_other_corpus_is_not_counted(tmp_path):
    train(tmp_path, random_clips(people=2, each=2, corpora=TWO), folds=("samm_p0",))
    path = tmp_path / "seed_0" / "folds" / "samm_p0" / "predictions.csv"
    table = path.read_text()
    path.write_text(table.replace("samm,", "casme2,"))
    with pytest.raises(UserError, match="no finished fold yet"):
        read_workdir(tmp_path)
    path.write_text(table)
    _, (run,) = read_workdir(tmp_path)
    assert [fold.name for fold in run.folds] == ["samm_p0"] and len(run.missing) == 3


def test_a_corpus_is_tested_by_what_was_trained_on_the_other(tmp_path):
    clips = random_clips(people=2, each=2, corpora=TWO, split="corpora")
    report = train(tmp_path, clips, folds=("samm_to_casme2",))
    assert report["complete"] is False and report["n_clips"] == 4
    assert {row["dataset"] for row in rows_of(tmp_path)} == {"casme2"}
    assert "one direction only (samm_to_casme2)" in summary_text(report, tmp_path)

    report = train(tmp_path, clips)
    rows = rows_of(tmp_path)
    assert [(row["fold"], row["dataset"]) for row in rows[::4]] == [
        ("casme2_to_samm", "samm"), ("samm_to_casme2", "casme2"),
    ]  # fmt: skip
    shares = [np.mean([r["label"] == r["prediction"] for r in rows[i : i + 4]]) for i in (0, 4)]
    assert report["complete"] is True and report["acc"] == pytest.approx(np.mean(shares))
    assert report["n_subjects"] == 4 and np.sum(report["confusion_matrix"]) == 8
    for name in ("report.md", "report.html"):
        assert "mean of the two directions" in (tmp_path / name).read_text()


def test_a_crop_larger_than_the_stored_frames_is_one_sentence(tmp_path):
    clips = random_clips(people=2, each=1)
    small = dataclasses.replace(clips, frames=clips.frames[:, :8, :8])
    with pytest.raises(
        UserError, match=r"--clip.crop=16 is larger than the stored frames of .*, 8 pixels"
    ):
        train(tmp_path, small)
    assert not (tmp_path / "config.json").exists()


def test_compilation_and_restored_steps_do_not_count_into_the_rate(monkeypatch):
    now = [1.0]
    monkeypatch.setattr("fdp_jax.train.time.monotonic", lambda: now[0])
    with tqdm(total=1000, file=io.StringIO(), smoothing=0) as bar:
        bar._time = lambda: now[0]
        bar.start_t = bar.last_print_t = 1.0
        with contextlib.closing(_Progress(bar)) as progress:
            now[0] = 3.0  # compiled
            progress(900, {})
            now[0] = 5.0
            losses = {"cross_entropy": 1.0, "dynamic_image": 1.0, "rank": 1.0}
            progress(10, losses)
            shown = bar.format_dict
    assert (shown["n"], shown["initial"]) == (910, 900)
    rate = (shown["n"] - shown["initial"]) / shown["elapsed"]
    assert rate == pytest.approx(5.0)


# The command.


def test_composites_name_no_corpus_and_have_a_work_directory_of_their_own():
    options, protocol = parse(["--protocol=megc2019", "--preset=small"])
    assert protocol.datasets == ("casme2", "samm", "smic") and options.dataset == ""
    assert str(options.workdir) == "runs/megc2019_small"
    assert str(parse(["--dataset=samm", "--protocol=3class"])[0].workdir) == (
        "runs/samm_3class_paper"
    )
    named, _ = parse(["--dataset=samm", "--workdir=elsewhere"])
    assert str(named.workdir) == "elsewhere"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--protocol=cross", "--dataset=samm"], "leave out --dataset"),
        (["--protocol=cross", "--group_folds=3"], "--group_folds=3 groups people"),
        (["--protocol=crss"], "composite with --protocol (cross, megc2019)"),
        ([], "composite with --protocol (cross, megc2019)"),
    ],
)
def test_mistakes_in_the_command_are_one_sentence(arguments, words):
    with pytest.raises(UserError) as caught:
        parse(arguments)
    assert words in str(caught.value)


@pytest.fixture
def builds(monkeypatch):
    """What would have been built: [corpus, folder]; nothing is."""
    asked = []

    def build_corpus(name, data_dir, folder, table=None):
        asked.append((name, folder))

    monkeypatch.setattr(build, "build_corpus", build_corpus)
    return asked


CROSS = parse(["--protocol=cross"])[1]


def test_each_corpus_is_built_from_its_folder_in_whatever_case(builds, tmp_path):
    for name in ("CASME2", "Samm", "other"):
        (tmp_path / name).mkdir()
    corpora.ensure_built(CROSS, tmp_path / "data", tmp_path, 64)
    assert builds == [("casme2", tmp_path / "CASME2"), ("samm", tmp_path / "Samm")]


def test_what_is_built_needs_no_folder(builds, tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "is_built", lambda name, data_dir: name == "casme2")
    (tmp_path / "samm").mkdir()
    corpora.ensure_built(CROSS, tmp_path / "data", tmp_path, 64)
    assert builds == [("samm", tmp_path / "samm")]


def test_a_folder_that_is_missing_is_named_before_anything_is_built(builds, tmp_path):
    (tmp_path / "casme2").mkdir()
    with pytest.raises(UserError) as caught:
        corpora.ensure_built(CROSS, tmp_path / "data", tmp_path, 64)
    text = str(caught.value)
    assert f"{tmp_path} has no folder samm" in text and not builds
    assert "datasets.build casme2" in text and "datasets.build samm" in text
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        corpora.ensure_built(CROSS, tmp_path / "data", tmp_path / "nowhere", 64)
    (tmp_path / "CASME2").mkdir()
    with pytest.raises(UserError, match=r"folders CASME2 and casme2; keep one"):
        corpora.ensure_built(CROSS, tmp_path / "data", tmp_path, 64)


def test_without_a_folder_every_build_command_is_told(builds, tmp_path, monkeypatch):
    with pytest.raises(UserError) as caught:
        corpora.ensure_built(CROSS, tmp_path, None, 64)
    text = str(caught.value)
    assert "casme2, samm are not built" in text and "--manual_dir=DIR" in text
    assert "datasets.build casme2" in text and "datasets.build samm" in text
    with pytest.raises(UserError, match=r"--clip.crop=96 .*72 pixels.*larger --side"):
        corpora.ensure_built(CROSS, tmp_path, None, 96)
    monkeypatch.setattr(corpora, "is_built", lambda name, data_dir: True)
    corpora.ensure_built(CROSS, tmp_path, None, 96)
    assert not builds

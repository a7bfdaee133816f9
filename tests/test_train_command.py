"""`python -m fdp_jax.train` as a user runs it, on a tiny corpus and a tiny network."""

import csv
import json
import shutil
import sys

import pytest

from datasets.errors import UserError
from fdp_jax.train import main
from tests.conftest import run_module
from tests.helpers.tiny import TINY_OPTIONS
from tests.kill_and_resume import compare


def train(data_dir, workdir, *options, check=True):
    return run_module(
        "fdp_jax.train", "--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={workdir}",
        *TINY_OPTIONS, *options, check=check,
    )  # fmt: skip


def refused(*arguments) -> str:
    """The one sentence that a command ends with; fails on a traceback or on success."""
    done = run_module("fdp_jax.train", *arguments, check=False)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    sentences = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1, done.stderr
    return sentences[0]


@pytest.fixture(scope="module")
def two_folds(data_dir, tmp_path_factory):
    """A run of which two folds of six are trained."""
    workdir = tmp_path_factory.mktemp("run")
    done = train(data_dir, workdir, "--folds=s02,s01")
    return workdir, done


def report_of(workdir) -> dict:
    return json.loads((workdir / "report.json").read_text())


def test_missing_folds_are_said_and_not_averaged_over(two_folds):
    workdir, done = two_folds
    report = report_of(workdir)
    assert report["complete"] is False
    assert report["n_clips"] == 10 and report["n_subjects"] == 2
    assert len(report["missing_folds"]) == 4
    for text in (done.stdout, (workdir / "report.md").read_text()):
        assert "s06" in text


def test_the_rest_is_trained_later_and_what_is_finished_is_kept(two_folds, data_dir, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(two_folds[0], workdir)
    finished = workdir / "seed_0" / "folds" / "s01" / "done.json"
    before = finished.stat().st_mtime_ns
    done = train(data_dir, workdir)
    assert "2 of 6 folds are finished already" in done.stdout
    assert finished.stat().st_mtime_ns == before
    report = report_of(workdir)
    assert report["complete"] is True and report["n_clips"] == 30
    assert report["select"] == "last"
    with (workdir / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["clip"] for row in rows}) == 30
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert report["acc"] == pytest.approx(right / 30)
    assert (workdir / "report.html").stat().st_size > 10_000
    for figure in ("confusion_matrix", "subject_accuracy", "training_curves", "dynamic_images"):
        assert (workdir / "figures" / f"{figure}.png").exists()
    again = train(data_dir, workdir)
    assert "6 of 6 folds are finished already" in again.stdout


def test_another_seed_has_its_own_folder_in_the_same_run(two_folds, data_dir, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(two_folds[0], workdir)
    train(data_dir, workdir, "--folds=s01", "--seed=1")
    tables = [
        (workdir / f"seed_{seed}" / "folds" / "s01" / "predictions.csv").read_text()
        for seed in (0, 1)
    ]
    assert tables[0].replace(",0,s01", ",1,s01") != tables[1]


def test_group_folds_leave_groups_of_people_out(data_dir, tmp_path):
    train(data_dir, tmp_path, "--group_folds=2", "--steps=1")
    report = report_of(tmp_path)
    assert report["complete"] and report["n_subjects"] == 6
    assert sorted(p.name for p in (tmp_path / "seed_0" / "folds").iterdir()) == [
        "group_1", "group_2",
    ]  # fmt: skip


def test_run_of_other_options_is_refused(two_folds, data_dir):
    workdir, _ = two_folds
    sentence = refused(
        "--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={workdir}", *TINY_OPTIONS,
        "--steps=7",
    )  # fmt: skip
    assert "steps is 6 there and 7 here" in sentence and "--workdir" in sentence


def test_torn_checkpoint_is_one_sentence(data_dir, tmp_path):
    fold = tmp_path / "seed_0" / "folds" / "s01"
    train(data_dir, tmp_path, "--folds=s01", "--checkpoint_every=3", "--steps=4")
    (fold / "done.json").unlink()
    (fold / "checkpoints" / "final").rename(fold / "checkpoints" / "3")
    sentence = refused(
        "--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={tmp_path}", *TINY_OPTIONS,
        "--folds=s01", "--checkpoint_every=3", "--steps=4",
    )  # fmt: skip
    assert "checkpoints/3 cannot be read" in sentence


@pytest.mark.parametrize("name", ["file/run", "link", "link/run", "x" * 300])
def test_work_directory_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, name):
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "link").symlink_to("a disk that is not mounted")
    arguments = ["--dataset=synthetic", f"--data_dir={tmp_path}", f"--workdir={tmp_path}/{name}"]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(UserError, match=r"cannot be written to \(.*\); name another with"):
        main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset=sam"], ["no corpus", "sam", "samm", "synthetic"]),
        ([], ["corpus", "samm", "synthetic", "cross", "megc2019"]),
        (["--protocol=cros"], ["--dataset", "casme2", "cross, megc2019"]),
        (["--protocol=cross", "--dataset=samm"], ["casme2, samm", "leave out --dataset"]),
        (["--protocol=cross", "--group_folds=2"], ["--group_folds=2", "leave it out"]),
        (["--protocol=cross"], ["datasets.build casme2", "datasets.build samm", "--manual_dir"]),
        (["--protocol=megc2019", "--manual_dir=/nowhere"], ["/nowhere does not exist"]),
        (["--dataset=samm", "--protocol=7class"], ["7class", "5class", "3class"]),
        (["--dataset=samm", "--preset=huge"], ["huge", "paper", "small"]),
        (["--dataset=samm", "--stepz=3"], ["no option --stepz; did you mean --steps?"]),
        (["--dataset=samm", "--steps=0"], ["--steps", "at least 1"]),
        (["--dataset=samm", "--steps=abc"], ["--steps must be a whole number", "abc"]),
        (["--dataset=samm", "--select=best"], ["--select", "best", "last", "test-best", "val"]),
        (["--dataset=samm", "--evaluate_every=0"], ["--evaluate_every", "at least 1"]),
        (["--dataset=samm", "--seed=1", "--seeds=1,2"], ["--seed and --seeds", "one of them"]),
        (["--dataset=samm", "--seeds=1,2,1"], ["--seeds=1,2,1", "twice"]),
        (["--dataset=samm", "--seeds=0,-1"], ["--seeds must be from 0 to 4294967295"]),
        (["--dataset=samm", "--seeds=0,a"], ["--seeds must be a whole number, not 'a'"]),
        (["--dataset=samm", "--model.local_channels=a,b"], ["--model.local_channels", "'a'"]),
        (["--dataset=samm", "--lr=3"], ["--lr; did you mean --optimizer.learning_rate?"]),
        (["--dataset=samm", "--gpu=0"], ["no option --gpu; ", "CUDA_VISIBLE_DEVICES"]),
        (["--dataset=samm", "--seed=-1"], ["--seed"]),
        (["--dataset=samm", "--data_dir="], ["--data_dir= names nothing"]),
        (
            ["--dataset=samm", "--model.initial_std=0"],
            ["--model.initial_std must be", "more than 0"],
        ),
        (["--dataset=samm", "--model.local_blocks=0"], ["at least 1"]),
        (["--dataset=samm", "--loss.rank_weight=nan"], ["--loss.rank_weight must be finite"]),
        (["--dataset=samm", "--model.batch_norm_momentum=2"], ["less than 1, not 2.0"]),
        (["--dataset=samm", "--clip.flip_probability=2"], ["from 0 to 1"]),
        (["--dataset=samm", "--optimizer.warmup_steps=2000"], ["less than --steps"]),
        (["--dataset=samm", "--log_every=0"], ["--log_every", "at least 1"]),
        (["--dataset=samm", "--clip.crop=50"], ["--clip.crop", "multiple of 32"]),
        (["--dataset=samm", "--clip.crop=96"], ["--clip.crop=96", "72 pixels", "larger --side"]),
        (["--dataset=samm", "--model.local_channels=12,24"], ["one entry a stage"]),
        (["--dataset=samm", "--model.head_channels=7"], ["multiples", "head_channels=7"]),
        (["--dataset=samm", "--model.key_value_windows=5,4,2,1"], ["must divide", "[16, 8, 4, 2]"]),
        (["--dataset=samm", "--data_dir=/nowhere"], ["datasets.build samm", "--manual_dir"]),
        (["--dataset=samm", "--manual_dir=/nowhere"], ["/nowhere"]),
    ],
)
def test_mistakes_are_one_sentence_that_shows_the_way_out(arguments, words, tmp_path, monkeypatch):
    arguments = [*arguments, f"--workdir={tmp_path}/run"]
    if not any(a.startswith("--data_dir") for a in arguments):
        arguments.append(f"--data_dir={tmp_path}/data")
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(UserError) as mistake:
        main()
    sentence = str(mistake.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence
    assert list(tmp_path.iterdir()) == []  # a refused command leaves nothing behind


def test_home_is_understood_and_the_last_preset_wins(monkeypatch):
    from fdp_jax.options import parse_train_options

    monkeypatch.setenv("HOME", "/home/somebody")
    options, _ = parse_train_options(
        ["--dataset=samm", "--data_dir=~/data", "--preset=paper", "--preset=small"], "train", ""
    )
    assert str(options.data_dir) == "/home/somebody/data"
    assert options.preset == "small" and options.config.batch_size == 12


def test_unknown_fold_and_impossible_groups_are_refused(data_dir, tmp_path):
    common = ["--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={tmp_path}/run"]
    assert "the folds are s01, s02" in refused(*common, "--folds=s99")
    assert "choose 2 to 6 groups" in refused(*common, "--group_folds=7")
    assert list(tmp_path.iterdir()) == []


def test_a_crop_larger_than_the_frames_as_built_is_refused(data_dir, tmp_path):
    sentence = refused(
        "--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={tmp_path}/run",
        "--preset=small", "--clip.crop=96", "--model.key_value_windows=4,4,2,1",
    )  # fmt: skip
    assert "--clip.crop=96 is larger than the stored frames" in sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("select", "kills"),
    [("last", 2), ("all", 1)],
)
def test_killed_training_ends_with_the_same_bits(select, kills, data_dir, tmp_path):
    output = compare(data_dir, tmp_path, kills=kills, seed=0, steps=80, select=select)
    assert output.startswith(f"{kills} kills"), output


def test_help_teaches_and_shows_the_defaults_of_the_preset():
    text = run_module("fdp_jax.train", "--preset=small", "--help").stdout
    assert "python -m fdp_jax.train --dataset=synthetic" in text
    assert "24,48,96,192" in text
    plain = " ".join(text.replace("│", " ").split())
    assert "casme2 5class, 3class" in plain and "cross (casme2+samm)" in plain
    assert "--optimizer.learning_rate" in text

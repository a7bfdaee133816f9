"""Building: options, the no-op, what a kill leaves, and the command line."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import samm_corpus

from datasets import clip_tasks
from datasets.build import BuildOptions, build_corpus
from datasets.errors import UserError
from datasets.reading import corpus_directory, is_built, open_corpus

TINY = BuildOptions(people=2, clips_per_category=1, workers=1)


def _command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "datasets.build", *arguments], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A data_dir that holds a tiny synthetic corpus."""
    data_dir = tmp_path_factory.mktemp("tiny")
    build_corpus("synthetic", data_dir, options=TINY)
    return data_dir


def test_sizes_and_seed_are_obeyed(tiny, tmp_path):
    corpus = open_corpus("synthetic", tiny)
    assert len(corpus) == 10
    assert {example["subject"] for example in corpus} == {"s01", "s02"}
    options = BuildOptions(people=1, clips_per_category=2, seed=5, workers=1)
    build_corpus("synthetic", tmp_path, options=options)
    other = open_corpus("synthetic", tmp_path)
    assert len(other) == 10
    assert {example["subject"] for example in other} == {"s01"}
    assert not np.array_equal(other[0]["frames"][0], corpus[0]["frames"][0])
    assert other.metadata["options"]["seed"] == 5


def test_asking_again_for_the_same_is_a_no_op(tiny, capsys):
    before = corpus_directory("synthetic", tiny).stat().st_mtime_ns
    # Workers and the models' folder change nothing that is built.
    build_corpus("synthetic", tiny, options=BuildOptions(people=2, clips_per_category=1))
    assert "built already" in capsys.readouterr().err
    assert corpus_directory("synthetic", tiny).stat().st_mtime_ns == before


def test_other_options_need_overwrite(tmp_path):
    build_corpus("synthetic", tmp_path, options=BuildOptions(people=1, clips_per_category=1))
    more = BuildOptions(people=1, clips_per_category=1, seed=7, workers=1)
    with pytest.raises(UserError, match=r"otherwise \(seed=1\).*--overwrite"):
        build_corpus("synthetic", tmp_path, options=more)
    build_corpus("synthetic", tmp_path, options=more, overwrite=True)
    assert open_corpus("synthetic", tmp_path).metadata["options"]["seed"] == 7


def test_another_folder_or_a_changed_sheet_needs_overwrite(tmp_path):
    options = BuildOptions(workers=1)
    one = samm_corpus.write(tmp_path / "one", samm_corpus.default_clips()[:1])
    two = samm_corpus.write(tmp_path / "two", samm_corpus.default_clips()[:2])
    data_dir = tmp_path / "data"
    build_corpus("samm", data_dir, one, options)
    build_corpus("samm", data_dir, one, options)
    build_corpus("samm", data_dir, None, options)  # what is there, wherever it came from
    with pytest.raises(UserError, match=r"manual_dir=.*one\).*--overwrite"):
        build_corpus("samm", data_dir, two, options)
    samm_corpus.write_sheet(
        one / "SAMM_Micro_FACS_Codes_v2.xlsx", [samm_corpus.Clip("006", "006_1_2", "Fear", 5562, 5)]
    )
    with pytest.raises(UserError, match=r"which has changed since"):
        build_corpus("samm", data_dir, one, options)


@pytest.mark.parametrize(
    ("corpus", "options", "sentence"),
    [
        ("samm", BuildOptions(people=3), "--people is an option of synthetic only, not of samm"),
        ("samm", BuildOptions(seed=0), "--seed is an option of synthetic only"),
        ("samm", BuildOptions(clips_per_category=1), "--clips_per_category is an option of"),
        ("synthetic", BuildOptions(people=0), "--people must be 1 or more, not 0"),
        ("synthetic", BuildOptions(workers=-1), "--workers must be 0 or more"),
        ("nothing", BuildOptions(), "no corpus 'nothing'; the corpora are samm, synthetic"),
    ],
)
def test_options_that_do_not_apply_are_refused(tmp_path, corpus, options, sentence):
    with pytest.raises(UserError, match=sentence):
        build_corpus(corpus, tmp_path, tmp_path, options)


def test_manual_dir_is_asked_for_where_needed_and_refused_where_not(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, sentence in (
        (None, "name the one it was unpacked into with --manual_dir=DIR"),
        (tmp_path / "none", "does not exist"),
        (empty, "is empty; unpack samm into it"),
    ):
        with pytest.raises(UserError, match=sentence):
            build_corpus("samm", tmp_path / "data", folder)
    with pytest.raises(UserError, match="leave out --manual_dir"):
        build_corpus("synthetic", tmp_path / "data", empty)


def test_face_models_folder_is_used(tmp_path):
    options = BuildOptions(people=1, clips_per_category=1, face_models=tmp_path)
    with pytest.raises(UserError, match=r"no face_detection_short_range.tflite in the face model"):
        build_corpus("synthetic", tmp_path / "data", options=options)


def test_workers_give_the_same_corpus_as_one_process(tiny, tmp_path, monkeypatch):
    pools = []

    class Pool(clip_tasks.ProcessPoolExecutor):
        def __init__(self, workers, *arguments):
            pools.append(workers)
            super().__init__(workers, *arguments)

    monkeypatch.setattr(clip_tasks, "ProcessPoolExecutor", Pool)
    options = BuildOptions(people=2, clips_per_category=1, workers=2)
    build_corpus("synthetic", tmp_path, options=options)
    assert pools == [2]
    for example, other in zip(
        open_corpus("synthetic", tmp_path), open_corpus("synthetic", tiny), strict=True
    ):
        np.testing.assert_array_equal(example.pop("frames"), other.pop("frames"))
        assert example == other


def test_a_corpus_that_is_not_built_or_damaged_is_told_with_the_command(tmp_path):
    with pytest.raises(
        UserError, match=rf"python -m datasets.build samm --manual_dir=DIR --data_dir={tmp_path}"
    ):
        open_corpus("samm", tmp_path)
    build_corpus("synthetic", tmp_path, options=BuildOptions(people=1, clips_per_category=1))
    for path in corpus_directory("synthetic", tmp_path).glob("*array_record*"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"damaged .*--overwrite"):
        open_corpus("synthetic", tmp_path)


def test_a_killed_build_leaves_nothing_that_is_taken_for_a_corpus(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "datasets.build", "synthetic", "--people=8",
         f"--data_dir={tmp_path}", "--workers=1"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not any(tmp_path.rglob("*incomplete*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not is_built("synthetic", tmp_path)
    assert any(tmp_path.iterdir())
    build_corpus("synthetic", tmp_path, options=TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]  # leftovers are gone


def test_help_is_quick_and_shows_an_example():
    before = time.monotonic()
    shown = _command("--help")
    assert time.monotonic() - before < 5  # about a second on an idle machine
    assert shown.returncode == 0
    assert "python -m datasets.build samm --manual_dir=DIR --data_dir=data" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "error: there is no corpus 'nothing'; the corpora are samm, synthetic."),
        ([], "error: name one corpus, then the options as --name=value; the corpora are"),
        (["samm", "--color=1"], "error: there is no option --color=1; the options are"),
        (["samm", "--manual-dir=/nowhere/at/all"], "error: the folder /nowhere/at/all does not"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(arguments, sentence):
    done = _command(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1


def test_command_line_builds_and_prints_where_and_needs_no_jax(tmp_path):
    code = (
        "import sys, runpy; sys.argv = ['build', 'synthetic', '--people=1', '--workers=1',"
        f" '--clips-per-category=1', '--per-frame=true', '--data-dir={tmp_path}'];"
        "runpy.run_module('datasets.build', run_name='__main__');"
        "assert not {'jax', 'tensorflow', 'fdp_jax'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(corpus_directory("synthetic", tmp_path))
    corpus = open_corpus("synthetic", tmp_path)
    assert corpus.metadata["options"]["per_frame"] is True
    assert len(corpus) == 5

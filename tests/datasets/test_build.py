"""Building: options, the no-op, damaged corpora, and the command line."""

import dataclasses
import errno
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from datasets import processes
from datasets.build import BuildOptions, build_corpus
from datasets.errors import UserError
from datasets.example import write_example
from datasets.reading import corpus_directory, open_corpus
from datasets.synthetic import synthetic_dataset_builder
from tests.helpers import samm_corpus

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
    assert "already built" in capsys.readouterr().err
    assert corpus_directory("synthetic", tiny).stat().st_mtime_ns == before


def test_other_options_need_overwrite(tmp_path):
    build_corpus("synthetic", tmp_path, options=BuildOptions(people=1, clips_per_category=1))
    more = BuildOptions(people=1, clips_per_category=1, seed=7, workers=1)
    with pytest.raises(UserError, match=r"differently \(seed=1\).*--overwrite"):
        build_corpus("synthetic", tmp_path, options=more)
    build_corpus("synthetic", tmp_path, options=more, overwrite=True)
    assert open_corpus("synthetic", tmp_path).metadata["options"]["seed"] == 7


@pytest.mark.parametrize(
    "changes",
    [{"side": 48}, {"margin": 1.5}, {"per_frame": True}, {"interpolation": "linear"}],
)
def test_options_of_the_crop_are_obeyed_and_compared(tiny, tmp_path, changes):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    options = dataclasses.replace(TINY, people=1, **changes)
    (name, value), before = *changes.items(), getattr(TINY, *changes)
    with pytest.raises(UserError, match=rf"differently \({name}={before}, people=2\)"):
        build_corpus("synthetic", tmp_path, options=options)
    build_corpus("synthetic", tmp_path, options=options, overwrite=True)
    corpus = open_corpus("synthetic", tmp_path)
    assert corpus.metadata["options"][name] == value
    side = changes.get("side", 72)
    for example, other in zip(corpus, open_corpus("synthetic", tiny), strict=False):
        assert example["frames"].shape[1:] == (side, side, 3)
        assert not np.array_equal(example["frames"], other["frames"])


def test_another_folder_or_a_changed_sheet_needs_overwrite(tmp_path):
    options = BuildOptions(workers=1)
    one = samm_corpus.write(tmp_path / "one", samm_corpus.CLIPS[:1])
    two = samm_corpus.write(tmp_path / "two", samm_corpus.CLIPS[:2])
    data_dir = tmp_path / "data"
    build_corpus("samm", data_dir, one, options)
    build_corpus("samm", data_dir, one, options)
    build_corpus("samm", data_dir, None, options)  # what is there, wherever it came from
    with pytest.raises(UserError, match=r"from the sheet .*\.xlsx of .*one\).*--overwrite"):
        build_corpus("samm", data_dir, two, options)
    moved = one.rename(tmp_path / "moved")  # as a mount may be
    build_corpus("samm", data_dir, moved, options)
    build_corpus("samm", data_dir, one, options)  # gone since: nothing to compare
    with pytest.raises(UserError, match=r"elsewhere does not exist"):
        build_corpus("samm", data_dir, tmp_path / "elsewhere", options)
    moved.rename(one)
    samm_corpus.change_rows(one, lambda row: setattr(row[9], "value", "Fear") or True)
    with pytest.raises(UserError, match=r"which has changed since"):
        build_corpus("samm", data_dir, one, options)


@pytest.mark.parametrize(
    ("corpus", "options", "sentence"),
    [
        ("samm", BuildOptions(people=3), "--people is an option of synthetic only, not of samm"),
        ("samm", BuildOptions(seed=0), "--seed is an option of synthetic only"),
        ("samm", BuildOptions(clips_per_category=1), "--clips_per_category is an option of"),
        ("synthetic", BuildOptions(frames_in="raw"), "--frames_in is an option of casme2, samm, "),
        ("synthetic", BuildOptions(on_missing="skip"), "--on_missing .* only, not of synthetic"),
        ("samm", BuildOptions(label_version="v1"), "--label_version is an option of casme3 only"),
        ("casme3", BuildOptions(label_version="2"), "--label_version must be v1 or v2, not 2"),
        ("samm", BuildOptions(after_apex=9), "--after_apex is an option of casme3 only"),
        ("casme3", BuildOptions(after_apex=-1), "--after_apex must be 0 or more, not -1"),
        ("samm", BuildOptions(side=15), "--side must be from 16 to 512, not 15"),
        ("samm", BuildOptions(side=513), "--side must be from 16 to 512, not 513"),
        ("samm", BuildOptions(margin=1.0), "--margin must be more than 1 and at most 10, not 1.0"),
        ("samm", BuildOptions(margin=10.5), "--margin must be more than 1 and at most 10"),
        ("samm", BuildOptions(margin=float("nan")), "--margin must be more than 1"),
        ("synthetic", BuildOptions(people=0), "--people must be 1 or more, not 0"),
        ("synthetic", BuildOptions(workers=-1), "--workers must be 0 or more"),
        ("nothing", BuildOptions(), "no corpus 'nothing'; the corpora are casme2, samm,"),
    ],
)
def test_options_that_do_not_apply_are_refused(tmp_path, corpus, options, sentence):
    with pytest.raises(UserError, match=sentence):
        build_corpus(corpus, tmp_path, tmp_path, options)


def test_every_option_but_workers_and_models_is_part_of_the_identity():
    given = BuildOptions(
        per_frame=True, side=64, margin=2.0, interpolation="linear", on_no_face="skip",
        on_missing="skip", frames_in="Cropped", label_version="v1", after_apex=9,
        face_models=Path("x"), workers=3,
    )  # fmt: skip
    assert given.resolved("casme3").identity() == {
        "per_frame": True, "side": 64, "margin": 2.0, "interpolation": "linear",
        "on_no_face": "skip", "on_missing": "skip",
        "frames_in": "Cropped", "label_version": "v1", "after_apex": 9,
    }  # fmt: skip
    drawn = BuildOptions().resolved("synthetic").identity()
    assert {key: drawn[key] for key in ("side", "margin", "people", "seed")} == {
        "side": 72, "margin": 2.5, "people": 30, "seed": 1,
    }  # fmt: skip
    assert not {"frames_in", "label_version"} & set(drawn)


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

    class Pool(processes.ProcessPoolExecutor):
        def __init__(self, workers, *arguments):
            pools.append(workers)
            super().__init__(workers, *arguments)

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Pool)
    options = BuildOptions(people=2, clips_per_category=1, workers=2)
    build_corpus("synthetic", tmp_path, options=options)
    assert pools == [2]
    for example, other in zip(
        open_corpus("synthetic", tmp_path), open_corpus("synthetic", tiny), strict=True
    ):
        np.testing.assert_array_equal(example.pop("frames"), other.pop("frames"))
        assert example == other


def test_an_unreadable_file_is_not_blamed_on_the_data_dir(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied", "/corpora/sheet.xlsx")

    monkeypatch.setattr(synthetic_dataset_builder.Builder, "plan", refuse)
    with pytest.raises(UserError, match=r"/corpora/sheet.xlsx cannot be read \(Permission denied"):
        build_corpus("synthetic", tmp_path, options=TINY)


def test_a_corpus_without_a_sheet_is_known_by_its_folder(tmp_path):
    one, two, options = tmp_path / "one", tmp_path / "two", BuildOptions(workers=1)
    write_example("smic", one)
    directory = build_corpus("smic", tmp_path, one, options)
    source = open_corpus("smic", tmp_path).metadata["source"]
    assert (source["manual_dir"], source["sheet"], source["sheet_sha256"]) == (str(one), "", "")
    assert build_corpus("smic", tmp_path, one, options) == directory
    shutil.copytree(one, two)
    with pytest.raises(UserError, match=rf"built differently \(from {one}\)"):
        build_corpus("smic", tmp_path, two, options)
    next((one / "SMIC_all_raw/HS").glob("*/micro/*/*/*.bmp")).unlink()
    with pytest.raises(UserError, match=r"which has changed since"):
        build_corpus("smic", tmp_path, one, options)
    shutil.rmtree(one)
    assert build_corpus("smic", tmp_path, two, options) == directory


def test_another_release_than_the_built_one_needs_overwrite(tmp_path):
    options = BuildOptions(workers=1)
    build_corpus("smic", tmp_path, write_example("smic", tmp_path / "one", "long"), options)
    other = write_example("smic", tmp_path / "two", "all_raw")  # without a sheet
    with pytest.raises(UserError, match=r"built differently \(from the sheet .*\.xlsx of "):
        build_corpus("smic", tmp_path, other, options)


def test_a_corpus_that_was_completed_since_needs_overwrite(tmp_path):
    folder, data_dir = write_example("samm", tmp_path / "samm"), tmp_path / "data"
    clip, aside = folder / "SAMM/006/006_1_2", tmp_path / "aside"
    options = BuildOptions(workers=1, on_missing="skip")
    clip.rename(aside)
    build_corpus("samm", data_dir, folder, options)
    build_corpus("samm", data_dir, folder, options)
    aside.rename(clip)  # copied back
    with pytest.raises(UserError, match=r"from what .*samm held, which has changed since.*--overw"):
        build_corpus("samm", data_dir, folder, options)
    shutil.rmtree(folder / "SAMM")  # the frames were deleted to make room
    build_corpus("samm", data_dir, folder, options)


def test_the_command_in_a_message_carries_the_options_quoted(tmp_path):
    folder = write_example("casme_sq", tmp_path / "a folder", "all")
    for clip in ("anger1_3", "disgust1_1"):
        shutil.rmtree(folder / "selectedpic/s15" / clip)
    (folder / "selectedpic").rename(folder / "my pictures")
    options = BuildOptions(workers=1, frames_in="my pictures")
    with pytest.raises(UserError) as raised:
        build_corpus("casme_sq", tmp_path / "data", folder, options)
    command = f"datasets.doctor casme_sq --manual_dir='{folder}' --frames_in='my pictures')"
    assert command in str(raised.value)


def test_a_corpus_that_is_not_built_or_damaged_is_reported_with_the_command(tmp_path):
    with pytest.raises(
        UserError, match=rf"python -m datasets.build samm --manual_dir=DIR --data_dir={tmp_path}"
    ):
        open_corpus("samm", tmp_path)
    build_corpus("synthetic", tmp_path, options=BuildOptions(people=1, clips_per_category=1))
    for path in corpus_directory("synthetic", tmp_path).glob("*array_record*"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"damaged .*--overwrite"):
        open_corpus("synthetic", tmp_path)


def _damage(directory, file, content):
    path = next(directory.glob(file))
    path.write_bytes(content(path.read_bytes()))


def _flip(content):
    place = len(content) // 4
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


def _assert_damaged(raised, data_dir):
    assert re.search(rf"is damaged \(.+\); build it again with: .*--data_dir={data_dir} --overw",
                     str(raised.value))  # fmt: skip
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", ["metadata.json", "dataset_info.json", "features.json"])
@pytest.mark.parametrize(
    "content",
    [lambda whole: whole[: len(whole) // 2], lambda _: b"", lambda _: b"{}", lambda _: b"[]",
     lambda _: b"\xff", lambda _: b"null"],
    ids=["half", "empty", "{}", "[]", "no text", "null"],
)  # fmt: skip
def test_a_corrupt_description_is_reported_with_the_command(tiny, tmp_path, file, content):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    _damage(corpus_directory("synthetic", tmp_path), file, content)
    with pytest.raises(UserError) as raised:
        open_corpus("synthetic", tmp_path)
    _assert_damaged(raised, tmp_path)
    if file == "metadata.json":  # all that a build looks at
        with pytest.raises(UserError) as raised:
            build_corpus("synthetic", tmp_path, options=TINY)
        _assert_damaged(raised, tmp_path)


def test_incomplete_metadata_are_reported(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    path = corpus_directory("synthetic", tmp_path) / "metadata.json"
    whole = json.loads(path.read_text())
    for part in set(whole) - {"earlier_label_version"}:
        path.write_text(json.dumps({key: whole[key] for key in whole if key != part}))
        with pytest.raises(UserError, match=rf"damaged \(metadata.json lacks {part}\)"):
            open_corpus("synthetic", tmp_path)
    for key in ("side", "margin", "per_frame", "interpolation"):
        options = {name: value for name, value in whole["options"].items() if name != key}
        path.write_text(json.dumps(whole | {"options": options}))
        with pytest.raises(UserError, match=rf"damaged \(metadata.json lacks {key}\)"):
            open_corpus("synthetic", tmp_path)
    path.write_text(json.dumps(whole | {"counts": {}}))
    with pytest.raises(UserError, match=r"damaged \(metadata.json lacks clips\)"):
        open_corpus("synthetic", tmp_path)


def test_a_changed_example_is_reported_when_it_is_read(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    _damage(corpus_directory("synthetic", tmp_path), "*array_record*", _flip)
    corpus = open_corpus("synthetic", tmp_path)  # which does not read every example
    with pytest.raises(UserError) as raised:
        list(corpus)
    _assert_damaged(raised, tmp_path)
    with pytest.raises(UserError) as raised:
        corpus[:]
    _assert_damaged(raised, tmp_path)
    with pytest.raises(IndexError):
        corpus[len(corpus)]


def test_a_corrupt_corpus_is_built_again_with_overwrite(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    _damage(corpus_directory("synthetic", tmp_path), "metadata.json", lambda _: b"{")
    build_corpus("synthetic", tmp_path, options=TINY, overwrite=True)
    assert len(open_corpus("synthetic", tmp_path)) == 10


def test_help_is_quick_and_shows_an_example():
    before = time.monotonic()
    shown = _command("--help")
    assert time.monotonic() - before < 5  # about a second on an idle machine
    assert shown.returncode == 0
    assert "python -m datasets.build samm --manual_dir=DIR --data_dir=data" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["nothing"],
            "error: CORPUS must be casme2, samm, casme_sq, casme3, smic, synthetic or own",
        ),
        ([], "error: python -m datasets.build needs CORPUS (casme2, samm, casme_sq,"),
        (["samm", "--color=1"], "error: there is no option --color; see python -m"),
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

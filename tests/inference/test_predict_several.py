"""`python -m fdp_jax.predict` on several videos: one table, an index page, a page for each."""

import csv
import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import UserError
from datasets.video import find_videos
from fdp_jax.inference.predictor import Predictor
from fdp_jax.inference.results import render_index
from fdp_jax.inference.trained_network import TrainedNetwork
from fdp_jax.predict import run
from fdp_jax.train_step import eval_step
from tests.conftest import run_module
from tests.helpers.face_videos import empty_frames, face_frames, write_folder, write_video
from tests.helpers.networks import random_fold, write_random_weights

CLASSES = ("happiness", "none")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A file of random weights of a network that tells an expression from none."""
    return write_random_weights(tmp_path_factory.mktemp("network") / "tiny.weights", CLASSES)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two people in folders of their own, and what is no video of a face."""
    folder = tmp_path_factory.mktemp("videos")
    for person in (1, 2):
        (folder / f"s{person}").mkdir()
    write_video(folder / "s1" / "clip.mp4", face_frames(25))
    write_video(folder / "s2" / "clip.mp4", face_frames(1) * 25)
    write_folder(folder / "s2" / "frames <b>#1", face_frames(12))
    write_video(folder / "nobody.mp4", empty_frames(25))
    (folder / "corrupt.avi").write_text("no video")
    (folder / "notes.txt").write_text("no video either")
    return folder


@pytest.fixture
def movement(monkeypatch):
    """Lets networks see happiness where faces move; counts the videos that they read."""
    original, read = TrainedNetwork.predict, Predictor.read
    seen = []

    def predict(self, faces):
        outputs = original(self, faces)
        moves = faces.astype(float).std(axis=1).mean(axis=(1, 2, 3)) > 0.3
        outputs["probabilities"] = np.where(moves[:, None], [0.9, 0.1], [0.2, 0.8])
        return outputs

    def count(self, video, *arguments):
        seen.append(video.path.name)
        return read(self, video, *arguments)

    monkeypatch.setattr(TrainedNetwork, "predict", predict)
    monkeypatch.setattr(Predictor, "read", count)
    return seen


def predict(words, network, out, *options):
    return run([*map(str, words), f"--checkpoint={network}", f"--out={out}", *options])


def rows_of(out):
    with open(out / "videos.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_several_videos_give_a_table_and_a_page_each(movement, network, videos, tmp_path, capsys):
    content = predict([videos / "s1", videos / "s2"], network, tmp_path, "--fps=30")
    moving, still, frames = rows_of(tmp_path)
    assert list(moving) == [
        "video", "onset", "apex", "offset", "category", "confidence", "problem"
    ]  # fmt: skip
    (found,) = content["videos"][0]["intervals"]
    for name in ("onset", "apex", "offset", "confidence"):
        assert float(moving[name]) == found[name]
    assert found["confidence"] == 0.9 and found["onset"] <= found["apex"] <= found["offset"]
    assert (moving["video"], moving["category"]) == (str(videos / "s1" / "clip.mp4"), "happiness")
    assert (still["category"], still["onset"], still["confidence"]) == ("none", "", "")
    # Shorter than a window, and so one window, with the probability of its category.
    assert (frames["category"], frames["apex"], frames["confidence"]) == ("happiness", "", "0.9")
    assert float(frames["onset"]) == 0 and not any(row["problem"] for row in rows_of(tmp_path))
    pages = [entry["page"] for entry in content["videos"]]
    assert pages == [f"pages/{k}/prediction.html" for k in ("clip", "clip_2", "frames <b>#1")]
    for page, count in zip(pages, (1, 0, None), strict=True):
        assert '<a href="../../index.html">All videos</a>' in (tmp_path / page).read_text()
        of_video = json.loads((tmp_path / page).with_suffix(".json").read_text())
        assert (
            of_video["intervals"] is None if count is None else len(of_video["intervals"]) == count
        )
    index = (tmp_path / "index.html").read_text()
    assert 'href="pages/clip_2/prediction.html">s2/clip.mp4</a>' in index
    assert 'href="pages/frames%20%3Cb%3E%231/prediction.html"' in index and "<b>" not in index
    assert "://" not in index and "never seen a real micro-expression" in index
    lines = capsys.readouterr().out.splitlines()
    times = f"{found['onset']:.2f} to {found['offset']:.2f} s"
    assert lines[:2] == [
        f"[1/3] s1/clip.mp4: {times}, happiness (90 %)", "[2/3] s2/clip.mp4: no expression"
    ]  # fmt: skip
    expected = "3 videos: 1 classified, 1 with an expression, 1 without an expression"
    assert expected in lines and expected in index
    assert lines[-1] == f"Page: {tmp_path / 'index.html'}"


def test_a_video_that_fails_is_reported_and_the_rest_continue(network, videos, tmp_path):
    done = run_module(
        "fdp_jax.predict", str(videos), f"--checkpoint={network}", f"--out={tmp_path}", "--json",
        "--table_only", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    content = json.loads(done.stdout)
    assert content == json.loads((tmp_path / "videos.json").read_text())
    problems = [entry["problem"] for entry in content["videos"]]
    assert [bool(problem) for problem in problems] == [True, True, False, False, False]
    assert "corrupt.avi is not a readable video" in problems[0]
    assert problems[1].startswith(f"no face was found in {videos / 'nobody.mp4'} (25 frames read)")
    assert [row["problem"] for row in rows_of(tmp_path) if row["problem"]] == problems[:2]
    assert {path.name for path in tmp_path.iterdir()} == {"videos.csv", "videos.json"}
    lines = done.stderr.strip().splitlines()
    assert lines[0].startswith("[1/5] corrupt.avi: problem: ") and lines[4].startswith("[5/5] s2/")
    assert lines[-1].startswith("error: 2 of 5 videos could not be predicted (")
    assert lines[-1].endswith(f"the column `problem` of {tmp_path / 'videos.csv'} says why")


def test_the_network_is_loaded_and_compiled_once(movement, network, videos, tmp_path, monkeypatch):
    loads, load = [], Predictor.load
    monkeypatch.setattr(Predictor, "load", lambda *args: loads.append(args) or load(*args))
    eval_step.clear_cache()
    predict([videos / "s1", videos / "s2"], network, tmp_path, "--table_only")
    assert len(loads) == 1 and eval_step._cache_size() == 1 and len(movement) == 3


def test_the_same_command_keeps_finished_videos(movement, network, videos, tmp_path, monkeypatch):
    def seen(*options, words=(videos / "s2", videos / "s1")):
        movement.clear()
        content = predict(words, network, tmp_path, *options)
        assert [entry["video"] for entry in content["videos"]] == [
            str(path) for path in find_videos(words)
        ]
        return len(movement)

    counted = Predictor.read

    def interrupted(self, video, *arguments):
        if len(movement) == 2:
            raise KeyboardInterrupt
        return counted(self, video, *arguments)

    monkeypatch.setattr(Predictor, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        seen("--table_only")
    assert len(rows_of(tmp_path)) == 2
    monkeypatch.setattr(Predictor, "read", counted)
    assert seen("--table_only") == 1 and seen("--table_only") == 0
    assert len(rows_of(tmp_path)) == 3
    os.utime(videos / "s1" / "clip.mp4", (0, 0))
    assert seen("--table_only") == 1 and seen("--table_only", words=[videos / "s1"]) == 0
    assert seen("--table_only", "--fps=25", words=[videos / "s1"]) == 1
    (tmp_path / "videos.json").write_text('{"videos": [{}]}')
    assert seen(words=[videos / "s1"]) == 1 and seen(words=[videos / "s1"]) == 0
    (tmp_path / "pages" / "clip" / "prediction.html").unlink()
    assert seen("--table_only", words=[videos / "s1"]) == 0
    assert not (tmp_path / "index.html").exists()
    assert seen(words=[videos / "s1"]) == 1


def test_the_index_says_how_many_videos_are_left():
    content = {"videos": [], "asked": 1, "meaning": "", "worth": "", "model": ""}
    assert "1 more video is not predicted yet" in render_index(content, "0 videos")
    assert "2 more videos are not" in render_index(content | {"asked": 2}, "0 videos")
    assert "not predicted yet" not in render_index(content | {"asked": 0}, "0 videos")


def test_another_network_predicts_all_videos_again():
    fold = random_fold(is_grey=True)
    other = dataclasses.replace(fold, variables={**fold.variables, "more": np.zeros(1)})
    prints = [Predictor([f], None, None).fingerprint for f in (fold, other, random_fold(True))]
    assert prints[0] == prints[2] != prints[1]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["s1/clip.mp4", "s1", "./s1/clip.mp4"], ["s1/clip.mp4"]),
        (["s2"], ["s2/clip.mp4", "s2/frames <b>#1"]),
        (["s2/fr*"], ["s2/frames <b>#1"]),
        (["s2/frames <b>#1"], ["s2/frames <b>#1"]),
        (["*/*.mp4", "notes.txt"], ["s1/clip.mp4", "s2/clip.mp4", "notes.txt"]),
        (["**/[!x]*.mp4"], ["[1].mp4", "nobody.mp4", "s1/clip.mp4", "s2/clip.mp4"]),
        (["empty"], ["empty"]),
        (["[1].mp4"], ["[1].mp4"]),
    ],
)
def test_files_folders_and_patterns_name_videos(videos, monkeypatch, words, found):
    (videos / "empty").mkdir(exist_ok=True)
    (videos / "[1].mp4").write_text("")
    monkeypatch.chdir(videos)
    named = find_videos([Path(word) for word in words])
    (videos / "[1].mp4").unlink()
    assert [str(path) for path in named] == found


def test_a_pattern_that_matches_nothing_is_a_mistake(videos):
    with pytest.raises(UserError, match=r"no file or folder matches .*mov; correct the pattern"):
        find_videos([videos / "*.mov"])


def test_videos_beside_frames_are_left_out_with_a_note(tmp_path, capsys):
    folder = write_folder(tmp_path / "frames", face_frames(2))
    (folder / "whole.mp4").write_text("")
    assert find_videos([tmp_path]) == [folder]
    assert f"note: {folder} holds numbered pictures, which are" in capsys.readouterr().err
    assert find_videos([folder / "*.mp4"]) == [folder / "whole.mp4"]


def test_a_table_alone_of_one_video(movement, network, videos, tmp_path, capsys):
    content = predict([videos / "s1" / "clip.mp4"], network, tmp_path, "--table_only")
    assert len(content["intervals"]) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"prediction.json", "windows.csv"}
    assert f"Table: {tmp_path / 'windows.csv'}" in capsys.readouterr().out

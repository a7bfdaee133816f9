"""`python -m fdp_jax.app` without a browser: its options, and what it answers."""

import dataclasses
import html
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from datasets.errors import UserError
from fdp_jax.app import Options, Speaker, options_from, run
from fdp_jax.inference import uploads
from fdp_jax.inference.predicting import load_networks
from fdp_jax.predict import run as predict
from tests.conftest import ROOT, run_module
from tests.helpers.face_videos import empty_frames, face_frames, write_video
from tests.helpers.tiny import random_clips, train_tiny
from tests.helpers.without_packages import environment_without


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("trained"), random_clips(people=2, each=2), ("p0",))


@pytest.fixture(scope="module")
def speaker(workdir):
    return Speaker(load_networks(workdir, all_folds=False), workdir, Options(checkpoint=workdir))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "smile.mp4", face_frames(25))
    write_video(folder / "nobody.mp4", empty_frames(25))
    (folder / "<b>.mp4").write_text("no video")
    (folder / "empty.mp4").write_bytes(b"")
    return folder


@pytest.fixture
def upload(videos, tmp_path):
    """upload(name) -> a copy of the video where uploads lie."""
    return lambda name: shutil.copy(videos / name, tmp_path / name)


def test_the_answer_is_the_page_of_predict_and_the_video_is_gone(speaker, upload, tmp_path):
    video = upload("smile.mp4")
    predict([str(video), f"--checkpoint={speaker.checkpoint}", f"--out={tmp_path / 'said'}"])
    answer = speaker.answer(str(video), "", "")
    assert not video.exists()
    (framed,) = re.findall(r'srcdoc="([^"]*)"', answer)
    assert html.unescape(framed) == (tmp_path / "said" / "prediction.html").read_text()


def test_an_interval_is_obeyed(speaker, upload):
    answer = speaker.answer(str(upload("smile.mp4")), "0.2", " 0.6 ")
    assert "0.20 to 0.60 s, frames 7 to 19" in answer


@pytest.mark.parametrize(
    ("name", "times", "told"),
    [
        ("nobody.mp4", ("", ""), "no face was found in nobody.mp4 (25 frames read"),
        ("<b>.mp4", ("", ""), "&lt;b&gt;.mp4 is no video that can be read"),
        ("empty.mp4", ("", ""), "empty.mp4 is empty (0 bytes)"),
        ("smile.mp4", ("0.5", "0.2"), "the offset, 0.2 s, must be later than the onset, 0.5 s"),
        ("smile.mp4", ("-1", ""), "onset and offset are seconds from the first frame, 0 or more"),
        ("smile.mp4", ("5", ""), "holds no frame"),
        ("smile.mp4", ("nan", ""), "0 or more"),
        ("smile.mp4", ("", "early"), "are numbers of seconds, such as 1.2"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(speaker, upload, tmp_path, name, times, told):
    answer = speaker.answer(str(upload(name)), *times)
    assert 'role="alert"' in answer and told in answer
    assert str(tmp_path) not in answer and list(tmp_path.iterdir()) == []


def test_who_asks_about_a_video_that_is_gone_is_told(speaker, upload, tmp_path):
    video = upload("nobody.mp4")
    assert "no face was found" in speaker.answer(str(video), "", "")
    again = speaker.answer(str(video), "", "")  # another visitor's, who dropped the same
    assert 'role="alert"' in again and "nobody.mp4 is no longer here" in again
    assert "drop it again" in again and str(tmp_path) not in again


def test_what_nobody_asked_about_is_forgotten(tmp_path):
    old, new, asked = tmp_path / "a" / "old", tmp_path / "tmpnew", tmp_path / "a" / "asked"
    old.parent.mkdir()
    for path in (old, new, asked):
        path.write_bytes(b"a video")
    for path in (old, asked):
        os.utime(path, (0, time.time() - uploads.FORGOTTEN_SECONDS - 5))
    with uploads.taken(asked) as video:
        uploads.forget(tmp_path)
        assert not old.exists() and new.exists() and video.read_bytes() == b"a video"
    uploads.forget(tmp_path, seconds=-1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_no_video_is_a_mistake_too(speaker):
    assert "drop a video first" in speaker.answer(None, "", "")


def test_limits_are_obeyed(speaker, upload):
    def limited(**limits):
        options = dataclasses.replace(speaker.options, **limits)
        allowed = dataclasses.replace(speaker, options=options)
        return allowed.answer(str(upload("smile.mp4")), "0", "0.3")

    assert "srcdoc" in limited(max_seconds=0.84)  # 25 frames at 30 a second
    assert "smile.mp4 is longer than 0.7 s" in limited(max_seconds=0.7)
    assert "smile.mp4 is larger than 0 MB" in limited(max_megabytes=0)


def test_a_file_that_tells_no_length_is_too_long_all_the_same(videos):
    from fdp_jax.inference.limiting import LimitedVideo

    video = LimitedVideo(videos / "smile.mp4", 30.0, 0, 0, max_seconds=0.41)
    with pytest.raises(UserError, match=r"longer than 0\.41 s"):
        list(video.frames())
    frames = LimitedVideo(videos / "smile.mp4", 30.0, 0, 0, max_seconds=5).frames()
    assert len(list(frames)) == 25


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--checkpoint=DIR is needed"),
        (("--checkpoint=nowhere",), "make demo trains one in runs/demo"),
        (("--checkpoint=tests", "--port=0"), "between 1 and 65535"),
        (("--checkpoint=tests", "--max_megabytes=0"), "at least 1"),
        (("--checkpoint=tests", "--max_seconds=nan"), "more than 0"),
        (("--checkpoint=tests", "--max-second=3"), "did you mean --max_seconds"),
    ],
)
def test_mistakes_in_options_are_one_sentence(options, told):
    with pytest.raises(UserError, match=told):
        options_from(list(options))


def test_without_gradio_one_sentence_says_how_to_get_it(workdir, tmp_path):
    environment = environment_without(tmp_path, {"gradio"})
    done = run_module("fdp_jax.app", f"--checkpoint={workdir}", env=environment, check=False)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line == "error: the page needs Gradio; pip install -r requirements/app.txt"
    helped = run_module("fdp_jax.app", "--help", env=environment)
    assert "--max_megabytes" in helped.stdout and "--port" in helped.stdout


def test_what_cannot_speak_is_said_before_a_page_is_served(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(UserError, match="is no work directory"):
        run([f"--checkpoint={tmp_path}"])


def test_options_are_checked_without_jax():
    checks = (
        "import sys, importlib.util; importlib.util.find_spec = lambda name: object()"
        "; from fdp_jax.app import options_from; options_from(['--checkpoint=tests'])"
        "; assert not {'jax', 'flax', 'cv2', 'numpy', 'gradio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", checks], cwd=ROOT, check=True)


def test_make_app_trains_nothing(tmp_path):
    # Without a word about folders, which it has where `make test` runs this.
    command = ["make", "--no-print-directory", "app", f"DEMO={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 2 and done.stdout == ""
    assert f"there is no trained network in {tmp_path}; run make demo first" in done.stderr

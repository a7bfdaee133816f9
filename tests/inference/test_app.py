"""`python -m fdp_jax.app` without a browser: its options, and what it answers."""

import base64
import dataclasses
import html
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax import app
from fdp_jax.app import Options, options_from, remove_old_uploads, run
from fdp_jax.inference.predictor import Predictor
from fdp_jax.predict import run as predict
from tests.conftest import ROOT, run_module
from tests.helpers.face_videos import empty_frames, face_frames, write_video
from tests.helpers.tiny import random_clips, train_tiny
from tests.helpers.without_packages import environment_without


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("trained"), random_clips(people=2, each=2), ("p0",))


@pytest.fixture(scope="module")
def answer(workdir):
    """answer(upload, onset, offset) -> HTML of the player, and of the result."""
    return partial(app.answer, Predictor.load(workdir, False, None), Options())


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
    """upload(name) -> path of a copy of the video where uploads are kept."""
    return lambda name: shutil.copy(videos / name, tmp_path / name)


def test_the_answer_is_the_page_and_the_table_of_predict(answer, workdir, upload, tmp_path):
    video = upload("smile.mp4")
    predict([str(video), f"--checkpoint={workdir}", f"--out={tmp_path / 'out'}"])
    _, shown = answer(Path(video))
    (framed,) = re.findall(r'srcdoc="([^"]*)"', shown)
    assert html.unescape(framed) == (tmp_path / "out" / "prediction.html").read_text()
    tables = re.findall(r'download="([^"]*)" href="data:text/csv;base64,([^"]*)"', shown)
    found, windows = (base64.b64decode(table) for _, table in tables)
    assert [name for name, _ in tables] == ["smile_expressions.csv", "smile_windows.csv"]
    assert windows == (tmp_path / "out" / "windows.csv").read_bytes()
    assert found.startswith(b"video,onset,apex,offset,category,confidence,problem\nsmile.mp4,0.")
    # The video is still there for another interval.
    assert "0.20 to 0.60 s, frames 7 to 19" in answer(Path(video), "0.2", " 0.6 ")[1]


def frames_in(player):
    """Seconds and pixels of each frame in the HTML of a player."""
    found = re.findall(r'data-seconds="([^"]*)" src="data:image/jpeg;base64,([^"]*)"', player)
    for seconds, encoded in found:
        jpeg = np.frombuffer(base64.b64decode(encoded), np.uint8)
        yield float(seconds), cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


def test_the_video_can_be_played_before_a_prediction(upload):
    video = Path(upload("smile.mp4"))
    shown = app.preview(Options(), video)
    ((seconds, frame),) = frames_in(shown)
    assert seconds == 0 and frame.shape[0] == 240 and np.ptp(frame) > 50
    assert "smile.mp4: " in shown and "30 frames per second" in shown
    assert f'src="/gradio_api/file={video}"' in shown and "timeline" not in shown
    mistake = app.preview(Options(), Path(upload("<b>.mp4")))
    assert 'role="alert"' in mistake and "&lt;b&gt;.mp4 is not a readable video" in mistake


def test_the_interval_is_marked_on_the_timeline(answer, upload):
    player, _ = answer(Path(upload("smile.mp4")), "0.2", "0.6")
    (left, width) = re.findall(r'style="left: (.*)%; width: (.*)%"', player)[0]
    assert float(left) == pytest.approx(100 * 0.2 / (25 / 30), abs=0.1)
    assert float(width) == pytest.approx(100 * 0.4 / (25 / 30), abs=0.1)
    (button,) = re.findall(r'<button type="button" data-seconds="0.2" .*>(.*)</button>', player)
    assert re.fullmatch(r"0.20 to 0.60 s: class[01] \(\d+\xa0%\)", button)
    seconds, frames = zip(*frames_in(player), strict=True)
    assert list(seconds) == sorted(set(seconds)) and seconds[-1] == 0.8
    # A browser that cannot play the video steps through frames that include the interval's.
    assert {0.2, 0.6} <= set(seconds) and len({frame.tobytes() for frame in frames}) > 20
    assert player.count("hidden>") == len(frames) - 1 and 'alt="Frame at 0.20 s"' in player


@pytest.mark.parametrize(
    ("name", "times", "message"),
    [
        ("nobody.mp4", ("", ""), "no face was found in nobody.mp4 (25 frames read"),
        ("<b>.mp4", ("", ""), "&lt;b&gt;.mp4 is not a readable video"),
        ("empty.mp4", ("", ""), "empty.mp4 is empty (0 bytes)"),
        ("smile.mp4", ("0.5", "0.2"), "the offset, 0.2 s, must be later than the onset, 0.5 s"),
        ("smile.mp4", ("-1", ""), "onset and offset are seconds from the first frame, 0 or more"),
        ("smile.mp4", ("5", ""), "has no frame"),
        ("smile.mp4", ("nan", ""), "0 or more"),
        ("smile.mp4", ("", "early"), "are numbers of seconds, such as 1.2"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(answer, upload, tmp_path, name, times, message):
    player, page = answer(Path(upload(name)), *times)
    assert player == ""
    assert 'role="alert"' in page and message in page and str(tmp_path) not in page


def test_a_page_keeps_one_video(upload, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    one, another = (app.page_folder(kept, page) for page in ("../one page", "another"))
    assert one.parent == another.parent == kept
    first = app.keep_upload(Path(upload("smile.mp4")), one)
    other = app.keep_upload(Path(upload("smile.mp4")), another)  # the same video
    assert first != other and first.read_bytes() == other.read_bytes()
    second = app.keep_upload(Path(upload("nobody.mp4")), one)
    assert sorted(kept.rglob("*.mp4")) == sorted([second, other])
    with pytest.raises(UserError, match=r"nobody.mp4 was not received; upload it again"):
        app.keep_upload(tmp_path / "nobody.mp4", app.page_folder(kept, "a third"))


def test_a_video_is_removed_ten_minutes_after_its_last_use(answer, upload, tmp_path):
    old, used = Path(upload("nobody.mp4")), Path(upload("smile.mp4"))
    for path in (old, used):
        os.utime(path, (0, time.time() - app.MAX_AGE - 5))
    assert "srcdoc" in answer(used, "0", "0.3")[1]
    remove_old_uploads(tmp_path)
    assert used.exists() and not old.exists()
    _, again = answer(old)
    assert 'role="alert"' in again and "nobody.mp4 was removed 10 minutes after its last" in again
    assert "upload it again" in again and str(tmp_path) not in again
    assert "upload a video first" in answer(None)[1]
    # Playing it is a use, too; an address elsewhere is none.
    os.utime(used, (0, 0))
    for path in (tmp_path.parent / used.name, tmp_path / ".." / tmp_path.name / used.name):
        app._mark_used(f"{app.FILES}{path}", tmp_path)
    assert used.stat().st_mtime == 0
    app._mark_used(f"{app.FILES}{used}", tmp_path)
    assert time.time() - used.stat().st_mtime < 60


def test_limits_of_length_and_size_apply(answer, upload):
    def limited(**limits):
        predictor, options = answer.args
        video = Path(upload("smile.mp4"))
        return app.answer(predictor, dataclasses.replace(options, **limits), video, "0", "0.3")[1]

    assert "srcdoc" in limited(max_seconds=0.84)  # 25 frames at 30 per second
    assert "smile.mp4 is longer than 0.7 s" in limited(max_seconds=0.7)
    assert "smile.mp4 is larger than 0 MB" in limited(max_megabytes=0)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--port=0", "between 1 and 65535"),
        ("--max_megabytes=0", "at least 1"),
        ("--max_seconds=nan", "more than 0"),
        ("--max-second=3", "did you mean --max_seconds"),
    ],
)
def test_mistakes_in_options_are_one_sentence(option, message):
    with pytest.raises(UserError, match=message):
        options_from([option])


def test_without_gradio_one_sentence_says_how_to_install_it(workdir, tmp_path):
    environment = environment_without(tmp_path, {"gradio"})
    done = run_module("fdp_jax.app", f"--checkpoint={workdir}", env=environment, check=False)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line == 'error: the page needs Gradio; pip install -e ".[app]"'
    helped = run_module("fdp_jax.app", "--help", env=environment)
    assert "--max_megabytes" in helped.stdout and "--port" in helped.stdout


def test_a_folder_without_a_network_is_refused_before_a_page_is_served(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(UserError, match="is not the work directory"):
        run([f"--checkpoint={tmp_path}"])
    with pytest.raises(UserError, match=r"there is no folder .*; .* or leave out --checkpoint"):
        run([f"--checkpoint={tmp_path / 'nowhere'}"])


def test_options_are_checked_without_jax():
    checks = (
        "import sys, importlib.util; from fdp_jax.app import options_from"
        "; importlib.util.find_spec = lambda name: object(); options_from(['--checkpoint=tests'])"
        "; assert not {'jax', 'flax', 'cv2', 'numpy', 'gradio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", checks], cwd=ROOT, check=True)


def test_no_proxy_matters_to_the_page(workdir):
    """The page asks only itself, which a proxy elsewhere could not reach."""
    pytest.importorskip("gradio")
    proxies = {
        "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "socks://127.0.0.1:9", "NO_PROXY": "[::1]", "no_proxy": "example.org",
    }  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "fdp_jax.app", f"--checkpoint={workdir}", f"--port={port}"],
        cwd=ROOT, env=os.environ | proxies, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline().startswith(f"Page: http://127.0.0.1:{port} ")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)

"""`python -m fdp_jax.app` in the system's Chromium: a video uploaded, a prediction shown."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.browser.conftest import barriers
from tests.conftest import HANGS, ROOT, run_module
from tests.helpers.face_videos import empty_frames, face_frames, write_video
from tests.helpers.networks import write_random_weights


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "tiny.weights"
    return write_random_weights(path, ("class0", "class1"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "smile <b>.mp4", face_frames(25))
    write_video(folder / "smile.webm", face_frames(25))
    write_video(folder / "nobody.mp4", empty_frames(25))
    (folder / "text.mp4").write_text("no video")
    (folder / "large.mp4").write_bytes(bytes(2 * 2**20))
    return folder


@contextlib.contextmanager
def serving(network, kept, end):
    """Serves the page; yields its address and the folder in which it keeps uploads."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "fdp_jax.app", f"--checkpoint={network}", f"--port={port}",
         "--max_megabytes=1"],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(kept)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert line.startswith(f"Page: http://127.0.0.1:{port} "), line
        yield f"http://127.0.0.1:{port}", kept
    finally:
        process.send_signal(end)
        process.wait(timeout=HANGS)
    assert list(kept.glob("fdp_app_*")) == []


@pytest.fixture(scope="module")
def served(network, tmp_path_factory):
    with serving(network, tmp_path_factory.mktemp("kept"), signal.SIGTERM) as page:
        yield page


@pytest.fixture
def page(chromium, served):
    """The page, in a browser where a request to any other address is a failure."""
    address, _ = served
    asked, complaints = [], []
    context = chromium.new_context(viewport={"width": 1100, "height": 900})
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.get_by_role("button", name="Predict").wait_for()
    yield page
    context.close()
    assert complaints == []
    elsewhere = [url for url in asked if not url.startswith((f"{address}/", "data:", "blob:"))]
    assert asked and set(elsewhere) <= {"about:srcdoc"}


def ask(page, video, onset="", offset=""):
    page.locator("input[type=file]").set_input_files(video)
    page.locator(".player figcaption, .mistake").first.wait_for()  # uploaded
    page.get_by_label("Onset").fill(onset)
    page.get_by_label("Offset").fill(offset)
    page.get_by_role("button", name="Predict").click()


def test_a_clip_is_predicted_again_and_removed_with_its_page(page, served, videos):
    ask(page, videos / "smile <b>.mp4")
    answer = page.frame_locator("iframe")
    answer.locator(".bars .name").first.wait_for()
    assert sorted(answer.locator(".bars .name").all_inner_texts()) == ["class0", "class1"]
    shares = [float(text.split()[0]) for text in answer.locator(".share").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    for name in ("filmstrip", "dynamic_image", "rank_scores", "probabilities"):
        image = answer.locator(f"img.{name}")
        image.wait_for()
        assert image.evaluate("async i => { await i.decode(); return i.naturalWidth }") > 100
    assert "not a lie detector" in answer.locator(".notice").inner_text()
    # The frame is as high as its content, so the page has one scroll bar.
    page.wait_for_function("document.querySelector('iframe').offsetHeight > 1200")
    with page.expect_download() as download:
        page.get_by_role("link", name="Table of all windows").click()
    lines = download.value.path().read_text().splitlines()
    assert download.value.suggested_filename == "smile b_windows.csv"  # by Gradio
    assert lines[0].startswith("start,end,first_frame,last_frame,prediction,p_class0")
    # Another onset needs no other upload.
    page.get_by_label("Onset").fill("0.2")
    page.get_by_label("Offset").fill("0.6")
    page.get_by_role("button", name="Predict").click()
    answer.get_by_text("0.20 to 0.60 s, frames 7 to 19").wait_for()
    _, kept = served
    assert len(list(kept.rglob("*.mp4"))) == 1
    page.close()
    deadline = time.monotonic() + HANGS
    while list(kept.rglob("*.mp4")):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_video_plays_with_the_interval_marked(page, videos):
    ask(page, videos / "smile.webm", onset="0.2", offset="0.6")
    mark = page.get_by_role("group", name="Go to").get_by_role("button")
    mark.wait_for()
    assert mark.inner_text().startswith("0.20 to 0.60 s: class")
    video = page.locator("video")
    assert video.is_visible() and page.locator(".stills").is_hidden()
    mark.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('video').currentTime === 0.2")
    line, marked = (page.locator(f".timeline{part}").bounding_box() for part in ("", " span"))
    assert marked["x"] - line["x"] == pytest.approx(0.2 / (25 / 30) * line["width"], abs=3)
    page.wait_for_function("document.querySelector('.timeline i').style.left.startsWith('24')")
    video.evaluate("v => v.play()")
    page.wait_for_function("document.querySelector('video').currentTime > 0.5")
    page.locator(".timeline span").click()
    page.wait_for_function("document.querySelector('video').currentTime < 0.5")


def test_frames_are_shown_where_the_browser_cannot_play_the_video(page, videos):
    ask(page, videos / "smile <b>.mp4", onset="0.2", offset="0.6")
    page.get_by_role("group", name="Go to").get_by_role("button").click()
    page.get_by_role("img", name="Frame at 0.20 s").wait_for()
    assert page.locator("video").is_hidden()
    slider = page.get_by_role("slider", name="Frame")
    assert slider.get_attribute("aria-valuetext") == "0.20 s"
    slider.press("ArrowRight")
    assert page.locator(".stills img:visible").get_attribute("alt") > "Frame at 0.20 s"
    slider.press("End")
    page.get_by_role("img", name="Frame at 0.80 s").wait_for()


def test_the_page_fits_its_window_and_every_control_has_a_name(page, videos):
    ask(page, videos / "smile.webm", onset="0.2", offset="0.6")
    page.get_by_role("group", name="Go to").wait_for()
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    names = page.locator("button, input:not([type=file]), textarea, a").evaluate_all(
        "all => all.filter(e => e.checkVisibility()).map("
        "e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText)"
    )
    assert len(names) >= 6 and all(name.strip() for name in names), names
    assert page.locator("img:not([alt])").count() == 0
    assert barriers(page) == []


def test_the_index_of_videos_fits_and_has_no_barriers(network, videos, open_page, tmp_path):
    names = ("smile.webm", "nobody.mp4", "text.mp4")
    done = run_module(
        "fdp_jax.predict", *(str(videos / name) for name in names), f"--checkpoint={network}",
        f"--out={tmp_path}", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    for width, scheme in ((400, "light"), (1280, "dark")):
        page = open_page((tmp_path / "index.html").as_uri(), width=width, scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert barriers(page) == []
    page.get_by_role("link", name="smile.webm").click()
    page.get_by_role("link", name="All videos").click()
    assert page.title() == "FDP predictions for 3 videos"


def test_an_interval_is_one_window(page, videos):
    ask(page, videos / "smile <b>.mp4", onset="0.2", offset="0.6")
    answer = page.frame_locator("iframe")
    answer.get_by_text("0.20 to 0.60 s, frames 7 to 19").wait_for()
    assert answer.locator("img.probabilities").count() == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [("nobody.mp4", "no face was found in nobody.mp4 (25 frames read"),
     ("text.mp4", "text.mp4 is not a readable video")],
)  # fmt: skip
def test_mistakes_are_one_sentence_in_the_page(page, videos, name, message):
    ask(page, videos / name)
    alert = page.locator(".mistake").last  # the preview may have said so, too
    alert.wait_for()
    assert alert.inner_text().startswith(message)


def test_a_video_that_is_too_large_is_not_uploaded(page, served, videos):
    page.locator("input[type=file]").set_input_files(videos / "large.mp4")
    page.get_by_text("maximum allowed size").first.wait_for()
    _, kept = served
    assert not any(path.stat().st_size for path in kept.rglob("*") if path.is_file())


def test_closing_the_terminal_removes_the_videos(network, tmp_path):
    with serving(network, tmp_path, signal.SIGHUP) as (_, kept):
        assert len(list(kept.glob("fdp_app_*"))) == 1  # and none after it


def test_the_page_is_for_this_machine_alone(served):
    address, _ = served
    port = int(address.rpartition(":")[2])
    with urllib.request.urlopen(address) as response:
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    elsewhere = urllib.request.Request(address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(elsewhere)
    with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
        elsewhere.connect(("127.0.0.2", port))  # where 0.0.0.0 would answer, too

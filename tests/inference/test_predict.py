"""`python -m fdp_jax.predict` on drawn faces, from the command line to the page."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.crop import Crop
from datasets.errors import UserError
from datasets.face_models import get_face_models
from datasets.faces import FaceLandmarker
from datasets.video import open_video
from fdp_jax.inference import predictor
from fdp_jax.inference.predictor import Predictor
from fdp_jax.inference.results import describe_window
from fdp_jax.inference.trained_network import TrainedNetwork, find_folds, load_fold
from fdp_jax.inference.windows import FaceAligner, VideoWindows
from fdp_jax.predict import options_from, run
from tests.conftest import ROOT, run_module
from tests.helpers.face_videos import (
    empty_frames,
    face_frames,
    hurry_after,
    turn_by_a_quarter,
    write_folder,
    write_video,
)
from tests.helpers.networks import random_fold
from tests.helpers.tiny import random_clips, train_tiny

FILES = {
    "prediction.html", "prediction.json", "windows.csv", "filmstrip.png", "dynamic_image.png",
    "rank_scores.png", "probabilities.png",
}  # fmt: skip

CROP = Crop(per_frame=True, side=72, margin=3.5)  # not the default


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Two folds trained on noise, for long enough to differ."""
    clips = dataclasses.replace(random_clips(people=3, each=2), crop=CROP)
    return train_tiny(tmp_path_factory.mktemp("trained"), clips, ("p0", "p2"), steps=60)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "long.mp4", face_frames(25))
    write_video(folder / "short.mp4", face_frames(10), fps=24)
    write_video(folder / "two.mp4", face_frames(2))
    write_video(folder / "nobody.mp4", empty_frames(25))
    write_video(folder / "one.mp4", face_frames(1))
    write_video(folder / "slow.mp4", face_frames(4), fps=1)
    write_video(folder / "late.mp4", [*empty_frames(9), *face_frames(20)])
    write_video(folder / "pair.mp4", [np.hstack([frame, frame]) for frame in face_frames(16)])
    varying = write_video(folder / "varying.mp4", face_frames(30), fps=25)
    hurry_after(varying, first=10, times=4)
    phone = write_video(folder / "phone.mp4", [np.rot90(frame) for frame in face_frames(16)])
    turn_by_a_quarter(phone, width=192)
    whole = write_video(folder / "cut.avi", face_frames(40))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    write_folder(folder / "frames", face_frames(12))
    return folder


def predict(video, workdir, out, *options):
    return run([str(video), f"--checkpoint={workdir}", f"--out={out}", *options])


def change_outputs(monkeypatch, change):
    """Lets `change` edit the outputs of every network."""
    original = TrainedNetwork.predict

    def predict(self, faces):
        outputs = original(self, faces)
        change(outputs)
        return outputs

    monkeypatch.setattr(TrainedNetwork, "predict", predict)


def test_the_command_writes_all_files_and_states_what_they_mean(workdir, videos, tmp_path):
    done = run_module(
        "fdp_jax.predict", str(videos / "long.mp4"), f"--checkpoint={workdir}",
        f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    content = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert [row["start"] for row in content["windows"]] == [0.0, 0.1, 0.2, 0.3]
    assert content["frames_per_second"] == pytest.approx(30)
    with open(tmp_path / "out" / "windows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, window in zip(rows, content["windows"], strict=True):
        probabilities = window["probabilities"]
        assert {name: float(row[f"p_{name}"]) for name in content["classes"]} == probabilities
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert window["prediction"] == max(probabilities, key=probabilities.get)
        for name in ("first_frame", "last_frame", "start", "end"):
            assert float(row[name]) == window[name]
    tops = [max(window["probabilities"].values()) for window in content["windows"]]
    assert tops[content["shown"]["window"]] == max(tops)
    html = (tmp_path / "out" / "prediction.html").read_text()
    for text in (done.stdout, html):
        assert "not a lie detector" in text
        assert "trained on noise" in text and "30 frames" in text
        assert "seed_7/folds/p0" in text and "seed_7/folds/p2" not in text


def test_one_window_gets_the_outputs_of_a_clip_of_the_corpus(workdir, videos, tmp_path):
    content = predict(videos / "frames", workdir, tmp_path)
    assert [row["start"] for row in content["windows"]] == [None]
    assert content["faces"] == "--per_frame --side=72 --margin=3.5"
    assert "--fps=RATE" in content["notices"][0] and content["frames_per_second"] is None
    assert not (tmp_path / "probabilities.png").exists()
    aligner = FaceAligner(FaceLandmarker(get_face_models()), CROP, is_grey=True)
    (window,) = VideoWindows(open_video(videos / "frames"), None, aligner)
    outputs = load_fold(find_folds(workdir)[0]).predict(np.stack([window.sample(4).frames]))
    given = [*content["windows"][0]["probabilities"].values()]
    np.testing.assert_allclose(given, outputs["probabilities"][0], atol=2e-6)
    np.testing.assert_allclose(
        content["shown"]["rank_scores"], outputs["rank_scores"][0], atol=1e-4
    )


def test_an_ensemble_is_the_mean_of_its_folds(workdir, videos, tmp_path):
    def shares(checkpoint, *options):
        content = predict(videos / "long.mp4", checkpoint, tmp_path, *options)
        rows = content["windows"]
        return content, np.array([[*row["probabilities"].values()] for row in rows])

    folds = workdir / "seed_7" / "folds"
    _, first = shares(folds / "p0")
    _, second = shares(folds / "p2")
    content, both = shares(workdir, "--ensemble")
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(both, (first + second) / 2, atol=2e-6)
    assert content["folds"] == ["seed_7/folds/p0", "seed_7/folds/p2"]
    assert content["model"].startswith("Mean of 2 networks")


@pytest.mark.parametrize(
    ("video", "options", "frames"),
    [
        ("long.mp4", ("--onset=0.2", "--offset=0.6"), (7, 19)),
        ("long.mp4", ("--onset=0.2",), (7, 25)),
        ("frames", ("--fps=100", "--offset=0.05"), (1, 6)),
        ("short.mp4", (), (1, 10)),
    ],
)
def test_an_interval_or_a_short_video_is_one_window(
    workdir, videos, tmp_path, video, options, frames
):
    predict(videos / "long.mp4", workdir, tmp_path)
    (row,) = predict(videos / video, workdir, tmp_path, *options)["windows"]
    assert (row["first_frame"], row["last_frame"]) == frames
    # No file of the earlier prediction, with several windows, is left.
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"probabilities.png"}


@pytest.mark.parametrize(
    ("video", "options", "notice"),
    [
        ("frames", (), "The frame rate of the folder is unknown, so it is one window"),
        ("short.mp4", (), "24 frames per second are few"),
        ("short.mp4", (), "is shorter than 0.5 s, so it is one window."),
        ("varying.mp4", (), "The frame rate varies: frames are 10 to 40 ms apart."),
        ("phone.mp4", (), "The frames are rotated by 90 degrees"),
        ("cut.avi", (), "The file states 40 frames; "),
        ("pair.mp4", (), "Up to 2 faces are in a frame; the largest is used."),
        ("late.mp4", (), "Windows skipped: 3, starting between 0.0 and 0.2 s"),
        ("two.mp4", (), "The window has 2 frames and the network takes 4; some are repeated."),
        ("long.mp4", ("--offset=9",), "ends at 0.80 s, before the offset at 9 s."),
        ("slow.mp4", ("--onset=0",), "The interval lasts 3.0 s, but a micro-expression lasts"),
    ],
)
def test_notices_warn_the_reader(workdir, videos, tmp_path, video, options, notice):
    content = predict(videos / video, workdir, tmp_path, *options)
    assert any(notice in sentence for sentence in content["notices"])


@pytest.mark.parametrize(
    ("predicted", "notices"),
    [
        ((0, 0, 0, 0), []),
        ((0, 1, 1, 0), ["The most confident of 4 windows; 2 of the 4 predict another category."]),
        ((1, 0, 1, 1), ["The most confident of 4 windows; 1 of the 4 predicts another category."]),
    ],
)
def test_the_most_confident_window_is_shown(
    workdir, videos, tmp_path, monkeypatch, predicted, notices
):
    def change(outputs):
        shares = np.array([0.6, 0.61, 0.63, 0.62])
        for k, category in enumerate(predicted):
            outputs["probabilities"][k, category] = shares[k]
            outputs["probabilities"][k, 1 - category] = 1 - shares[k]

    change_outputs(monkeypatch, change)
    content = predict(videos / "long.mp4", workdir, tmp_path)
    assert content["shown"]["window"] == 2
    assert [row["prediction"] for row in content["windows"]] == [f"class{k}" for k in predicted]
    assert [notice.split(" The highest")[0] for notice in content["notices"]] == notices


def test_json_is_all_that_is_printed(workdir, videos, tmp_path, capsys):
    content = predict(videos / "short.mp4", workdir, tmp_path, "--json")
    assert json.loads(capsys.readouterr().out) == content
    assert json.loads((tmp_path / "prediction.json").read_text()) == content


def test_a_video_without_a_face_ends_with_one_sentence(workdir, videos, tmp_path):
    done = run_module(
        "fdp_jax.predict", str(videos / "nobody.mp4"), f"--checkpoint={workdir}",
        f"--out={tmp_path / 'out'}", check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: no face was found in ") and "(25 frames read" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("video", "options", "message"),
    [
        ("one.mp4", (), "has a single frame"),
        ("long.mp4", ("--onset=5",), "has no frame"),
        ("long.mp4", ("--onset=0.5", "--offset=0.2"), "must be later"),
        ("long.mp4", ("--onset=-1",), "0 or more"),
        ("long.mp4", ("--onset=nan",), "0 or more"),
        ("long.mp4", ("--onset=soon",), "--onset must be a number"),
        ("long.mp4", ("--fps=0",), "must be more than 0"),
        ("clip\udcd6.mp4", (), "of VIDEO_OR_FOLDER is no UTF-8 text"),
        ("slow.mp4", (), r"1 frames per second, so a window of 0.5 s has a single frame"),
        ("frames", ("--onset=0.1",), "give --fps=RATE"),
        ("frames", ("--fps=0",), "must be more than 0"),
        ("none.mp4", (), "there is no video"),
        ("long.mp4", ("--esemble",), "did you mean --ensemble"),
        ("long.mp4", ("again.mp4",), "there is no video or folder again.mp4"),
        ("frames/img1.png", (), "img1.png is a picture; give the folder of frames"),
    ],
)
def test_mistakes_are_one_sentence(workdir, videos, tmp_path, video, options, message):
    with pytest.raises(UserError, match=message):
        predict(videos / video, workdir, tmp_path, *options)


def test_folders_that_cannot_be_used_are_named(workdir, videos, tmp_path):
    video = videos / "short.mp4"
    with pytest.raises(UserError, match="there is no folder"):
        predict(video, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(UserError, match="is not the work directory"):
        predict(video, tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="is one fold"):
        predict(video, workdir / "seed_7" / "folds" / "p2", tmp_path / "out", "--ensemble")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        predict(video, workdir, tmp_path / "file")
    with pytest.raises(UserError, match="needs --out"):
        run([str(video), f"--checkpoint={workdir}"])


def test_a_network_without_recognition_is_refused(workdir, monkeypatch):
    fold = random_fold(is_grey=True, ablate="no_mer")
    monkeypatch.setattr(predictor, "load_fold", lambda directory: fold)
    with pytest.raises(UserError, match="trained without recognition"):
        Predictor.load(workdir, False, None)


def test_a_network_without_rank_scorer_has_no_curve(workdir, videos, tmp_path, monkeypatch):
    def change(outputs):
        del outputs["rank_scores"], outputs["dynamic_image"]

    change_outputs(monkeypatch, change)
    content = predict(videos / "short.mp4", workdir, tmp_path)
    assert content["shown"]["rank_scores"] is None
    assert not (tmp_path / "rank_scores.png").exists()
    assert (tmp_path / "dynamic_image.png").exists()
    assert (tmp_path / "prediction.html").read_text().count("<img") == 2


def test_the_page_escapes_names_and_requests_nothing(workdir, videos, tmp_path):
    video = tmp_path / "<b>é'\"&.mp4"
    video.write_bytes((videos / "short.mp4").read_bytes())
    predict(video, workdir, tmp_path / "out")
    html = (tmp_path / "out" / "prediction.html").read_text(encoding="utf-8")
    assert "<b>" not in html and "&lt;b&gt;é" in html
    assert "://" not in html and 'src="data:image/png;base64,' in html
    assert html.count("<img") == 3


def test_the_description_depends_on_the_training():
    def description(select="last", **changes):
        fold = dataclasses.replace(random_fold(True, select=select), **changes)
        return Predictor([fold], Path("runs/x"), None).description

    drawn = description(dataset="synthetic")["worth"]
    assert "drawn faces" in drawn and "no better than a guess" in drawn
    filmed = description(dataset="samm")["worth"]
    assert "trained on samm: few people, filmed in a laboratory" in filmed
    assert "--select" not in description()["model"]
    assert "weights of the last step; --select=val is for" in description(select="val")["model"]


def test_the_folds_of_an_ensemble_must_have_the_same_faces(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    shutil.copytree(workdir / "seed_7", tmp_path / "run" / "seed_8")
    path = tmp_path / "run" / "seed_8" / "run.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"input": content["input"] | {"margin": 2.0}}))
    with pytest.raises(UserError, match="trained on different categories or faces"):
        Predictor.load(tmp_path / "run", True, None)
    assert len(Predictor.load(tmp_path / "run", False, None).folds) == 1


def test_probabilities_that_are_not_finite_are_an_error(workdir, videos, tmp_path, monkeypatch):
    change_outputs(monkeypatch, lambda outputs: outputs["probabilities"].fill(np.nan))
    with pytest.raises(UserError, match="are not finite"):
        predict(videos / "long.mp4", workdir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_no_empty_folder_and_keeps_an_old_one(workdir, videos, tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        with pytest.raises(UserError, match="no face was found"):
            predict(videos / "nobody.mp4", workdir, tmp_path / name)
    assert not (tmp_path / "new").exists() and (tmp_path / "old").is_dir()


def test_names_may_begin_with_a_hyphen_and_folders_may_be_the_current_one():
    options = options_from(["--checkpoint", ".", "--out", ".", "--", "-v.mp4"])
    assert options.videos == (Path("-v.mp4"),)
    assert options.network.checkpoint == options.out == Path(".")
    with pytest.raises(UserError, match="--out= names nothing"):
        options_from(["v.mp4", "--checkpoint=c", "--out="])


def test_a_window_is_described_by_times_and_frames():
    frames = {"first_frame": 4, "last_frame": 9}
    assert describe_window({"start": None, "end": None, **frames}) == "frames 4 to 9"
    assert describe_window({"start": 0.1, "end": 0.6, **frames}) == "0.10 to 0.60 s, frames 4 to 9"


def test_options_are_checked_without_jax():
    checks = (
        "import sys; from fdp_jax.predict import options_from"
        "; options_from(['v.mp4', '--checkpoint=c', '--out=o', '--onset=0.5'])"
        "; assert not {'jax', 'flax', 'cv2', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", checks], cwd=ROOT, check=True)

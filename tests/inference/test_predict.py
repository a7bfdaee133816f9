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

from datasets.command_line import main_with_clear_errors
from datasets.crop import Crop
from datasets.errors import UserError
from fdp_jax.inference import page, predicting
from fdp_jax.inference.aligning import Face, one_window
from fdp_jax.inference.faces import CountingLandmarker
from fdp_jax.inference.reading import Seen, open_source
from fdp_jax.inference.result import Model
from fdp_jax.inference.trained_fold import TrainedFold, find_folds, load_fold
from fdp_jax.predict import options_from, run
from tests.conftest import ROOT, run_module
from tests.helpers.face_videos import empty_frames, face_frames, write_folder, write_video
from tests.helpers.tiny import random_clips, train_tiny

FILES = {
    "prediction.html", "prediction.json", "windows.csv", "filmstrip.png", "dynamic_image.png",
    "rank_scores.png", "probabilities.png",
}  # fmt: skip

CROP = Crop(per_frame=True, side=72, margin=3.5)  # not as by default


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Two folds trained on noise, for long enough to answer otherwise than each other."""
    clips = dataclasses.replace(random_clips(people=3, each=2), crop=CROP)
    return train_tiny(tmp_path_factory.mktemp("trained"), clips, ("p0", "p2"), steps=60)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Long, short and faceless videos, and a folder of frames."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "long.mp4", face_frames(25))
    write_video(folder / "short.mp4", face_frames(10), fps=24)
    write_video(folder / "nobody.mp4", empty_frames(25))
    write_video(folder / "one.mp4", face_frames(1))
    write_folder(folder / "frames", face_frames(12))
    return folder


def predict(video, workdir, out, *further):
    return run([str(video), f"--checkpoint={workdir}", f"--out={out}", *further])


def test_the_command_writes_all_and_says_what_it_is_worth(workdir, videos, tmp_path):
    done = run_module(
        "fdp_jax.predict", str(videos / "long.mp4"), f"--checkpoint={workdir}",
        f"--out={tmp_path / 'said'}",
    )  # fmt: skip
    assert {path.name for path in (tmp_path / "said").iterdir()} == FILES
    content = json.loads((tmp_path / "said" / "prediction.json").read_text())
    assert [row["start"] for row in content["windows"]] == [0.0, 0.1, 0.2, 0.3]
    assert content["frames_per_second"] == pytest.approx(30)
    with open(tmp_path / "said" / "windows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, told in zip(rows, content["windows"], strict=True):
        assert [float(row[f"p_{name}"]) for name in content["classes"]] == [
            *told["probabilities"].values()
        ]
        assert sum(told["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert told["prediction"] == max(told["probabilities"], key=told["probabilities"].get)
        assert (int(row["first_frame"]), int(row["last_frame"])) == (
            told["first_frame"], told["last_frame"],
        )  # fmt: skip
    tops = [max(row["probabilities"].values()) for row in content["windows"]]
    assert tops[content["shown"]["window"]] == max(tops)
    html = (tmp_path / "said" / "prediction.html").read_text()
    for text in (done.stdout, html):
        assert "no detector of lies" in text
        assert "trained on noise" in text and "30 frames" in text
        assert "seed_7/folds/p0" in text and "seed_7/folds/p2" not in text


def test_one_window_is_what_the_network_says_of_the_corpus_clip(workdir, videos, tmp_path):
    from datasets.face_models import get_face_models
    from datasets.faces import FaceLandmarker

    said = predict(videos / "frames", workdir, tmp_path)
    assert [row["start"] for row in said["windows"]] == [None]
    assert said["faces"] == "--per_frame --side=72 --margin=3.5"
    assert "--fps=RATE" in said["notices"][0] and said["frames_per_second"] is None
    assert not (tmp_path / "probabilities.png").exists()
    landmarker = CountingLandmarker(FaceLandmarker(get_face_models()))
    source = open_source(videos / "frames", None)
    clip = one_window(source, None, None, landmarker, Face(CROP, is_grey=True), Seen())
    fold = load_fold(find_folds(workdir)[0])
    whole = fold.predict(clip.frames, np.zeros(1, np.int32), np.full(1, 12, np.int32))
    given = [*said["windows"][0]["probabilities"].values()]
    np.testing.assert_allclose(given, whole["probabilities"][0], atol=2e-6)
    np.testing.assert_allclose(said["shown"]["rank_scores"], whole["rank_scores"][0], atol=1e-4)


def test_an_ensemble_is_the_mean_of_its_folds(workdir, videos, tmp_path):
    def shares(checkpoint, *further):
        said = predict(videos / "long.mp4", checkpoint, tmp_path, *further)
        return said, np.array([[*row["probabilities"].values()] for row in said["windows"]])

    folds = workdir / "seed_7" / "folds"
    _, first = shares(folds / "p0")
    _, second = shares(folds / "p2")
    said, both = shares(workdir, "--ensemble")
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(both, (first + second) / 2, atol=2e-6)
    assert said["folds"] == ["seed_7/folds/p0", "seed_7/folds/p2"]
    assert said["model"].startswith("Mean of 2 networks")


def test_an_interval_is_one_window(workdir, videos, tmp_path):
    said = predict(videos / "long.mp4", workdir, tmp_path, "--onset=0.2", "--offset=0.6")
    (row,) = said["windows"]
    assert (row["first_frame"], row["last_frame"]) == (7, 19)
    assert (row["start"], row["end"]) == (0.2, 0.6)
    said = predict(videos / "frames", workdir, tmp_path, "--fps=100", "--offset=0.05")
    (row,) = said["windows"]
    assert (row["first_frame"], row["last_frame"]) == (1, 6)


def test_a_short_video_is_one_window_and_a_low_rate_is_said(workdir, videos, tmp_path):
    predict(videos / "long.mp4", workdir, tmp_path)
    said = predict(videos / "short.mp4", workdir, tmp_path)
    (row,) = said["windows"]
    assert (row["first_frame"], row["last_frame"], said["frames_read"]) == (1, 10, 10)
    assert any("24 frames a second are few" in notice for notice in said["notices"])
    assert any("shorter than a window" in notice for notice in said["notices"])
    # Nothing of the longer video before stays beside it.
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"probabilities.png"}


def test_json_is_all_that_is_printed(workdir, videos, tmp_path, capsys):
    said = predict(videos / "short.mp4", workdir, tmp_path, "--json")
    assert json.loads(capsys.readouterr().out) == said
    assert json.loads((tmp_path / "prediction.json").read_text()) == said


def test_a_video_without_a_face_ends_with_one_sentence(workdir, videos, tmp_path):
    done = run_module(
        "fdp_jax.predict", str(videos / "nobody.mp4"), f"--checkpoint={workdir}",
        f"--out={tmp_path / 'said'}", check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: no face was found in ") and "(25 frames read" in line
    assert not (tmp_path / "said").exists()


@pytest.mark.parametrize(
    ("video", "further", "told"),
    [
        ("one.mp4", (), "holds a single frame"),
        ("long.mp4", ("--onset=5",), "holds no frame"),
        ("long.mp4", ("--onset=0.5", "--offset=0.2"), "must be later"),
        ("long.mp4", ("--onset=-1",), "0 or more"),
        ("long.mp4", ("--fps=30",), "is for a folder"),
        ("frames", ("--onset=0.1",), "tell --fps=RATE"),
        ("frames", ("--fps=0",), "must be more than 0"),
        ("none.mp4", (), "there is no video"),
        ("long.mp4", ("--esemble",), "did you mean --ensemble"),
        ("long.mp4", ("again.mp4",), "name one video or folder"),
    ],
)
def test_mistakes_are_one_sentence(workdir, videos, tmp_path, video, further, told):
    with pytest.raises(UserError, match=told):
        predict(videos / video, workdir, tmp_path, *further)


def test_what_cannot_speak_is_said(workdir, videos, tmp_path):
    video = videos / "short.mp4"
    with pytest.raises(UserError, match="there is no folder"):
        predict(video, tmp_path / "nowhere", tmp_path / "said")
    with pytest.raises(UserError, match="is no work directory"):
        predict(video, tmp_path, tmp_path / "said")
    with pytest.raises(UserError, match="is one fold"):
        predict(video, workdir / "seed_7" / "folds" / "p2", tmp_path / "said", "--ensemble")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        predict(video, workdir, tmp_path / "file")
    for name, options in (("checkpoint", ["--out=x"]), ("out", [f"--checkpoint={workdir}"])):
        with pytest.raises(UserError, match=f"--{name}=DIR is needed"):
            run([str(video), *options])


def test_a_network_without_recognition_is_said(workdir, monkeypatch):
    def without_recognition(directory):
        fold = load_fold(directory)
        return dataclasses.replace(fold, config=dataclasses.replace(fold.config, ablate="no_mer"))

    monkeypatch.setattr(predicting, "load_fold", without_recognition)
    with pytest.raises(UserError, match="trained without recognition"):
        predicting.load_networks(workdir, all_folds=False)


def test_a_network_without_rank_scorer_has_no_curve(workdir, videos, tmp_path, monkeypatch):
    def without_rank_scorer(self, *clips):
        answer = original(self, *clips)
        del answer["rank_scores"], answer["dynamic_image"]
        return answer

    original = TrainedFold.predict
    monkeypatch.setattr(TrainedFold, "predict", without_rank_scorer)
    said = predict(videos / "short.mp4", workdir, tmp_path)
    assert said["shown"]["rank_scores"] is None
    assert not (tmp_path / "rank_scores.png").exists()
    assert (tmp_path / "dynamic_image.png").exists()
    assert (tmp_path / "prediction.html").read_text().count("<img") == 2


def test_the_page_escapes_names_and_fetches_nothing(workdir, videos, tmp_path):
    video = tmp_path / "<b>é'\"&.mp4"
    video.write_bytes((videos / "short.mp4").read_bytes())
    predict(video, workdir, tmp_path / "said")
    html = (tmp_path / "said" / "prediction.html").read_text(encoding="utf-8")
    assert "<b>" not in html and "&lt;b&gt;é" in html
    assert "://" not in html and 'src="data:image/png;base64,' in html
    assert html.count("<img") == 3


def test_what_it_was_trained_on_decides_what_it_is_worth():
    drawn = Model(
        *("runs/x", ("f",), "synthetic", "5class", "small", "v", "--side=72", ("a", "b"), 900),
        select="last",
    )
    assert "drawn faces" in drawn.worth and "no more than a guess" in drawn.worth
    filmed = dataclasses.replace(drawn, dataset="samm")
    assert "trained on samm: few people, filmed in a laboratory" in filmed.worth

    assert "--select" not in drawn.told
    chosen = dataclasses.replace(drawn, select="val")
    assert "Its last step speaks; --select=val is heeded by the report alone." in chosen.told


def test_the_folds_of_an_ensemble_must_see_the_same_faces(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    shutil.copytree(workdir / "seed_7", tmp_path / "run" / "seed_8")
    path = tmp_path / "run" / "seed_8" / "run.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"input": told["input"] | {"margin": 2.0}}))
    with pytest.raises(UserError, match="not trained on the same categories and faces"):
        predicting.load_networks(tmp_path / "run", all_folds=True)
    assert len(predicting.load_networks(tmp_path / "run", all_folds=False)) == 1


def test_answers_that_are_no_numbers_are_said(workdir, videos, tmp_path, monkeypatch):
    def broken(self, *clips):
        answer = original(self, *clips)
        return answer | {"probabilities": answer["probabilities"] * np.nan}

    original = TrainedFold.predict
    monkeypatch.setattr(TrainedFold, "predict", broken)
    with pytest.raises(UserError, match="are no numbers"):
        predict(videos / "long.mp4", workdir, tmp_path / "said")
    assert not (tmp_path / "said").exists()


def test_a_failure_leaves_no_empty_folder_and_takes_none(workdir, videos, tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("new", "there"):
        with pytest.raises(UserError, match="no face was found"):
            predict(videos / "nobody.mp4", workdir, tmp_path / name)
    assert not (tmp_path / "new").exists() and (tmp_path / "there").is_dir()


def test_too_few_frames_a_second_are_said_for_what_they_are(workdir, tmp_path):
    video = write_video(tmp_path / "slow.mp4", face_frames(4), fps=1)
    with pytest.raises(UserError, match=r"1 frames a second, so that a window of 0.5 s holds a si"):
        predict(video, workdir, tmp_path / "said")


def test_options_may_stand_apart_from_their_values_and_name_the_folder_one_is_in():
    video, options = options_from(["--checkpoint", ".", "--out", ".", "--", "-v.mp4"])
    assert video == Path("-v.mp4") and options.checkpoint == options.out == Path(".")
    with pytest.raises(UserError, match=r"^--onset must be a number, not 'soon'"):
        options_from(["v.mp4", "--checkpoint=c", "--out=o", "--onset=soon"])
    with pytest.raises(UserError, match="--out= names nothing"):
        options_from(["v.mp4", "--checkpoint=c", "--out="])


def test_where_a_window_lies_in_words():
    frames = {"first_frame": 4, "last_frame": 9}
    assert page.stretch({"start": None, "end": None, **frames}) == "frames 4 to 9"
    assert page.stretch({"start": 0.1, "end": 0.6, **frames}) == "0.10 to 0.60 s, frames 4 to 9"


def test_options_are_checked_without_jax():
    checks = (
        "import sys; from fdp_jax.predict import options_from"
        "; options_from(['v.mp4', '--checkpoint=c', '--out=o', '--onset=0.5'])"
        "; assert not {'jax', 'flax', 'cv2', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", checks], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("goes_on", "told"),
    [(False, "interrupted\n"), (True, "interrupted; run the same command again to resume\n")],
)
def test_ctrl_c_promises_only_what_holds(goes_on, told, capsys):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        main_with_clear_errors(interrupted, goes_on)
    assert stop.value.code == 130 and capsys.readouterr().err == told

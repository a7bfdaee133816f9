"""`python -m fdp_jax.predict` with the files of other cameras and on other people's machines."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.crop import Crop
from datasets.face_models import get_face_models
from fdp_jax.inference.trained_network import find_folds
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.predict import run
from tests.conftest import USER_WITHOUT_ENTRY, run_module
from tests.helpers.face_videos import face_frames, widen_pixels, write_folder, write_video
from tests.helpers.tiny import random_clips, train_tiny

# What shells, notebooks and batch systems set.
STRANGE = {
    "JAX_ENABLE_X64": "maybe",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_RANDOM_SEED_OFFSET": "5",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONIOENCODING": "ascii",
    "http_proxy": "socks://127.0.0.1:9",
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Two folds trained on noise."""
    clips = dataclasses.replace(random_clips(people=3, each=2), crop=Crop(False, 72, 3.5))
    return train_tiny(tmp_path_factory.mktemp("trained"), clips, ("p0", "p2"), steps=20)


def predict(video, workdir, out, *options):
    return run([str(video), f"--checkpoint={workdir}", f"--out={out}", *options])


def test_neither_environment_nor_a_missing_home_changes_a_prediction(workdir, tmp_path):
    video = write_video(tmp_path / "a.mp4", face_frames(10), fps=24).rename(tmp_path / "größer.mp4")
    expected = predict(video, workdir, tmp_path / "expected")
    (tmp_path / "sitecustomize.py").write_text(USER_WITHOUT_ENTRY)
    environment = {**os.environ, **STRANGE, "PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    environment = {name: environment[name] for name in environment if name != "HOME"}
    done = run_module(
        "fdp_jax.predict", str(video), f"--checkpoint={workdir}", f"--out={tmp_path / 'out'}",
        f"--face_models={get_face_models().detector.parent}",
        f"--compilation_cache={Path('~/.cache/fdp_jax/compiled').expanduser()}", env=environment,
    )  # fmt: skip
    assert done.stdout.startswith(f"{tmp_path}/gr??er.mp4: 192x208 pixels, 24 frames/s")
    assert "JAX_ENABLE_X64" in done.stderr and "numbers must not depend on" in done.stderr
    assert json.loads((tmp_path / "out" / "prediction.json").read_text()) == expected
    pictures = {path.name for path in (tmp_path / "expected").glob("*.png")}
    assert "filmstrip.png" in pictures
    for name in pictures:
        here, there = (tmp_path / folder / name for folder in ("expected", "out"))
        assert here.read_bytes() == there.read_bytes(), name
    assert (tmp_path / f"fdp_jax_{os.getuid()}").stat().st_mode & 0o777 == 0o700  # the home


def test_a_platform_that_is_not_there_is_one_sentence(workdir, tmp_path):
    video = write_video(tmp_path / "two.mp4", face_frames(2))
    done = run_module(
        "fdp_jax.predict", str(video), f"--checkpoint={workdir}", f"--out={tmp_path / 'out'}",
        env={**os.environ, "JAX_PLATFORMS": "cuda"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: JAX_PLATFORMS=cuda in the environment names a device")
    assert not (tmp_path / "out").exists()


def test_pictures_of_12_bits_are_predicted_as_those_of_8(workdir, tmp_path):
    shallow = face_frames(8)
    deep = [np.rint(frame * (4095 / 255)).astype(np.uint16) for frame in shallow]
    content = predict(write_folder(tmp_path / "deep", deep), workdir, tmp_path / "out")
    assert "with 4095 as white" in " ".join(content["notices"])
    expected = predict(write_folder(tmp_path / "shallow", shallow), workdir, tmp_path / "out8")
    assert content["windows"] == expected["windows"]
    assert "white" not in " ".join(expected["notices"])


def test_a_squeezed_face_of_a_camcorder_keeps_all_windows(workdir, tmp_path):
    frames = [cv2.resize(frame, (132, 208)) for frame in face_frames(25)]
    video = write_video(tmp_path / "camcorder.mp4", frames)
    widen_pixels(video)
    content = predict(video, workdir, tmp_path / "out")
    assert (content["width"], content["height"]) == (192, 208)
    assert [row["start"] for row in content["windows"]] == [0.0, 0.1, 0.2, 0.3]
    assert "1.45 times as wide as high; frames are stretched to 192x208" in content["notices"][0]


def test_slow_motion_has_the_times_of_the_camera(workdir, tmp_path):
    video = write_video(tmp_path / "slow_motion.mp4", face_frames(25), fps=30)
    content = predict(video, workdir, tmp_path / "out", "--fps=50")
    assert content["frames_per_second"] == 50
    assert [(row["start"], row["last_frame"]) for row in content["windows"]] == [(0.0, 25)]
    stated = "The file states 30 frames per second; times are those of --fps=50."
    assert content["notices"][0] == stated


def test_the_accuracy_of_the_network_and_the_order_of_windows(workdir, tmp_path, capsys):
    video = write_video(tmp_path / "long.mp4", face_frames(25))
    content = predict(video, workdir, tmp_path / "out")
    tables = [PredictionTable.read(fold.predictions) for fold in find_folds(workdir)]
    own, other = (int(table.correct.sum()) for table in tables)
    assert content["worth"].startswith(
        f"The network of fold p0 was right for {own} of 2 clips ({50 * own} %) of people left out "
        f"of its training, and all 2 folds together for {own + other} of 4 clips "
        f"({25 * (own + other)} %); guessing is right for 50 %."
    )
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("The 4 most confident of 4 windows, in order of") for line in lines)
    shares = [max(row["probabilities"].values()) for row in content["windows"]]
    starts = [line.split()[0] for line in lines if line.startswith("  0.")]
    in_order = sorted(range(4), key=lambda k: -shares[k])
    assert starts == [f"{content['windows'][k]['start']:.2f}" for k in in_order]
    # A rule that chose other weights than the last ones is no accuracy of this network.
    copy = shutil.copytree(workdir, tmp_path / "copy")
    for fold in find_folds(copy):
        text = fold.predictions.read_text()
        fold.predictions.write_text(text.replace(",last,", ",test-best,"))
    content = predict(video, copy, tmp_path / "out")
    assert content["worth"].startswith("The accuracy of the network after the last step was not")

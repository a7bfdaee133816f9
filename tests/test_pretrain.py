"""`python -m fdp_jax.pretrain`: from drawn people to weights that a training starts from."""

import json
import shutil
import sys

import cv2
import numpy as np
import pytest

from datasets.errors import UserError
from datasets.synthetic.clips import ClipSpec
from fdp_jax import pretrain, train
from fdp_jax.animation import stills
from fdp_jax.animation.action_units import CATEGORIES, PLACES
from fdp_jax.weights import read_weights
from tests.helpers.tiny import TINY_OPTIONS

FEW = ["--people=12", "--stills=1", *TINY_OPTIONS]


def run(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    module.main()


def photograph(person: int) -> np.ndarray:
    return next(ClipSpec(3, person, 0, "anger").frames())


def test_pretraining_writes_weights_that_a_training_starts_from(
    tmp_path, monkeypatch, capsys, data_dir
):
    workdir, out = tmp_path / "pretrained", tmp_path / "tiny.weights"
    command = [*FEW, f"--workdir={workdir}", f"--out={out}"]
    run(monkeypatch, pretrain, *command)
    printed = capsys.readouterr().out
    for name in ("accuracy", "rank loss", "dynamic image MSE"):
        assert f"| {name}" in printed
    weights = read_weights(str(out))
    assert weights.classes == CATEGORIES
    assert weights.trained_on == "12 drawn people of seed 10000"
    assert "--people=12" in weights.command
    report = json.loads((workdir / "report.json").read_text())
    assert report["complete"] and report["n_subjects"] == 2  # a tenth, rounded up
    assert weights.scores["accuracy"] == pytest.approx(report["acc"])
    # The same command again trains nothing and writes the same file.
    before = out.read_bytes()
    shutil.rmtree(workdir / "seed_0" / "folds" / "held_out" / "checkpoints" / "0", True)
    run(monkeypatch, pretrain, *command)
    assert out.read_bytes() == before

    tuned = tmp_path / "tuned"
    run(
        monkeypatch, train, "--dataset=synthetic", f"--data_dir={data_dir}", "--folds=s01",
        f"--workdir={tuned}", f"--init={out}", *TINY_OPTIONS,
    )  # fmt: skip
    assert f"started from weights {weights.digest[:12]}" in (tuned / "report.md").read_text()


def test_faces_of_a_folder_of_photographs(tmp_path):
    for person in range(2):
        folder = tmp_path / f"person {person}"
        folder.mkdir()
        cv2.imwrite(str(folder / "one.png"), photograph(person))
    cv2.imwrite(str(tmp_path / "alone.jpg"), photograph(2))
    cv2.imwrite(str(tmp_path / "nobody.png"), np.full((200, 200), 90, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    faces = stills.photographed_faces(tmp_path, workers=1)
    assert faces.people == ("alone", "person 0", "person 1") and faces.skipped == 1
    assert faces.pixels.shape == (3, 72, 72, 1)  # grey
    # Aligned: the eyes are level, the left one on the left, and at one height.
    left, right = faces.places[:, list(PLACES).index("eye")].transpose(1, 0, 2)
    assert (np.abs(left[:, 1] - right[:, 1]) < 0.5).all() and (right[:, 0] - left[:, 0] > 20).all()


def test_faces_of_a_built_corpus(data_dir):
    faces = stills.corpus_faces("synthetic", data_dir)
    assert len(faces.people) + faces.skipped == 30 and faces.skipped <= 2
    drawn = stills.drawn_faces(1, 1, seed=1, workers=1)  # person s01 of the corpus
    eye = list(PLACES).index("eye")
    np.testing.assert_allclose(faces.places[0, eye], drawn.places[0, eye], atol=1.5)


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--faces=/nowhere"], "there is no folder /nowhere"),
        (["--people=0"], "--people must be at least 1, not 0"),
        (["--ablate=no_dic"], "leave out --ablate"),
        (["--stepz=3"], "did you mean --steps"),
    ],
)
def test_mistakes_are_one_sentence(options, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        parsed = pretrain.parse([*FEW, f"--workdir={tmp_path}", *options])
        pretrain.pretrain(parsed, "")


def test_a_folder_without_faces_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no pictures"):
        stills.photographed_faces(tmp_path)
    cv2.imwrite(str(tmp_path / "nobody.png"), np.full((200, 200), 90, np.uint8))
    with pytest.raises(UserError, match="no face was found"):
        stills.photographed_faces(tmp_path, workers=1)

"""The bundled network: the code still reads it, and it predicts what it predicted."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.synthetic.clips import draw_video
from datasets.synthetic.motion import FPS
from fdp_jax.animation.action_units import CATEGORIES
from fdp_jax.config import PRESETS
from fdp_jax.inference.trained_network import load_weights
from fdp_jax.metrics.spotting import iou
from fdp_jax.predict import run
from fdp_jax.weights import BUNDLED, BUNDLED_NAME, read_weights
from tests.helpers.face_videos import write_video

EXPECTED = Path(__file__).with_name("bundled_predictions.json")


def predictions() -> dict[str, list]:
    """Outputs for clips that are made of numbers alone, without a face detector."""
    rows, columns = np.mgrid[0:72, 0:72] / 72 * 2 * np.pi
    shift = np.arange(4)[:, None, None, None] + np.linspace(0, 0.6, 8)[None, :, None, None]
    waves = np.cos(2 * rows + shift) + np.cos(3 * columns - 2 * shift)
    clips = np.repeat((128 + 50 * waves).astype(np.uint8)[..., None], 3, axis=-1)
    outputs = load_weights(BUNDLED_NAME).predict(clips)
    return {
        name: np.round(outputs[name].astype(float), 4).tolist()
        for name in ("probabilities", "rank_scores")
    }


def test_its_predictions_are_those_of_its_training():
    found, expected = predictions(), json.loads(EXPECTED.read_text())
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=2e-3)
    np.testing.assert_allclose(found["rank_scores"], expected["rank_scores"], atol=2e-3)
    assert np.ptp(expected["rank_scores"]) > 0.05  # else they would say little


def test_its_files_are_small():
    assert BUNDLED["small"][0].stat().st_size < 6e6
    assert all(piece.stat().st_size <= 16 * 2**20 for piece in BUNDLED["paper"])


@pytest.mark.parametrize("preset", BUNDLED)
def test_it_says_where_it_comes_from(preset):
    weights = read_weights(BUNDLED_NAME, preset)
    assert (weights.preset, weights.classes) == (preset, CATEGORIES)
    weights.check_fits(PRESETS[preset])
    assert weights.command.startswith("python -m fdp_jax.pretrain ") and weights.device
    assert weights.scores["accuracy"] > 0.9 and weights.scores["detection AUC"] > 0.98


def test_an_expression_in_a_video_is_spotted_by_the_command(tmp_path, capsys):
    drawn = draw_video(seed=31, person=6, category="surprise", seconds=2.0)
    frames = (cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) for frame in drawn.frames(step=2))
    video = write_video(tmp_path / "clip.avi", frames, fps=FPS / 2)
    content = run([str(video), f"--out={tmp_path / 'out'}"])
    (found,) = content["intervals"]
    onset, apex, offset = drawn.interval
    assert iou((found["onset"], found["offset"]), (onset, offset)) > 0.5
    assert found["onset"] < found["apex"] < found["offset"]
    assert abs(found["apex"] - apex) < 0.06
    assert found["category"] == "surprise" and found["confidence"] > 0.5
    assert "Expressions found: 1" in capsys.readouterr().out
    page = (tmp_path / "out" / "prediction.html").read_text()
    assert "never seen a real micro-expression" in page and "Onset to offset" in page


def test_a_face_at_rest_has_no_expression(tmp_path):
    drawn = draw_video(seed=31, person=3, category=None, seconds=1.5)
    frames = (cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) for frame in drawn.frames(step=4))
    video = write_video(tmp_path / "clip.avi", frames, fps=FPS / 4)
    content = run([str(video), f"--out={tmp_path / 'out'}"])
    assert content["intervals"] == []
    assert "No expression found" in (tmp_path / "out" / "prediction.html").read_text()

"""Detector and mesh on drawn faces, and how the model files come."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets import face_models
from datasets.errors import UserError
from datasets.face_models import get_face_models
from datasets.faces import FaceLandmarker
from datasets.synthetic import drawing


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker(get_face_models())


@pytest.fixture(scope="module")
def face():
    return drawing.draw_face(drawing.draw_person(1, 0))


def test_landmarks_are_68_pixels_and_the_same_for_grey_and_colour(landmarker, face):
    grey = landmarker.find(face)
    assert grey.shape == (68, 2)
    assert grey.dtype == np.float32
    np.testing.assert_array_equal(grey, landmarker.find(cv2.cvtColor(face, cv2.COLOR_GRAY2BGR)))


def test_colour_is_read_as_blue_green_red(landmarker, face):
    tinted = (face[..., None] * np.array([0.3, 0.6, 1.0])).astype(np.uint8)
    wrong = landmarker.find(tinted[..., ::-1])
    right = landmarker.find(tinted)
    assert right is not None
    assert not np.array_equal(right, wrong)  # the order is not ignored


def test_the_largest_of_several_faces_is_taken(landmarker, face):
    frame = np.full((256, 480), 90, np.uint8)
    frame[:, 224:] = face
    frame[60:188, 20:148] = cv2.resize(face, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.abs(landmarker.find(frame) - (224, 0) - landmarker.find(face)).max() < 12


def test_a_small_face_in_a_large_frame_is_found_precisely(landmarker, face):
    frame = np.full((1088, 2040), 60, np.uint8)
    frame[500:756, 1500:1756] = face
    found = landmarker.find(frame) - (1500, 500)
    assert np.abs(found - landmarker.find(face))[17:].mean() < 3


def test_a_turned_face_is_followed(landmarker, face):
    turn = cv2.getRotationMatrix2D((128, 128), 15, 0.8)
    turned = landmarker.find(cv2.warpAffine(face, turn, (256, 256), borderValue=100))
    expected = landmarker.find(face) @ turn[:, :2].T + turn[:, 2]
    assert np.abs(turned - expected)[17:].mean() < 3


@pytest.mark.parametrize("kind", ["flat", "noise", "blobs"])
def test_no_face_is_none(landmarker, kind):
    noise = np.random.default_rng(0).integers(0, 255, (300, 400), dtype=np.uint8)
    frame = {"flat": np.full_like(noise, 128), "noise": noise,
             "blobs": cv2.GaussianBlur(noise, (0, 0), 9)}[kind]  # fmt: skip
    assert landmarker.find(frame) is None


def test_models_come_from_a_folder_of_ones_own(tmp_path, monkeypatch):
    ours = get_face_models()
    for path in (ours.detector, ours.mesh):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(face_models, "_download_wheel", lambda folder: pytest.fail("downloaded"))
    assert get_face_models(tmp_path).mesh == tmp_path / "face_landmark.tflite"
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    home = Path("~") / tmp_path.name
    assert get_face_models(home).mesh == tmp_path / "face_landmark.tflite"


def test_a_wrong_or_missing_model_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no face_detection_short_range.tflite .*--face_models"):
        get_face_models(tmp_path)
    (tmp_path / "face_detection_short_range.tflite").write_bytes(b"other")
    with pytest.raises(UserError, match="not the expected model"):
        get_face_models(tmp_path)


def test_without_a_package_index_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match=r"pip could not download .* --face_models=DIR"):
        get_face_models()
    assert not any(tmp_path.rglob("*.tflite"))


def test_a_damaged_cache_is_filled_again(tmp_path, monkeypatch):
    ours = get_face_models()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = face_models.cache_folder("face_models")
    shutil.copy(ours.mesh, cache)
    (cache / ours.detector.name).write_bytes(b"half")

    def fake_wheel(folder):
        import zipfile

        wheel = folder / "mediapipe.whl"
        members = {Path(member).name: member for member in face_models._MODELS}
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in (ours.detector, ours.mesh):
                archive.write(path, members[path.name])
        return wheel

    monkeypatch.setattr(face_models, "_download_wheel", fake_wheel)
    assert get_face_models().detector.read_bytes() == ours.detector.read_bytes()
    assert {path.name for path in cache.iterdir()} == {ours.detector.name, ours.mesh.name}

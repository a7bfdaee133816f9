"""Landmarks that are kept: never asked for twice, never in the way."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from datasets import faces, landmark_cache
from datasets.build import BuildOptions, build_corpus
from datasets.builder import CorpusBuilder
from datasets.face_models import FaceModels, get_face_models
from datasets.landmark_cache import CachedLandmarker, LandmarkFile, read_landmarks
from datasets.reading import open_corpus

TINY = BuildOptions(people=1, clips_per_category=1, workers=1)


@pytest.fixture
def asked(monkeypatch):
    """Frames that the detector was asked for, in this process."""
    asked, find = [], faces.FaceLandmarker.find

    def count(self, frame):
        asked.append(frame)
        return find(self, frame)

    monkeypatch.setattr(faces.FaceLandmarker, "find", count)
    return asked


def _file(data_dir):
    return data_dir / "synthetic" / "landmarks.npz"


def _build(data_dir, options=TINY, **changes):
    build_corpus("synthetic", data_dir, None, dataclasses.replace(options, **changes), True)
    return list(open_corpus("synthetic", data_dir))


def _assert_same_landmarks(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


def _assert_same(examples, others):
    for example, other in zip(examples, others, strict=True):
        np.testing.assert_array_equal(example["frames"], other["frames"])


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A data_dir with a built corpus and its landmarks, and the corpus' examples."""
    data_dir = tmp_path_factory.mktemp("first")
    return data_dir, _build(data_dir)


@pytest.fixture
def data_dir(first, tmp_path):
    """A copy of the above."""
    shutil.copytree(first[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_another_crop_or_building_again_asks_the_detector_for_nothing(data_dir, first, asked):
    _assert_same(_build(data_dir), first[1])
    other = _build(data_dir, side=48, margin=1.8)
    assert asked == []
    assert {example["frames"].shape[1:] for example in other} == {(48, 48, 3)}
    fresh = _build(data_dir / "fresh", side=48, margin=1.8)  # which keeps none from before
    assert len(asked) == 5
    _assert_same(other, fresh)


def test_per_frame_asks_only_for_the_other_frames(data_dir, asked):
    frames = sum(len(example["frames"]) for example in _build(data_dir, per_frame=True))
    assert len(asked) == frames - 5  # the first of each clip is known
    _build(data_dir)
    _build(data_dir, per_frame=True, margin=2.0)
    assert len(asked) == frames - 5


def test_the_same_corpus_comes_with_and_without_kept_landmarks(data_dir, first, monkeypatch):
    again = _build(data_dir, per_frame=True)
    assert len(read_landmarks(_file(data_dir))) > 5
    original = CorpusBuilder.__init__

    def forgetful(self, *, landmark_file, **kwargs):
        original(self, **kwargs)

    monkeypatch.setattr(CorpusBuilder, "__init__", forgetful)
    without = data_dir / "without"
    _assert_same(_build(without, per_frame=True), again)
    assert not _file(without).exists()


def test_workers_hand_over_what_they_find(data_dir, tmp_path, first, asked):
    other = tmp_path / "other"
    _assert_same(_build(other, workers=2), first[1])
    mine, theirs = read_landmarks(_file(data_dir)), read_landmarks(_file(other))
    assert mine.keys() == theirs.keys()
    assert _build(other) and asked == []


def _flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[: len(whole) // 2], lambda _: b"", lambda _: b"PK\x03\x04",
     lambda whole: _flipped(whole, 200)],
    ids=["half", "empty", "a zip's beginning", "a flipped bit"],
)  # fmt: skip
def test_a_torn_file_is_replaced(data_dir, first, asked, damage):
    whole = read_landmarks(_file(data_dir))
    _file(data_dir).write_bytes(damage(_file(data_dir).read_bytes()))
    _assert_same(_build(data_dir), first[1])
    assert len(asked) == 5
    _assert_same_landmarks(read_landmarks(_file(data_dir)), whole)


def test_no_flipped_byte_is_fatal(data_dir):
    whole, path = _file(data_dir).read_bytes(), data_dir / "flipped.npz"
    intact = read_landmarks(_file(data_dir))
    for place in range(0, len(whole), 7):
        path.write_bytes(_flipped(whole, place))
        read = read_landmarks(path)
        if read:  # a byte without meaning, as of the time of writing
            _assert_same_landmarks(read, intact)


@pytest.mark.parametrize(
    "arrays",
    [
        {"keys": np.zeros((3, 16), np.uint8)},
        {"keys": np.zeros((3, 16), np.uint8), "points": np.zeros((2, 68, 2), np.float32)},
        {"keys": np.zeros((3, 16), np.uint8), "points": np.zeros((3, 68, 2))},
        {"keys": np.zeros((3, 8), np.uint8), "points": np.zeros((3, 68, 2), np.float32)},
        {"keys": np.uint8(1), "points": np.zeros((3, 68, 2), np.float32)},
        {"keys": np.array([{}], object), "points": np.array([print], object)},
    ],
)
def test_a_file_of_other_arrays_is_left_aside(tmp_path, arrays):
    path = tmp_path / "landmarks.npz"
    np.savez(path, **arrays)
    assert len(read_landmarks(path)) == 0


class _Finder:
    def __init__(self, answer):
        self.answer, self.asked = answer, 0

    def find(self, frame):
        self.asked += 1
        return self.answer


def _points(value):
    return np.full((68, 2), value, np.float32)


@pytest.mark.parametrize("answer", [_points(3), None])
def test_an_answer_is_kept_for_the_frame_and_for_none_other(answer):
    frame, models = np.zeros((4, 6), np.uint8), get_face_models()
    one = CachedLandmarker(_Finder(answer), models, {})
    np.testing.assert_array_equal(one.find(frame), answer)
    known = one.take_found()
    assert len(known) == 1 and len(one.take_found()) == 0
    finder = _Finder(_points(7))
    other = CachedLandmarker(finder, models, known)
    np.testing.assert_array_equal(other.find(frame[:, ::-1]), answer)  # the same content
    assert finder.asked == 0 and len(other.take_found()) == 0
    changed = frame.copy()
    changed[3, 5] = 1
    for unknown in (changed, frame.reshape(6, 4), frame[..., None].repeat(3, 2)):
        np.testing.assert_array_equal(other.find(unknown), _points(7))
    assert finder.asked == 3


def test_answers_of_other_models_or_code_do_not_count(tmp_path, monkeypatch):
    frame, models = np.zeros((4, 6), np.uint8), get_face_models()
    one = CachedLandmarker(_Finder(_points(3)), models, {})
    one.find(frame)
    known = one.take_found()
    mesh = tmp_path / "mesh.tflite"
    mesh.write_bytes(models.mesh.read_bytes() + b"x")
    for others in (FaceModels(models.detector, mesh), FaceModels(mesh, models.mesh)):
        finder = _Finder(None)
        assert CachedLandmarker(finder, others, known).find(frame) is None
        assert finder.asked == 1
    code = tmp_path / "faces.py"
    code.write_bytes(b"# otherwise")
    monkeypatch.setattr(landmark_cache.faces, "__file__", str(code))
    assert CachedLandmarker(_Finder(None), models, known).find(frame) is None


def _found(number):
    return {bytes([number] * 16): _points(number)}


def _numbers(path):
    """The numbers of `_found` in a file, by the keys and by the points."""
    kept = read_landmarks(path)
    return [key[0] for key in kept], [found[9, 1] for found in kept.values()]


def test_new_answers_are_saved_now_and_then_and_at_the_end(tmp_path, monkeypatch):
    path, now = tmp_path / "deeper" / "landmarks.npz", [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with pytest.raises(KeyboardInterrupt), LandmarkFile(path) as kept:
        kept.add(_found(1))
        assert not path.exists()
        now[0] += 21
        kept.add(_found(2))
        assert _numbers(path) == ([1, 2], [1, 2])
        now[0] += 5
        kept.add(_found(3))
        assert len(read_landmarks(path)) == 2
        raise KeyboardInterrupt
    assert _numbers(path) == ([1, 2, 3], [1, 2, 3])
    assert [file.name for file in path.parent.iterdir()] == ["landmarks.npz"]
    before = path.stat().st_mtime_ns
    with LandmarkFile(path):
        pass  # nothing new, nothing written
    assert path.stat().st_mtime_ns == before


def test_a_file_that_cannot_be_written_is_left_out(tmp_path):
    (tmp_path / "landmarks.npz").mkdir()
    with LandmarkFile(tmp_path / "landmarks.npz") as kept:
        kept.add(_found(1))
    assert [file.name for file in tmp_path.iterdir()] == ["landmarks.npz"]


def test_a_killed_build_keeps_what_it_had_found(tmp_path, asked):
    code = (
        "import itertools, os, signal, sys\n"
        "from datasets import landmark_cache\n"
        "from datasets.build import BuildOptions, build_corpus\n"
        "landmark_cache._SAVE_EVERY = 0.0\n"
        "add, added = landmark_cache.LandmarkFile.add, itertools.count(1)\n"
        "def dying(self, found):\n"
        "    add(self, found)\n"
        "    if next(added) == 3:\n"
        "        (self._path.parent / '.landmarks.npz.half').touch()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "landmark_cache.LandmarkFile.add = dying\n"
        "options = BuildOptions(people=1, clips_per_category=1, workers=1)\n"
        "build_corpus('synthetic', sys.argv[1], options=options)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(read_landmarks(_file(tmp_path))) == 3
    _build(tmp_path)
    assert len(asked) == 2
    assert sorted(path.name for path in _file(tmp_path).parent.iterdir()) == [
        ".lock", "1.2.0", "landmarks.npz",
    ]  # fmt: skip

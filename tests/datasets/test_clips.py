"""From the frames of a clip to aligned ones: whose landmarks are used, and what is refused."""

import dataclasses
import weakref

import numpy as np
import pytest

from datasets.clip_tasks import build_clip
from datasets.crop import Crop
from datasets.errors import UserError

SMALL, LARGE = (60, 80), (90, 120)


@dataclasses.dataclass
class _Task:
    """Grey frames of the given sizes; the finder below answers by a frame's level."""

    sizes: list
    levels: list  # None: a frame that cannot be read
    subject: str = "s"
    clip: str = "c"
    where: str = "/nowhere"
    drawn: int = 0  # frames that were asked for

    def annotation(self):
        return None

    def frames(self):
        for size, level in zip(self.sizes, self.levels, strict=True):
            self.drawn += 1
            yield None if level is None else np.full(size, level, np.uint8)


FACE, NONE, DEGENERATE, NOT_FINITE, TURNED = 200, 10, 20, 30, 210


class _Finder:
    asked = 0

    def find(self, frame):
        self.asked += 1
        match frame[0, 0]:
            case 200 | 210:  # a face across the whole frame
                points = np.random.default_rng(0).uniform(0.3, 0.7, (68, 2))
                points[36:42], points[42:48] = (0.3, 0.4), (0.7, 0.4)
                if frame[0, 0] == TURNED:
                    points = points[:, ::-1]
                return (points * frame.shape[::-1]).astype(np.float32)
            case 20:  # both eyes on one place
                return np.ones((68, 2), np.float32)
            case 30:
                return np.full((68, 2), np.nan, np.float32)
        return None


def _build_clip(task, per_frame=False, side=72, margin=2.5, finder=None):
    return build_clip(task, finder or _Finder(), Crop(per_frame, side, margin))


def _build(sizes, levels, per_frame=False, **crop):
    return _build_clip(_Task(sizes, levels), per_frame, **crop).frames


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("useless", [NONE, DEGENERATE, NOT_FINITE])
def test_degenerate_landmarks_are_no_face(useless, per_frame):
    assert _build([SMALL] * 3, [useless] * 3, per_frame) is None
    built = _build([SMALL] * 3, [useless, FACE, useless], per_frame)
    assert built.shape == (3, 72, 72, 3)
    assert [frame[36, 36, 0] for frame in built] == [useless, FACE, useless]


def test_side_and_margin_are_obeyed():
    levels = [NONE, FACE, NONE]  # frames before and after the one with the face
    assert _build([SMALL] * 3, levels, side=40).shape == (3, 40, 40, 3)
    narrow, wide = (_build([SMALL] * 3, levels, margin=margin) for margin in (1.5, 4.0))
    outside = [(built[0] == 128).mean() for built in (narrow, wide)]
    assert outside[0] < 0.3 < 0.6 < outside[1]


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(UserError, match=r"frame 3, from the onset, of clip c of s \(/nowhere\) is "
                       r"120x90 pixels, but .* one of 80x60; .*--per_frame\."):  # fmt: skip
        _build([SMALL, SMALL, LARGE], [FACE] * 3)
    # Also the frames before the one that shows the face.
    with pytest.raises(UserError, match=r"frame 1, .* is 120x90 pixels"):
        _build([LARGE, SMALL], [NONE, FACE])
    with pytest.raises(UserError, match=r"frame 2, .* is 120x90 pixels"):
        _build([SMALL, LARGE, SMALL], [None, NONE, FACE])


def test_per_frame_takes_any_size_of_a_frame_with_a_face_of_its_own():
    assert len(_build([SMALL, LARGE, LARGE], [FACE, FACE, NONE], per_frame=True)) == 3
    with pytest.raises(UserError, match=r"frame 2, .* is 120x90 .* since it shows no face"):
        _build([SMALL, LARGE], [FACE, NONE], per_frame=True)


def _is_as(frame, reference):
    """Whether two frames show what lies outside at the same places."""
    return np.array_equal(frame == 128, reference == 128)


def test_whose_landmarks_a_frame_takes():
    upright, turned = _build([SMALL], [FACE]), _build([SMALL], [TURNED])
    assert not _is_as(upright, turned)
    levels = [NONE, FACE, NONE, TURNED, NONE]
    fixed = _build([SMALL] * 5, levels)
    assert all(_is_as(frame, upright[0]) for frame in fixed)
    every = _build([SMALL] * 5, levels, per_frame=True)
    for frame, own in zip(every, [upright, upright, upright, turned, turned], strict=True):
        assert _is_as(frame, own[0])


def test_unreadable_frames_are_left_out_and_counted():
    clip = _build_clip(_Task([SMALL] * 5, [None, NONE, None, FACE, NONE]))
    assert [frame[36, 36, 0] for frame in clip.frames] == [NONE, FACE, NONE]
    assert (clip.readable, clip.unreadable) == (3, 2)
    assert _build_clip(_Task([SMALL] * 2, [FACE, FACE])).unreadable == 0
    torn = _build_clip(_Task([SMALL] * 2, [None, None]))
    assert (torn.frames, torn.readable, torn.unreadable) == (None, 0, 2)
    faceless = _build_clip(_Task([SMALL] * 2, [None, NONE]))
    assert (faceless.frames, faceless.readable, faceless.unreadable) == (None, 1, 1)


@pytest.mark.parametrize(
    ("levels", "per_frame", "read", "asked"),
    [
        ([FACE] * 4, False, 4, 1),
        ([FACE] * 4, True, 4, 4),
        ([NONE, NONE, FACE, FACE], False, 4 + 2, 3),  # the frames before the face twice
        ([NONE] * 4, False, 4, 4),
    ],
)
def test_frames_are_read_once_and_faces_looked_for_once(levels, per_frame, read, asked):
    task, finder = _Task([SMALL] * 4, levels), _Finder()
    _build_clip(task, per_frame, finder=finder)
    assert (task.drawn, finder.asked) == (read, asked)


@pytest.mark.parametrize("levels", [[FACE] * 30, [NONE] * 25 + [FACE] * 5])
def test_frames_as_read_are_not_held(levels):
    alive, most = weakref.WeakSet(), 0

    class Frame(np.ndarray):
        __hash__ = object.__hash__

    class Task(_Task):
        def frames(self):
            nonlocal most
            for frame in super().frames():
                frame = frame.view(Frame)
                alive.add(frame)
                most = max(most, len(alive))
                yield frame

    assert len(_build_clip(Task([SMALL] * 30, levels)).frames) == 30
    assert most <= 5  # whatever the length

"""From the frames of a clip to aligned ones: whose landmarks are used, and what is refused."""

import dataclasses

import numpy as np
import pytest

from datasets.clip_tasks import build_clip
from datasets.errors import UserError

SMALL, LARGE = (60, 80), (90, 120)


@dataclasses.dataclass
class _Task:
    """Grey frames of the given sizes; a frame's level is what the finder below goes by."""

    sizes: list
    levels: list
    subject: str = "s"
    clip: str = "c"
    where: str = "/nowhere"

    def annotation(self):
        return None

    def frames(self):
        return (np.full(s, n, np.uint8) for s, n in zip(self.sizes, self.levels, strict=True))


FACE, NONE, DEGENERATE, NOT_FINITE = 200, 10, 20, 30


class _Finder:
    def find(self, frame):
        match frame[0, 0]:
            case 200:  # a face across the whole frame
                points = np.random.default_rng(0).uniform(0.3, 0.7, (68, 2))
                points[36:42], points[42:48] = (0.3, 0.4), (0.7, 0.4)
                return (points * frame.shape[::-1]).astype(np.float32)
            case 20:  # both eyes on one place
                return np.ones((68, 2), np.float32)
            case 30:
                return np.full((68, 2), np.nan, np.float32)
        return None


def _build(sizes, levels, per_frame=False):
    return build_clip(_Task(sizes, levels), _Finder(), per_frame).frames


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("useless", [NONE, DEGENERATE, NOT_FINITE])
def test_degenerate_landmarks_are_no_face(useless, per_frame):
    assert _build([SMALL] * 3, [useless] * 3, per_frame) is None
    built = _build([SMALL] * 3, [useless, FACE, useless], per_frame)
    assert built.shape == (3, 72, 72, 3)
    assert [frame[36, 36, 0] for frame in built] == [useless, FACE, useless]


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(UserError, match=r"frame 3, from the onset, of clip c \(/nowhere\) is "
                       r"120x90 pixels, but .* one of 80x60; .*--per_frame\."):  # fmt: skip
        _build([SMALL, SMALL, LARGE], [FACE] * 3)
    # Also the frames before the one that shows the face.
    with pytest.raises(UserError, match=r"frame 1, .* is 120x90 pixels"):
        _build([LARGE, SMALL], [NONE, FACE])


def test_per_frame_takes_any_size_of_a_frame_with_a_face_of_its_own():
    assert len(_build([SMALL, LARGE, LARGE], [FACE, FACE, NONE], per_frame=True)) == 3
    with pytest.raises(UserError, match=r"frame 2, .* is 120x90 .* since it shows no face"):
        _build([SMALL, LARGE], [FACE, NONE], per_frame=True)

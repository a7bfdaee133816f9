"""Drawn videos: an expression at its place, rest elsewhere."""

import itertools

import numpy as np
import pytest

from datasets.synthetic.motion import FPS
from datasets.synthetic.videos import draw_video


def test_the_expression_is_where_the_video_says():
    video = draw_video(seed=5, person=1, category="surprise", seconds=2.0)
    onset, apex, offset = video.interval
    assert 0.4 <= onset < apex < offset <= 1.6 and 0.14 <= offset - onset <= 0.5
    strength = video.clip.strengths[:, 0]
    assert strength.argmax() == round(apex * FPS)
    assert not strength[: round(onset * FPS)].any()
    assert strength[round(offset * FPS) + 1 :].max() < 0.11 * strength.max()
    assert len(strength) == 2.0 * FPS


def test_without_an_expression_only_distractors_move():
    video = draw_video(seed=5, person=1, category=None, seconds=2.0)
    assert video.interval is None and not video.clip.strengths[:, 0].any()
    assert video.clip.strengths[:, 1:].any()


def test_frames_are_reproducible_and_differ_between_people():
    first, again, other = (
        np.stack(list(itertools.islice(draw_video(5, person, "anger", 1.5).frames(), 3)))
        for person in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_video_must_hold_its_expression():
    with pytest.raises(ValueError):
        draw_video(5, 0, "anger", 0.5)

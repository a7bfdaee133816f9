"""Scores of spotting, worked out by hand."""

import pytest

from fdp_jax.metrics.spotting import detection_auc, iou, match, score_spotting


@pytest.mark.parametrize(
    "first, second, expected",
    [((0, 4), (2, 6), 1 / 3), ((0, 1), (1, 2), 0.0), ((0, 1), (5, 6), 0.0), ((1, 3), (1, 3), 1.0)],
)
def test_iou(first, second, expected):
    assert iou(first, second) == pytest.approx(expected)
    assert iou(second, first) == pytest.approx(expected)


def test_each_interval_is_matched_once_and_the_best_overlap_first():
    truths = [(0.0, 1.0), (2.0, 3.0)]
    found = [(0.4, 1.0), (0.1, 1.0), (2.0, 2.5), (2.6, 3.2)]
    # IoU with the first truth 0.6 and 0.9; with the second 0.5 and 1/3.
    assert match(found, truths) == [(1, 0), (2, 1)]


def test_videos_are_pooled():
    truths = [[(0.0, 1.0)], [], [(0.0, 1.0), (4.0, 5.0)]]
    found = [[(0.0, 0.9)], [(1.0, 2.0)], [(0.0, 0.4), (4.1, 5.0)]]
    scores = score_spotting(found, truths)
    assert (scores.truths, scores.found, scores.matched) == (3, 4, 2)
    assert scores.precision == 0.5 and scores.recall == pytest.approx(2 / 3)
    assert scores.f1 == pytest.approx(4 / 7)
    nothing = score_spotting([[]], [[]])
    assert (nothing.precision, nothing.recall, nothing.f1) == (0.0, 0.0, 0.0)


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    # Pairs of (0.9, 0.4) with (0.4, 0.2): right, right, tie, right.
    assert detection_auc([0.9, 0.4, 0.4, 0.2], [True, True, False, False]) == 3.5 / 4
    with pytest.raises(ValueError):
        detection_auc([0.5], [True])

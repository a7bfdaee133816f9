"""Baselines of the auxiliary tasks, worked out by hand."""

import math

import numpy as np
import pytest

from fdp_jax.metrics import auxiliary_tasks


def test_baselines_of_the_dynamic_image_by_hand():
    # Two clips of two pixels: mean image (0.25, 0.75); one construction has the structure of its
    # target; the other is as flat as its target.
    target = np.array([[[0.0, 1.0]], [[0.5, 0.5]]], dtype=np.float32)
    constructed = np.array([[[0.5, 0.6]], [[0.5, 0.5]]], dtype=np.float32)
    levels = auxiliary_tasks.dynamic_image_levels(target, constructed, np.array([0.25, 0.0]))
    assert levels.pop("structure_correlation") == pytest.approx(0.5)
    assert levels == {
        "mse": 0.125, "best_constant_image": 0.0625, "best_constant_value": 0.125,
        "own_mean": 0.125,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "verdict"), [(1.0, "nothing"), (0.99, "little"), (0.9, "brightness"), (0.4, "learnt")]
)
def test_verdicts(loss, verdict):
    assert auxiliary_tasks.verdict(loss, best_constant=1.0, own_mean=0.5) == verdict
    of_rank = "learnt" if verdict == "brightness" else verdict
    assert auxiliary_tasks.verdict(16 * loss, best_constant=16.0) == of_rank


def test_rank_loss_and_its_best_constant_by_hand():
    assert auxiliary_tasks.best_constant_rank_loss(8, 1.0) == 16.0
    assert auxiliary_tasks.best_constant_rank_loss(8, 0.5) == 8.0
    scores = np.array([np.arange(8.0), np.full(8, 3.5), np.arange(8.0)[::-1]])
    # Backwards: |k - (7 - k)| = 7 + 5 + 3 + 1 + 1 + 3 + 5 + 7.
    np.testing.assert_allclose(auxiliary_tasks.rank_losses(scores, 1.0), [0, 16, 32])
    taus = auxiliary_tasks.kendall_taus(scores)
    assert taus[0] == pytest.approx(1) and math.isnan(taus[1]) and taus[2] == pytest.approx(-1)
    levels = auxiliary_tasks.rank_levels(scores, 1.0)
    assert (levels["loss"], levels["n_constant"]) == (16, 1)
    assert levels["kendall_tau"] == pytest.approx(0)

"""Eqs. 5 to 8 against numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import LossConfig
from fdp_jax.losses import dynamic_image_loss, rank_loss, recognition_loss, total_loss

LOSSES = {
    "cross_entropy": jnp.array(1.5),
    "dynamic_image": jnp.array(0.02),
    "rank": jnp.array(16.0),
}


def test_rank_loss_by_hand():
    scores = jnp.array([[0.0, 1.0, 2.0], [1.5, 1.5, 1.5], [2.0, 1.0, -1.0]])
    # |0-0|+|1-1|+|2-2|; 1.5+0.5+0.5; 2+0+3
    np.testing.assert_allclose(rank_loss(scores, 1.0), [0.0, 2.5, 5.0])
    np.testing.assert_allclose(rank_loss(scores[:1], 2.0), [0 + 1 + 2])


def test_best_constant_score_of_eight_frames_costs_sixteen():
    assert rank_loss(jnp.full((1, 8), 3.5), 1.0)[0] == 16.0


def test_recognition_loss_by_hand():
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]))
    np.testing.assert_allclose(
        recognition_loss(logits, jnp.array([0, 1])), [-np.log(0.7), -np.log(0.25)], rtol=1e-6
    )


def test_dynamic_image_loss_is_the_mean_over_pixels():
    target = jnp.zeros((2, 2, 2))
    image = jnp.array([[[1.0, 0.0], [0.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]])
    np.testing.assert_allclose(dynamic_image_loss(image, target), [0.25, 0.25])


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("cross_entropy", 100 * 0.02 + 0.1 * 16),
        ("dynamic_image", 1.5 + 0.1 * 16),
        ("rank", 1.5 + 100 * 0.02),
    ],
)
def test_total_without_a_term_is_the_sum_of_the_rest(missing, expected):
    terms = {name: loss for name, loss in LOSSES.items() if name != missing}
    assert float(total_loss(terms, LossConfig())) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (LossConfig(), 1.5 + 100 * 0.02 + 0.1 * 16),
        (LossConfig(recognition_weight=0.0, dynamic_image_weight=2.0, rank_weight=3.0), 48.04),
    ],
)
def test_total_is_the_weighted_sum(weights, expected):
    assert float(total_loss(LOSSES, weights)) == pytest.approx(expected)

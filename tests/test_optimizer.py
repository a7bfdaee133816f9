"""Adam with L2 inside and the schedule, against numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import OptimizerConfig
from fdp_jax.train_step import learning_rate_schedule, make_optimizer


def test_warm_up_rises_and_cosine_falls_to_zero():
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=4, schedule="cosine")
    rate = learning_rate_schedule(config, steps=12)
    np.testing.assert_allclose(
        [rate(s) for s in range(5)], [0.02, 0.04, 0.06, 0.08, 0.1], rtol=1e-6
    )
    np.testing.assert_allclose([rate(8), rate(12)], [0.05, 0.0], atol=1e-9)


def test_constant_stays():
    rate = learning_rate_schedule(OptimizerConfig(learning_rate=0.1), steps=10)
    assert [float(rate(step)) for step in (0, 5, 1000)] == pytest.approx([0.1] * 3)


def test_first_two_steps_of_adam_by_hand():
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.5, second_moment_decay=0.75)
    optimizer = make_optimizer(config, steps=10)
    weight = jnp.array(2.0)
    state = optimizer.init(weight)
    # The gradient 3 becomes 3 + 0.5 * 2 = 4; the first step of Adam is its sign.
    update, state = optimizer.update(jnp.array(3.0), state, weight)
    assert float(update) == pytest.approx(-0.1)
    weight = weight + update
    # Second: 0 + 0.5 * 1.9 = 0.95. m = .9 * .4 + .1 * .95, v = .75 * 4 + .25 * .9025
    update, state = optimizer.update(jnp.array(0.0), state, weight)
    m, v = 0.9 * 0.4 + 0.1 * 0.95, 0.75 * 4 + 0.25 * 0.95**2
    expected = -0.1 * (m / (1 - 0.9**2)) / np.sqrt(v / (1 - 0.75**2))
    assert float(update) == pytest.approx(expected, rel=1e-5)

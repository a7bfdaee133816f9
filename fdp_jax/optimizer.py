"""Adam with L2 inside, as the paper's framework has it, and the learning-rate schedule."""

import optax

from fdp_jax.config import OptimizerConfig


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Step number (from 0) -> learning rate: linear warm-up, then constant or cosine to 0."""
    if config.schedule == "constant":
        after = optax.constant_schedule(config.learning_rate)
    else:
        after = optax.cosine_decay_schedule(
            config.learning_rate, max(steps - config.warmup_steps, 1)
        )
    # The first step of a warm-up already moves.
    warmup = optax.linear_schedule(
        config.learning_rate / (config.warmup_steps + 1), config.learning_rate, config.warmup_steps
    )
    return optax.join_schedules([warmup, after], [config.warmup_steps])


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Adam (beta_1 0.9, eps 1e-8) on gradients to which weight_decay * w was added."""
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.scale_by_adam(b2=config.second_moment_decay),
        optax.scale_by_learning_rate(learning_rate_schedule(config, steps)),
    )

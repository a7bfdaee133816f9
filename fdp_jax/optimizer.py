"""Adam with an L2 penalty inside, as in PyTorch, and the learning-rate schedule."""

import optax

from fdp_jax.config import OptimizerConfig


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Returns step (from 0) -> learning rate: linear warm-up, then constant or cosine to 0."""
    if config.schedule == "constant":
        after = optax.constant_schedule(config.learning_rate)
    else:
        after = optax.cosine_decay_schedule(
            config.learning_rate, max(steps - config.warmup_steps, 1)
        )
    # The first step of the warm-up has a learning rate above 0.
    warmup = optax.linear_schedule(
        config.learning_rate / (config.warmup_steps + 1), config.learning_rate, config.warmup_steps
    )
    return optax.join_schedules([warmup, after], [config.warmup_steps])


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Returns Adam (beta_1 0.9, eps 1e-8) on gradients plus weight_decay * w."""
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.scale_by_adam(b2=config.second_moment_decay),
        optax.scale_by_learning_rate(learning_rate_schedule(config, steps)),
    )

"""The weights a training starts from: truncated normal kernels, zero biases, unit scales.

Two kernels start in their own way, without which a small network stays at chance for hundreds of
steps (the paper is silent on both):

- The temporal pooling has zero mean over time, as the weights of rank pooling have. People differ
  far more than the frames of a clip do; so the heads see change alone from the first step on.
- The rank scorer u is zero. Its loss is by far the largest at first and finds its best constant
  whatever the features are; with u = 0 it does so without pushing them about.
"""

import jax
import jax.numpy as jnp

from fdp_jax.config import ModelConfig
from fdp_jax.models.fdp import FDP

DRAWN = ("kernel", "class_token", "position_embedding")


def initial_variables(model: FDP, key: jax.Array, example: jax.Array) -> dict:
    """Fresh variables of the model.

    All kernels are cut from one draw: a draw for each, as `model.init` makes, takes XLA some
    twenty times longer to compile, and no two kernels share a number either way.

    Args:
      model: the network.
      key: of the draw.
      example: clips of the right shape [1, t, h, w, 3]; only the shape is read.

    Returns:
      {"params": ..., "batch_stats": ...}; kernels (and a transformer's token and position
      embedding) normal with `config.initial_std`, cut at two standard deviations, but for the two
      above.
    """
    config: ModelConfig = model.config
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), example, train=False))
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    kernels = sum(leaf.size for path, leaf in leaves if path[-1].key in DRAWN)
    draw = config.initial_std * jax.random.truncated_normal(key, -2.0, 2.0, (kernels,))
    filled, used = [], 0
    for path, leaf in leaves:
        match path[-1].key:
            case name if name in DRAWN:
                filled.append(draw[used : used + leaf.size].reshape(leaf.shape))
                used += leaf.size
            case "scale" | "var":
                filled.append(jnp.ones(leaf.shape))
            case "bias" | "mean":
                filled.append(jnp.zeros(leaf.shape))
            case unknown:
                raise ValueError(f"no rule for starting '{unknown}'")
    variables = jax.tree_util.tree_unflatten(structure, filled)
    variables.setdefault("batch_stats", {})
    params = variables["params"]
    if "RankScorer" in params:
        params["RankScorer"] = jax.tree.map(jnp.zeros_like, params["RankScorer"])
    pooling = params["TemporalPooling"]["Convolution3D"]
    pooling["kernel"] = _blind_to_constants(
        pooling["kernel"] * (config.temporal_initial_std / config.initial_std)
    )
    return variables


def _blind_to_constants(kernel: jax.Array) -> jax.Array:
    """[3, 3, t, channels] -> the same without its mean over time."""
    return kernel - kernel.mean(axis=2, keepdims=True)

"""In which precision the network computes; weights, statistics and losses are float32 in all."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdp_jax.config import Precision
from fdp_jax.models.fdp import Outputs

# The scores are compared with 0 to t-1, and the logits exponentiated: too fine for eight bits.
IN_FLOAT32 = ("Norm", "RankScorer", "RecognitionHead")


def apply_network(
    model: nn.Module, precision: Precision, variables: dict, clips: jax.Array, **options: Any
) -> Any:
    """`model.apply` with its products in `precision`; outputs in the type of `clips`.

    Args:
      model: FDP.
      precision: `float32` asks for full products where a GPU would take TensorFloat-32 ones.
      variables: params and batch_stats, float32.
      clips: float32 [b, t, h, w, 3].
      options: of `model.apply`.

    Returns:
      Outputs, or (Outputs, updated variables) where `options` name mutable ones.
    """
    if precision == "bfloat16":
        params = jax.tree_util.tree_map_with_path(_in_bfloat16, variables["params"])
        result = model.apply({**variables, "params": params}, clips.astype(jnp.bfloat16), **options)
        if isinstance(result, Outputs):
            return _as(clips.dtype, result)
        return _as(clips.dtype, result[0]), result[1]
    with jax.default_matmul_precision("highest" if precision == "float32" else "tensorfloat32"):
        return model.apply(variables, clips, **options)


def _in_bfloat16(path: tuple, leaf: jax.Array) -> jax.Array:
    names = "/".join(key.key for key in path)
    return leaf if any(name in names for name in IN_FLOAT32) else leaf.astype(jnp.bfloat16)


def _as(dtype: jnp.dtype, outputs: Outputs) -> Outputs:
    return jax.tree.map(lambda output: output.astype(dtype), outputs)

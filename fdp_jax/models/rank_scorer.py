"""RankScorer: one number per frame that should rise with time (section 3.3)."""

import flax.linen as nn
import jax


class RankScorer(nn.Module):
    """S(F_k) = u . F_k, without bias (Eq. 4)."""

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """[b, t, f] -> [b, t]."""
        return nn.Dense(1, use_bias=False)(features)[..., 0]

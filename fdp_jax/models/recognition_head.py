"""RecognitionHead: the MER module (section 3.4.2)."""

import flax.linen as nn
import jax

from fdp_jax.models.layers import max_pool


class RecognitionHead(nn.Module):
    """3x3 max-pool, dense, ReLU, dense.

    Attributes:
      classes: m, categories of the protocol.
      units: width of the first dense layer.
    """

    classes: int
    units: int

    @nn.compact
    def __call__(self, dynamic: jax.Array) -> jax.Array:
        """F^(d) [b, h, w, c] -> logits [b, m]."""
        x = max_pool(dynamic, 3)
        x = x.reshape(x.shape[0], -1)  # [b, (h // 3) (w // 3) c]
        x = nn.relu(nn.Dense(self.units)(x))
        return nn.Dense(self.classes)(x)

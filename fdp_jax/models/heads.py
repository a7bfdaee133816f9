"""Modules that read the frame features: rank scorer, temporal pooling, and the two heads on F^(d).

Axes: b = clips, t = frames, h w = pixels, c = channels, f = frame feature, m = categories.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fdp_jax.models.layers import Layers, max_pool


class RankScorer(nn.Module):
    """S(F_k) = u . F_k (Eq. 4), always in float32; u starts random, with a length near 1.

    Attributes:
      features: f.
    """

    features: int

    def setup(self) -> None:
        """Creates u."""
        u_init = nn.initializers.truncated_normal(self.features**-0.5)
        self.u = self.param("u", u_init, (self.features,))

    def __call__(self, features: jax.Array) -> jax.Array:
        """[b, t, f] -> [b, t]."""
        return features @ self.u

    def feature_of(self, score: float) -> jax.Array:
        """The shortest feature with that score, [f]."""
        return score * self.u / jnp.square(self.u).sum()


class TemporalPooling(nn.Module):
    """3D convolution from 1 to `pooled_channels` channels, 3x3 in space (same), t in time (valid).

    As its kernel spans all frames, it is a 2D convolution whose input channels are the frames.
    The kernel starts with a standard deviation of `temporal_initial_std` (3.0) and zero mean over
    time, like the weights of rank pooling: features differ much more between people than between
    the frames of a clip, so at first the heads receive the changes alone, amplified.
    """

    layers: Layers

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """[b, t, h, w] -> F^(d) [b, h, w, c]."""
        cfg = self.layers.config

        def zero_mean_init(*arguments) -> jax.Array:  # [3, 3, t, c]
            kernel = nn.initializers.truncated_normal(cfg.temporal_initial_std)(*arguments)
            return kernel - kernel.mean(axis=2, keepdims=True)

        convolve = self.layers.conv(
            cfg.pooled_channels, use_bias=True, kernel_init=zero_mean_init, name="Conv3D"
        )
        return convolve(features.transpose(0, 2, 3, 1))


class RecognitionHead(nn.Module):
    """MER module (section 3.4.2): 3x3 max-pool, dense, ReLU, dense.

    Attributes:
      layers: makes the layers.
      classes: m, categories of the protocol.
    """

    layers: Layers
    classes: int

    @nn.compact
    def __call__(self, dynamic: jax.Array) -> jax.Array:
        """F^(d) [b, h, w, c] -> logits [b, m]."""
        x = max_pool(dynamic, 3)
        x = x.reshape(x.shape[0], -1)  # [b, (h // 3) (w // 3) c]
        x = nn.relu(self.layers.dense(self.layers.config.recognition_units, name="Hidden")(x))
        return self.layers.dense(self.classes, name="Output")(x)


class ConvBlock(nn.Module):
    """3x3 convolution, BN, leaky ReLU."""

    layers: Layers
    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, c] -> [b, h, w, channels]."""
        x = self.layers.conv(self.channels, name="Conv")(x)
        return nn.leaky_relu(self.layers.batch_norm("Norm")(x), self.layers.config.leaky_slope)


class Deconvolution(nn.Module):
    """2x2 deconvolution of stride 2 as one matrix product and depth to space."""

    layers: Layers
    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, c] -> [b, 2 h, 2 w, channels]."""
        b, h, w, _ = x.shape
        c = self.channels
        y = self.layers.dense(4 * c, use_bias=False, name="Product")(x).reshape(b, h, w, 2, 2, c)
        y = y.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c)
        return y + self.param("bias", nn.initializers.zeros, (c,)).astype(y.dtype)


class DynamicImageHead(nn.Module):
    """Encoder-decoder with added skips, 1x1 convolution, sigmoid (section 3.4.1, Fig. 3)."""

    layers: Layers

    @nn.compact
    def __call__(self, dynamic: jax.Array) -> jax.Array:
        """F^(d) [b, h, w, c] -> constructed dynamic image [b, h, w] in (0, 1)."""
        layers, x, skips = self.layers, dynamic, []
        for level, channels in enumerate(layers.config.construction_channels, start=1):
            x = ConvBlock(layers, channels, name=f"Encoder{level}")(x)
            skips.append(x)
            x = max_pool(x, 2)
        for level in range(len(skips), 0, -1):
            skip = skips[level - 1]
            channels = skip.shape[-1]
            x = skip + Deconvolution(layers, channels, name=f"Deconvolution{level}")(x)
            x = ConvBlock(layers, channels, name=f"Decoder{level}")(x)
        return nn.sigmoid(layers.dense(1, name="Output")(x)[..., 0])

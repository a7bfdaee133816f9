"""Every implementation of a convolution equals XLA's, gradients included, alone and vmapped."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import ModelConfig
from fdp_jax.models.convolutions import (
    conv_by_blocks,
    conv_by_patches,
    conv_by_rows,
    pixelwise_dot_general,
    relu_dot_general,
)
from fdp_jax.models.layers import BLOCKS_UP_TO_CHANNELS, Layers

RNG = np.random.default_rng(1)
IMPLEMENTATIONS = {  # with: kernel size, strides, groups, channels in and out of a group
    "one_head": (conv_by_blocks, 3, (1, 1), 1, 8, 8),
    "blocks_of_one_head": (conv_by_blocks, 3, (1, 1), 5, 8, 8),
    "blocks_of_four_heads": (conv_by_blocks, 3, (1, 1), 12, 8, 8),
    "wide_heads": (conv_by_blocks, 3, (1, 1), 2, 40, 40),
    "rows_of_one_group": (conv_by_rows, 3, (1, 1), 1, 3, 5),
    "rows_of_heads": (conv_by_rows, 3, (1, 1), 5, 8, 8),
    "rows_of_7x7": (conv_by_rows, 7, (1, 1), 1, 2, 3),
    "patches": (conv_by_patches, 3, (2, 2), 1, 3, 4),
    "patches_of_7x7": (conv_by_patches, 7, (2, 2), 1, 1, 4),
    "patches_of_1x1": (conv_by_patches, 1, (2, 2), 1, 3, 4),
    "patches_of_stride_3": (conv_by_patches, 3, (3, 3), 1, 3, 4),
}


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def case(name, folds=()):
    """The implementation, XLA's convolution, inputs and an outer gradient."""
    convolve, size, strides, groups, d, o = IMPLEMENTATIONS[name]
    padding = [(size // 2, size // 2)] * 2
    ours = partial(convolve, strides=strides, padding=padding, feature_group_count=groups)
    xla = partial(
        jax.lax.conv_general_dilated,
        window_strides=strides,
        padding=padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    x = RNG.normal(size=(*folds, 2, 6, 8, groups * d))
    kernel = RNG.normal(size=(*folds, size, size, d, groups * o))
    return ours, xla, x, kernel


def with_gradients(convolve, x, kernel):
    """Outputs, and gradients of a sum of their cubes."""
    to_gradients = jax.grad(lambda x, kernel: (convolve(x, kernel) ** 3).sum(), (0, 1))
    return convolve(x, kernel), *to_gradients(x, kernel)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_an_implementation_equals_the_convolution_of_xla(name, double):
    ours, xla, x, kernel = case(name)
    got, expected = (with_gradients(convolve, x, kernel) for convolve in (ours, xla))
    for array, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_several_folds_at_once_are_each_its_own_convolution(name, double):
    ours, xla, x, kernel = case(name, folds=(3,))
    together = jax.vmap(ours)(x, kernel)
    for fold in range(3):
        np.testing.assert_allclose(together[fold], xla(x[fold], kernel[fold]), rtol=1e-10)


def lowered(layer, x):
    variables = jax.eval_shape(lambda: layer.init(jax.random.key(0), x))
    return jax.jit(layer.apply).lower(variables, x).as_text()


def layers(**options):
    return Layers(ModelConfig(), frames=1, train=True, **options)


@pytest.mark.parametrize("stride", [1, 2])
def test_batched_layers_have_no_convolution_and_others_no_grouped_one(stride):
    x = jnp.zeros((1, 4, 4, 16))
    for groups in (1,) if stride == 2 else (1, 2):
        options = {"stride": stride, "groups": groups}
        assert "stablehlo.convolution" not in lowered(layers(batched=True).conv(16, **options), x)
        text = lowered(layers().conv(16, **options), x)
        assert "stablehlo.convolution" in text and "feature_group_count = 1" in text


def test_wide_multi_head_convolutions_are_products_on_a_cpu():
    channels = BLOCKS_UP_TO_CHANNELS + 8
    for width, is_product in ((BLOCKS_UP_TO_CHANNELS, False), (channels, True)):
        text = lowered(layers().conv(width, groups=width // 8), jnp.zeros((1, 2, 2, width)))
        assert ("stablehlo.convolution" not in text) == is_product


@pytest.mark.parametrize(
    ("dot_general", "activation"),
    [(pixelwise_dot_general, lambda x: x), (relu_dot_general, nn.relu)],
)
def test_products_of_pixels(dot_general, activation, double):
    x, kernel = RNG.normal(size=(2, 3, 4, 5)), RNG.normal(size=(5, 6))
    got = with_gradients(nn_dense(dot_general), x, kernel)
    expected = with_gradients(lambda x, kernel: activation(x) @ kernel, x, kernel)
    for array, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-10, atol=1e-10)


def nn_dense(dot_general):
    dense = nn.Dense(6, use_bias=False, dot_general=dot_general)
    return lambda x, kernel: dense.apply({"params": {"kernel": kernel}}, x)

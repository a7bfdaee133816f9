"""Every form of a convolution is the same convolution, gradients included, alone and vmapped."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import ConvolutionForm, MultiHeadForm
from fdp_jax.models.convolutions import (
    BLOCKS_UP_TO_CHANNELS,
    MULTI_HEAD_FORMS,
    convolution,
    multi_head_convolution,
)
from fdp_jax.models.layers import Convolution, MultiHeadConv, Pointwise

RNG = np.random.default_rng(1)


def tap_by_tap(x, kernel):
    """[n, h, w, c] and [3, 3, c, o]: each output the sum over nine shifted inputs."""
    h, w = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [(dy, dx) for dy in range(3) for dx in range(3)]
    return sum(padded[:, dy : dy + h, dx : dx + w] @ kernel[dy, dx] for dy, dx in taps)


def head_by_head(x, kernel):
    """The same for [g, 3, 3, d, o], each head with its own channels."""
    parts = np.split(x, len(kernel), axis=-1)
    return np.concatenate([tap_by_tap(*pair) for pair in zip(parts, kernel, strict=True)], axis=-1)


def heads(channels, size=(3, 5, 6)):
    kernel = RNG.normal(size=(channels // 8, 3, 3, 8, 8))
    return RNG.normal(size=(*size, channels)), kernel


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("channels", [8, 24, 40, 96])
@pytest.mark.parametrize("form", get_args(MultiHeadForm))
def test_each_form_of_the_multi_head_convolution(form, channels, double):
    x, kernel = heads(channels)
    got = multi_head_convolution(x, kernel, form)
    np.testing.assert_allclose(got, head_by_head(x, kernel), rtol=1e-12, atol=1e-12)


def test_the_widest_blocks_and_the_first_width_beyond_them():
    for channels in (BLOCKS_UP_TO_CHANNELS, BLOCKS_UP_TO_CHANNELS + 8):
        x, kernel = (array.astype(np.float32) for array in heads(channels, (1, 2, 2)))
        expected = head_by_head(x, kernel)
        np.testing.assert_allclose(multi_head_convolution(x, kernel), expected, atol=1e-4)


@pytest.mark.parametrize("form", list(MULTI_HEAD_FORMS))
def test_gradients_of_each_multi_head_form(form, double):
    x, kernel = heads(40)
    ahead = RNG.normal(size=x.shape)

    def product(function):
        return lambda x, kernel: (function(x, kernel) * ahead).sum()

    got = jax.grad(product(MULTI_HEAD_FORMS[form]), (0, 1))(x, kernel)
    # The output is linear in each: a gradient is what a small step changes, whatever its size.
    for argument, gradient in enumerate(got):
        step = RNG.normal(size=gradient.shape)
        moved = [x, kernel]
        moved[argument] = moved[argument] + step
        change = (head_by_head(*moved) * ahead).sum() - (head_by_head(x, kernel) * ahead).sum()
        np.testing.assert_allclose((gradient * step).sum(), change, rtol=1e-9)


@pytest.mark.parametrize("form", get_args(ConvolutionForm))
def test_each_form_of_the_plain_convolution_and_its_gradient(form, double):
    x, kernel = RNG.normal(size=(2, 4, 6, 3)), RNG.normal(size=(3, 3, 3, 5))
    np.testing.assert_allclose(convolution(x, kernel, form), tap_by_tap(x, kernel), rtol=1e-12)
    gradient = jax.grad(lambda k: convolution(x, k, form).sum())(kernel)
    step = RNG.normal(size=kernel.shape)
    np.testing.assert_allclose((gradient * step).sum(), tap_by_tap(x, step).sum(), rtol=1e-9)


@pytest.mark.parametrize("form", list(MULTI_HEAD_FORMS))
def test_several_folds_at_once_are_each_its_own_convolution(form, double):
    pairs = [heads(16, (2, 4, 4)) for _ in range(3)]
    x, kernel = (jnp.stack(arrays) for arrays in zip(*pairs, strict=True))
    together = jax.vmap(MULTI_HEAD_FORMS[form])(x, kernel)
    for number, pair in enumerate(pairs):
        np.testing.assert_allclose(together[number], head_by_head(*pair), rtol=1e-11, atol=1e-12)


def lowered(module, x):
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), x))
    return jax.jit(module.apply).lower(variables, x).as_text()


def test_the_named_form_is_the_one_that_is_computed():
    x = jnp.zeros((1, 4, 4, 16))
    texts = [lowered(Convolution(16, form=form), x) for form in ("native", "rows")]
    assert "stablehlo.convolution" in texts[0] and "stablehlo.convolution" not in texts[1]

    class Heads(MultiHeadConv):
        def __call__(self, x):
            return super().__call__(x, train=False)

    programs = {form: lowered(Heads(8, form=form), x) for form in MULTI_HEAD_FORMS}
    assert len(set(programs.values())) == len(MULTI_HEAD_FORMS)
    assert "feature_group_count = 2" in programs["grouped"]
    assert "stablehlo.convolution" not in programs["heads"]


def test_a_rectified_pointwise_is_relu_then_pointwise(double):
    x, kernel = RNG.normal(size=(2, 3, 4, 5)), RNG.normal(size=(5, 6))
    bias = RNG.normal(size=6)
    module = Pointwise(6, use_bias=True, rectify=True)

    def apply(x, kernel):
        return module.apply({"params": {"kernel": kernel, "bias": bias}}, x)

    np.testing.assert_allclose(apply(x, kernel), np.maximum(x, 0) @ kernel + bias, rtol=1e-12)
    ahead = RNG.normal(size=(2, 3, 4, 6))
    to_x, to_kernel = jax.grad(lambda *pair: (apply(*pair) * ahead).sum(), (0, 1))(x, kernel)
    np.testing.assert_allclose(to_x, (x > 0) * (ahead @ kernel.T), rtol=1e-12, atol=1e-12)
    expected = np.einsum("nhwc,nhwd->cd", np.maximum(x, 0), ahead)
    np.testing.assert_allclose(to_kernel, expected, rtol=1e-12)

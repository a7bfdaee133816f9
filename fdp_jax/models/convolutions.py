"""Faster implementations of `lax.dot_general` and `lax.conv_general_dilated`.

`nn.Dense` and `nn.Conv` take them as `dot_general` and `conv_general_dilated`; all return the same
numbers up to rounding. Times are in `benchmarks/NOTES.md`. Axes: n = images, h w = map, g = groups
(heads), d o = input and output channels of a group, y x = rows and columns of a kernel, p = pixels.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

BLOCK_CHANNELS = 16  # narrower blocks leave vector units idle, wider ones multiply more zeros

Padding = Sequence[tuple[int, int]]


def pixelwise_dot_general(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """[..., d] and [d, o] -> [..., o]; on a CPU, gradients are faster with pixels on one axis."""
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


def relu_dot_general(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """ReLU(x) [..., d] and [d, o] -> [..., o], storing x alone for the gradient."""
    return _relu_dot(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def _relu_dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return nn.relu(x) @ kernel


def _relu_dot_backward(
    residuals: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    # Without this dependency on the gradient, XLA computes ReLU(x) early and stores it as well.
    zero = 0.0 * gradient[0, 0]
    is_positive = x > zero
    x_gradient = jnp.where(is_positive, gradient @ kernel.T, 0.0)
    return x_gradient, jnp.where(is_positive, x, 0.0).T @ gradient


_relu_dot.defvjp(lambda x, kernel: (_relu_dot(x, kernel), (x, kernel)), _relu_dot_backward)


def conv_by_patches(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding, **_: Any
) -> jax.Array:
    """Strided convolution as one product of patches: [n, h, w, d], [y, x, d, o] -> [n, h, w, o]."""
    rows, columns, _, o = kernel.shape
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    h, w = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    taps = [
        x[:, row : row + h : strides[0], column : column + w : strides[1]]
        for row in range(rows)
        for column in range(columns)
    ]
    return pixelwise_dot_general(jnp.concatenate(taps, axis=-1), kernel.reshape(-1, o))


def conv_by_rows(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Padding,
    feature_group_count: int = 1,
    **_: Any,
) -> jax.Array:
    """Convolution of stride 1 as one product batched over groups, also under `jax.vmap`.

    [n, h, w, g d] and [y, x, d, g o] -> [n, h, w, g o]. Each pixel is concatenated with its
    neighbours in the row and multiplied by all kernel rows; the results are shifted by rows and
    added. 3x3 patches would take three times the memory.
    """
    g = feature_group_count
    n, h, w, _ = x.shape
    rows, columns, d, o = *kernel.shape[:3], kernel.shape[3] // g
    groups = x.reshape(n, h, w, g, d).transpose(3, 0, 1, 2, 4)  # [g, n, h, w, d]
    groups = jnp.pad(groups, ((0, 0), (0, 0), (0, 0), padding[1], (0, 0)))
    neighbours = jnp.concatenate(_slices(groups, columns, axis=3), axis=-1)  # [g, n, h, w, x d]
    weights = kernel.reshape(rows, columns, d, g, o).transpose(3, 1, 2, 0, 4)  # [g, x, d, y, o]
    pixels, weights = neighbours.reshape(g, -1, columns * d), weights.reshape(g, -1, rows * o)
    y = jnp.einsum("gpi,gio->gpo", pixels, weights).reshape(*neighbours.shape[:4], rows, o)
    y = jnp.pad(y, ((0, 0), (0, 0), padding[0], (0, 0), (0, 0), (0, 0)))
    shifted = (part[..., row, :] for row, part in enumerate(_slices(y, rows, axis=2)))
    y = functools.reduce(operator.add, shifted)
    return y.transpose(1, 2, 3, 0, 4).reshape(*y.shape[1:4], g * o)


def conv_by_blocks(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Padding,
    feature_group_count: int,
    **_: Any,
) -> jax.Array:
    """Grouped 3x3 convolution of stride 1 as dense convolutions of a few groups each.

    [n, h, w, g d] and [3, 3, d, g o] -> [n, h, w, g o]. On a CPU this is many times faster than
    XLA's grouped convolution, and it transposes nothing.
    """
    g = feature_group_count
    d, o = kernel.shape[2], kernel.shape[3] // g
    sizes = [size for size in range(1, g + 1) if g % size == 0 and size * d <= BLOCK_CHANNELS]
    size = max(sizes, default=1)  # groups in a block
    kernels = kernel.reshape(3, 3, d, g // size, size, o)
    # Zero between different groups of a block.
    kernels = jnp.einsum("yxdbso,st->byxtdso", kernels, jnp.eye(size, dtype=kernel.dtype))
    kernels = kernels.reshape(g // size, 3, 3, size * d, size * o)
    blocks = jnp.split(x, g // size, axis=-1)
    convolved = [_conv3x3(block, dense) for block, dense in zip(blocks, kernels, strict=True)]
    return jnp.concatenate(convolved, axis=-1)


@jax.custom_vjp
def _conv3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """XLA's convolution with a weight gradient that takes half of XLA's time on a CPU."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _conv3x3_backward(
    residuals: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One product of x at three columns and the gradient at three rows covers all nine taps."""
    x, kernel = residuals
    d, o = kernel.shape[2:]
    x_gradient = _conv3x3(gradient, kernel[::-1, ::-1].transpose(0, 1, 3, 2))
    columns = _slices(jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0))), 3, axis=2)
    rows = _slices(jnp.pad(gradient, ((0, 0), (1, 1), (0, 0), (0, 0))), 3, axis=1)
    columns = jnp.concatenate(columns, axis=-1).reshape(-1, 3 * d)
    rows = jnp.concatenate(rows[::-1], axis=-1).reshape(-1, 3 * o)
    kernel_gradient = (columns.T @ rows).reshape(3, d, 3, o)  # [x, d, y, o]
    return x_gradient, kernel_gradient.transpose(2, 0, 1, 3)


_conv3x3.defvjp(lambda x, kernel: (_conv3x3(x, kernel), (x, kernel)), _conv3x3_backward)


def _slices(x: jax.Array, count: int, axis: int) -> list[jax.Array]:
    """Equally long slices of `x`, each shifted by one along the axis."""
    size = x.shape[axis] - count + 1
    return [jax.lax.slice_in_dim(x, start, start + size, axis=axis) for start in range(count)]

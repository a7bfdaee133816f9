"""The 3x3 convolutions in several forms, equal up to rounding: which is fast depends on the device.

Axes: n = clips x frames (clip-major), h w = map, c = channels, g = heads or groups of channels,
d o = channels in and out of a head, k = pixels.

On the CPU XLA's grouped convolution is twenty to forty times slower than any other form here, and
its weight gradient of an ordinary one is slow too (`benchmarks/NOTES.md`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fdp_jax.config import ConvolutionForm, MultiHeadForm

# Measured on two CPU cores: up to here `blocks` is faster than `heads`, forward and backward.
BLOCKS_UP_TO_CHANNELS = 384
# Of a block in the form `blocks`: narrower ones leave vector units idle, wider ones multiply zeros.
BLOCK_CHANNELS = 32


def multi_head_convolution(
    x: jax.Array, kernel: jax.Array, form: MultiHeadForm = "auto"
) -> jax.Array:
    """3x3 convolution of each head's channels by themselves, zero padded (section 3.2.1).

    Args:
      x: [n, h, w, g * d].
      kernel: [g, 3, 3, d, o].
      form: how; `auto` goes by the backend and the channels.

    Returns:
      [n, h, w, g * o].
    """
    if form == "auto":
        few = x.shape[-1] <= BLOCKS_UP_TO_CHANNELS
        form = "blocks" if few and jax.default_backend() == "cpu" else "heads"
    return MULTI_HEAD_FORMS[form](x, kernel)


def convolution(x: jax.Array, kernel: jax.Array, form: ConvolutionForm = "auto") -> jax.Array:
    """3x3 convolution of stride 1, zero padded.

    Args:
      x: [n, h, w, c].
      kernel: [3, 3, c, o].
      form: how; `auto` is `native`.

    Returns:
      [n, h, w, o].
    """
    if form == "rows":
        return _heads(x, kernel[None])
    return _native(x, kernel)


def _native(x: jax.Array, kernel: jax.Array, groups: int = 1) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _grouped(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """XLA's own grouped convolution."""
    g, _, _, d, o = kernel.shape
    return _native(x, kernel.transpose(1, 2, 3, 0, 4).reshape(3, 3, d, g * o), groups=g)


def _dense(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """One convolution over all channels, zero between different heads."""
    return _native(x, _merged_heads(kernel, kernel.shape[0])[0])


def _merged_heads(kernel: jax.Array, heads: int) -> jax.Array:
    """[g, 3, 3, d, o] -> [g / heads, 3, 3, heads * d, heads * o], zero between different heads."""
    g, _, _, d, o = kernel.shape
    kernel = kernel.reshape(g // heads, heads, 3, 3, d, o)
    merged = jnp.einsum("bsyxio,st->byxsito", kernel, jnp.eye(heads, dtype=kernel.dtype))
    return merged.reshape(g // heads, 3, 3, heads * d, heads * o)


def _blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Neighbouring heads as dense convolutions of up to `BLOCK_CHANNELS` channels each.

    Of all forms the one that leaves the channels where they are, so that nothing is transposed.
    """
    g, _, _, d, _ = kernel.shape
    fitting = [heads for heads in range(1, g + 1) if g % heads == 0 and heads * d <= BLOCK_CHANNELS]
    kernels = _merged_heads(kernel, max(fitting, default=1))
    parts = jnp.split(x, len(kernels), axis=-1)
    pairs = zip(parts, kernels, strict=True)
    return jnp.concatenate([_with_own_gradient(part, dense) for part, dense in pairs], axis=-1)


@jax.custom_vjp
def _with_own_gradient(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The native form, whose weight gradient is one matrix product."""
    return _native(x, kernel)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _native(x, kernel), (x, kernel)


def _backward(
    kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Three columns of x against three rows of the gradient: every tap of the kernel, once."""
    x, kernel = kept
    d, o = kernel.shape[2:]
    to_x = _native(gradient, kernel[::-1, ::-1].transpose(0, 1, 3, 2))
    columns = jnp.concatenate([_shifted(x, 2, 1), x, _shifted(x, 2, -1)], axis=-1)
    rows = jnp.concatenate([_shifted(gradient, 1, -1), gradient, _shifted(gradient, 1, 1)], axis=-1)
    products = columns.reshape(-1, 3 * d).T @ rows.reshape(-1, 3 * o)  # [3 d, 3 o]
    to_kernel = products.reshape(3, d, 3, o).transpose(2, 0, 1, 3)  # [row, column, d, o]
    return to_x, to_kernel


_with_own_gradient.defvjp(_forward, _backward)


def _shifted(x: jax.Array, axis: int, by: int) -> jax.Array:
    """Moved one place up (+1) or down (-1) an axis; zeros move in."""
    size = x.shape[axis]
    zeros = jnp.zeros_like(jax.lax.slice_in_dim(x, 0, 1, axis=axis))
    if by > 0:
        return jnp.concatenate([zeros, jax.lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis)
    return jnp.concatenate([jax.lax.slice_in_dim(x, 1, size, axis=axis), zeros], axis)


def _heads_first(x: jax.Array, heads: int) -> jax.Array:
    """[n, h, w, g * d] -> [g, n, h, w, d]."""
    n, h, w, c = x.shape
    return x.reshape(n, h, w, heads, c // heads).transpose(3, 0, 1, 2, 4)


def _channels_last(y: jax.Array) -> jax.Array:
    """[g, n, h, w, o] -> [n, h, w, g * o]."""
    g, n, h, w, o = y.shape
    return y.transpose(1, 2, 3, 0, 4).reshape(n, h, w, g * o)


def _heads(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """One batched product over the heads.

    Each pixel's row of three neighbours is laid out once and multiplied with the three kernel
    rows side by side; the three results are then added with a shift of one row. That moves a
    third of the memory that whole 3x3 patches would.
    """
    g, _, _, d, o = kernel.shape
    n, h, w, _ = x.shape
    heads = jnp.pad(_heads_first(x, g), ((0, 0), (0, 0), (0, 0), (1, 1), (0, 0)))
    rows = jnp.concatenate([heads[:, :, :, dx : dx + w] for dx in range(3)], axis=-1)
    rows = rows.reshape(g, n * h * w, 3 * d)  # [g, k, (column, d)]
    weights = kernel.transpose(0, 2, 3, 1, 4).reshape(g, 3 * d, 3 * o)
    y = jnp.einsum("gki,gio->gko", rows, weights)  # [g, k, (kernel row, o)]
    y = y.reshape(g, n, h, w, 3, o)
    y = jnp.pad(y, ((0, 0), (0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    return _channels_last(y[:, :, :h, :, 0] + y[:, :, 1 : h + 1, :, 1] + y[:, :, 2 : h + 2, :, 2])


def _patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """One batched product over the heads, of whole 3x3 patches."""
    g, _, _, d, o = kernel.shape
    n, h, w, _ = x.shape
    patches = jnp.concatenate(list(_taps(x, g)), axis=-1).reshape(g, n * h * w, 9 * d)
    y = jnp.einsum("gki,gio->gko", patches, kernel.reshape(g, 9 * d, o))
    return _channels_last(y.reshape(g, n, h, w, o))


def _shifts(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Nine batched products over the heads, one a tap of the kernel, and their sum."""
    g, _, _, d, o = kernel.shape
    taps = zip(_taps(x, g), kernel.reshape(g, 9, d, o).transpose(1, 0, 2, 3), strict=True)
    return _channels_last(sum(jnp.einsum("gnhwi,gio->gnhwo", tap, weight) for tap, weight in taps))


def _taps(x: jax.Array, heads: int) -> list[jax.Array]:
    """[n, h, w, g * d] -> nine [g, n, h, w, d], what each tap of the kernel sees."""
    h, w = x.shape[1:3]
    padded = jnp.pad(_heads_first(x, heads), ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    return [padded[:, :, dy : dy + h, dx : dx + w] for dy in range(3) for dx in range(3)]


MULTI_HEAD_FORMS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "grouped": _grouped,
    "dense": _dense,
    "blocks": _blocks,
    "heads": _heads,
    "patches": _patches,
    "shifts": _shifts,
}

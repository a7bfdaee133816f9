"""Every form of one convolution of the network, forward and backward, in a process of its own.

Alone a layer shows which form suits its sizes; the step shows what that is worth. Several folds
trained at once share the program but not the kernels, so that a form may suit one and not the
other.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from fdp_jax.benchmark.timing import alternate, runs_in_a_turn
from fdp_jax.config import ConvolutionForm, MultiHeadForm, Precision
from fdp_jax.models.convolutions import convolution, multi_head_convolution

Kind = Literal["multi_head", "convolution"]
_PRODUCTS = {"float32": "highest", "tensorfloat32": "tensorfloat32", "bfloat16": None}
FORMS = {"multi_head": get_args(MultiHeadForm), "convolution": get_args(ConvolutionForm)}


class LayerForms:
    """One layer in all its forms, for some numbers of folds."""

    def __init__(
        self,
        kind: Kind,
        shape: Sequence[int],
        kernel: Sequence[int],
        folds: Sequence[int],
        precision: Precision,
    ):
        """Compiles them all.

        Args:
          kind: which of the two convolutions.
          shape: of its input and output, [n, h, w, c].
          kernel: shape of its kernel.
          folds: numbers of folds; each has its own input and kernel.
          precision: as in a training.
        """
        self._arguments = {count: _drawn(count, shape, kernel, precision) for count in folds}
        self._compiled: dict[tuple[int, str], Callable] = {}
        with jax.default_matmul_precision(_PRODUCTS[precision]):
            for count, arguments in self._arguments.items():
                for form in FORMS[kind]:
                    if form != "auto":
                        gradients = jax.jit(jax.vmap(_gradients(kind, form)))
                        self._compiled[count, form] = gradients.lower(*arguments).compile()

    def measure(self, repeats: int) -> dict[str, Any]:
        """Folds -> form -> median seconds of one fold's pass; the forms take turns."""
        turns = {}
        for (count, form), run in self._compiled.items():
            arguments = self._arguments[count]
            _seconds(run, arguments, 1)
            times = runs_in_a_turn(_seconds(run, arguments, 1))
            turns[count, form] = lambda run=run, arguments=arguments, times=times: _seconds(
                run, arguments, times
            )
        found: dict[str, dict[str, float]] = {}
        for (count, form), taken in alternate(turns, repeats).items():
            median = sorted(taken)[len(taken) // 2]
            found.setdefault(str(count), {})[form] = median / count
        return found


def _gradients(kind: Kind, form: str) -> Callable:
    """(x, kernel, gradient of the output) -> (output, gradients of x and kernel)."""
    layer = multi_head_convolution if kind == "multi_head" else convolution

    def passes(x: jax.Array, kernel: jax.Array, gradient: jax.Array):
        output, backward = jax.vjp(lambda x, kernel: layer(x, kernel, form), x, kernel)
        return output, backward(gradient)

    return passes


def _drawn(
    count: int, shape: Sequence[int], kernel: Sequence[int], precision: Precision
) -> tuple[jax.Array, jax.Array, jax.Array]:
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    shapes = (shape, kernel, shape)
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return tuple(
        jax.random.normal(key, (count, *sizes), dtype)
        for key, sizes in zip(keys, shapes, strict=True)
    )


def _seconds(run: Callable, arguments: Sequence[jax.Array], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        result = run(*arguments)
    jax.block_until_ready(result)
    return (time.perf_counter() - began) / times

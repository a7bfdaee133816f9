"""What this machine can do at best: a square matrix product, and copying, through XLA.

Ceilings are the fastest of a few runs, not their median: nothing goes faster than the machine.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# As --precision names them -> (type of the entries, precision of float32 products).
PRODUCTS = {
    "float32": (jnp.float32, "highest"),
    "tensorfloat32": (jnp.float32, "tensorfloat32"),
    "bfloat16": (jnp.bfloat16, "default"),
}
# A CPU's best side differs with its caches, so there are three.
ON_CPU = {"sides": (1024, 1536, 2048), "copied_bytes": 2**28, "kinds": ("float32", "bfloat16")}
ON_DEVICE = {"sides": (8192,), "copied_bytes": 2**31, "kinds": tuple(PRODUCTS)}
RUNS = 8  # of each


def measure_ceilings() -> dict[str, Any]:
    """Products in FLOP/s by the kind of their entries, and copying in bytes/s."""
    sizes = ON_CPU if jax.default_backend() == "cpu" else ON_DEVICE
    return {
        "product_flops_per_second": {
            kind: max(_product(kind, side) for side in sizes["sides"]) for kind in sizes["kinds"]
        },
        "copy_bytes_per_second": _copy(sizes["copied_bytes"]),
        "sides": list(sizes["sides"]),
        "copied_bytes": sizes["copied_bytes"],
    }


def _product(kind: str, side: int) -> float:
    dtype, precision = PRODUCTS[kind]
    left, right = (
        jax.random.normal(jax.random.key(number), (side, side), dtype) for number in range(2)
    )
    with jax.default_matmul_precision(precision):
        product = jax.jit(jnp.matmul).lower(left, right).compile()
    return 2 * side**3 / _fastest(lambda: product(left, right))


def _copy(size: int) -> float:
    """Bytes read and written together, in place, as fresh pages would measure the system."""
    negate = jax.jit(jnp.negative, donate_argnums=0)
    held = [jnp.ones(size // 4, jnp.float32)]

    def run() -> jax.Array:
        held[0] = negate(held[0])
        return held[0]

    return 2 * size / _fastest(run)


def _fastest(run: Callable[[], jax.Array]) -> float:
    jax.block_until_ready(run())
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - began)
    return min(times)

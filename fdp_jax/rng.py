"""Randomness as a pure function of (seed, fold, purpose, step): no key is carried or stored."""

import enum
import zlib

import jax


class Purpose(enum.IntEnum):
    """What a stream of random numbers is for; the numbers are part of every result."""

    INITIALISATION = 0
    SAMPLING = 1
    STOCHASTIC_DEPTH = 2
    DROPOUT = 3


def fold_key(seed: int, fold: str) -> jax.Array:
    """The key that all streams of one fold's training derive from."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(fold.encode()))


def stream(key: jax.Array, purpose: Purpose, step: int | jax.Array = 0) -> jax.Array:
    """The key of one purpose at one step."""
    return jax.random.fold_in(jax.random.fold_in(key, purpose), step)

"""Randomness and data order as pure functions of (seed, fold, purpose, step): nothing is stored."""

import enum
import zlib

import jax
import numpy as np


class Purpose(enum.IntEnum):
    """What a random key is used for; the numbers are part of every result."""

    INITIALISATION = 0
    SAMPLING = 1
    DROP_PATH = 2
    DROPOUT = 3


def fold_key(seed: int, fold: str) -> jax.Array:
    """Returns the key from which all keys of one fold's training are derived."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(fold.encode()))


def derive_key(key: jax.Array, purpose: Purpose, step: int | jax.Array = 0) -> jax.Array:
    """Returns the key for one purpose at one step."""
    return jax.random.fold_in(jax.random.fold_in(key, purpose), step)


def epoch_order(clips: int, seed: int, fold: str, epoch: int) -> np.ndarray:
    """Returns the order of the clips in one epoch, a permutation of 0 .. clips-1, int64 [clip]."""
    entropy = (seed, zlib.crc32(fold.encode()), epoch)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy))).permutation(clips)


def batch_indices(
    train: np.ndarray, batch_size: int, seed: int, fold: str, step: int
) -> np.ndarray:
    """Returns the clips of one step: consecutive pieces of an endless sequence of epochs.

    Args:
      train: int32 [clip], the training clips of the fold.
      batch_size: b; batches are always full, also where it exceeds the number of clips.
      seed: seed of the run.
      fold: name of the fold.
      step: from 0.

    Returns:
      int32 [b].
    """
    n = len(train)
    first = step * batch_size
    epochs = range(first // n, (first + batch_size - 1) // n + 1)
    orders = np.concatenate([epoch_order(n, seed, fold, epoch) for epoch in epochs])
    start = first - epochs[0] * n
    return train[orders[start : start + batch_size]]

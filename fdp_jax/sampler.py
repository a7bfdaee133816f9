"""The order in which clips are seen: a pure function of (seed, fold, step)."""

import zlib

import numpy as np


def epoch_order(clips: int, seed: int, fold: str, epoch: int) -> np.ndarray:
    """The permutation of 0 .. clips-1 that one epoch goes through, int64 [clip]."""
    entropy = (seed, zlib.crc32(fold.encode()), epoch)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy))).permutation(clips)


def batch_indices(
    train: np.ndarray, batch_size: int, seed: int, fold: str, step: int
) -> np.ndarray:
    """Piece number `step` of the endless sequence of epochs, always full.

    Args:
      train: int32 [clip], numbers of the fold's training clips.
      batch_size: clips of a batch; may be more than there are.
      seed: of the run.
      fold: its name.
      step: from 0.

    Returns:
      int32 [batch_size].
    """
    n = len(train)
    first = step * batch_size
    epochs = range(first // n, (first + batch_size - 1) // n + 1)
    orders = np.concatenate([epoch_order(n, seed, fold, epoch) for epoch in epochs])
    start = first - epochs[0] * n
    return train[orders[start : start + batch_size]]

"""Keeps the memory of one training step for the next, on the CPU under Linux."""

import ctypes
import sys

# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Stops malloc from handing freed memory back to the system; call before jax is loaded.

    XLA takes every step's buffers from malloc afresh, and glibc returns large ones to the system
    at once. Getting them again costs a page fault for each 4 KB, 40 % of a small network's step.
    Changes no number. Does nothing where there is no glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)  # further arenas are cut into heaps that come and go
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)

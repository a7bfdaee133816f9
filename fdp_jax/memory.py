"""How a training on the CPU under Linux asks for memory and gives it back."""

import ctypes
import os
import sys

LARGE_PAGES = "glibc.malloc.hugetlb=1"


def use_large_pages() -> None:
    """Starts this command again with malloc asking for large pages, unless it does already.

    XLA takes every step's buffers from malloc afresh, and with pages of 4 KB the page faults are
    up to 40 % of a small network's step. glibc reads the setting only when a process starts, hence
    the second start, which costs a tenth of a second and keeps the process number. Changes no
    number. Older or other C libraries ignore it. To go without: `GLIBC_TUNABLES=`.
    """
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        environment = {**os.environ, "GLIBC_TUNABLES": LARGE_PAGES}
        os.execve(sys.executable, sys.orig_argv, environment)


def give_back_freed_memory() -> None:
    """Returns to the system what this process has freed; elsewhere than with glibc does nothing.

    Compiling the `paper` step leaves more than a gigabyte behind, which malloc would keep.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

"""A command starts again with large pages, once, and only where nobody chose otherwise."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import os, sys
from fdp_jax.environment import use_large_pages
print(os.getpid(), flush=True)
use_large_pages()
print(os.environ.get("GLIBC_TUNABLES"), sys.argv[1])
"""


def lines(**environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", PROGRAM, "--name=a b"]
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **environment}, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_started_once_more_as_the_same_process_with_the_same_arguments():
    first, second, last = lines()
    assert first == second
    assert last == "glibc.malloc.hugetlb=1 --name=a b"


def test_what_the_user_chose_stays():
    assert lines(GLIBC_TUNABLES="")[1:] == [" --name=a b"]


FREEING = """
import numpy as np
from fdp_jax.environment import give_back_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

arrays = [np.ones(12_000) for _ in range(3000)]  # 96 kB each, too small for pages of their own
kept = arrays[::50]
del arrays
before = resident()
give_back_freed_memory()
print((before - resident()) // 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_goes_back_to_the_system():
    done = subprocess.run(
        [sys.executable, "-c", FREEING], cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert int(done.stdout) > 150  # MiB, of the 275 freed

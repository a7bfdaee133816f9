"""Freed memory is kept, so that the next step need not fetch it page by page."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import resource, sys
import numpy as np
from fdp_jax.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def touch():
    np.ones(4_000_000)  # 32 MB, 7,800 pages
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    command = [sys.executable, "-c", PROGRAM, mode]
    environment = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0", "PATH": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="tunes glibc")
def test_memory_is_fetched_once():
    assert faults("keep") < 4_000
    assert faults("as it is") > 10 * faults("keep")

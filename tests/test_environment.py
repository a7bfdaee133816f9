"""The settings of the process and of jax that a command starts with."""

import os
import subprocess
import sys

import pytest

from fdp_jax import environment as module
from fdp_jax.environment import without_proxies
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
from fdp_jax.environment import keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

arrays = [np.ones(12_000) for _ in range(3000)]  # 96 kB each, too small for pages of their own
kept = arrays[::50]
del arrays
before = resident()
keep_freed_memory()
print((before - resident()) // 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_goes_back_to_the_system():
    done = subprocess.run(
        [sys.executable, "-c", FREEING], cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert int(done.stdout) > 150  # MiB, of the 275 freed


REUSING = """
import resource
import numpy as np
from fdp_jax.environment import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**26, np.uint8)  # 64 MiB, which malloc would map and unmap
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(page_faults(), page_faults())
keep_freed_memory()
page_faults()
print(page_faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_a_step_gets_the_memory_that_the_step_before_freed():
    environment = {**os.environ, "GLIBC_TUNABLES": "", "NUMPY_MADVISE_HUGEPAGE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", REUSING], cwd=ROOT, env=environment, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    first, second, reused = (int(count) for count in done.stdout.split())
    assert first > 1000
    assert second > 1000
    assert reused < 10


STARTED = """
from pathlib import Path
import sys
from fdp_jax.environment import start_jax
start_jax(Path("/proc/cannot/be/made"))
import jax, jax.numpy as jnp
print(jnp.ones(2).astype(float).dtype, jax.random.key_impl(jax.random.key(0)))
print(jax.random.uniform(jax.random.key(0)), (jnp.ones((2, 3)) + jnp.ones(3) + 1).sum())
print(jax.config.jax_compilation_cache_dir)
# XLA's alarm at constants that take a second, like the one at slow compilation.
size = (15, 15), (1, 1), "SAME"
jax.jit(lambda: jax.lax.reduce_window(jnp.ones((110, 110)), 0.0, jax.lax.add, *size))()
"""
OF_JAX = {
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_DEBUG_NANS": "perhaps",
}


def test_what_decides_numbers_is_not_taken_from_the_environment(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), **OF_JAX}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # jax sets it in a process that imports it
    done = subprocess.run(
        [sys.executable, "-c", STARTED], cwd=ROOT, text=True, capture_output=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    cache = tmp_path / "fdp_jax" / "compiled"
    assert done.stdout.splitlines() == ["float32 threefry2x32", "0.947667 18.0", str(cache)]
    (note,) = done.stderr.splitlines()  # no line of XLA breaks a progress bar
    assert note.startswith(f"note: {', '.join(OF_JAX)} ignored")


def test_flags_of_the_user_follow_ours_and_so_hold(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=4")
    module.prepare_environment()
    module.prepare_environment()  # as in a child process
    *ours, last = os.environ["XLA_FLAGS"].split()
    assert ours == module.GPU_FLAGS.split() and last == "--xla_gpu_autotune_level=4"


def test_proxies_are_gone_within_and_back_after(monkeypatch):
    ours = {"http_proxy": "http://a", "ALL_PROXY": "socks://b", "NO_PROXY": "[::1]"}
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    with without_proxies():
        inside = {name: os.environ[name] for name in os.environ if "proxy" in name.lower()}
        os.environ["KEPT"] = "as set within"
    assert inside == {"NO_PROXY": "*", "no_proxy": "*"}
    assert {name: os.environ[name] for name in os.environ if "proxy" in name.lower()} == ours
    assert os.environ.pop("KEPT")


@pytest.mark.parametrize("layout", ["branch", "packed", "detached", "linked", "none", "damaged"])
def test_the_commit_is_read_without_git(tmp_path, monkeypatch, layout):
    commit, root, git = "0123456789abcdef" * 2 + "01234567", tmp_path / "code", tmp_path / "git"
    (root / "fdp_jax").mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(root / "fdp_jax" / "environment.py"))
    if layout == "linked":  # a work tree of a repository elsewhere
        own = git / "worktrees" / "code"
        own.mkdir(parents=True)
        (root / ".git").write_text(f"gitdir: {own}\n")
        (own / "commondir").write_text("../..\n")
    elif layout != "none":
        own = git = root / ".git"
        own.mkdir()
    if layout != "none":
        (own / "HEAD").write_text(
            f"{commit}\n" if layout == "detached" else "ref: refs/heads/a/b\n"
        )
    if layout in ("branch", "linked"):
        (git / "refs" / "heads" / "a").mkdir(parents=True)
        (git / "refs" / "heads" / "a" / "b").write_text(f"{commit}\n")
    elif layout == "packed":
        lines = f"# pack-refs\n{'f' * 40} refs/heads/b\n{commit} refs/heads/a/b\n"
        (git / "packed-refs").write_text(lines)
    expected = None if layout in ("none", "damaged") else commit[:12]
    assert module.code_commit() == expected
    assert module.installed_versions().get("fdp-jax commit") == expected

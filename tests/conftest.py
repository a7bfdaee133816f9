"""CPU, one shared cache of compiled programs, and one tiny built corpus for all tests."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HANGS = 3600  # seconds after which a command hangs; a slow machine may need most of them
CACHE = Path(tempfile.gettempdir()) / f"fdp_jax_tests_compiled_{os.getuid()}"

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
# Compiling takes most of the time of the tests, and their networks are tiny.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)


# As `sitecustomize`: in containers and batch jobs the user's number may have no entry.
USER_WITHOUT_ENTRY = """
import pwd


def getpwuid(number):
    raise KeyError(number)


pwd.getpwuid = getpwuid
"""


def run_module(module: str, *arguments: str, check: bool = True, **options):
    """`python -m module arguments` as a user runs it; output as text."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, text=True, capture_output=True, timeout=HANGS, **options,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{module} exits {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def pytest_collection_modifyitems(items):
    """Puts the longest files first, so that no worker idles at the end."""
    longest = ("test_commands", "test_train_command", "test_train_corpora", "test_folds_at_once")
    items.sort(key=lambda item: item.path.stem not in longest)


@pytest.fixture(scope="module", autouse=True)
def programs_are_dropped():
    """Compiled programs hold memory maps, of which a process may have but 65530."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    """A folder that holds a small synthetic corpus, built by the command."""
    folder = tmp_path_factory.mktemp("data")
    run_module(
        "datasets.build", "synthetic", f"--data_dir={folder}", "--people=6",
        "--clips_per_category=1",
    )  # fmt: skip
    return folder

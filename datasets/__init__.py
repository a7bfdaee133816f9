"""Corpora of micro-expressions; importing it checks Python and the system."""

import importlib.util
import platform
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_SYSTEMS = "Linux, macOS on Apple silicon, and Windows through WSL (wsl --install)"


def _check_machine() -> None:
    """Raises ImportError on a machine that cannot run this; a command ends with the sentence."""
    sentence = ""
    if sys.version_info < (3, 11):  # noqa: UP036  pip does not look where nothing is installed
        version = ".".join(map(str, sys.version_info[:3]))
        sentence = (
            f"this needs Python 3.11 or newer, and {sys.executable} is {version}; install a newer "
            "one (Ubuntu: apt-get install python3.11-venv) and make a new environment with it: "
            "python3.11 -m venv --clear .venv, or make PYTHON=python3.11"
        )
    elif importlib.util.find_spec("fcntl") is None:
        sentence = f"this system, {platform.system()}, is not supported; use {_SYSTEMS}"
    elif (sys.platform, platform.machine()) == ("darwin", "x86_64"):
        sentence = (
            "a Python for Intel processors is not supported on macOS, since JAX has none; use "
            f"{_SYSTEMS}"
        )
    if sentence and _is_command():
        sys.exit(f"error: {sentence}")
    if sentence:
        raise ImportError(sentence)


def _is_command() -> bool:
    return sys.argv[0] == "-m"  # while `python -m` looks for the module


def _explain_missing_package(kind, error, trace) -> None:
    """Prints how to install a package that a command cannot import; it ends with status 1."""
    own = ("datasets", "fdp_jax", "launch")
    name = getattr(error, "name", None) or ""
    if not issubclass(kind, ModuleNotFoundError) or name.partition(".")[0] in ("", *own):
        sys.__excepthook__(kind, error, trace)
        return
    requirements, activate = _ROOT / "requirements.txt", _ROOT / ".venv" / "bin" / "activate"
    way_out = f"install what is missing: pip install -r {requirements}"
    if activate.exists() and Path(sys.prefix) != activate.parents[1]:
        way_out = f"use the environment of this project: source {activate}"
    elif not requirements.exists():
        way_out = "install fdp-jax again; pip check lists what it lacks"
    elif sys.prefix == sys.base_prefix:
        way_out = (
            f"make an environment: cd {_ROOT}; python3 -m venv .venv; source .venv/bin/activate; "
            "pip install -e ."
        )
    print(
        f"error: the package {name} is not installed for {sys.executable}; {way_out}",
        file=sys.stderr,
    )


_check_machine()
if _is_command():
    sys.excepthook = _explain_missing_package

"""The documents: what they name is there, and every command in them can be typed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fdp_jax.train import options_from
from launch.options import launch_options_from
from tests.conftest import ROOT, run_module
from tests.tiny import TINY_OPTIONS

PAGES = sorted((ROOT / "docs").glob("*.md"))
TRAINS = ("fdp_jax.train", "launch.loso", "launch.experiments")
# Of a cluster that is not here; tests/test_launch_*.py have their own.
ELSEWHERE = ("--address=auto", "sbatch ", "ray ")


def commands() -> list[str]:
    """Every line of a block of commands, each once, without the remark behind it."""
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    blocks = [line.strip().partition("  #")[0].strip() for line in lines if line.startswith("    ")]
    return list(dict.fromkeys(blocks))


HERE = [line for line in commands() if not any(mark in line for mark in ELSEWHERE)]


def module_and_arguments(command: str) -> tuple[str, list[str]]:
    python, dash_m, module, *arguments = shlex.split(command)
    assert (python, dash_m) == ("python", "-m"), command
    return module, arguments


def test_there_are_pages_and_commands():
    assert len(PAGES) >= 3 and len(HERE) >= 7


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page):
    text = page.read_text(encoding="utf-8")
    drawing = (ROOT / "docs" / "fdp.svg").read_text(encoding="utf-8")
    text += drawing if "fdp.svg" in text else ""
    named = set(re.findall(r"[a-z_-]+(?:/[a-z_-]+)*\.(?:py|sh|txt)\b", text))
    for name in named:
        places = [ROOT / name, ROOT / "fdp_jax" / name, ROOT / "fdp_jax" / "models" / name]
        assert any(place.exists() for place in places), name
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("command", [line for line in commands() if "python -m" in line])
def test_every_option_of_a_training_is_one(command):
    module, arguments = module_and_arguments(command)
    if module == "fdp_jax.train":
        options_from(arguments)
    elif module.startswith("launch."):
        options = [argument for argument in arguments if argument.startswith("-")]
        launch_options_from(options, module, None)
    else:
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()


@pytest.fixture(scope="module")
def folder(data_dir, tmp_path_factory) -> Path:
    """Where a reader would stand: the synthetic corpus is built, SAMM is unpacked."""
    here = tmp_path_factory.mktemp("reader")
    (here / "data").symlink_to(data_dir)
    run_module("datasets.example", "samm", f"--out={here / 'DIR_OF_SAMM'}")
    return here


@pytest.mark.slow
@pytest.mark.parametrize("command", HERE)
def test_every_command_runs(command, folder):
    module, arguments = module_and_arguments(command)
    if module in TRAINS:  # as typed, but for the size and the folder
        given = [argument for argument in arguments if not argument.startswith("--steps=")]
        workdir = folder / f"of_command_{HERE.index(command)}"
        arguments = [*given, *TINY_OPTIONS, "--steps=2", f"--workdir={workdir}"]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

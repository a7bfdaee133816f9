"""The documents: what they name is there, and every command in them can be typed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fdp_jax.options import parse_train_options
from fdp_jax.paper.registry import NAMES, experiment
from launch.loso import LaunchOptions
from tests.conftest import HANGS, ROOT, run_module
from tests.helpers.docs_pages import commands_of, written_by
from tests.helpers.tiny import TINY_OPTIONS

PAGES = sorted((ROOT / "docs").glob("*.md"))
# Pages whose reader changes the code first; tests/test_docs_<word>.py follow them.
OWN_TEST = ("new-backbone.md", "new-corpus.md")
TRAINS = ("fdp_jax.train", "launch.loso", "launch.experiments", "fdp_jax.experiments")
TRAINS_NOTHING = [name for name in NAMES if not experiment(name).trains]
# These need a cluster; tests/launch has its own.
ELSEWHERE = ("--address=auto", "sbatch ", "ray ")


def commands() -> list[str]:
    """Every command that can be typed as the code is, each once."""
    pages = [page for page in PAGES if page.name not in OWN_TEST]
    return list(dict.fromkeys(line for page in pages for line in commands_of(page)))


HERE = [line for line in commands() if not any(mark in line for mark in ELSEWHERE)]


def module_and_arguments(command: str) -> tuple[str, list[str]]:
    python, dash_m, module, *arguments = shlex.split(command)
    assert (python, dash_m) == ("python", "-m"), command
    return module, arguments


def test_there_are_pages_and_commands():
    assert len(PAGES) >= 6 and len(HERE) >= 12


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page):
    text = page.read_text(encoding="utf-8")
    drawing = (ROOT / "docs" / "fdp.svg").read_text(encoding="utf-8")
    text += drawing if "fdp.svg" in text else ""
    named = set(re.findall(r"[a-z_-]+(?:/[a-z_-]+)*\.(?:py|sh|txt)\b", text))
    for name in named - written_by(page):
        places = [ROOT / name, ROOT / "fdp_jax" / name, ROOT / "fdp_jax" / "models" / name]
        assert any(place.exists() for place in places), name
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("command", [line for line in commands() if "python -m" in line])
def test_every_option_of_a_training_is_one(command):
    module, arguments = module_and_arguments(command)
    if module == "fdp_jax.train":
        parse_train_options(arguments, module, "")
    elif module in TRAINS:
        options = [argument for argument in arguments if argument.startswith("-")]
        if module.endswith(".experiments"):
            assert arguments[0] in NAMES
            options += [] if "--dataset=" in command else ["--dataset=samm"]
        if module.startswith("launch."):
            parse_train_options(options, module, "", LaunchOptions)
        else:
            parse_train_options(options, module, "")
    else:
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()


@pytest.fixture(scope="module")
def folder(data_dir, tmp_path_factory) -> Path:
    """Where a reader would stand: the synthetic corpus is built, others are unpacked."""
    here = tmp_path_factory.mktemp("reader")
    (here / "data").mkdir()
    (here / "data" / "synthetic").symlink_to(data_dir / "synthetic")
    for name in ("casme2", "samm"):
        run_module("datasets.example", name, f"--out={here / 'PARENT' / name}")
    for name in ("SAMM", "DIR_OF_SAMM"):
        (here / name).symlink_to(here / "PARENT" / "samm")
    return here


@pytest.mark.slow
@pytest.mark.parametrize("command", HERE)
def test_every_command_runs(command, folder):
    module, arguments = module_and_arguments(command)
    if module in TRAINS and arguments[0] not in TRAINS_NOTHING:
        # As typed, but for the size and the folder.
        given = [argument for argument in arguments if not argument.startswith("--steps=")]
        workdir = folder / f"of_command_{HERE.index(command)}"
        arguments = [*given, *TINY_OPTIONS, "--steps=2", f"--workdir={workdir}"]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True,
        timeout=HANGS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

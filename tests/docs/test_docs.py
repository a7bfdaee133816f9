"""The documents: what they name is there, their links lead somewhere, every command runs."""

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
from tests.helpers.face_videos import face_frames, write_video
from tests.helpers.tiny import TINY_OPTIONS

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
# Pages whose reader changes the code first; tests/test_docs_<word>.py follow them.
OWN_TEST = ("new-backbone.md", "new-corpus.md")
TRAINS = ("fdp_jax.train", "launch.loso", "launch.experiments", "fdp_jax.experiments")
TRAINS_NOTHING = [name for name in NAMES if not experiment(name).trains]
# What is no command of this project, needs a cluster, or serves until it is ended; tests/launch,
# tests/browser and tests/test_makefile.py have tests of these.
ELSEWHERE = ("--address=auto", "sbatch ", "ray ", "make ", "pip ", "python3 -m venv", "fdp_jax.app")
# The size of the bundled network does not change; that of others does.
FEW_STEPS = ["--preset=small", "--group_folds=2", "--steps=1", "--batch_size=2",
             "--optimizer.warmup_steps=0"]  # fmt: skip
PRETRAIN = [*TINY_OPTIONS, "--people=2", "--stills=1", "--steps=1", "--group_folds=2"]
BENCHMARK = ["--preset=small", "--batch_size=2", "--parts=start_up", "--repeats=1"]


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
    assert len(PAGES) >= 14 and len(HERE) >= 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page):
    text = page.read_text(encoding="utf-8")
    drawing = (ROOT / "docs" / "fdp.svg").read_text(encoding="utf-8")
    text += drawing if "fdp.svg" in text else ""
    named = set(re.findall(r"[a-z_-]+(?:/[a-z_-]+)*\.(?:py|sh|txt)\b", text))
    for name in named - written_by(page):
        places = (".", "fdp_jax", "fdp_jax/models", "launch")
        assert any((ROOT / place / name).exists() for place in places), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_page_and_a_heading(page):
    for link in re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M) if anchor else ()
        anchors = [
            re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings
        ]
        assert not anchor or anchor in anchors, link


def test_every_page_is_reached_from_the_readme_and_leads_on():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in PAGES[:-2]:
        assert f"](docs/{page.name})" in readme, page.name
        assert "\nNext: [" in page.read_text(encoding="utf-8"), page.name


def test_the_readme_is_one_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120 and len(text.split()) <= 1200


@pytest.mark.parametrize("command", HERE)
def test_every_option_of_a_training_is_one(command):
    # A corpus from a table is known once it is built.
    module, arguments = module_and_arguments(command.replace("--dataset=mine", "--dataset=samm"))
    if module == "fdp_jax.train":
        parse_train_options(arguments, module, "")
    elif module in TRAINS:
        options = [argument for argument in arguments if argument.startswith("-")]
        if module.endswith(".experiments"):
            assert arguments[0] in (*NAMES, "--list")
            options = [option for option in options if not option.startswith("--weights=")]
            options += [] if "--dataset=" in command else ["--dataset=samm"]
        if module.startswith("launch."):
            parse_train_options(options, module, "", LaunchOptions)
        elif arguments[0] in NAMES:
            parse_train_options(options, module, "")
    else:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def as_tried(command: str, workdir: Path) -> tuple[str, list[str]]:
    """The command as typed, but for sizes and the folder of a training."""
    module, arguments = module_and_arguments(command)
    if module in TRAINS and arguments[0] not in (*TRAINS_NOTHING, "--list"):
        given = [argument for argument in arguments if not argument.startswith("--steps=")]
        bundled = "--init=bundled" in given or arguments[0] == "pretraining"
        sizes = FEW_STEPS if bundled else [*TINY_OPTIONS, "--steps=2"]
        return module, [*given, *sizes, f"--workdir={workdir}"]
    if module == "fdp_jax.pretrain":
        return module, [*arguments, *PRETRAIN, f"--workdir={workdir}"]
    if module == "fdp_jax.benchmark" and arguments[0] != "table":
        return module, [argument for argument in arguments if "--out=" in argument] + BENCHMARK
    return module, arguments


@pytest.fixture(scope="module")
def folder(data_dir, tmp_path_factory) -> Path:
    """Where a reader would stand: the synthetic corpus is built, others are unpacked."""
    here = tmp_path_factory.mktemp("reader")
    (here / "data").mkdir()
    (here / "data" / "synthetic").symlink_to(data_dir / "synthetic")
    (here / "benchmarks").symlink_to(ROOT / "benchmarks")
    for name in ("casme2", "samm"):
        run_module("datasets.example", name, f"--out={here / 'PARENT' / name}")
    for name in ("SAMM", "DIR_OF_SAMM", "DIR"):
        (here / name).symlink_to(here / "PARENT" / "samm")
    folders = [f"--manual_dir={here / 'SAMM'}", f"--data_dir={here / 'data'}"]
    run_module("datasets.build", "samm", *folders)
    run_module("datasets.example", "own", f"--out={here / 'own'}")
    for path in (here / "own").iterdir():
        path.rename(here / path.name)
    (here / "videos").mkdir(exist_ok=True)  # the template has one
    for name in ("clip.mp4", "videos/a.mp4", "videos/b.mp4"):
        write_video(here / name, face_frames(25))
    for name in ("runs/demo", "OTHER_WORKDIR", "WORKDIR"):
        run_module(
            "fdp_jax.train", "--dataset=synthetic", f"--data_dir={data_dir}", *TINY_OPTIONS,
            "--steps=2", "--group_folds=2", f"--workdir={here / name}",
        )  # fmt: skip
    (here / "runs" / "samm_5class_small_from_bundled").symlink_to("demo")
    return here


@pytest.mark.slow
@pytest.mark.parametrize("command", HERE)
def test_every_command_runs(command, folder):
    module, arguments = as_tried(command, folder / f"of_command_{HERE.index(command)}")
    if "--out=own" in command or module == "datasets.example":
        arguments = [argument for argument in arguments if "--out=" not in argument]
        arguments.append(f"--out={folder / f'example_{HERE.index(command)}'}")
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True,
        timeout=HANGS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

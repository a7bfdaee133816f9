"""Installing the project, and what its commands say on a machine that cannot run them."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("datasets", "fdp_jax", "launch")
OLD = 'import sys; sys.version_info = (3, 10, 12, "final", 0)'
VERSION = "{}.{}".format(*sys.version_info)


def run(command, cwd, **variables) -> subprocess.CompletedProcess:
    own = {name: text for name, text in os.environ.items() if name not in ("MAKEFLAGS", "PYTHON")}
    environment = own | {name: str(value) for name, value in variables.items()}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, text=True, capture_output=True
    )


def with_start(folder: Path, code: str) -> Path:
    """A folder that, on PYTHONPATH, lets every Python start with this code."""
    (folder / "sitecustomize.py").write_text(code)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The content of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(
            ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "requirements.txt", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    shutil.copytree(ROOT / "requirements", folder / "source" / "requirements")
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    done = run([sys.executable, "-m", "pip", "wheel", ".", *options], folder / "source")
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "source").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def packages_in(file: str) -> list[str]:
    lines = (ROOT / file).read_text().splitlines()
    return [match[0] for line in lines if (match := re.match(r"[\w-]+", line))]


def test_a_wheel_has_all_modules_data_files_and_dependencies(installed):
    files = {
        path.relative_to(ROOT)
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".md")
    }
    there = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    assert files <= there and len(files) > 100
    assert {path.parts[0] for path in there - files} == {"fdp_jax-0.1.0.dist-info"}
    metadata = (installed / "fdp_jax-0.1.0.dist-info" / "METADATA").read_text()
    needed = re.findall(r"Requires-Dist: ([\w-]+)[^;\n]*\n", metadata)
    assert needed == packages_in("requirements.txt")
    extras = {
        "app": ["app"], "browser": ["dev", "launch", "app", "browser"], "cuda12": ["cuda12"],
        "dev": ["dev", "launch"], "launch": ["launch"], "parity": ["parity"],
    }  # fmt: skip
    assert set(re.findall(r"Provides-Extra: (\w+)", metadata)) == set(extras)
    for extra, files in extras.items():
        needed = re.findall(rf'Requires-Dist: ([\w-]+).*; extra == "{extra}"', metadata)
        assert needed == [
            name for file in files for name in packages_in(f"requirements/{file}.txt")
        ]
    assert "Requires-Python: >=3.11\n" in metadata


@pytest.mark.parametrize(
    ("module", "words"),
    [("fdp_jax.train", "python -m fdp_jax.train --dataset=synthetic"), ("launch.loso", "--retries"),
     ("datasets.doctor", "--manual_dir")],
)  # fmt: skip
def test_an_installed_command_runs_in_any_folder(installed, tmp_path, module, words):
    done = run([sys.executable, "-m", module, "--help"], tmp_path, PYTHONPATH=installed)
    assert done.returncode == 0 and words in done.stdout, done.stderr


@pytest.mark.parametrize("module", ["fdp_jax.train", "datasets.doctor", "launch.loso"])
@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        (OLD, "this needs Python 3.11 or newer, and .* is 3.10.12; .*python3.11 -m venv --clear"),
        ("import sys; sys.modules['fcntl'] = None",
         "this system, .* use Linux, macOS on Apple silicon, and Windows through WSL"),
        ("import sys, platform; sys.platform = 'darwin'; platform.machine = lambda: 'x86_64'",
         "a Python for Intel processors is not supported on macOS"),
        ("import sys; sys.modules['tyro'] = None",
         "the package tyro is not installed for .*; .*(pip install|source .*activate)"),
    ],
)  # fmt: skip
def test_a_machine_that_cannot_run_it_gets_one_sentence(tmp_path, start, sentence, module):
    done = run(
        [sys.executable, "-m", module, "--help"], ROOT, PYTHONPATH=with_start(tmp_path, start)
    )
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(f"error: {sentence}.*", line)


def test_another_package_of_the_name_datasets_is_named(installed, tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").touch()
    path = f"{tmp_path}{os.pathsep}{installed}"
    done = run([sys.executable, "-m", "fdp_jax.train", "--help"], tmp_path, PYTHONPATH=path)
    assert done.returncode == 1
    assert f"the package datasets in {tmp_path / 'datasets'} hides this project's" in done.stderr


@pytest.fixture
def python310(tmp_path) -> Path:
    """A command that says it is Python 3.10."""
    folder = with_start(tmp_path, OLD)
    command = tmp_path / "python3"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    command.chmod(0o755)
    return command


def make(environment: Path, *arguments: object, **variables) -> subprocess.CompletedProcess:
    target = environment / f"made-by-python{VERSION}"
    return run(["make", f"VENV={environment}", target, *arguments], ROOT, **variables)


@pytest.mark.parametrize("name", ["old", "missing"])
def test_make_names_the_python_it_needs_before_it_installs(tmp_path, python310, name):
    chosen = python310 if name == "old" else tmp_path / "nowhere"
    environment = tmp_path / "environment"
    target = environment / "runtime"
    done = run(["make", f"VENV={environment}", target, f"PYTHON={chosen}"], ROOT)
    sentences = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(sentences) == 1, done.stderr
    assert ("is 3.10.12" if name == "old" else f"there is no {chosen} here") in sentences[0]
    assert "Python 3.11 or newer" in sentences[0] and not environment.exists()


def test_make_replaces_an_environment_of_another_python(tmp_path, python310):
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    shutil.copy(python310, environment / "bin" / "python")
    (tmp_path / f"python{VERSION}").symlink_to(sys.executable)
    # `python3` is 3.10 there, as on Ubuntu 22.04 with a second Python.
    done = make(environment, PATH=f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert done.returncode == 0, done.stdout + done.stderr
    version = run([environment / "bin" / "python", "-m", "pip", "--version"], tmp_path).stdout
    assert f"(python {VERSION})" in version
    kept = environment / "kept"
    kept.touch()
    again = make(environment, "--always-make", PATH="/usr/bin:/bin")
    assert again.returncode == 0 and kept.exists(), again.stderr

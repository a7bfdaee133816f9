"""The README from top to bottom, as a reader with an unpacked corpus and a video follows it."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import HANGS, ROOT, run_module
from tests.helpers.docs_pages import commands_of
from tests.helpers.face_videos import face_frames, write_video
from tests.helpers.tiny import TINY_OPTIONS

LINES = commands_of(ROOT / "README.md")
COMMANDS = [line for line in LINES if line.startswith("python -m ")]
# The app serves until it is ended; tests/browser has its own.
FOLLOWED = [line for line in COMMANDS if "fdp_jax.app" not in line]
SNIPPET = LINES[LINES.index("import exported_model") : LINES.index("import exported_model") + 4]


def typed(command: str, folder: Path) -> subprocess.CompletedProcess:
    _, _, module, *arguments = shlex.split(command)
    if module in ("fdp_jax.train", "launch.loso"):  # as typed, but for the size
        arguments += ["--preset=small", *TINY_OPTIONS, "--steps=2"]
        arguments = list(dict.fromkeys(arguments))
    return in_folder(["-m", module, *arguments], folder)


def in_folder(arguments: list[str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True, capture_output=True, timeout=HANGS,
    )  # fmt: skip


def test_what_is_to_be_typed_is_found():
    modules = [shlex.split(line)[2] for line in COMMANDS]
    assert {"fdp_jax.train", "datasets.doctor", "launch.loso", "fdp_jax.predict"} <= set(modules)
    assert LINES[:2] == ["make demo", "make test"] and SNIPPET[1].startswith("network = ")


@pytest.mark.slow
def test_no_command_fails(data_dir, tmp_path):
    run_module("datasets.example", "samm", f"--out={tmp_path / 'DIR'}")
    write_video(tmp_path / "clip.mp4", face_frames(25))
    demo = [*TINY_OPTIONS, "--steps=2", "--group_folds=2", f"--workdir={tmp_path / 'runs/demo'}"]
    run_module("fdp_jax.train", "--dataset=synthetic", f"--data_dir={data_dir}", *demo)
    for command in FOLLOWED:
        done = typed(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "prediction" / "prediction.html").exists()

    shutil.copy(ROOT / "fdp_jax" / "exported_model.py", tmp_path)
    clip = "import numpy as np\nclip = np.zeros((9, 72, 72, 1), np.uint8)\n"
    result = in_folder(["-c", clip + "\n".join([*SNIPPET[:3], f"print({SNIPPET[3]})"])], tmp_path)
    assert result.returncode == 0 and "happiness" in result.stdout, result.stderr

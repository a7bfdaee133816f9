"""The README begins with the two commands, and the code for an exported network runs."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import HANGS, ROOT, run_module
from tests.helpers.docs_pages import commands_of
from tests.helpers.tiny import TINY_OPTIONS

PAGE = (ROOT / "docs" / "your-video.md").read_text(encoding="utf-8")


def test_the_readme_begins_with_the_two_commands():
    assert commands_of(ROOT / "README.md")[:2] == ["make demo", "make test"]


@pytest.mark.slow
def test_the_code_for_an_exported_network_runs_without_the_project(data_dir, tmp_path):
    demo = [*TINY_OPTIONS, "--steps=2", "--group_folds=2", f"--workdir={tmp_path / 'runs'}"]
    run_module("fdp_jax.train", "--dataset=synthetic", f"--data_dir={data_dir}", *demo)
    run_module("fdp_jax.export", str(tmp_path / "runs"), f"--out={tmp_path / 'network.fdp'}")
    shutil.copy(ROOT / "fdp_jax" / "exported_model.py", tmp_path)
    (snippet,) = re.findall(r"```text\n(import exported_model\n.*?)```", PAGE, re.DOTALL)
    *lines, last = snippet.strip().splitlines()
    clip = "import numpy as np\nclip = np.zeros((9, 72, 72, 1), np.uint8)\n"
    done = subprocess.run(
        [sys.executable, "-c", clip + "\n".join([*lines, f"print({last})"])],
        cwd=tmp_path, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        text=True, capture_output=True, timeout=HANGS,
    )  # fmt: skip
    assert done.returncode == 0 and "happiness" in done.stdout, done.stderr

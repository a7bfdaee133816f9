"""What runs on a machine without the packages for corpora, command lines, events and pages."""

import json
import subprocess
import sys

import pytest

from tests.conftest import HANGS, ROOT
from tests.helpers.without_packages import REFUSED, environment_with_only

TRAINING = """
import dataclasses, sys
from pathlib import Path

from fdp_jax.report import print_summary, write_report
from tests.helpers.tiny import TINY, make_tiny_plan, random_clips, train_plan

workdir = Path(sys.argv[1])
config = dataclasses.replace(TINY, steps=1)
train_plan(make_tiny_plan(workdir, random_clips(people=2, each=2), config))
(workdir / "report.html").write_text("of an earlier report")
print_summary(write_report(workdir), workdir)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    return environment_with_only(tmp_path_factory.mktemp("site"))


def python(environment, code, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, text=True,
        capture_output=True, timeout=HANGS,
    )  # fmt: skip


def test_the_environment_refuses_what_it_should(environment):
    tried = (
        "from importlib.util import find_spec\n"
        f"print([name for name in {sorted(REFUSED)} + ['pytest'] if find_spec(name)])\n"
        "import jax, flax, optax, orbax.checkpoint, cv2, sklearn, scipy, matplotlib"
    )
    done = python(environment, tried)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize(
    "module",
    ["fdp_jax.config", "fdp_jax.clips", "fdp_jax.corpora", "fdp_jax.metrics.scores",
     "fdp_jax.train_loop", "fdp_jax.report", "datasets.command_line"],
)  # fmt: skip
def test_it_is_imported_without_them(environment, module):
    done = python(environment, f"import {module}")
    assert done.returncode == 0, done.stderr


def test_a_training_and_its_report_do_without_events_and_page(environment, tmp_path):
    done = python(environment, TRAINING, str(tmp_path))
    assert done.returncode == 0, done.stderr
    for fold in ("p0", "p1"):
        folder = tmp_path / "seed_0" / "folds" / fold
        assert json.loads((folder / "log.jsonl").read_text())["step"] == 1
        assert not (folder / "tensorboard").exists()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["complete"] and report["n_clips"] == 4
    assert (tmp_path / "figures" / "training_curves.png").exists()
    assert not (tmp_path / "report.html").exists()  # nor the earlier one
    (where,) = [line for line in done.stdout.splitlines() if line.startswith("Report: ")]
    assert str(tmp_path / "report.md") in where and "jinja2 is not installed" in where

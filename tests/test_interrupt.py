"""Ctrl-C in a training: it ends at once, and says from which steps the run resumes."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from fdp_jax.workdir import FINAL_WEIGHTS, fold_directory, locked_run
from tests.conftest import HANGS, ROOT
from tests.helpers.tiny import TINY, TINY_OPTIONS, make_tiny_plan, random_clips

PROMPT = 10.0  # seconds, on a slow machine; what it interrupts takes far longer
BUSY = """
import hashlib, signal, sys, time
from fdp_jax.environment import exit_on_interrupt

def farewell():
    time.sleep(float(sys.argv[1]))
    return "farewell"

with exit_on_interrupt(farewell):
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", int(sys.argv[2]))  # like XLA, returns to no handler
print("done")
"""


WITH_HANDLER = """
import os, signal, sys
signal.signal(signal.SIGINT, getattr(signal, sys.argv[1]))  # a process inherits what the shell set
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def start(*arguments: object, handler: str = "SIG_DFL") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WITH_HANDLER, handler, *map(str, arguments)], cwd=ROOT, text=True,
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def interrupt(
    process: subprocess.Popen, times: int = 1, number: int = signal.SIGINT
) -> tuple[str, str]:
    """Sends Ctrl-C or SIGTERM; returns what it prints, and fails if it does not end soon."""
    begin = time.monotonic()
    for _ in range(times):
        os.killpg(process.pid, number)
        time.sleep(0.5)
    printed = process.communicate(timeout=HANGS)
    assert time.monotonic() - begin < PROMPT
    return printed


@pytest.mark.parametrize(
    ("wait", "times", "number", "sentence"),
    [(0, 1, signal.SIGINT, "\nfarewell\n"), (HANGS, 2, signal.SIGINT, ""),
     (0, 1, signal.SIGTERM, "\nfarewell\n")],  # the end of a queue's time
    ids=["one", "two", "queue"],
)  # fmt: skip
def test_it_ends_what_computes_and_the_second_waits_for_nothing(wait, times, number, sentence):
    process = start("-c", BUSY, wait, 2**31 - 1)
    assert process.stdout.readline() == "ready\n"
    assert interrupt(process, times, number) == ("", sentence)
    assert process.returncode == 128 + number


def test_it_is_ignored_where_the_shell_says_so():  # as under nohup
    process = start("-c", BUSY, 0, 2_000_000, handler="SIG_IGN")
    assert process.stdout.readline() == "ready\n"
    assert interrupt(process) == ("done\n", "")
    assert process.returncode == 0


def test_a_training_names_the_step_of_its_last_checkpoint(data_dir, tmp_path):
    process = start(
        "-m", "fdp_jax.train", "--dataset=synthetic", f"--data_dir={data_dir}", "--folds=s01,s02",
        f"--workdir={tmp_path}", *TINY_OPTIONS, "--steps=1000000", "--log_every=1000000",
        "--checkpoint_every=7", "--checkpoint_seconds=0",
    )  # fmt: skip
    directory = fold_directory(tmp_path, 0, "s01")
    while directory.resumable_steps(1_000_000)[0] < 14:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    stdout, stderr = interrupt(process)
    assert process.returncode == 130 and "Traceback" not in stderr
    assert "To train in" in stdout and "2 trainings of 1,000,000 steps" in stdout
    found = re.fullmatch(
        r"interrupted; run the same command again to resume: fold s01 from step (\d+) of 1000000, "
        "0 of 2 folds finished, 1 not begun",
        stderr.splitlines()[-1],
    )
    # One may be renamed in that moment.
    assert int(found[1]) in directory.resumable_steps(1_000_000)
    assert "fold 1/2 s01" in stderr and "compiling" in stderr


def test_folds_trained_together_resume_from_a_common_step(tmp_path):
    config = dataclasses.replace(TINY, steps=50, select="all")
    plan = make_tiny_plan(tmp_path, random_clips(people=5, each=2), config)
    assert plan.describe_resume().endswith("to resume: 0 of 5 folds finished, 5 not begun")
    for name, steps in (("p0", (20, 30)), ("p1", (30, 40)), ("p4", (10,))):
        directory = fold_directory(tmp_path, 0, name)
        for step in steps:
            (directory.checkpoints / str(step)).mkdir(parents=True)
        (directory.checkpoints / "40.orbax-checkpoint-tmp").mkdir()  # cut off while it is written
        directory.log.touch()
    for name in ("p2", "p3"):  # whose first training is complete
        directory = fold_directory(tmp_path, 0, name)
        (directory.checkpoints / FINAL_WEIGHTS).mkdir(parents=True)
        (directory.second_training.checkpoints / "10").mkdir(parents=True)
        directory.log.touch()
    groups = plan.groups(2)
    assert [len(group.tasks) for group in groups] == [2, 2, 1]
    first, second = "from step {} of 50", "from step 10 of 50 of its second training"
    assert plan.describe_resume(groups) == (
        f"run the same command again to resume: fold p0 {first.format(30)}, fold p1 "
        f"{first.format(30)}, fold p2 {second}, fold p3 {second}, fold p4 {first.format(10)}, "
        "0 of 5 folds finished"
    )


def test_a_lock_without_work_leaves_no_folder(tmp_path):
    with locked_run(tmp_path / "runs" / "mine"):
        assert (tmp_path / "runs" / "mine" / ".lock").exists()
    assert list(tmp_path.iterdir()) == []
    with locked_run(tmp_path / "runs" / "mine"):
        (tmp_path / "runs" / "mine" / "config.json").touch()
    assert len(list((tmp_path / "runs" / "mine").iterdir())) == 2

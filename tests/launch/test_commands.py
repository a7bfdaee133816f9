"""`python -m launch.loso` and `launch.experiments`, with Ray on this machine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets.errors import UserError
from fdp_jax.options import parse_train_options
from fdp_jax.training_log import read_log
from launch.loso import LaunchOptions
from tests.conftest import HANGS, ROOT, run_module
from tests.helpers.tiny import TINY_OPTIONS
from tests.helpers.without_packages import environment_without

pytest.importorskip("ray")

OFTEN = ["--checkpoint_every=10", "--checkpoint_seconds=0", "--log_every=5"]


def options(data_dir: Path, workdir: Path, steps: int) -> list[str]:
    return [
        "--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={workdir}", *TINY_OPTIONS,
        f"--steps={steps}", *OFTEN,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--gpus_per_fold=2", "one GPU at most"),
        ("--gpus_per_fold=half", "one GPU at most"),
        ("--gpus_per_fold=-1", "one GPU at most"),
        ("--cpus_per_fold=0", "--cpus_per_fold must be at least 1"),
        ("--retries=-1", "--retries must not be negative"),
        ("--stes=3", "did you mean --steps"),
        ("--gpu_per_fold=1", "did you mean --gpus_per_fold"),
        ("--steps=0", "--steps"),
    ],
)
def test_impossible_options(option, message):
    with pytest.raises(UserError, match=message):
        parse_train_options(["--dataset=samm", option], "launch", "", LaunchOptions)


def fold_of(workdir: Path, name: str) -> Path:
    return workdir / "seed_0" / "folds" / name


def test_a_fold_that_fails_is_named_and_the_rest_has_the_bits_of_one_core(data_dir, tmp_path):
    spread, in_turn = tmp_path / "spread", tmp_path / "in_turn"
    broken = fold_of(spread, "s02")
    broken.parent.mkdir(parents=True)
    broken.touch()  # where its folder should be
    arguments = [*options(data_dir, spread, 30), "--folds=s01,s02,s03"]
    first = run_module("launch.loso", *arguments, "--retries=1", check=False)
    assert first.returncode == 1 and "Traceback" not in first.stderr
    last = first.stderr.splitlines()[-1]
    assert last.startswith("error: 1 of 3 folds failed: fold s02: ") and str(broken) in last
    assert "run the same command again" in last and "INCOMPLETE" in first.stdout
    report = json.loads((spread / "report.json").read_text())
    assert not report["complete"] and "s02" in {f["fold"] for f in report["missing_folds"]}
    assert sum(["s02"] in [f[1:] for f in row["folds"]] for row in events(spread, "begins")) == 2
    before = (fold_of(spread, "s01") / "done.json").read_bytes()

    broken.unlink()
    imports = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1", "http_proxy": "http://127.0.0.1:9"}
    imports["TMPDIR"] = str(tmp_path / ("of_a_batch_job_" * 6))  # too long for a socket in it
    Path(imports["TMPDIR"]).mkdir()
    again = run_module("launch.loso", *arguments, env=imports)
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert "ray" in imported and not imported & {"jax", "flax", "orbax"}  # nor any of theirs
    assert [row["folds"] for row in events(spread, "begins")][-1] == [[0, "s02"]]
    assert (fold_of(spread, "s01") / "done.json").read_bytes() == before

    core = min(os.sched_getaffinity(0))
    arguments = [*options(data_dir, in_turn, 30), "--folds=s01,s02,s03"]
    run_module("fdp_jax.train", *arguments, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    for name in ("predictions.csv", "seed_0/folds/s02/log.jsonl"):
        a, b = (without_clock(workdir / name) for workdir in (spread, in_turn))
        assert a == b


def events(workdir: Path, event: str) -> list[dict]:
    return [row for row in read_log(workdir / "launch.jsonl") if row["event"] == event]


def without_clock(path: Path):
    if path.suffix == ".csv":
        return path.read_bytes()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize(
    "name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)]
)  # a queue's time limit ends it as Ctrl-C does
def test_ctrl_c_stops_cleanly_and_names_the_way_to_resume(data_dir, tmp_path, name):
    workdir = tmp_path / "stopped"
    arguments = [*options(data_dir, workdir, 100_000), "--folds=s01"]
    process = subprocess.Popen(
        [sys.executable, "-m", "launch.loso", *arguments], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    checkpoints = fold_of(workdir, "s01") / "checkpoints"
    deadline = time.monotonic() + HANGS
    while not any(path.name.isdecimal() for path in checkpoints.glob("*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    (worker,) = [row["pid"] for row in events(workdir, "worker")]
    if name == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    else:
        process.terminate()
    _, stderr = process.communicate(timeout=HANGS)
    assert process.returncode == 130
    assert re.fullmatch(
        r"interrupted; run the same command again to resume: fold s01 from step \d+ of 100000, "
        "0 of 1 folds finished",
        stderr.splitlines()[-1],
    )
    assert "Traceback" not in stderr
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.slow
def test_an_experiment_spreads_its_runs(data_dir, tmp_path):
    arguments = [
        "table4", "--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={tmp_path}",
        "--group_folds=2", *TINY_OPTIONS, "--steps=2", "--retries=0",
    ]  # fmt: skip
    done = run_module("launch.experiments", *arguments)
    assert "table4.md" in done.stdout
    runs = [path.parent for path in tmp_path.glob("*/launch.jsonl")]
    assert runs and all(json.loads((run / "report.json").read_text())["complete"] for run in runs)


@pytest.mark.parametrize("command", ["launch.loso", "launch.experiments"])
def test_without_ray_there_is_one_sentence(tmp_path, command):
    environment = environment_without(tmp_path, {"ray"})
    what = ["--dataset=synthetic"] if command == "launch.loso" else ["figure4"]
    done = run_module(command, *what, check=False, env=environment)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert 'pip install -e ".[launch]"' in done.stderr
    shown = run_module(command, "--help", env=environment).stdout
    assert "--gpus_per_fold" in shown and "--address" in shown and "--retries" in shown


def test_a_misspelt_option_of_an_experiment():
    done = run_module("launch.experiments", "figure4", "--gpus_per_folt=1", check=False)
    assert done.returncode == 1 and "did you mean --gpus_per_fold" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="the script takes the README's .venv")
def test_the_queue_script_starts_a_cluster_and_ends_as_its_launcher_does(data_dir, tmp_path):
    srun = tmp_path / "srun"  # as if this machine were the allocation's other one, too
    srun.write_text('#!/usr/bin/env bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n')
    srun.chmod(0o755)
    allocation = {
        "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "1",
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path),
    }  # fmt: skip
    workdir = tmp_path / "run"
    for steps, status in ((0, 1), (30, 0)):
        arguments = [*options(data_dir, workdir, steps), "--folds=s01,s02,s03"]
        done = subprocess.run(
            ["bash", "launch/slurm.sh", *arguments], cwd=ROOT, env={**os.environ, **allocation},
            capture_output=True, text=True, timeout=HANGS,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
    assert len({row["node"] for row in events(workdir, "worker")}) == 2

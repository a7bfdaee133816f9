"""The launcher's parts by themselves: shares, options, workers, what one sees."""

import dataclasses
import io
import json
import os
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from datasets.errors import UserError
from fdp_jax.plan import Plan, Run
from fdp_jax.schedule import Cadence
from launch import cluster
from launch.cluster import Cluster
from launch.fold_progress import progress_of
from launch.options import launch_options_from
from launch.share import ROOT, Share
from launch.view import View, read_ledger
from launch.worker import Worker
from tests.helpers.tiny import TINY, random_clips

# What a worker's process starts with.


def test_a_worker_finds_the_code_and_what_jax_was_told():
    own = {"PYTHONPATH": "/mine", "XLA_FLAGS": "--a", "JAX_LOG_COMPILES": "1", "HOME": "/h"}
    given = Share(1, 1).environment(own)
    assert given["PYTHONPATH"] == f"{ROOT}{os.pathsep}/mine"
    assert given["XLA_FLAGS"] == "--a" and given["JAX_LOG_COMPILES"] == "1" and "HOME" not in given
    assert "XLA_CLIENT_MEM_FRACTION" not in given and "JAX_PLATFORMS" not in given


def test_a_share_of_a_gpu_is_a_share_of_its_memory():
    own = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9"}  # jax refuses to have both names
    given = Share(0.25, 1).environment(own)
    assert given["XLA_CLIENT_MEM_FRACTION"] == "0.2250"
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in given


def test_a_worker_without_gpu_does_not_look_for_one():
    assert Share(0, 1).environment({"JAX_PLATFORMS": "cuda"})["JAX_PLATFORMS"] == "cpu"


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_a_worker_has_the_large_pages_of_the_command_unless_told_otherwise():
    assert Share(0, 1).environment({})["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert "GLIBC_TUNABLES" not in Share(0, 1).environment({"GLIBC_TUNABLES": ""})


def test_a_worker_asks_ray_for_its_share():
    asked = {}
    kind = SimpleNamespace(options=lambda **given: asked.update(given) or kind, remote=lambda: "w")
    assert Cluster(SimpleNamespace(remote=lambda _: kind)).start_worker(Share(0.25, 3)) == "w"
    assert (asked["num_gpus"], asked["num_cpus"], asked["max_restarts"]) == (0.25, 3, 0)
    assert asked["runtime_env"]["env_vars"]["XLA_CLIENT_MEM_FRACTION"] == "0.2250"


def test_the_room_is_that_of_the_machines_that_live():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 9.0, "GPU": 9.0}},
        {"Alive": True, "Resources": {"CPU": 2.0}},
    ]
    there = Cluster(SimpleNamespace(nodes=lambda: nodes))
    assert there.room_for(Share(0, 1)) == 6 and there.room_for(Share(0.5, 1)) == 2
    assert there.has_gpus() and there.told() == "CPU cores 6, GPUs 1, machines 2"


# Options.


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
def test_options_that_cannot_be(option, message):
    with pytest.raises(UserError, match=message):
        launch_options_from(["--dataset=samm", option], "launch", None)


@pytest.mark.parametrize(
    ("options", "has_gpus", "share"),
    [
        ([], True, Share(1.0, 1)),
        ([], False, Share(0.0, 1)),
        (["--gpus_per_fold=0"], True, Share(0.0, 1)),
        (["--gpus_per_fold=0.25", "--cpus_per_fold=2"], False, Share(0.25, 2)),
    ],
)
def test_the_share_that_is_asked_for(options, has_gpus, share):
    chosen, _ = launch_options_from(["--dataset=samm", *options], "launch", None)
    assert chosen.share(has_gpus) == share


@pytest.mark.parametrize("address", ["somewhere", "ray://here:10001", "here:port", "here:70000"])
def test_an_address_that_is_none(address):
    with pytest.raises(UserError, match="must be HOST:PORT"):
        cluster._check_address(address)


def test_an_address_where_nobody_answers():
    with pytest.raises(UserError, match=r"no Ray cluster answers at --address=127\.0\.0\.1:1 "):
        cluster._check_address("127.0.0.1:1")


# How far a fold is.


@pytest.fixture
def plan(tmp_path) -> Plan:
    config = dataclasses.replace(TINY, steps=100)
    run = Run(config, "tiny", (0,), (), tmp_path, Cadence(1, 1), "a command")
    return Plan(run, random_clips(people=3, each=2))


def write_log(task, *rows):
    task.directory.path.mkdir(parents=True, exist_ok=True)
    task.directory.log.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_progress_comes_from_the_log(plan):
    task = plan.wanted[0]
    assert dataclasses.astuple(progress_of(task, 100)) == (0, 100, "", None)
    losses = {"cross_entropy": 1.23456, "rank": 16.0}
    write_log(task, {"step": 20, "seconds": 9.0, **losses}, {"step": 40, "seconds": 5.0, **losses})
    told = progress_of(task, 100)
    assert (told.step, told.steps, told.losses) == (40, 100, "CE 1.235, rank 16.00")
    assert told.seconds_left == pytest.approx(60 * 5 / 20)
    # The seconds of a line are a fold's share of those of the group.
    assert progress_of(task, 100, together=4).seconds_left == pytest.approx(60 * 5 / 20 * 4)


def test_progress_counts_both_trainings_of_a_fold(plan):
    task = dataclasses.replace(plan.wanted[0], trainings=plan.wanted[0].trainings * 2)
    write_log(task, {"step": 100, "seconds": 2.0})
    second = task.directory.second_training
    second.path.mkdir()
    second.log.write_text(json.dumps({"step": 10, "seconds": 1.0}) + "\n")
    told = progress_of(task, 100)
    assert (told.step, told.steps) == (110, 200)
    assert told.seconds_left == pytest.approx(90 * 0.1)


# What one sees.


def hand(number=1, job=None):
    place = {"host": "here", "gpu": "3", "held_to": []}
    return SimpleNamespace(number=number, place=place, job=job, device="here GPU 3", is_ready=True)


def crew_with(plan, running=(), done=(), failed=()):
    job = SimpleNamespace(tasks=list(running))
    return SimpleNamespace(hands=[hand(job=job)], done=done, failed=failed)


def test_events_are_told_and_kept(plan):
    output = io.StringIO()
    view = View(plan, Console(file=output, width=60))
    view.tell("begins", hand(), folds=[(0, "p0")], attempt=1)
    view.tell("failed", hand(), folds=[(0, "p0")], reason="[red]no[/red] disk", tries_left=1)
    view.tell("failed", hand(2), folds=[(0, "p0")], reason="x", tries_left=0)
    view.tell("done", hand(2), folds=[(0, "p1"), (0, "p2")], seconds=130.0)
    assert output.getvalue().splitlines() == [
        "fold p0 failed on here GPU 3: [red]no[/red] disk (to be tried again)",
        "fold p0 failed on here GPU 3: x (given up)",
        "folds p1, p2 done on here GPU 3 (2 min)",
    ]
    with (plan.run.workdir / "launch.jsonl").open("a") as file:
        file.write('{"event": "do')  # torn by a kill
    rows = read_ledger(plan.run.workdir)
    assert [(row["event"], row["worker"]) for row in rows] == [
        ("begins", 1), ("failed", 1), ("failed", 2), ("done", 2),
    ]  # fmt: skip
    assert rows[0]["host"] == "here" and rows[0]["attempt"] == 1


def test_a_ledger_that_cannot_be_written_is_told(plan):
    (plan.run.workdir / "launch.jsonl").mkdir()
    with pytest.raises(UserError, match=r"launch.jsonl cannot be written .*same command to go on"):
        View(plan, Console(file=io.StringIO())).tell("begins", hand())


def test_a_terminal_shows_each_running_fold(plan):
    write_log(plan.wanted[1], {"step": 25, "seconds": 2.0, "cross_entropy": 0.5})
    output = io.StringIO()
    view = View(plan, Console(file=output, width=120, force_terminal=True))
    with view.shown():
        view.look(crew_with(plan, [plan.wanted[1]], done=[plan.wanted[0]]))
        view._bars.refresh()
    shown = output.getvalue()
    assert "fold p1" in shown and "25/100" in shown and "CE 0.500, 6 s left, here GPU 3" in shown
    # 75 steps of this fold and 100 of the next, at 25 steps in 2 seconds.
    assert "1/3" in shown and "1 running, 1 waiting, 0 failed, about 14 s left" in shown


def test_without_a_terminal_there_is_a_line_a_minute(plan, monkeypatch):
    write_log(plan.wanted[1], {"step": 25, "seconds": 2.0})
    output = io.StringIO()
    view = View(plan, Console(file=output, width=60))
    failed = [SimpleNamespace(tasks=[plan.wanted[2]])]
    of_plan = crew_with(plan, [plan.wanted[1]], failed=failed)
    of_plan.hands.append(SimpleNamespace(job=None, is_ready=False))
    view.look(of_plan)
    assert not output.getvalue()
    monkeypatch.setattr("launch.view._SILENCE", 0.0)
    view.look(of_plan)
    text = (
        "0/3 folds done, 1 running, 1 waiting, 1 failed, 1 workers starting, about 14 s left; "
        "fold p1 25/100\n"
    )
    assert output.getvalue().endswith(text)


# A worker.


def worker_with(plan, train) -> Worker:
    worker = Worker()
    worker._trainer = SimpleNamespace(train=train)
    worker._tasks = {(0, task.fold.name): task for task in plan.wanted}
    worker._told_place = lambda: "here"
    return worker


def test_what_goes_wrong_in_a_worker_is_an_answer_and_stands_in_the_log(plan):
    def train(groups, progress, patience):
        print("printed")
        os.write(2, b"from afar\n")
        raise ValueError("two\nlines")

    answer = worker_with(plan, train).train([(0, "p0"), (0, "p1")], "try 1")
    assert answer == {"error": "ValueError: two"}
    log = (plan.wanted[0].directory.path / "launch.log").read_text()
    assert log.splitlines()[0].endswith(" try 1; here")
    assert "from afar" in log and 'raise ValueError("two' in log
    beside = (plan.wanted[1].directory.path / "launch.log").read_text()
    assert beside.endswith("; output in ../p0/launch.log\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("the loss is no longer finite"), "the loss is no longer finite"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nx"), "the device has not enough memory"),
        (OSError(28, "No space left on device", "/x/y"), "the system refuses /x/y: No space left"),
    ],
)
def test_a_mistake_or_a_full_device_is_a_sentence(plan, error, told):
    def train(groups, progress, patience):
        raise error

    assert worker_with(plan, train).train([(0, "p0")], "try 1")["error"].startswith(told)


def test_folds_that_were_finished_meanwhile_are_left_alone(plan, monkeypatch):
    given = []

    def train(groups, progress, patience):
        given.extend(task.fold.name for group in groups for task in group)

    finished = plan.wanted[0].directory
    monkeypatch.setattr(type(finished), "is_finished", lambda self: self == finished)
    answer = worker_with(plan, train).train([(0, "p0"), (0, "p1")], "try 2")
    assert answer == {"error": ""} and given == ["p1"]


def test_a_machine_that_does_not_see_the_work_directory_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = Worker().prepare(["--dataset=synthetic", "--workdir=not_here"], str(tmp_path), [])
    assert "not_here is not there" in answer["error"] and "every machine" in answer["error"]
    assert not (tmp_path / "not_here").exists()

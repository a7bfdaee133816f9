"""What a launch shows and logs."""

import dataclasses
import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.live import Live

from datasets.errors import UserError
from fdp_jax.plan import FoldGroup, Plan
from fdp_jax.training_log import read_log
from launch import progress_display
from launch.progress_display import ProgressDisplay, read_progress
from launch.scheduler import Job, WorkerHandle
from tests.helpers.tiny import TINY, make_tiny_plan, random_clips


@pytest.fixture
def plan(tmp_path) -> Plan:
    config = dataclasses.replace(TINY, steps=100)
    return make_tiny_plan(tmp_path, random_clips(people=3, each=2), config)


def display_of(plan, **console):
    output = io.StringIO()
    live = Live(console=Console(file=output, **console), auto_refresh=False, transient=True)
    return ProgressDisplay(plan, live), output


def write_log(task, *rows):
    task.directory.path.mkdir(parents=True, exist_ok=True)
    task.directory.log.write_text("".join(json.dumps(row) + "\n" for row in rows))


def worker(number=1, tasks=()):
    job = Job(FoldGroup(tuple(tasks), len(tasks))) if tasks else None
    return WorkerHandle(number, {"host": "here", "gpu": "3"}, [], job)


def scheduler_with(workers, done=(), failed=()):
    return SimpleNamespace(workers=workers, done=done, failed=failed)


def test_progress_is_read_from_the_log(plan):
    task = plan.tasks[0]
    assert read_progress(task, 100, 1) == (0, 100, None, "")
    losses = {"cross_entropy": 1.23456, "rank": 16.0}
    write_log(task, {"step": 20, "seconds": 9.0, **losses}, {"step": 40, "seconds": 5.0, **losses})
    progress = read_progress(task, 100, 1)
    assert (progress.step, progress.steps) == (40, 100)
    assert progress.losses == "cross-entropy 1.235, rank 16.00"
    assert progress.seconds_left == pytest.approx(60 * 5 / 20)
    # The seconds of a line are a fold's share of those of the group.
    assert read_progress(task, 100, 4).seconds_left == pytest.approx(60 * 5 / 20 * 4)


def test_progress_counts_both_trainings_of_a_fold(plan):
    task = dataclasses.replace(plan.tasks[0], trainings=plan.tasks[0].trainings * 2)
    write_log(task, {"step": 100, "seconds": 2.0})
    second = task.directory.second_training
    second.path.mkdir()
    second.log.write_text(json.dumps({"step": 10, "seconds": 1.0}) + "\n")
    progress = read_progress(task, 100, 1)
    assert (progress.step, progress.steps) == (110, 200)
    assert progress.seconds_left == pytest.approx(90 * 0.1)


def test_events_are_logged_and_printed_if_they_matter(plan):
    display, output = display_of(plan, width=60)
    display.log("begins", worker(), folds=[(0, "p0")], attempt=1)
    display.log("failed", worker(), folds=[(0, "p0")], reason="[red]no[/red] disk", tries_left=1)
    display.log("failed", worker(2), folds=[(0, "p0")], reason="x", tries_left=0)
    display.log("done", worker(2), folds=[(0, "p1"), (0, "p2")], seconds=130.0)
    display.log("no start", WorkerHandle(3), reason="no disk")
    assert output.getvalue().splitlines() == [
        "fold p0 failed on here GPU 3: [red]no[/red] disk (will be retried)",
        "fold p0 failed on here GPU 3: x (given up)",
        "folds p1, p2 done on here GPU 3 (2 min)",
        "a worker did not start: no disk",
    ]
    with (plan.workdir / "launch.jsonl").open("a") as file:
        file.write('{"event": "do')  # torn by a kill
    rows = read_log(plan.workdir / "launch.jsonl")
    assert [(row["event"], row["worker"]) for row in rows] == [
        ("begins", 1), ("failed", 1), ("failed", 2), ("done", 2), ("no start", 3),
    ]  # fmt: skip
    assert rows[0]["host"] == "here" and rows[0]["attempt"] == 1


def test_a_log_that_cannot_be_written(plan):
    (plan.workdir / "launch.jsonl").mkdir()
    display, _ = display_of(plan)
    with pytest.raises(UserError, match=r"launch.jsonl cannot be written .*same command again"):
        display.log("begins", worker())


def test_a_terminal_shows_a_line_for_each_running_fold(plan):
    write_log(plan.tasks[1], {"step": 25, "seconds": 2.0, "cross_entropy": 0.5})
    display, output = display_of(plan, width=120, force_terminal=True)
    with display._live:
        display.update(scheduler_with([worker(tasks=[plan.tasks[1]])], done=[plan.tasks[0]]))
    shown = output.getvalue()
    assert "fold p1" in shown and "25/100" in shown
    assert "6 s left, here GPU 3, cross-entropy 0.500" in shown
    # 75 steps of this fold and 100 of the next, at 25 steps in 2 seconds.
    assert "1/3" in shown and "1 running, 1 waiting, 0 failed, about 14 s left" in shown


def test_without_a_terminal_there_is_a_line_a_minute(plan, monkeypatch):
    write_log(plan.tasks[1], {"step": 25, "seconds": 2.0})
    display, output = display_of(plan, width=60)
    workers = [worker(tasks=[plan.tasks[1]]), WorkerHandle(2)]
    failed = [Job(FoldGroup((plan.tasks[2],), 1))]
    with display._live:
        display.update(scheduler_with(workers, failed=failed))
        assert not output.getvalue()
        monkeypatch.setattr(progress_display, "LINE_SECONDS", 0.0)
        display.update(scheduler_with(workers, failed=failed))
    assert output.getvalue().endswith(
        "0/3 folds done, 1 running, 1 waiting, 1 failed, 1 worker starting, about 14 s left; "
        "fold p1 25/100\n"
    )

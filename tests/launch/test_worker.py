"""A worker without Ray: what it trains, its errors and its log."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from datasets.errors import UserError
from datasets.protocols import get_protocol
from fdp_jax.options import TrainOptions
from launch.worker import Worker
from tests.helpers.tiny import make_tiny_plan, random_clips


@pytest.fixture
def plan(tmp_path):
    return make_tiny_plan(tmp_path, random_clips(people=3, each=2))


@pytest.fixture
def train(plan, monkeypatch):
    """Calls a worker's `train` in place of which a function trains; output is restored."""
    streams = [os.dup(descriptor) for descriptor in (1, 2)]

    def train(train_folds, folds, header="try 1"):
        fake = SimpleNamespace(train_folds=train_folds)
        monkeypatch.setitem(sys.modules, "fdp_jax.train_loop", fake)
        worker = Worker()
        worker._plan, worker._corpus = plan, None
        worker.train([(0, name) for name in folds], size=2, header=header)

    yield train
    for stream, descriptor in zip(streams, (1, 2), strict=True):
        os.dup2(stream, descriptor)
        os.close(stream)


def test_errors_and_output_are_in_the_log_of_the_fold(plan, train):
    def train_folds(*_, lock_timeout):
        os.write(2, b"from C++\n")
        raise ValueError("two\nlines")

    with pytest.raises(UserError, match=r"^ValueError: two$"):
        train(train_folds, ["p0", "p1"])
    log = (plan.tasks[0].directory.path / "launch.log").read_text()
    assert f" try 1; {os.uname().nodename}, process {os.getpid()}, cores" in log.splitlines()[0]
    assert "from C++" in log
    beside = (plan.tasks[1].directory.path / "launch.log").read_text()
    assert beside.endswith("; output in ../p0/launch.log\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("the loss is not finite"), "the loss is not finite"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nx"), "the device has too little memory"),
        (OSError(28, "No space left on device", "/x/y"), "the system refuses /x/y: No space left"),
    ],
)
def test_every_error_is_one_sentence(train, error, message):
    def train_folds(*_, lock_timeout):
        raise error

    with pytest.raises(UserError, match=message):
        train(train_folds, ["p0"])


def test_folds_finished_meanwhile_are_skipped(plan, train, monkeypatch):
    groups = []

    def train_folds(group, *_, lock_timeout):
        groups.append(group)

    finished = plan.tasks[0].directory
    monkeypatch.setattr(type(finished), "is_finished", lambda self: self == finished)
    train(train_folds, ["p0", "p1"])
    train(train_folds, ["p0"])
    (group,) = groups
    assert [task.fold.name for task in group.tasks] == ["p1"] and group.size == 2


def test_a_machine_without_the_work_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = TrainOptions(dataset="synthetic", workdir=Path("not_here"))
    protocol = get_protocol("synthetic", None)
    with pytest.raises(UserError, match=r"/not_here is not there.*every machine"):
        Worker().prepare(options, protocol, str(tmp_path), [])
    assert not (tmp_path / "not_here").exists()

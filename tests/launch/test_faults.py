"""LOSO over two machines of a cluster, while workers, a machine and the launcher are killed."""

import os
import signal
import time
from pathlib import Path

import pytest

from fdp_jax.training_log import read_log
from tests.conftest import HANGS, run_module
from tests.helpers.cluster_here import ClusterHere, Launcher
from tests.helpers.tiny import TINY_OPTIONS

pytest.importorskip("ray")


@pytest.fixture
def cluster():
    """Two machines with two declared GPUs each; there need be none."""
    both = ClusterHere(machines=2, cpus=2, gpus=2)
    yield both
    both.stop()


def arguments(data_dir: Path, workdir: Path) -> list[str]:
    return [
        "--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={workdir}", *TINY_OPTIONS,
        "--steps=400", "--checkpoint_every=10", "--checkpoint_seconds=0", "--log_every=5",
    ]  # fmt: skip


class Watched(Launcher):
    """A launcher whose events are read."""

    def __init__(self, cluster: ClusterHere, options: list[str], workdir: Path):
        super().__init__(cluster.address, options, workdir.with_suffix(".txt"))
        self.workdir = workdir

    def wait_for(self, find, seconds: float = HANGS):
        """Returns what `find` finds in the events, once it finds anything."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := find(read_log(self.workdir / "launch.jsonl")):
                return found
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.1)
        raise AssertionError(f"nothing after {seconds} s\n{self.output.read_text()}")

    def trainings_with_checkpoint(self, rows: list[dict]) -> list[dict]:
        """Returns the `worker` events of those that train and have written a checkpoint."""
        workers = {row["worker"]: row for row in rows if row["event"] == "worker"}
        busy = {row["worker"]: row for row in rows if row["event"] in ("begins", "done", "failed")}
        return [
            workers[number] for number, row in busy.items()
            if row["event"] == "begins" and self._has_checkpoint(row["folds"][0])
        ]  # fmt: skip

    def _has_checkpoint(self, fold) -> bool:
        folder = self.workdir / f"seed_{fold[0]}" / "folds" / fold[1] / "checkpoints"
        return any(path.name.isdecimal() for path in folder.glob("*"))


def failures_of(number: int):
    return lambda rows: [
        row for row in rows if row["event"] == "failed" and row["worker"] == number
    ]


@pytest.mark.slow
def test_losing_workers_a_machine_and_the_launcher_changes_no_bit(cluster, data_dir, tmp_path):
    in_turn, spread = tmp_path / "in_turn", tmp_path / "spread"
    run_module("fdp_jax.train", *arguments(data_dir, in_turn))

    options = arguments(data_dir, spread)
    first = Watched(cluster, options, spread)
    victim = first.wait_for(first.trainings_with_checkpoint)[0]
    refused = run_module("launch.loso", *options, check=False)
    assert refused.returncode == 1 and "another launcher is running" in refused.stderr

    os.kill(victim["pid"], signal.SIGKILL)
    (failed,) = first.wait_for(failures_of(victim["worker"]))
    assert failed["tries_left"] == 2 and "was killed" in failed["reason"]

    node = cluster.others[-1].node_id
    on_second = first.wait_for(
        lambda rows: [w for w in first.trainings_with_checkpoint(rows) if w["node"] == node]
    )[0]
    cluster.lose_a_machine()
    (lost,) = first.wait_for(failures_of(on_second["worker"]))
    assert "its machine" in lost["reason"]

    first.wait_for(first.trainings_with_checkpoint)
    first.kill()
    before = {p: p.stat().st_mtime_ns for p in spread.glob("seed_0/folds/*/done.json")}
    assert len(before) < 6

    again = Watched(cluster, options, spread)
    assert again.process.wait(timeout=HANGS) == 0, again.output.read_text()
    assert (spread / "predictions.csv").read_bytes() == (in_turn / "predictions.csv").read_bytes()
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())

    rows = read_log(spread / "launch.jsonl")
    workers = [row for row in rows if row["event"] == "worker"]
    assert {(row["node"], row["gpu"]) for row in workers} >= {(node, "0"), (node, "1")}
    assert {row["gpu"] for row in workers} == {"0", "1"}
    log = (spread / "seed_0/folds" / failed["folds"][0][1] / "launch.log").read_text()
    assert f"try 1 of fold {failed['folds'][0][1]}" in log
    assert f"CUDA_VISIBLE_DEVICES={victim['gpu']}" in log.splitlines()[0]

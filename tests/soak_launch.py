"""Kills workers, machines and launchers at random during one leave-one-subject-out.

    python tests/soak_launch.py --kills=100 [--seed=0 --steps=12000]

A Ray cluster of two machines, both simulated on this one with a declared GPU each, trains the folds
of a tiny synthetic corpus. Every few seconds something is killed by SIGKILL and started again:
mostly a worker, sometimes a machine or the launcher. At the end, predictions, final weights and
selected steps must be the same to the bit as those of an undisturbed `fdp_jax.train`. Exits with 0
only if no fold is lost and no bit differs.
"""

import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from fdp_jax.training_log import read_log  # noqa: E402
from tests.helpers.cluster_here import ClusterHere, Launcher  # noqa: E402
from tests.helpers.tiny import TINY_OPTIONS  # noqa: E402
from tests.kill_and_resume import check_same, run  # noqa: E402

KINDS = {"worker": 8, "machine": 1, "launcher": 1}  # with their weights


class Soak:
    """A launch during which something is killed every few seconds."""

    def __init__(self, options: list[str], workdir: Path, seed: int):
        """Starts the cluster and the launcher."""
        self._options, self._workdir = [*options, "--retries=100000"], workdir
        self._random = random.Random(seed)
        self._cluster = ClusterHere(machines=2, cpus=2, gpus=1)
        self._launcher = self._launch()
        self.kills = collections.Counter()

    def _launch(self) -> Launcher:
        output = self._workdir.with_suffix(".txt")
        return Launcher(self._cluster.address, self._options, output)

    def kill_until(self, kills: int) -> None:
        """Kills that often, or until the launch is done."""
        while self.kills.total() < kills and self._launcher.process.poll() is None:
            time.sleep(self._random.uniform(1.0, 9.0))
            (kind,) = self._random.choices(list(KINDS), KINDS.values())
            if getattr(self, f"_kill_{kind}")():
                self.kills[kind] += 1
                print(f"{self.kills.total()} kills, {self.finished()} folds done", flush=True)

    def finish(self) -> None:
        """Waits until the launch is done."""
        if self._launcher.process.wait() != 0:
            sys.exit(f"the launch failed:\n{self._launcher.output.read_text()[-3000:]}")

    def stop(self) -> None:
        """Stops the launcher and all machines."""
        if self._launcher.process.poll() is None:
            self._launcher.kill()
        self._cluster.stop()

    def finished(self) -> int:
        """Returns the number of finished folds."""
        return len(list(self._workdir.glob("seed_0/folds/*/done.json")))

    def _kill_worker(self) -> bool:
        events = read_log(self._workdir / "launch.jsonl")
        pids = [row["pid"] for row in events if row["event"] == "worker"]
        for pid in self._random.sample(pids, len(pids)):
            if _is_worker(pid):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def _kill_machine(self) -> bool:
        self._cluster.lose_a_machine()
        self._cluster.add_a_machine()
        return True

    def _kill_launcher(self) -> bool:
        if self._launcher.process.poll() is not None:
            return False
        self._launcher.kill()
        self._launcher = self._launch()
        return True


def _is_worker(pid: int) -> bool:
    """Returns whether the process is a running worker, and not another one with that id."""
    try:
        return b"ray::Worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def soak(folder: Path, kills: int, seed: int, steps: int) -> str:
    """Runs both trainings and returns a summary; exits with an error if something was lost."""
    build = [
        sys.executable, "-m", "datasets.build", "synthetic", f"--data_dir={folder / 'data'}",
        "--people=6", "--clips_per_category=1",
    ]  # fmt: skip
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    options = [
        "--dataset=synthetic", f"--data_dir={folder / 'data'}", *TINY_OPTIONS, f"--steps={steps}",
        "--checkpoint_every=10", "--checkpoint_seconds=0.5", "--log_every=10",
    ]  # fmt: skip
    alone, spread = folder / "alone", folder / "spread"
    run([sys.executable, "-m", "fdp_jax.train", *options, f"--workdir={alone}"])
    start = time.monotonic()
    soaked = Soak([*options, f"--workdir={spread}"], spread, seed)
    try:
        soaked.kill_until(kills)
        soaked.finish()
    finally:
        soaked.stop()
    lost = len(list(alone.glob("seed_0/folds/*"))) - soaked.finished()
    check_same(alone, spread, soaked.kills.total())
    if lost:
        sys.exit(f"{lost} folds lost after {soaked.kills.total()} kills")
    by_kind = ", ".join(f"{soaked.kills[kind]} of a {kind}" for kind in KINDS)
    minutes = (time.monotonic() - start) / 60
    return (
        f"{soaked.kills.total()} kills ({by_kind}) in {minutes:.1f} min: "
        "0 folds lost, predictions and final weights the same to the bit"
    )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=12000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(soak(Path(folder), options.kills, options.seed, options.steps))


if __name__ == "__main__":
    main()

"""Kills workers, machines and launchers at random during one leave-one-subject-out.

    python tests/soak_launch.py --kills=100 [--seed=0 --steps=12000]

Two machines of a Ray cluster, here, with a declared GPU each, train the folds of a tiny synthetic
corpus while something is lost every few seconds: mostly a worker, sometimes a machine or the
launcher itself, each by SIGKILL. What is lost is started again. In the end the predictions, the
final weights and the chosen steps must have the bits of a training in turn that nobody disturbed.
Prints what was done, and exits 0 only if no fold was lost and no bit has changed.
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

from launch.view import read_ledger  # noqa: E402
from tests.helpers.cluster_here import ClusterHere, Launcher  # noqa: E402
from tests.helpers.tiny import TINY_OPTIONS  # noqa: E402
from tests.kill_and_resume import check_same, run  # noqa: E402

KINDS = ("worker", "machine", "launcher")
WEIGHTS = (8, 1, 1)


class Soak:
    """One launch that is not left alone."""

    def __init__(self, options: list[str], workdir: Path, seed: int):
        """Starts the cluster and the launcher."""
        self._options, self._workdir = [*options, "--retries=100000"], workdir
        self._chance = random.Random(seed)
        self._cluster = ClusterHere(machines=2, cpus=2, gpus=1)
        self._launcher = self._launch()
        self.kills = collections.Counter()

    def _launch(self) -> Launcher:
        output = self._workdir.with_suffix(".txt")
        return Launcher(self._cluster.address, self._options, output)

    def go_on_until(self, kills: int) -> None:
        """Kills so often, or until the launch is through in spite of it."""
        while self.kills.total() < kills and self._launcher.process.poll() is None:
            time.sleep(self._chance.uniform(1.0, 9.0))
            kind = self._chance.choices(KINDS, WEIGHTS)[0]
            if getattr(self, f"_kill_{kind}")():
                self.kills[kind] += 1
                print(f"{self.kills.total()} kills, {self.finished()} folds done", flush=True)

    def finish(self) -> None:
        """Leaves it alone until it is through."""
        if self._launcher.process.wait() != 0:
            sys.exit(f"the launch failed by itself:\n{self._launcher.output.read_text()[-3000:]}")

    def stop(self) -> None:
        """All machines."""
        if self._launcher.process.poll() is None:
            self._launcher.kill()
        self._cluster.stop()

    def finished(self) -> int:
        """Folds with a result."""
        return len(list(self._workdir.glob("seed_0/folds/*/done.json")))

    def _kill_worker(self) -> bool:
        alive = [row["pid"] for row in read_ledger(self._workdir) if row["event"] == "worker"]
        for pid in self._chance.sample(alive, len(alive)):
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
    """Whether the process is a living worker, and not another one of that number."""
    try:
        return b"ray::Worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def soak(folder: Path, kills: int, seed: int, steps: int) -> str:
    """The whole of it; what was done, as a sentence. Exits non-zero when something was lost."""
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
    began = time.monotonic()
    soaked = Soak([*options, f"--workdir={spread}"], spread, seed)
    try:
        soaked.go_on_until(kills)
        soaked.finish()
    finally:
        soaked.stop()
    lost = len(list(alone.glob("seed_0/folds/*"))) - soaked.finished()
    check_same(alone, spread, soaked.kills.total())
    told = ", ".join(f"{soaked.kills[kind]} of a {kind}" for kind in KINDS)
    minutes = (time.monotonic() - began) / 60
    if lost:
        sys.exit(f"{lost} folds lost after {soaked.kills.total()} kills")
    return (
        f"{soaked.kills.total()} kills ({told}) in {minutes:.1f} min: "
        "0 folds lost, predictions and final weights the same to the bit"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=12000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(soak(Path(folder), options.kills, options.seed, options.steps))


if __name__ == "__main__":
    main()

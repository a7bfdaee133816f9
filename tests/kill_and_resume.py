"""Kills a training at random moments until it has finished, and compares it with one left alone.

    python tests/kill_and_resume.py --kills=10 [--seed=0 --steps=400 --select=all --folds_at_once=2]

Every kill is a SIGKILL to the whole process group. Both trainings are the real command on a tiny
synthetic corpus. Exits 0 only if `predictions.csv`,
the final weights and the steps that were chosen have the same bits.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.helpers.tiny import TINY_OPTIONS  # noqa: E402

FOLDS = ["s01", "s02"]


def command(
    data_dir: Path, workdir: Path, steps: int, select: str, folds_at_once: int = 1
) -> list[str]:
    """The training that is killed: two folds, a checkpoint and an evaluation every few steps."""
    return [
        sys.executable, "-m", "fdp_jax.train", "--dataset=synthetic", f"--data_dir={data_dir}",
        f"--workdir={workdir}", f"--folds={','.join(FOLDS)}", *TINY_OPTIONS, f"--steps={steps}",
        "--checkpoint_every=10", "--checkpoint_seconds=0", "--log_every=5", f"--select={select}",
        "--evaluate_every=7", f"--folds_at_once={folds_at_once}",
    ]  # fmt: skip


def run(arguments: list[str], kill_after: float | None = None) -> bool:
    """Runs the command, or kills it after so many seconds; whether it came to its end."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode != 0:
        sys.exit(f"the training failed by itself:\n{output}")
    return True


def weights(workdir: Path) -> dict[str, np.ndarray]:
    """The final weights of all folds, by fold and name."""
    import orbax.checkpoint as ocp

    found = {}
    for path in sorted(workdir.glob("seed_0/folds/*/checkpoints/final")):
        fold = path.parts[-3]
        with ocp.StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore(path.absolute())
        import jax

        for name, leaf in jax.tree_util.tree_leaves_with_path(restored):
            found[f"{fold}{jax.tree_util.keystr(name)}"] = np.asarray(leaf)
    return found


def chosen(workdir: Path) -> list[dict]:
    """What each rule chose in each fold."""
    folds = sorted(workdir.glob("seed_0/folds/*/done.json"))
    return [json.loads(path.read_text())["selection"] for path in folds]


def compare(
    data_dir: Path,
    folder: Path,
    kills: int,
    seed: int,
    steps: int,
    select: str = "last",
    folds_at_once: int = 1,
) -> str:
    """Both trainings; what was done, as a sentence. Exits non-zero when a bit differs."""
    alone = folder / "alone"
    run(
        command(data_dir, alone, steps, select, folds_at_once)
    )  # also fills the cache of compiled programs
    started = time.monotonic()
    run(command(data_dir, folder / "timed", steps, select, folds_at_once))
    length = time.monotonic() - started

    chance, done, runs = random.Random(seed), 0, 0
    while done < kills:  # a run that gets through in spite of them is compared, and another begun
        killed = folder / f"killed_{runs}"
        while done < kills and not run(
            command(data_dir, killed, steps, select, folds_at_once),
            chance.uniform(0.1, 1.0) * length,
        ):
            done += 1
        run(command(data_dir, killed, steps, select, folds_at_once))
        check_same(alone, killed, done)
        runs += 1
    return f"{done} kills in {runs} trainings: predictions and final weights the same to the bit"


def check_same(alone: Path, killed: Path, kills: int) -> None:
    """Exits non-zero when a prediction, a weight or a chosen step differs."""
    first, second = ((path / "predictions.csv").read_bytes() for path in (alone, killed))
    a, b = weights(alone), weights(killed)
    same = first == second and chosen(alone) == chosen(killed) and a.keys() == b.keys()
    if not same or not all(np.array_equal(a[k], b[k]) for k in a):
        sys.exit(f"bits differ after {kills} kills")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--select", default="last")
    parser.add_argument("--folds_at_once", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        build = [
            sys.executable, "-m", "datasets.build", "synthetic", f"--data_dir={data_dir}",
            "--people=6", "--clips_per_category=1",
        ]  # fmt: skip
        subprocess.run(build, cwd=ROOT, check=True)
        chosen_options = (options.kills, options.seed, options.steps, options.select)
        print(compare(data_dir, Path(folder), *chosen_options, options.folds_at_once))


if __name__ == "__main__":
    main()

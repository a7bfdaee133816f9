"""Part `start_up`: from the command to its help, its imports, and a training's first step.

The training is the real command on the drawn corpus of the project. Its clock starts with the
process and stops when the log has its first line; the process is ended then. Once the folder of
compiled programs is empty, afterwards it is what the first run left.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fdp_jax.benchmark.options import Options
from fdp_jax.benchmark.telling import tell
from fdp_jax.benchmark.timing import alternate, seconds_of, spread
from fdp_jax.benchmark.workload import Workload

IMPORTS = "import fdp_jax.run_folds"  # all that a training loads, jax included
_LIMIT = 900.0  # seconds for a first step
# What a user's shell may have set, and a start with an empty folder must not see.
_CACHE_VARIABLES = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")


class _NotHere(Exception):
    """A command that this part needs does not run on this machine; its last words."""


def measure(options: Options) -> dict[str, Any]:
    """Seconds of each start; `missing` says why where one does not run here."""
    tell(f"start_up: {options.repeats} rounds of --help and of the imports")
    result: dict[str, Any] = {}
    commands = {
        "help_seconds": ["-m", "fdp_jax.train", "--help"],
        "import_seconds": ["-c", IMPORTS],
    }
    try:
        turns = {
            name: lambda command=command: seconds_of(lambda: _run(command))
            for name, command in commands.items()
        }
        measured = alternate(turns, options.repeats)
        result |= {name: spread(taken) for name, taken in measured.items()}
        result |= _first_steps(options.workload, options.repeats)
    except _NotHere as error:
        result["missing"] = f"the training command does not run here: {error}"
    return result


def _first_steps(workload: Workload, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tell("start_up: building a small corpus")
        _run(
            ["-m", "datasets.build", "synthetic", f"--data_dir={root / 'data'}", "--people=2",
             "--clips_per_category=1"]
        )  # fmt: skip
        tell("start_up: to the first step, nothing compiled yet")
        empty = _seconds_to_first_step(workload, root, "empty")
        tell(f"start_up: to the first step again, {repeats} times")
        warm = [_seconds_to_first_step(workload, root, f"warm{n}") for n in range(repeats)]
    return {
        "first_step_empty_cache_seconds": spread([empty]),
        "first_step_warm_cache_seconds": spread(warm),
    }


def _run(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, *arguments], text=True, capture_output=True)
    if done.returncode != 0:
        raise _NotHere(_last_line(done.stderr))


def _seconds_to_first_step(workload: Workload, root: Path, name: str) -> float:
    """Starts a training, waits for the first line of its log, and ends it."""
    workdir = root / name
    command = [
        *(sys.executable, "-m", "fdp_jax.train", "--dataset=synthetic", "--folds=s01"),
        *(f"--preset={workload.preset}", f"--data_dir={root / 'data'}", f"--workdir={workdir}"),
        *(f"--compilation_cache={root / 'compiled'}", "--log_every=1"),
        *(f"--{option}={_word(value)}" for option, value in workload.changes.items()),
    ]
    environment = {k: v for k, v in os.environ.items() if k not in _CACHE_VARIABLES}
    with tempfile.TemporaryFile() as words:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=words, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            while not _has_logged(workdir):
                if process.poll() is not None:
                    words.seek(0)
                    raise _NotHere(_last_line(words.read().decode(errors="replace")))
                if time.perf_counter() - began > _LIMIT:
                    raise _NotHere(f"no step within {_LIMIT:.0f} seconds")
                time.sleep(0.005)
            return time.perf_counter() - began
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _has_logged(workdir: Path) -> bool:
    logs = workdir.glob("seed_0/folds/*/log.jsonl")
    return any(log.stat().st_size > 0 for log in logs)


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _last_line(words: str) -> str:
    lines = words.strip().splitlines()
    return lines[-1][:300] if lines else "it says nothing"

"""Timing, peak memory, child processes and the description of the machine, without jax.

Everything is measured in child processes, `python -m MODULE REQUEST`. The request is a JSON object;
the child prints a JSON object on one line for each finished measurement, so that a child that dies
or takes too long loses only the rest.
"""

import contextlib
import json
import math
import os
import platform
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

CLASSES = 5  # of SAMM's first protocol
# Shorter turns would measure, on a GPU, the wait at their end, and on a CPU whether the system
# hands out memory at that moment.
GPU_TURN_SECONDS, CPU_TURN_SECONDS = 0.25, 3.0


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Returns median, minimum, quartiles and the measurements themselves."""
    lower, upper = seconds[0], seconds[0]
    if len(seconds) > 1:
        lower, _, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return {
        "median": statistics.median(seconds),
        "min": min(seconds),
        "quartiles": [lower, upper],
        "turns": list(seconds),
    }


def time_turns(run: Callable[[int], float], turns: int, on_gpu: bool) -> list[float]:
    """Returns the seconds of one repetition for each of several turns.

    Args:
      run: takes a number of repetitions and returns the seconds of one; has run before.
      turns: number of measurements.
      on_gpu: where it runs.
    """
    shortest = GPU_TURN_SECONDS if on_gpu else CPU_TURN_SECONDS
    repetitions = max(1, math.ceil(shortest / max(run(1), 1e-6)))
    run(repetitions)  # fills the caches and, on a CPU, obtains memory from the system
    return [run(repetitions) for _ in range(turns)]


def run_child(
    module: str, request: Mapping[str, Any], limit: float | None = None
) -> tuple[dict[str, Any], str]:
    """Runs `python -m MODULE REQUEST`.

    Args:
      module: dotted name.
      request: plain values for JSON.
      limit: seconds after which the child is killed; None: no limit.

    Returns:
      (measurements, reason): the child's JSON objects merged into one, and one sentence on why it
      stopped early, "" if it did not.
    """
    command = [sys.executable, "-m", module, json.dumps(request)]
    reason = ""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            output, _ = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _kill(child)
            output, _ = child.communicate()
            reason = f"took more than {limit:.0f} s"
        finally:
            _kill(child)
        log.seek(0)
        if child.returncode == -signal.SIGKILL:
            reason = reason or "was killed by the system, as for lack of memory"
        elif child.returncode != 0:
            reason = (log.read().strip().splitlines() or [f"exit status {child.returncode}"])[-1]
    measurements: dict[str, Any] = {}
    for line in output.splitlines():
        if line.startswith("{"):  # libraries print, too
            with contextlib.suppress(ValueError):  # cut off by the kill
                measurements |= json.loads(line)
    return measurements, reason[:300]


def _kill(child: subprocess.Popen) -> None:
    """Kills a child and the processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def emit(**measurements: Any) -> None:
    """Prints finished measurements of a child process."""
    print(json.dumps(measurements), flush=True)


def first_line(error: BaseException) -> str:
    """Returns type and first line of an error."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"


def peak_memory_bytes() -> int:
    """Returns the peak memory of this process."""
    # On Linux ru_maxrss of a child starts at its parent's peak; VmHWM does not.
    peak = proc_bytes("/proc/self/status", "VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def proc_bytes(file: str, field: str) -> int | None:
    """Returns the value of a line `field: N kB` under /proc in bytes, None where there is none."""
    with contextlib.suppress(OSError):
        if match := re.search(rf"^{field}:\s+(\d+) kB", Path(file).read_text(), re.MULTILINE):
            return int(match[1]) * 1024
    return None


def usable_cores() -> int:
    """Returns the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Returns processor, usable cores, memory in bytes and system."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        if match := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
            processor = match[1].strip()
    return {
        "cpu": processor,
        "cores": usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
    }

"""What a measurement was taken on."""

import contextlib
import os
import platform
import re
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python-headless",
    "opencv-python", "torch",
)  # fmt: skip


def describe_machine() -> dict[str, str | int | None]:
    """Processor, the cores this process may use, memory in bytes, and the GPU if there is one."""
    return {
        "cpu": _processor(),
        "cores": usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory_bytes() -> int | None:
    """Memory that new processes can take without swapping; None where the system does not say."""
    return _kilobytes(Path("/proc/meminfo"), "MemAvailable")


def peak_memory_bytes() -> int:
    """Most memory that this process has held at any time."""
    # Linux hands a parent's peak on to the child in ru_maxrss, but not in VmHWM.
    peak = _kilobytes(Path("/proc/self/status"), "VmHWM")
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak_memory() -> int:
    """Starts the peak anew where the system allows it, and returns what it was till now.

    A compiler may take more than the steps that follow.
    """
    peak = peak_memory_bytes()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak


def installed_versions() -> dict[str, str]:
    """Python's version and those of the packages that a time may depend on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def _kilobytes(file: Path, field: str) -> int | None:
    """The value of a line `field: N kB` of a file under /proc, in bytes."""
    with contextlib.suppress(OSError):
        if found := re.search(rf"^{field}:\s+(\d+) kB", file.read_text(), re.MULTILINE):
            return int(found[1]) * 1024
    return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        if found := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
            return found[1].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    """Asked of the driver's tool, as the process that starts the others must not hold a device."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, text=True, capture_output=True, timeout=20)
        if done.returncode == 0 and done.stdout.strip():
            return ", ".join(done.stdout.split("\n")).strip(", ")
    return None

"""Where a training runs: its device, the packages, the memory used."""

import contextlib
import resource
import sys
from importlib import metadata

import jax


def device_name() -> str:
    """Kind and platform of the device that trains."""
    device = jax.local_devices()[0]
    return f"{device.device_kind} ({device.platform})"


def installed_versions() -> dict[str, str]:
    """The packages that a number may depend on."""
    packages = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python-headless")
    versions = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def peak_memory_bytes() -> int:
    """Most memory used so far: the device's own where it counts it, else this process'."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"]
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

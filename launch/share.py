"""What part of a machine a worker gets."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fdp_jax.memory import LARGE_PAGES

ROOT = Path(__file__).parents[1]

# Of a worker's share of a GPU, what JAX may take; the rest is for the driver's own needs.
USABLE_MEMORY = 0.9


@dataclass(frozen=True)
class Share:
    """Of one machine.

    Attributes:
      gpus: part of one GPU; 0 for none.
      cpus: cores.
    """

    gpus: float
    cpus: int

    def workers_on(self, resources: Mapping[str, float]) -> int:
        """How many such shares a machine has room for.

        Args:
          resources: as Ray counts them, `GPU` and `CPU` among others.
        """
        by_cpu = int(resources.get("CPU", 0) // self.cpus)
        if not self.gpus:
            return by_cpu
        on_one = int(1 / self.gpus + 1e-6)  # no worker lies on two GPUs
        return min(by_cpu, int(resources.get("GPU", 0)) * on_one)

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """The variables that a worker's process starts with, beside those of its machine.

        Args:
          own: the launcher's; what is said to jax here must hold everywhere, or the workers'
            numbers would differ.
        """
        variables = {
            name: value for name, value in own.items() if name.startswith(("JAX_", "XLA_"))
        }
        path = own.get("PYTHONPATH", "")
        variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [path])])
        if not self.gpus:
            variables["JAX_PLATFORMS"] = "cpu"
        elif self.gpus < 1:
            variables.pop("XLA_PYTHON_CLIENT_MEM_FRACTION", None)  # jax refuses to have both
            variables["XLA_CLIENT_MEM_FRACTION"] = f"{USABLE_MEMORY * self.gpus:.4f}"
        if sys.platform == "linux" and "GLIBC_TUNABLES" not in own:
            variables["GLIBC_TUNABLES"] = LARGE_PAGES
        return variables

    def told(self) -> str:
        """In words."""
        cores = f"{self.cpus} CPU core{'s' if self.cpus > 1 else ''}"
        if not self.gpus:
            return cores
        return f"{'a GPU' if self.gpus == 1 else f'{self.gpus:g} of a GPU'} and {cores}"

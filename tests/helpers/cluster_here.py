"""A Ray cluster of several simulated machines, and a launcher that uses it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class ClusterHere:
    """Simulated machines with declared CPU cores and GPUs."""

    def __init__(self, machines: int, cpus: int, gpus: int):
        """Starts them; the first is the head and is never lost."""
        from ray.cluster_utils import Cluster

        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
        self._declared = {
            "num_cpus": cpus, "num_gpus": gpus, "object_store_memory": 100 * 2**20,
        }  # fmt: skip
        head = {**self._declared, "include_dashboard": False}
        self._cluster = Cluster(True, head_node_args=head)
        self.address = self._cluster.address
        self.others = [self._cluster.add_node(**self._declared) for _ in range(machines - 1)]

    def lose_a_machine(self) -> str:
        """Kills every process of the newest machine; returns Ray's id of it."""
        node = self.others.pop()
        self._cluster.remove_node(node, allow_graceful=False)
        return node.node_id

    def add_a_machine(self) -> None:
        """Adds a machine like the others."""
        self.others.append(self._cluster.add_node(**self._declared))

    def stop(self) -> None:
        """Stops all machines."""
        self._cluster.shutdown()


class Launcher:
    """`python -m launch.loso` in the background, in a process group of its own."""

    def __init__(self, address: str, options: list[str], output: Path):
        """Starts it; what it prints is appended to `output`."""
        self.output = output
        command = [sys.executable, "-m", "launch.loso", f"--address={address}", *options]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        with output.open("a") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """Kills it with SIGKILL."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

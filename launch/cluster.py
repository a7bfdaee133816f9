"""Ray: this machine's own, or a cluster that is there."""

import contextlib
import importlib.util
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets.errors import UserError
from launch.share import Share
from launch.worker import Worker

_TOKEN = "; where it runs with a token, ~/.ray/auth_token must be the same here"
_OBJECT_STORE_BYTES = 100 * 2**20  # nearly nothing travels through Ray


def check_installed() -> None:
    """Raises UserError where Ray is missing."""
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            "spreading folds needs Ray, which is not installed: pip install -r "
            "requirements/launch.txt, or train in turn with python -m fdp_jax.train"
        )


class Cluster:
    """The machines of a Ray cluster; only what is needed of Ray is known here."""

    def __init__(self, ray):
        """Args: ray: the package, connected."""
        self._ray = ray

    def machines(self) -> list[dict[str, float]]:
        """The resources of each machine that is alive."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def has_gpus(self) -> bool:
        """Whether any machine has one."""
        return any(resources.get("GPU", 0) >= 1 for resources in self.machines())

    def room_for(self, share: Share) -> int:
        """How many workers of that share fit on all machines."""
        return sum(share.workers_on(resources) for resources in self.machines())

    def told(self) -> str:
        """What there is, in words."""
        machines = self.machines()
        cpus = sum(resources.get("CPU", 0) for resources in machines)
        gpus = sum(resources.get("GPU", 0) for resources in machines)
        return f"CPU cores {cpus:g}, GPUs {gpus:g}, machines {len(machines)}"

    def start_worker(self, share: Share):
        """A new worker; it waits for its share if others have it now."""
        options = self._ray.remote(Worker).options(
            num_gpus=share.gpus,
            num_cpus=share.cpus,
            max_restarts=0,  # who is lost is replaced here, and its fold's tries are counted
            runtime_env={"env_vars": share.environment(os.environ)},
        )
        return options.remote()

    def first_answers(self, calls: Sequence, seconds: float) -> list:
        """Those of the calls that are answered; waits for the first, at most so many seconds."""
        return self._ray.wait(list(calls), num_returns=1, timeout=seconds)[0]

    def answer(self, call) -> dict:
        """What a call came to; a worker that was lost answers with that as its `error`."""
        try:
            return self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            return {"error": _why_lost(error), "lost": True}

    def stop_worker(self, worker) -> None:
        """Ends its process at once, if there is one."""
        with contextlib.suppress(self._ray.exceptions.RayError):  # it never began, or is gone
            self._ray.kill(worker)


_REASONS = {  # Ray's -> ours
    "its worker process has died": "its process was killed or crashed",
    "its node has died": "its machine was lost",
    "all references to the actor were removed including lineage ref count": "the cluster refuses "
    "it; where that runs without a token, set RAY_AUTH_MODE=disabled here",
}


def _why_lost(error: Exception) -> str:
    """Ray's reason, out of a page of it."""
    if "OutOfMemory" in type(error).__name__:
        return "its process was ended for lack of memory"
    if type(error).__name__ == "ActorUnavailableError":
        return "its process or its machine no longer answers"
    text = " ".join(str(error).split())
    reason = text.partition("The actor is dead because ")[2].partition(". ")[0].rstrip(".")
    return _REASONS.get(reason, reason[:200] or f"{type(error).__name__}: {text[:200]}")


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Ray, connected to the cluster at `address`, or started here for as long as this lasts.

    Args:
      address: HOST:PORT, auto, or "" for Ray on this machine alone.

    Raises:
      UserError: there is no cluster at the address, Ray cannot be started, or it fails later.
    """
    _check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone
    if "RAY_AUTH_MODE" not in os.environ and _has_token():
        os.environ["RAY_AUTH_MODE"] = "token"  # as Ray itself does, but not for HOST:PORT
    import ray

    here = {
        "num_cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "object_store_memory": _OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **({} if address else here),
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        at = f"--address={address} leads to no Ray cluster" if address else "Ray does not start"
        raise UserError(f"{at} ({_first_line(error)}){_TOKEN if address else ''}") from error
    former = signal.signal(signal.SIGTERM, _stop)  # Ray has its own, which says nothing
    try:
        yield Cluster(ray)
    except ray.exceptions.RayError as error:
        raise UserError(
            f"Ray failed ({_first_line(error)}); the same command goes on from here"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, former)
        ray.shutdown()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:150]


def _has_token() -> bool:
    given = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    return given or Path("~/.ray/auth_token").expanduser().exists()


def _check_address(address: str) -> None:
    """Ray itself would knock for minutes at a door where nobody lives."""
    if address in ("", "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--address={address} must be HOST:PORT, as ray start prints it, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster answers at --address={address} ({error.strerror}); start "
            "one there with: ray start --head"
        ) from error


def _stop(*_) -> None:
    """A queue's time limit ends a run as Ctrl-C does."""
    raise KeyboardInterrupt

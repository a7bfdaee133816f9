"""Connects to a Ray cluster and distributes groups of folds over workers there."""

import asyncio
import contextlib
import dataclasses
import importlib.util
import io
import itertools
import logging
import math
import os
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from datasets.errors import UserError
from fdp_jax.environment import LARGE_PAGES, without_proxies
from fdp_jax.options import TrainOptions
from fdp_jax.plan import FoldGroup, FoldTask, Plan
from launch.worker import Worker, first_line, usable_cores

ROOT = Path(__file__).parents[1]
USABLE_MEMORY = 0.9  # of a worker's share of a GPU; the driver needs the rest
OBJECT_STORE_BYTES = 100 * 2**20  # almost nothing travels through Ray
LONGEST_TEMPORARY_FOLDER = 32  # bytes; Ray adds about 70, and a socket's path has at most 104
GIVE_UP_SECONDS = 60.0  # without any machine
PAUSE_SECONDS = 3.0  # after a worker that did not start: a cluster may still be starting
REASONS = {  # part of Ray's message -> why a worker was lost
    "OutOfMemory": "its process was killed for lack of memory",
    "ActorUnavailable": "its process or its machine no longer answers",
    "worker process has died": "its process was killed or crashed",
    "node has died": "its machine was lost",
    "all references to the actor were removed": "the cluster refuses it; if the cluster runs "
    "without a token, set RAY_AUTH_MODE=disabled here",
}


@dataclass(frozen=True)
class Resources:
    """Resources of one worker."""

    gpus: float  # share of one GPU; 0 for none
    cpus: int

    def workers_on(self, machine: Mapping[str, float]) -> int:
        """Returns how many workers fit on a machine with these Ray resources (`CPU`, `GPU`)."""
        by_cpu = int(machine.get("CPU", 0) // self.cpus)
        if not self.gpus:
            return by_cpu
        per_gpu = int(1 / self.gpus + 1e-6)  # a worker never spans two GPUs
        return min(by_cpu, int(machine.get("GPU", 0)) * per_gpu)

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """Returns the environment variables of a worker.

        Args:
          own: those of the launcher, whose settings of jax and XLA must hold for all workers.
        """
        variables = {name: own[name] for name in own if name.startswith(("JAX_", "XLA_"))}
        path = [str(ROOT), own.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        if not self.gpus:
            variables["JAX_PLATFORMS"] = "cpu"
        elif self.gpus < 1:
            variables.pop("XLA_PYTHON_CLIENT_MEM_FRACTION", None)  # jax refuses both names
            variables["XLA_CLIENT_MEM_FRACTION"] = f"{USABLE_MEMORY * self.gpus:.4f}"
        if sys.platform == "linux" and "GLIBC_TUNABLES" not in own:
            variables["GLIBC_TUNABLES"] = LARGE_PAGES
        return variables


def check_ray_installed() -> None:
    """Raises UserError if Ray is missing."""
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            'spreading folds needs Ray, which is not installed: pip install -e ".[launch]", '
            "or train with python -m fdp_jax.train"
        )


@contextlib.contextmanager
def connect(address: str) -> Iterator[ModuleType]:
    """Connects to a Ray cluster, or runs Ray on this machine, within the context.

    SIGTERM raises KeyboardInterrupt there, as Ctrl-C does.

    Args:
      address: HOST:PORT, auto, or "" for Ray on this machine alone.

    Returns:
      The package `ray`.

    Raises:
      UserError: there is no Ray cluster at the address, Ray does not start, or it fails later.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    has_token = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)
    if has_token or Path("~/.ray/auth_token").expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray itself does not for HOST:PORT
    import ray

    settings: dict[str, Any] = {"address": address}
    with (
        contextlib.redirect_stdout(io.StringIO()),  # Ray's own messages
        without_proxies(),
        contextlib.nullcontext() if address else _temporary_folder() as temporary,
    ):
        if not address:
            settings = {
                "address": "local",
                "num_cpus": len(usable_cores()) or os.cpu_count(),
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "_temp_dir": temporary,
            }
        try:
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **settings)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            if not address:
                raise UserError(f"Ray does not start ({first_line(error)})") from error
            raise UserError(
                f"--address={address} leads to no Ray cluster ({first_line(error)}); if it runs "
                "with a token, ~/.ray/auth_token must be the same here"
            ) from error
        former = signal.signal(signal.SIGTERM, signal.default_int_handler)  # replaces Ray's
        try:
            yield ray
        except ray.exceptions.RayError as error:
            raise UserError(
                f"Ray failed ({first_line(error)}); run the same command again to resume"
            ) from error
        finally:
            signal.signal(signal.SIGTERM, former)
            ray.shutdown()


def _temporary_folder() -> contextlib.AbstractContextManager[str | None]:
    """Returns a new folder for Ray where its sockets' paths would be too long for the system.

    Elsewhere, None leaves the choice to Ray.

    Raises:
      UserError: there is no shorter path.
    """
    ours = os.environ.get("TMPDIR") or tempfile.gettempdir()  # as Ray chooses
    if "RAY_TMPDIR" in os.environ or len(os.fsencode(ours)) <= LONGEST_TEMPORARY_FOLDER:
        return contextlib.nullcontext()
    short = next((place for place in ("/tmp", "/var/tmp") if os.access(place, os.W_OK)), None)
    if short is None:
        raise UserError(
            f"the path of the temporary folder, {ours}, is too long for the sockets of Ray; name a "
            "shorter one with RAY_TMPDIR=DIR in the environment"
        )
    return tempfile.TemporaryDirectory(prefix="fdp_", dir=short, ignore_cleanup_errors=True)


def check_address(address: str) -> None:
    """Raises UserError if nothing answers at an address: there Ray blocks for minutes."""
    if address in ("", "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--address={address} must be auto, or HOST:PORT as ray start prints it")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster answers at --address={address} ({error.strerror}); start one there "
            "with: ray start --head"
        ) from error


@dataclass(eq=False)
class Job:
    """A group of folds to train, and why each try failed so far."""

    group: FoldGroup
    failures: list[str] = field(default_factory=list)

    @property
    def folds(self) -> list[tuple[int, str]]:
        """Seed and name of each fold."""
        return [(task.seed, task.fold.name) for task in self.group.tasks]

    def __str__(self) -> str:
        names = ", ".join(name for _, name in self.folds)
        return f"fold {names}" if len(self.folds) == 1 else f"folds {names}"


@dataclass(eq=False)
class WorkerHandle:
    """One worker; `job` is None while it starts."""

    number: int  # from 1, never reused
    place: dict = field(default_factory=dict)  # result of `Worker.place`; empty before it
    cores: list[int] = field(default_factory=list)  # to which it is pinned
    job: Job | None = None

    @property
    def device(self) -> str:
        """Host, and GPU or cores; empty before the worker has reported them."""
        if not self.place:
            return ""
        gpu = f" GPU {self.place['gpu']}" if self.place["gpu"] else ""
        return self.place["host"] + (gpu or "".join(f" core {core}" for core in self.cores))


class Scheduler:
    """Trains the pending folds of a plan, each until it is done or has failed for good.

    A worker that fails is replaced here and not by Ray, whose restarts and retries would log no
    failure, pin no cores, and hold up the other folds of the queue.

    Attributes:
      workers: the running workers.
      groups: all groups of folds; empty until the first worker has chosen their size.
      waiting: jobs that wait for a worker; None until the first worker has chosen their size.
      done: folds trained here.
      failed: jobs that have failed for good.
    """

    def __init__(self, ray: ModuleType, plan: Plan, log: Callable[..., None]):
        """Starts nothing yet.

        Args:
          ray: the package, connected to a cluster.
          plan: its options are `LaunchOptions`.
          log: called with the name of an event, the worker's handle, and facts by name.
        """
        self._ray, self._plan, self._log = ray, plan, log
        gpus = plan.options.gpus_per_fold
        if gpus == "auto":
            gpus = any(machine.get("GPU", 0) >= 1 for machine in self._machines())
        self._resources = Resources(float(gpus), plan.options.cpus_per_fold)
        self._numbers = itertools.count(1)
        self._failed_starts: list[str] = []
        self._start_after = 0.0
        self._last_room = -math.inf
        self.workers: list[WorkerHandle] = []
        self.groups: list[FoldGroup] = []
        self.waiting: deque[Job] | None = None
        self.done: list[FoldTask] = []
        self.failed: list[Job] = []

    def run(self, update: Callable[["Scheduler"], None]) -> None:
        """Trains; calls `update` at least once a second.

        Raises:
          UserError: no worker starts, or no machine has room for one.
        """
        asyncio.run(self._run(update))  # stops all workers at its end

    async def _run(self, update: Callable[["Scheduler"], None]) -> None:
        tasks: set[asyncio.Task] = set()
        while self.waiting is None or self.waiting or any(w.job for w in self.workers):
            for _ in range(self._useful_workers() - len(tasks)):
                tasks.add(asyncio.create_task(self._run_worker()))
            update(self)
            if not tasks:
                await asyncio.sleep(1.0)
                continue
            ended, tasks = await asyncio.wait(
                tasks, timeout=1.0, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                task.result()  # raises an error of the launcher itself

    def _machines(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _room(self) -> int:
        """Returns how many workers fit on all machines."""
        return sum(map(self._resources.workers_on, self._machines()))

    def _useful_workers(self) -> int:
        """Returns how many workers there are jobs and room for; 0 if none can start now."""
        room, now = self._room(), time.monotonic()
        if room:
            self._last_room = now
        elif now - self._last_room > GIVE_UP_SECONDS:
            machines = self._machines()
            cpus, gpus = (sum(m.get(kind, 0) for m in machines) for kind in ("CPU", "GPU"))
            raise UserError(
                f"no machine has room for a worker with --gpus_per_fold={self._resources.gpus:g} "
                f"and --cpus_per_fold={self._resources.cpus} (there are: CPU cores {cpus:g}, GPUs "
                f"{gpus:g}, machines {len(machines)}); choose others, or another --address"
            )
        if len(self._failed_starts) > self._plan.options.retries:
            if not self.workers:
                raise UserError(f"no worker can start: {self._failed_starts[-1]}")
            return 0  # the running ones go on alone
        if now < self._start_after:
            return 0
        jobs = self._plan.pending() if self.waiting is None else self.waiting
        return min(room, len(jobs) + sum(worker.job is not None for worker in self.workers))

    async def _run_worker(self) -> None:
        """Starts a worker that trains jobs until none waits or one fails."""
        worker = WorkerHandle(next(self._numbers))
        actor = self._start_actor()
        self.workers.append(worker)
        try:
            await self._prepare(worker, actor)
            while self.waiting:
                await self._train(worker, actor, self.waiting.popleft())
        except self._ray.exceptions.RayTaskError as error:
            self._handle_failure(worker, str(error.cause))
        except self._ray.exceptions.RayError as error:
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            reasons = (reason for part, reason in REASONS.items() if part in text)
            self._handle_failure(worker, next(reasons, text[:200]))
        finally:
            self.workers.remove(worker)
            with contextlib.suppress(self._ray.exceptions.RayError):  # it is gone already
                self._ray.kill(actor)

    def _start_actor(self) -> Any:
        """Returns Ray's handle of a new worker, which waits until its resources are free."""
        options = self._ray.remote(Worker).options(
            num_gpus=self._resources.gpus,
            num_cpus=self._resources.cpus,
            max_restarts=0,
            runtime_env={"env_vars": self._resources.environment(os.environ)},
        )
        return options.remote()

    async def _prepare(self, worker: WorkerHandle, actor: Any) -> None:
        worker.place = await actor.place.remote()
        if not self._resources.gpus:
            worker.cores = self._least_used_cores(worker.place)
        facts = {name: worker.place[name] for name in ("node", "pid", "gpu")}
        self._log("worker", worker, **facts, cores=worker.cores)
        plan = self._plan
        names = [option.name for option in dataclasses.fields(TrainOptions)]
        options = TrainOptions(**{name: getattr(plan.options, name) for name in names})
        environment, folds_at_once = await actor.prepare.remote(
            options, plan.clips.protocol, os.getcwd(), worker.cores
        )
        self._failed_starts = []
        if self._resources.gpus and "(cpu)" in environment.device:
            self._log("no gpu support", worker)
        if self.waiting is None:
            plan.write_run_files(environment)
            if plan.options.folds_at_once == "auto":  # must leave no worker idle
                per_worker = math.ceil(len(plan.tasks) / max(1, self._room()))
                folds_at_once = min(folds_at_once, per_worker)
            self.groups = plan.groups(folds_at_once)
            self.waiting = deque(map(Job, self.groups))

    def _least_used_cores(self, place: dict) -> list[int]:
        """Returns the cores of a machine to which the fewest workers are pinned."""
        there = [w for w in self.workers if w.place and w.place["host"] == place["host"]]
        used = [core for worker in there for core in worker.cores]
        return sorted(sorted(place["cores"], key=used.count)[: self._resources.cpus])

    async def _train(self, worker: WorkerHandle, actor: Any, job: Job) -> None:
        worker.job, attempt, start = job, len(job.failures) + 1, time.monotonic()
        self._log("begins", worker, folds=job.folds, attempt=attempt)
        await actor.train.remote(job.folds, job.group.size, f"try {attempt} of {job}")
        worker.job = None
        self.done += job.group.tasks
        self._log("done", worker, folds=job.folds, seconds=time.monotonic() - start)

    def _handle_failure(self, worker: WorkerHandle, reason: str) -> None:
        """Logs why a worker ends early, and puts its job back into the queue."""
        job, worker.job = worker.job, None
        if job is None:
            host = f" (on {worker.place['host']})" if worker.place else ""
            self._failed_starts.append(reason + host)
            self._start_after = time.monotonic() + PAUSE_SECONDS
            self._log("no start", worker, reason=reason)
            return
        job.failures.append(reason)
        tries_left = self._plan.options.retries + 1 - len(job.failures)
        # To the end of the queue: a fold that kills its worker delays no other.
        (self.waiting if tries_left else self.failed).append(job)
        self._log("failed", worker, folds=job.folds, reason=reason, tries_left=tries_left)

"""Starting many measured processes side by side; each is ready, or its reason is told."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fdp_jax.benchmark.processes import Worker, WorkerError
from fdp_jax.benchmark.telling import tell


@dataclasses.dataclass(frozen=True)
class Contender:
    """What is to be measured, in a process of its own.

    Attributes:
      name: unique among those it is compared with.
      target, arguments: as of `Worker`.
    """

    name: str
    target: str
    arguments: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Started:
    """Those that are ready, and why the others are not, by name."""

    workers: dict[str, Worker]
    missing: dict[str, str]

    def __or__(self, other: "Started") -> "Started":
        return Started(self.workers | other.workers, self.missing | other.missing)

    def describe(self) -> dict[str, dict[str, Any]]:
        """What each says of itself; asked all at once, as some compile again for it."""
        with ThreadPoolExecutor(max(1, len(self.workers))) as threads:
            told = threads.map(lambda worker: worker.call("describe"), self.workers.values())
            return dict(zip(self.workers, told, strict=True))


def start(
    groups: Sequence[Sequence[Contender]], at_once: Sequence[int], deadline: float
) -> Started:
    """Starts all groups together; within each, so many at once.

    Args:
      groups: contenders in their order of starting.
      at_once: for each group.
      deadline: on the clock `time.monotonic`; who is not ready by then is missing.
    """
    pools = [ThreadPoolExecutor(number) for number in at_once]
    begun = {
        contender.name: pool.submit(_started, contender, deadline)
        for pool, group in zip(pools, groups, strict=True)
        for contender in group
    }
    workers, missing = {}, {}
    try:
        for name, future in begun.items():
            try:
                workers[name] = future.result()
            except WorkerError as error:
                missing[name] = str(error)
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
    return Started(workers, missing)


def end(started: Started) -> None:
    """Ends all processes."""
    for worker in started.workers.values():
        worker.close()


def _started(contender: Contender, deadline: float) -> Worker:
    left = deadline - time.monotonic()
    if left <= 0:
        raise WorkerError("TimeoutError", "no time was left to start it")
    tell(f"starting {contender.name}")
    return Worker(contender.target, contender.arguments, limit=left)

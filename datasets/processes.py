"""Tasks spread over processes; results come in order, with only a few tasks in flight."""

import collections
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2

from datasets.errors import UserError

_AHEAD = 3  # tasks in flight per worker


def map_in_processes(
    make_worker: Callable[..., Callable[[Any], Any]],
    arguments: tuple,
    tasks: Sequence[Any],
    workers: int,
) -> Iterator[Any]:
    """Yields the result of `make_worker(*arguments)` for each task, in the order of `tasks`.

    Args:
      make_worker: called once in each process; importable by name, with picklable arguments.
      arguments: of `make_worker`.
      tasks: picklable and small.
      workers: processes; 0 = one per core, 1 = this one alone.

    Raises:
      UserError: raised by a worker, or a process died.
    """
    workers = min(workers or _usable_cores(), max(1, len(tasks)))
    if workers == 1:
        yield from map(make_worker(*arguments), tasks)
        return
    # Spawned, not forked: the caller may hold threads (jax), which do not survive a fork.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start, (make_worker, arguments)
    )
    try:
        waiting = collections.deque()
        for task in tasks:
            with _interrupts_blocked():
                waiting.append(pool.submit(_work, task))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, most likely for lack of memory; try again with --workers=1."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Blocks Ctrl-C until the context ends.

    A terminal sends Ctrl-C to all processes. Those started in the context inherit the block, so
    that only this process receives it and then ends them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _usable_cores() -> int:
    # Containers and schedulers often allow fewer cores than there are.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


_worker: Callable[[Any], Any] | None = None  # in a worker process


def _start(make_worker: Callable, arguments: tuple) -> None:
    global _worker
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = make_worker(*arguments)


def _end_with_parent() -> None:
    # A worker waits for its queue, which does not end when its parent is killed.
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(task: Any) -> Any:
    return _worker(task)

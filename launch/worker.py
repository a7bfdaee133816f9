"""A worker: a process on one machine of the cluster that trains groups of folds, one at a time.

It imports jax only in its methods, after Ray has chosen its GPU.
"""

import contextlib
import dataclasses
import datetime
import logging
import os
import socket
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets.errors import UserError
from datasets.protocols import Protocol
from fdp_jax.environment import clear_out_of_memory_error, start_jax
from fdp_jax.options import TrainOptions
from fdp_jax.plan import Environment, FoldGroup, make_plan

LOCK_TIMEOUT = 60.0  # seconds to wait for the lock of a fold whose worker was killed
LOG = "launch.log"  # in the folder of each fold


class Worker:
    """Methods that the launcher calls; it receives every error as a UserError."""

    def place(self) -> dict:
        """Returns host, node (Ray's id), pid, gpu (CUDA_VISIBLE_DEVICES) and usable cores."""
        import ray

        return {
            "host": socket.gethostname(),
            "node": ray.get_runtime_context().get_node_id(),
            "pid": os.getpid(),
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
            "cores": usable_cores(),
        }

    def prepare(
        self, options: TrainOptions, protocol: Protocol, folder: str, cores: Sequence[int]
    ) -> tuple[Environment, int]:
        """Loads the clips onto the device.

        Args:
          options, protocol, folder: of the run, and in which it was started.
          cores: to pin this process to; none leaves the choice to the system.

        Returns:
          The environment for `run.json`, and how many folds this device should train at once.
        """
        with _clear_errors():
            os.chdir(folder)
            if cores:  # before jax counts them for its threads
                os.sched_setaffinity(0, cores)
            if not (options.workdir / "config.json").exists():
                raise UserError(
                    f"the work directory {options.workdir.absolute()} is not there; it and the "
                    "data must be on a disk that every machine sees under the same name"
                )
            start_jax(options.compilation_cache)
            from fdp_jax.evaluate import pack_clips
            from fdp_jax.train_loop import choose_folds_at_once, describe_environment

            logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax's pages of tracebacks
            options = dataclasses.replace(options, manual_dir=None)  # all corpora are built
            self._plan = make_plan(options, protocol, command="")
            self._plan.claim_workdir()  # refuses clips that differ from the launcher's
            self._corpus = pack_clips(self._plan.clips)
            return describe_environment(self._plan), choose_folds_at_once(self._plan, self._corpus)

    def train(self, folds: Sequence[tuple[int, str]], size: int, header: str) -> None:
        """Trains a group of folds, except those finished meanwhile.

        Args:
          folds: seed and name of each.
          size: of the group, as of `FoldGroup`.
          header: of this attempt in the log of each fold.
        """
        from fdp_jax.train_loop import train_folds

        tasks = [task for task in self._plan.pending() if (task.seed, task.fold.name) in folds]
        if not tasks:
            return
        group = FoldGroup(tuple(tasks), size)
        with _clear_errors():
            _redirect_output([task.directory.path / LOG for task in tasks], header)
            try:
                train_folds(group, self._plan, self._corpus, lock_timeout=LOCK_TIMEOUT)
            except Exception as error:
                is_clear = isinstance(error, UserError)
                with contextlib.suppress(OSError):  # a full disk
                    print(f"error: {error}" if is_clear else traceback.format_exc(), flush=True)
                raise


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """Turns errors into one sentence: the launcher cannot unpickle those of jax."""
    try:
        with clear_out_of_memory_error():
            yield
    except UserError:
        raise
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise UserError(f"the system refuses{where}: {error.strerror or error}") from None
    except Exception as error:
        raise UserError(f"{type(error).__name__}: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, cut to 150 characters."""
    return next(iter(str(error).strip().splitlines()), "")[:150]


def usable_cores() -> list[int]:
    """Returns the cores that this process may use; empty where a process cannot choose."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _redirect_output(logs: Sequence[Path], header: str) -> None:
    """Appends a header to all logs, and from now on all output, also of C++, to the first."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    cores, gpu = ",".join(map(str, usable_cores())), os.environ.get("CUDA_VISIBLE_DEVICES")
    header = f"{now} {header}; {socket.gethostname()}, process {os.getpid()}, cores {cores}"
    header += f", CUDA_VISIBLE_DEVICES={gpu}" if gpu else ""
    for log in logs:
        log.parent.mkdir(parents=True, exist_ok=True)
        elsewhere = "" if log == logs[0] else f"; output in {os.path.relpath(logs[0], log.parent)}"
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{header}{elsewhere}\n")
    with logs[0].open("a", encoding="utf-8") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)

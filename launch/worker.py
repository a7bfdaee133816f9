"""A worker: one process on one machine of the cluster that trains folds, one group at a time.

What it is told and what it answers are plain texts and numbers. It loads jax only after Ray has
said which GPU is its own.
"""

import contextlib
import dataclasses
import datetime
import logging
import os
import socket
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets.errors import UserError
from fdp_jax.grouping import clear_out_of_memory_error
from fdp_jax.plan import FoldTask, Plan
from launch.options import launch_options_from

PATIENCE = 60.0  # seconds in which a killed process has let go of a fold's lock
LOG = "launch.log"  # in each fold's folder


class Worker:
    """The methods that the launcher calls from afar; each answers with a dictionary.

    `error` is in every answer: a sentence, or "" where all went well.
    """

    def place(self) -> dict:
        """Where this process is: host, node (Ray's name of it), pid, gpu, cores.

        `gpu` is what CUDA_VISIBLE_DEVICES says, `cores` the numbers of those it may use.
        """
        import ray

        return {
            "error": "",
            "host": socket.gethostname(),
            "node": ray.get_runtime_context().get_node_id(),
            "pid": os.getpid(),
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
            "cores": sorted(_cores()),
        }

    def prepare(self, arguments: Sequence[str], folder: str, cores: Sequence[int]) -> dict:
        """Loads the clips and makes the device ready.

        Args:
          arguments: of the launcher's command line.
          folder: that it was typed in.
          cores: to stay on; none leaves that to the system.

        Returns:
          machine: as `Machine`, for run.json.
          folds_at_once: that are trained together on this device, at most.
        """
        try:
            os.chdir(folder)
            if cores:  # before jax counts them for its threads
                os.sched_setaffinity(0, cores)
            self._trainer, self._tasks = _trainer(arguments)
            machine = dataclasses.asdict(self._trainer.machine())
            at_once = self._trainer.folds_at_once()
            return {"error": "", "machine": machine, "folds_at_once": at_once}
        except Exception as error:  # whatever it is, the launcher tells it
            return {"error": f"{_sentence(error)} (on {socket.gethostname()})"}

    def train(self, folds: Sequence[Sequence], header: str) -> dict:
        """Trains a group of folds from their last checkpoints to their results.

        Args:
          folds: (seed, name) of each.
          header: the first line of this attempt in the log of each.
        """
        tasks = [self._tasks[seed, name] for seed, name in folds]
        tasks = [task for task in tasks if not task.directory.is_finished()]
        try:
            header = f"{header}; {self._told_place()}"
            with _output_kept(tasks, header), clear_out_of_memory_error():
                self._trainer.train([tasks] if tasks else [], lambda *_: None, patience=PATIENCE)
            return {"error": ""}
        except Exception as error:  # whatever it is, the launcher tells it
            return {"error": _sentence(error)}

    def _told_place(self) -> str:
        place = self.place()
        gpu = f", CUDA_VISIBLE_DEVICES={place['gpu']}" if place["gpu"] else ""
        cores = ",".join(map(str, place["cores"]))
        return f"{place['host']}, process {place['pid']}, cores {cores}{gpu}"


def _trainer(arguments: Sequence[str]):
    """The trainer of the run that the arguments ask for, and its folds by (seed, name)."""
    from fdp_jax.run_folds import FoldTrainer
    from fdp_jax.train import keep_compiled_programs, prepared, workdir_of
    from fdp_jax.workdir import drop_training_states

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax' pages of tracebacks
    options, protocol = launch_options_from(list(arguments), "a worker", None)
    workdir = workdir_of(options, protocol).absolute()
    if not (workdir / "config.json").exists():
        raise UserError(
            f"the work directory {workdir} is not there; it and the data must lie on a disk that "
            "every machine sees under the same name"
        )
    options = dataclasses.replace(options, manual_dir=None)  # all is built by now
    run, clips = prepared(options, protocol, "")
    keep_compiled_programs(options.compilation_cache)
    plan = Plan(run, clips)
    plan.claim()  # refuses clips that differ from the launcher's
    for task in plan.wanted:
        if task.directory.is_finished():  # a kill may have come before the last tidying up
            drop_training_states(task.directory)
    return FoldTrainer(plan), {(task.seed, task.fold.name): task for task in plan.wanted}


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set()  # other systems do not let a process choose


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return f"the system refuses{where}: {error.strerror or error}"
    first = str(error).strip().splitlines()[:1] or [""]
    return f"{type(error).__name__}: {first[0][:200]}"


@contextlib.contextmanager
def _output_kept(tasks: Sequence[FoldTask], header: str) -> Iterator[None]:
    """Appends what this process prints, also from C++, to the log of the first of the folds.

    So does an error; the logs of the others say where all that is.
    """
    logs = [task.directory.path / LOG for task in tasks]
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    for log in logs:
        log.parent.mkdir(parents=True, exist_ok=True)
        elsewhere = "" if log == logs[0] else f"; output in {os.path.relpath(logs[0], log.parent)}"
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{now} {header}{elsewhere}\n")
    try:
        with _output_to(logs[0]) if logs else contextlib.nullcontext():
            yield
    except Exception as error:
        known = isinstance(error, UserError)
        with contextlib.suppress(OSError), logs[0].open("a", encoding="utf-8") as file:
            file.write(f"error: {error}\n" if known else traceback.format_exc())
        raise


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    with log.open("a", encoding="utf-8") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # a full disk
                stream.flush()
        for descriptor, former in zip((1, 2), kept, strict=True):
            os.dup2(former, descriptor)
            os.close(former)

"""Progress of a launch on the terminal, and its log of events, WORKDIR/launch.jsonl."""

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from datasets.errors import UserError
from fdp_jax.plan import FoldTask, Plan, duration
from fdp_jax.train import format_losses
from fdp_jax.training_log import read_log
from launch.scheduler import Scheduler, WorkerHandle

EVENTS = "launch.jsonl"
LINE_SECONDS = 60.0  # between two lines without a terminal


class FoldProgress(NamedTuple):
    """Progress of one fold over all its trainings."""

    step: int
    steps: int
    seconds_left: float | None = None  # None before the first line of the log
    losses: str = ""


def read_progress(task: FoldTask, steps: int, folds_at_once: int) -> FoldProgress:
    """Reads the progress of a fold from its logs.

    Args:
      task: the fold.
      steps: of each of its trainings.
      folds_at_once: folds trained with it; each logs its share of their seconds.
    """
    directories = (task.directory, task.directory.second_training)[: len(task.trainings)]
    logs = [rows for directory in directories if (rows := read_log(directory.log))]
    total = steps * len(task.trainings)
    if not logs:
        return FoldProgress(0, total)
    done = sum(rows[-1]["step"] for rows in logs)
    *_, before, last = [{"step": 0}, *logs[-1]]
    seconds_per_step = last["seconds"] / (last["step"] - before["step"]) * folds_at_once
    return FoldProgress(done, total, (total - done) * seconds_per_step, format_losses(last))


class ProgressDisplay:
    """A line for each running fold and one for all, on a terminal; else a line a minute."""

    def __init__(self, plan: Plan, live: Live):
        """Args: plan: of the run; live: started and stopped by the caller."""
        self._plan, self._live = plan, live
        self._finished_before = len(plan.tasks) - len(plan.pending())
        self._last_line = time.monotonic()

    def log(self, event: str, worker: WorkerHandle, **facts) -> None:
        """Appends an event to the log, and prints it if it is more than routine.

        Raises:
          UserError: the log cannot be written.
        """
        now = datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
        host = worker.place.get("host")
        row = {"time": now, "event": event, "worker": worker.number, "host": host, **facts}
        path = self._plan.workdir / EVENTS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise UserError(
                f"{path} cannot be written ({error.strerror}); make room or give write permission "
                "there, and run the same command again to resume"
            ) from error
        if message := self._message(event, worker.device, facts):
            self._print(message)

    def _message(self, event: str, device: str, facts: Mapping) -> str:
        folds = self._describe(facts.get("folds", ()))
        match event:
            case "done":
                return f"{folds} done on {device} ({duration(facts['seconds'])})"
            case "failed":
                next_step = "will be retried" if facts["tries_left"] else "given up"
                return f"{folds} failed on {device}: {facts['reason']} ({next_step})"
            case "no start":
                where = f" on {device}" if device else ""
                return f"a worker did not start{where}: {facts['reason']}"
            case "no gpu support":
                return (
                    f"warning: the worker on {device} has a GPU, but jax there trains on the CPU; "
                    'install jax with GPU support: pip install -e ".[cuda12]"'
                )
        return ""

    def _describe(self, folds: Sequence[tuple[int, str]]) -> str:
        names = [name for _, name in folds]
        if len(self._plan.options.all_seeds) > 1:
            names = [f"{name} (seed {seed})" for seed, name in folds]
        return f"fold{'s' if len(folds) > 1 else ''} {', '.join(names)}"

    def _print(self, text: str) -> None:
        # Without markup: people's names may contain brackets.
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(self, scheduler: Scheduler) -> None:
        """Shows the present progress."""
        is_terminal = self._live.console.is_terminal
        if not is_terminal and time.monotonic() - self._last_line < LINE_SECONDS:
            return
        self._last_line = time.monotonic()
        steps = self._plan.options.config.steps
        running = []  # (name, device, progress)
        for job, device in [(w.job, w.device) for w in scheduler.workers if w.job]:
            for task, fold in zip(job.group.tasks, job.folds, strict=True):
                progress = read_progress(task, steps, len(job.folds))
                running.append((self._describe([fold]), device, progress))
        done, total = self._finished_before + len(scheduler.done), len(self._plan.tasks)
        counts = self._counts(scheduler, [progress for *_, progress in running])
        if not is_terminal:
            now = datetime.datetime.now().strftime("%H:%M:%S")
            each = [f"{name} {progress.step}/{progress.steps}" for name, _, progress in running]
            self._print("; ".join([f"{now} {done}/{total} folds done, {counts}", *each]))
            return
        table = Table.grid(padding=(0, 1))
        for name, device, progress in running:
            left = progress.seconds_left
            facts = ["" if left is None else f"{duration(left)} left", device, progress.losses]
            _add_row(table, name, progress.step, progress.steps, ", ".join(filter(None, facts)))
        _add_row(table, "folds", done, total, counts)
        self._live.update(table, refresh=True)

    def _counts(self, scheduler: Scheduler, running: Sequence[FoldProgress]) -> str:
        failed = sum(len(job.folds) for job in scheduler.failed)
        through = self._finished_before + len(scheduler.done) + failed
        waiting = len(self._plan.tasks) - through - len(running)
        counts = f"{len(running)} running, {waiting} waiting, {failed} failed"
        if starting := sum(worker.job is None for worker in scheduler.workers):
            counts += f", {starting} worker{'s' if starting > 1 else ''} starting"
        known = [fold for fold in running if fold.seconds_left]
        if not known:
            return counts
        steps = sum(fold.steps - fold.step for fold in running) + waiting * running[0].steps
        per_second = sum((fold.steps - fold.step) / fold.seconds_left for fold in known)
        return f"{counts}, about {duration(steps / per_second)} left"


def _add_row(table: Table, name: str, done: int, total: int, facts: str) -> None:
    bar = ProgressBar(total, done, width=10)
    table.add_row(Text(name), bar, f"{done}/{total}", Text(facts, no_wrap=True))

"""What one sees of a launch, and the ledger that it leaves: WORKDIR/launch.jsonl."""

import contextlib
import datetime
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from datasets.errors import UserError
from fdp_jax.plan import FoldTask, Plan
from launch.crew import Crew, Hand
from launch.fold_progress import FoldProgress, progress_of

LEDGER = "launch.jsonl"
_SILENCE = 60.0  # seconds between two lines where nobody watches a terminal


class View:
    """A line for each running fold and one for all, on a terminal; else a line a minute.

    Everything goes to the error output: the other one belongs to the report.
    """

    def __init__(self, plan: Plan, console: Console):
        """Args: plan: of the run; console: where to draw."""
        self._plan, self._console = plan, console
        self._names_seeds = len(plan.run.seeds) > 1
        self._before = len(plan.wanted) - len(plan.pending())
        self._ledger = plan.run.workdir / LEDGER
        self._lines: dict[FoldTask, TaskID] = {}
        self._told = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[told]}"),
            console=console,
            transient=True,
        )
        self._all = self._bars.add_task("folds", total=len(plan.wanted), told="starting workers")

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Draws for as long as this lasts."""
        with self._bars if self._console.is_terminal else contextlib.nullcontext():
            yield

    def tell(self, event: str, hand: Hand, **facts) -> None:
        """One event: into the ledger, and as a line where it is more than routine.

        Raises:
          UserError: the ledger cannot be written.
        """
        now = datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
        host = hand.place["host"] if hand.place else None
        row = {"time": now, "event": event, "worker": hand.number, "host": host, **facts}
        try:
            with self._ledger.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise UserError(
                f"{self._ledger} cannot be written ({error.strerror}); make room or give write "
                "permission there, and give the same command to go on"
            ) from error
        if text := self._text(event, hand, facts):
            self._print(text)

    def _text(self, event: str, hand: Hand, facts: dict) -> str:
        folds = self._folds(facts.get("folds", ()))
        match event:
            case "done":
                return f"{folds} done on {hand.device} ({_told_time(facts['seconds'])})"
            case "failed":
                tries = facts["tries_left"]
                next_step = "to be tried again" if tries else "given up"
                return f"{folds} failed on {hand.device}: {facts['reason']} ({next_step})"
            case "no start":
                where = f" on {hand.device}" if hand.place else ""
                return f"a worker did not start{where}: {facts['reason']}"
            case "no gpu support":
                return (
                    f"warning: the worker on {hand.device} has a GPU, but jax there trains on the "
                    "CPU; requirements/cuda12.txt installs one that does not"
                )
        return ""

    def _folds(self, folds: Sequence[tuple[int, str]]) -> str:
        names = [f"{name} (seed {seed})" if self._names_seeds else name for seed, name in folds]
        return f"fold{'s' if len(folds) > 1 else ''} {', '.join(names)}"

    def _print(self, text: str) -> None:
        # Neither markup nor colour: names of people may hold brackets.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def look(self, crew: Crew) -> None:
        """Draws how far everything is."""
        running = {task: hand for hand in crew.hands if hand.job for task in hand.job.tasks}
        if not self._console.is_terminal and time.monotonic() - self._told < _SILENCE:
            return
        self._told = time.monotonic()
        steps = self._plan.run.config.steps
        progress = {
            task: progress_of(task, steps, len(hand.job.tasks)) for task, hand in running.items()
        }
        if self._console.is_terminal:
            self._draw(crew, progress, running)
        else:
            self._print(self._summary(crew, progress))

    def _draw(
        self, crew: Crew, progress: dict[FoldTask, FoldProgress], running: dict[FoldTask, Hand]
    ) -> None:
        for task in [task for task in self._lines if task not in running]:
            self._bars.remove_task(self._lines.pop(task))
        for task, of_task in progress.items():
            if task not in self._lines:
                name = self._folds([(task.seed, task.fold.name)])
                self._lines[task] = self._bars.add_task(name, total=of_task.steps, told="")
            told = [of_task.losses, _told_left(of_task), running[task].device]
            self._bars.update(
                self._lines[task],
                completed=of_task.step,
                total=of_task.steps,
                told=", ".join(filter(None, told)),
            )
        done = self._before + len(crew.done)
        self._bars.update(self._all, completed=done, told=self._counts(crew, progress))

    def _counts(self, crew: Crew, progress: dict[FoldTask, FoldProgress]) -> str:
        failed = sum(len(job.tasks) for job in crew.failed)
        waiting = len(self._plan.wanted) - self._before - len(crew.done) - len(progress) - failed
        told = [f"{len(progress)} running", f"{waiting} waiting", f"{failed} failed"]
        if starting := sum(not hand.is_ready for hand in crew.hands):
            told.append(f"{starting} workers starting")
        if (seconds := _left_in_all(list(progress.values()), waiting)) is not None:
            told.append(f"about {_told_time(seconds)} left")
        return ", ".join(told)

    def _summary(self, crew: Crew, progress: dict[FoldTask, FoldProgress]) -> str:
        now = datetime.datetime.now().strftime("%H:%M:%S")
        done = f"{self._before + len(crew.done)}/{len(self._plan.wanted)} folds done"
        each = [
            f"{self._folds([(task.seed, task.fold.name)])} {of_task.step}/{of_task.steps}"
            for task, of_task in progress.items()
        ]
        return "; ".join([f"{now} {done}, {self._counts(crew, progress)}", *each])


def read_ledger(workdir: Path) -> list[dict]:
    """The events of all launches into a work directory; one torn by a kill is left out."""
    path = workdir / LEDGER
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def _left_in_all(running: Sequence[FoldProgress], waiting: int) -> float | None:
    """Seconds until all folds are through, at the speed of those that run."""
    known = [fold for fold in running if fold.seconds_left]
    if not known:
        return None
    steps = sum(fold.steps - fold.step for fold in running) + waiting * running[0].steps
    return steps / sum((fold.steps - fold.step) / fold.seconds_left for fold in known)


def _told_left(progress: FoldProgress) -> str:
    return "" if progress.seconds_left is None else f"{_told_time(progress.seconds_left)} left"


def _told_time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""The log of a training: JSON lines, and the same numbers as TensorBoard events.

Without tensorboardX only the lines are written.
"""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

from fdp_jax.files import write_atomically
from fdp_jax.workdir import FoldDirectory


class TrainingLog:
    """Appends to a log, after dropping the lines beyond the restored step."""

    def __init__(self, directory: FoldDirectory, restored_step: int):
        """Opens the log of a training that resumes from `restored_step`."""
        self._path = directory.log
        kept = [row for row in read_log(self._path) if row["step"] <= restored_step]
        write_atomically(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        # Events are written by another thread, so a kill may lose some: they are rewritten from
        # the lines.
        shutil.rmtree(directory.tensorboard, ignore_errors=True)
        self._events_path = directory.tensorboard
        self._events: Any = None
        self._rows_without_events = kept

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Appends one line: step, then the scalars."""
        row = {"step": step, **scalars}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._rows_without_events.append(row)
        self._write_events()

    def _write_events(self) -> None:
        kind = _summary_writer()
        if kind is None:
            return
        if self._events is None:
            # With a queue that can fill, a full disk would block instead of raising.
            self._events = kind(str(self._events_path), max_queue=10**6, flush_secs=10)
        for row in self._rows_without_events:
            for name, value in row.items():
                if name != "step":
                    self._events.add_scalar(name, value, row["step"])
        self._rows_without_events.clear()

    def close(self) -> None:
        """Flushes and closes the events."""
        self._write_events()
        if self._events:
            self._events.close()


@functools.cache
def _summary_writer() -> type | None:
    """Returns tensorboardX's writer, or None: events are optional, the report reads the lines.

    Imported with the first line, while the device is busy: it imports torch where installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        return None
    return SummaryWriter


def read_log(path: Path) -> list[dict]:
    """Returns the lines of a log; one torn by a kill is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows

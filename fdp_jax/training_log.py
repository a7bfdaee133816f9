"""Losses over a training: JSON lines and TensorBoard events, the same numbers in both."""

import json
from pathlib import Path

from tensorboardX import SummaryWriter

from fdp_jax.files import write_atomically
from fdp_jax.work_directory import FoldDirectory


class TrainingLog:
    """Appends to a fold's log; what was written after the restored step is dropped first."""

    def __init__(self, directory: FoldDirectory, restored_step: int):
        """Opens the log of a fold that goes on from `restored_step`."""
        directory.path.mkdir(parents=True, exist_ok=True)
        self._path = directory.log
        _cut_after(self._path, restored_step)
        self._events = SummaryWriter(str(directory.tensorboard), purge_step=restored_step + 1)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """One line: step, then the scalars."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **scalars}) + "\n")
        for name, value in scalars.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes the events."""
        self._events.close()


def read_log(path: Path) -> list[dict]:
    """The lines of a log; one torn by a kill is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def _cut_after(path: Path, step: int) -> None:
    if path.exists():
        kept = [row for row in read_log(path) if row["step"] <= step]
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in kept))

"""The folder of a run: its identity, its seeds and its folds (no jax needed).

config.json                            what determines every number, seeds apart
seed_<n>/run.json                      folds, classes and versions of one seed
seed_<n>/folds/<fold>/checkpoints/     Orbax
seed_<n>/folds/<fold>/log.jsonl        losses
seed_<n>/folds/<fold>/tensorboard/     the same as events
seed_<n>/folds/<fold>/predictions.csv, outputs.npz, done.json (last)
seed_<n>/folds/<fold>/val/             the first three again, of the second training that
                                       --select=all needs
"""

import contextlib
import fcntl
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from datasets.errors import UserError
from fdp_jax.files import write_atomically

FINAL_WEIGHTS = "final"  # folder beside the training states


@dataclass(frozen=True)
class TrainingDirectory:
    """The folder of one training."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Orbax's folder."""
        return self.path / "checkpoints"

    @property
    def log(self) -> Path:
        """Losses, one JSON object a line."""
        return self.path / "log.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The same as events."""
        return self.path / "tensorboard"


@dataclass(frozen=True)
class FoldDirectory(TrainingDirectory):
    """The folder of one fold, and of the first of its trainings."""

    @property
    def second_training(self) -> TrainingDirectory:
        """Where one fold needs two trainings."""
        return TrainingDirectory(self.path / "val")

    @property
    def predictions(self) -> Path:
        """The fold's prediction table."""
        return self.path / "predictions.csv"

    @property
    def outputs(self) -> Path:
        """What the report draws."""
        return self.path / "outputs.npz"

    @property
    def done(self) -> Path:
        """Written last; a fold without it is unfinished."""
        return self.path / "done.json"

    def is_finished(self) -> bool:
        """Whether everything that the report and a later prediction read is there."""
        weights = self.checkpoints / FINAL_WEIGHTS
        needed = (self.done, self.predictions, self.outputs, self.log, weights)
        return all(path.exists() for path in needed)

    @contextlib.contextmanager
    def locked(self, patience: float = 0.0) -> Iterator[None]:
        """Keeps a second process off this fold; a crash leaves no lock behind.

        Args:
          patience: seconds to wait for another process to let go.

        Raises:
          UserError: another process trains this fold.
        """
        refusal = f"another process trains the fold {self.path}; wait for it, or stop it"
        with _locked(self.path, refusal, patience):
            yield


@contextlib.contextmanager
def locked_run(workdir: Path) -> Iterator[None]:
    """Keeps a second launcher off a work directory; a crash leaves no lock behind.

    Raises:
      UserError: another launcher is at work there.
    """
    refusal = f"another launcher is at work in {workdir}; wait for it, or name another --workdir"
    with _locked(workdir, refusal):
        yield


@contextlib.contextmanager
def _locked(folder: Path, refusal: str, patience: float = 0.0) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror})") from error
    with file:
        until = time.monotonic() + patience
        while not _takes_lock(file, folder):
            if time.monotonic() >= until:
                raise UserError(refusal)
            time.sleep(0.2)
        yield


def _takes_lock(file: IO, folder: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"{folder} is on a disk that cannot lock files ({error.strerror}); name a --workdir on "
            "another"
        ) from error
    return True


def drop_training_states(directory: FoldDirectory) -> None:
    """Removes what only an unfinished fold needs; final weights and logs stay."""
    checkpoints = directory.checkpoints
    for path in checkpoints.iterdir() if checkpoints.exists() else ():
        if path.name != FINAL_WEIGHTS:
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(directory.second_training.checkpoints, ignore_errors=True)


def fold_directory(workdir: Path, seed: int, fold: str) -> FoldDirectory:
    """Where a fold of a seed lives."""
    return FoldDirectory(workdir / f"seed_{seed}" / "folds" / fold)


def write_json(path: Path, content: object) -> None:
    """Indented JSON, atomically."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def check_writable(workdir: Path, what: str = "work directory", option: str = "workdir") -> None:
    """Finds out before any work whether results can be kept.

    Args:
      workdir: the folder; made where it is missing.
      what: it is, for the user.
      option: of the command line that names it.

    Raises:
      UserError: the folder cannot be made or written to.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise UserError(
            f"the {what} {workdir} cannot be written to ({error.strerror}); "
            f"name another with --{option}=DIR"
        ) from error


def claim(workdir: Path, identity: dict) -> None:
    """Makes the folder this run's own, or checks that it already is.

    Args:
      workdir: of the run.
      identity: everything that determines its numbers, as plain JSON values.

    Raises:
      UserError: it holds a run with other options.
    """
    check_writable(workdir)
    path = workdir / "config.json"
    if not path.exists():
        write_json(path, identity)
        return
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); name another --workdir, or delete that folder"
        ) from error
    differences = list(_differences(held, json.loads(json.dumps(identity))))
    if differences:
        raise UserError(
            f"the work directory {workdir} holds another run: {'; '.join(differences)}; "
            f"name another --workdir, or give the options of {path}"
        )


def _differences(held: dict, asked: dict, prefix: str = "") -> Iterator[str]:
    for key in {**held, **asked}:
        old, new = held.get(key), asked.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} is {json.dumps(old)} there and {json.dumps(new)} here"

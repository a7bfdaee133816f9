"""The work directory: paths, locks and identity of a run (no jax needed).

config.json                            options that determine every number, seeds apart
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
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from datasets.errors import UserError
from fdp_jax.files import write_atomically

FINAL_WEIGHTS = "final"  # folder beside the checkpoints
KEPT_CHECKPOINTS = 2  # one more than needed, in case the newest cannot be read
FORMAT = 2  # of a work directory; config.json names it


@dataclass(frozen=True)
class FoldDirectory:
    """Paths of one fold; its first training uses the same folder."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Orbax's folder."""
        return self.path / "checkpoints"

    def resumable_steps(self, steps: int) -> tuple[int, ...]:
        """Returns the steps to resume from, newest first.

        Args:
          steps: of the training.

        Returns:
          `steps` alone if the training is finished; else those of the kept checkpoints, or 0 in
          place of one that is missing.
        """
        folder = self.checkpoints
        if (folder / FINAL_WEIGHTS).exists():
            return (steps,)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        saved = sorted((int(name) for name in names if name.isdecimal()), reverse=True)
        return (*saved, 0)[:KEPT_CHECKPOINTS]

    @property
    def log(self) -> Path:
        """Losses, one JSON object per line."""
        return self.path / "log.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The same losses as events."""
        return self.path / "tensorboard"

    @property
    def second_training(self) -> "FoldDirectory":
        """Checkpoints, log and events of the second training, where a fold needs two."""
        return FoldDirectory(self.path / "val")

    @property
    def predictions(self) -> Path:
        """Prediction table of the fold."""
        return self.path / "predictions.csv"

    @property
    def outputs(self) -> Path:
        """Arrays that the report draws."""
        return self.path / "outputs.npz"

    @property
    def done(self) -> Path:
        """Written last: a fold without it is unfinished."""
        return self.path / "done.json"

    def is_finished(self) -> bool:
        """Returns whether every file that report and prediction read exists."""
        weights = self.checkpoints / FINAL_WEIGHTS
        needed = (self.done, self.predictions, self.outputs, self.log, weights)
        return all(path.exists() for path in needed)

    @contextlib.contextmanager
    def locked(self, timeout: float = 0.0) -> Iterator[None]:
        """Holds the lock of this fold; the system releases it if the process dies.

        Args:
          timeout: seconds to wait for another process to release it.

        Raises:
          UserError: another process holds it.
        """
        refusal = f"another process is training the fold {self.path}; wait for it, or stop it"
        with _locked(self.path, refusal, timeout):
            yield


@contextlib.contextmanager
def locked_run(workdir: Path) -> Iterator[None]:
    """Holds the launcher's lock of a work directory; the system releases it if the process dies.

    Raises:
      UserError: another launcher holds it.
    """
    refusal = f"another launcher is running in {workdir}; wait for it, or name another --workdir"
    with _locked(workdir, refusal):
        yield


@contextlib.contextmanager
def _locked(folder: Path, refusal: str, timeout: float = 0.0) -> Iterator[None]:
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror})") from error
    with file:
        deadline = time.monotonic() + timeout
        while not _try_lock(file, folder):
            if time.monotonic() >= deadline:
                raise UserError(refusal)
            time.sleep(0.2)
        try:
            yield
        finally:
            _remove_unused(folder, created)


def _remove_unused(folder: Path, created: Sequence[Path]) -> None:
    """Removes the lock, and the folders created for it, if nothing else was written there.

    Elsewhere the lock's file stays: another process may be waiting for it.
    """
    with contextlib.suppress(OSError):
        if os.listdir(folder) == [".lock"]:
            (folder / ".lock").unlink()
            for path in created:  # ends at the first that is not empty
                path.rmdir()


def _try_lock(file: IO, folder: Path) -> bool:
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
    """Returns the paths of one fold of one seed."""
    return FoldDirectory(workdir / f"seed_{seed}" / "folds" / fold)


def write_json(path: Path, content: object) -> None:
    """Writes indented JSON, atomically."""
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def check_writable(workdir: Path, what: str = "work directory", option: str = "workdir") -> None:
    """Checks before any work that results can be written.

    A missing folder stays missing: a command that is refused later leaves nothing behind.

    Args:
      workdir: the folder.
      what: what the folder is, for the error.
      option: option that names it, for the error.

    Raises:
      UserError: the folder cannot be created or written.
    """
    try:
        existing = workdir.absolute()
        while _is_missing(existing):
            existing = existing.parent
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(
            f"the {what} {workdir} cannot be written to ({error.strerror}); "
            f"name another with --{option}=DIR"
        ) from error


def _is_missing(path: Path) -> bool:
    """Returns whether nothing is there, not even a link; raises OSError for impossible names."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    return False


def check_or_create_config(workdir: Path, identity: dict) -> None:
    """Writes `config.json`, or checks that the existing one is the same.

    Args:
      workdir: folder of the run.
      identity: everything that determines its numbers, as plain JSON values.

    Raises:
      UserError: the folder holds a run with other options, or of an earlier version.
    """
    check_writable(workdir)
    path = workdir / "config.json"
    identity = {"format": FORMAT, **identity}
    if not path.exists():
        write_json(path, identity)
        return
    try:
        existing = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); name another --workdir, or delete that folder"
        ) from error
    if existing.get("format") != FORMAT:
        raise UserError(
            f"the work directory {workdir} was written by another version of this program; name "
            "another --workdir"
        )
    differences = list(_differences(existing, json.loads(json.dumps(identity))))
    if differences:
        raise UserError(
            f"the work directory {workdir} holds another run: {'; '.join(differences)}; "
            f"name another --workdir, or give the options of {path}"
        )


def _differences(existing: dict, wanted: dict, prefix: str = "") -> Iterator[str]:
    for key in {**existing, **wanted}:
        old, new = existing.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} is {json.dumps(old)} there and {json.dumps(new)} here"

"""Checkpoints of one training, and the weights it ends with, written by Orbax."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from datasets.errors import UserError
from fdp_jax.files import write_atomically
from fdp_jax.train_step import TrainState
from fdp_jax.workdir import FINAL_WEIGHTS, KEPT_CHECKPOINTS


class Checkpoints:
    """The folder `checkpoints` of one training.

    During training it holds `<step>/`, the whole state, and `evaluations/<step>.npz`, the tracker
    of the best step where a selection rule needs one; afterwards `final/`, the parameters and
    running statistics alone, and `evaluations/final.npz`.
    """

    def __init__(self, directory: Path, has_evaluations: bool = False):
        """Takes a folder, which is created with the first checkpoint.

        Args:
          directory: the folder.
          has_evaluations: whether the training keeps evaluations.
        """
        self._directory = directory.absolute()
        self._has_evaluations = has_evaluations
        self._manager: ocp.CheckpointManager | None = None

    def _open(self) -> ocp.CheckpointManager:
        if self._manager is None:
            self._manager = ocp.CheckpointManager(
                self._directory,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=KEPT_CHECKPOINTS, create=True, enable_async_checkpointing=False
                ),
            )
        return self._manager

    def save(self, state: TrainState, evaluations: Mapping[str, np.ndarray]) -> None:
        """Saves the state under its step; a kill during it leaves the one before intact.

        Args:
          state: of one fold.
          evaluations: arrays that belong to it; may be empty.

        Raises:
          UserError: it cannot be written.
        """
        step = int(state.step)
        self._write_evaluations(step, evaluations)
        with _writable(self._directory):
            self._open().save(step, args=ocp.args.StandardSave(jax.device_get(state)))
        kept = {str(saved) for saved in self._open().all_steps()}
        for path in self._evaluations(step).parent.glob("*.npz"):
            if path.stem not in kept:
                path.unlink()

    def restore(self, shapes: TrainState, step: int) -> tuple[TrainState, dict[str, np.ndarray]]:
        """Returns the state saved at a step, on the host, and its evaluations.

        Args:
          shapes: a state of the same shapes.
          step: of a checkpoint.

        Raises:
          UserError: the checkpoint cannot be read.
        """
        with _readable(self._directory / str(step)):
            target = ocp.args.StandardRestore(_shapes_on_host(shapes))
            return self._open().restore(step, args=target), self._read_evaluations(step)

    def drop_after(self, step: int) -> None:
        """Removes later checkpoints, before a training resumes from `step`.

        Raises:
          UserError: one cannot be removed.
        """
        for saved in self._open().all_steps():
            if saved > step:
                with _writable(self._directory):
                    self._open().delete(saved)

    def finish(self, variables: dict, evaluations: Mapping[str, np.ndarray]) -> None:
        """Saves the final weights.

        Args:
          variables: params and batch_stats.
          evaluations: arrays that belong to them; may be empty.

        Raises:
          UserError: they cannot be written.
        """
        self._write_evaluations(FINAL_WEIGHTS, evaluations)
        with _writable(self._directory), ocp.StandardCheckpointer() as checkpointer:
            path = self._directory / FINAL_WEIGHTS
            checkpointer.save(path, jax.device_get(variables), force=True)

    def final(self, shapes: TrainState) -> tuple[dict, dict[str, np.ndarray]]:
        """Returns what `finish` saved: variables and evaluations.

        Raises:
          UserError: it cannot be read.
        """
        with _readable(self._evaluations(FINAL_WEIGHTS)):
            evaluations = self._read_evaluations(FINAL_WEIGHTS)
        return load_final_weights(self._directory, shapes.variables), evaluations

    def close(self) -> None:
        """Closes Orbax's manager."""
        if self._manager is not None:
            self._manager.close()

    def _evaluations(self, step: int | str) -> Path:
        return self._directory / "evaluations" / f"{step}.npz"

    def _write_evaluations(self, step: int | str, evaluations: Mapping[str, np.ndarray]) -> None:
        """Comes before the state or the weights, so that they always have their evaluations."""
        if self._has_evaluations:
            write_atomically(self._evaluations(step), partial(np.savez, **evaluations))

    def _read_evaluations(self, step: int | str) -> dict[str, np.ndarray]:
        if not self._has_evaluations:
            return {}
        with np.load(self._evaluations(step), allow_pickle=False) as stored:
            return dict(stored)


def load_final_weights(directory: Path, shapes: dict) -> dict:
    """Returns the weights that a finished fold ended with, on the device.

    Args:
      directory: the fold's `checkpoints` folder.
      shapes: params and batch_stats of the same network, or their shapes.

    Raises:
      UserError: they are missing or cannot be read.
    """
    path = directory.absolute() / FINAL_WEIGHTS
    if not path.exists():
        raise UserError(f"there are no final weights in {path}; train the fold to its end first")
    way_out = "name another fold, or delete the fold's folder and train it again"
    with _readable(path, way_out), ocp.StandardCheckpointer() as checkpointer:
        return jax.device_put(checkpointer.restore(path, _shapes_on_host(shapes)), may_alias=False)


def _shapes_on_host(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Turns any failure to write a checkpoint into one sentence."""
    try:
        yield
    except Exception as error:  # a full disk is no OSError here, but whatever the storage raises
        raise UserError(
            f"a checkpoint cannot be written to {path} ({str(error).splitlines()[0][:120]}); make "
            "room or give write permission there, and repeat the command to resume"
        ) from error


@contextlib.contextmanager
def _readable(
    path: Path, way_out: str = "delete that folder to resume from the checkpoint before it"
) -> Iterator[None]:
    """Turns any failure to read a checkpoint into one sentence that names its folder."""
    _silence_late_reads()
    try:
        yield
    except Exception as error:  # Orbax and its storage raise many kinds
        raise UserError(
            f"the checkpoint {path} cannot be read, it is truncated or altered; {way_out}"
        ) from error


@cache
def _silence_late_reads() -> None:
    """After one failed read, others return to an event loop that Orbax has closed, and complain."""
    usual = sys.unraisablehook

    def hook(event: Any) -> None:
        if str(event.exc_value) != "Event loop is closed":
            usual(event)

    sys.unraisablehook = hook

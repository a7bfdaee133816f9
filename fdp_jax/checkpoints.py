"""What a fold needs to go on after a crash, and the weights it ends with, kept by Orbax."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from datasets.errors import UserError
from fdp_jax.files import write_atomically
from fdp_jax.steps import TrainState
from fdp_jax.work_directory import FINAL_WEIGHTS

KEPT = 2  # one more than needed, in case the newest cannot be read


class FoldCheckpoints:
    """The folder `checkpoints` of one training.

    While it trains, the folder holds `<step>/` with the whole state, and `looks/<step>.npz` with
    what the looks until then found, where any are taken; once it is finished, `final/` with the
    parameters and running statistics alone.
    """

    def __init__(self, directory: Path):
        """Args: directory: made when the first checkpoint is saved."""
        self._directory = directory.absolute()
        self._manager: ocp.CheckpointManager | None = None

    def _open(self) -> ocp.CheckpointManager:
        if self._manager is None:
            self._manager = ocp.CheckpointManager(
                self._directory,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=KEPT, create=True, enable_async_checkpointing=False
                ),
            )
        return self._manager

    def save(self, state: TrainState, looks: Mapping[str, np.ndarray]) -> None:
        """Saves the state under its step; a kill in the middle leaves the one before.

        Args:
          state: of the training.
          looks: arrays that belong to it; may be none.

        Raises:
          UserError: it cannot be written.
        """
        step = int(state.step)
        if looks:  # first: a state that is there has its looks
            write_atomically(self._looks(step), partial(np.savez, **looks))
        with _writable(self._directory):
            self._open().save(step, args=ocp.args.StandardSave(state))
        for path in self._looks(step).parent.glob("*.npz"):
            if int(path.stem) not in self._open().all_steps():
                path.unlink()

    def restore(
        self, fresh: TrainState, has_looks: bool
    ) -> tuple[TrainState, dict[str, np.ndarray]]:
        """The newest state saved, or `fresh` where there is none, and the looks saved with it.

        Raises:
          UserError: the newest checkpoint cannot be read.
        """
        manager = self._open()
        step = manager.latest_step()
        if step is None:
            return fresh, {}
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, fresh)
        with _readable(self._directory / str(step)):
            state = manager.restore(step, args=ocp.args.StandardRestore(abstract))
            return state, self._read_looks(step) if has_looks else {}

    def _looks(self, step: int) -> Path:
        return self._directory / "looks" / f"{step}.npz"

    def _read_looks(self, step: int) -> dict[str, np.ndarray]:
        with np.load(self._looks(step), allow_pickle=False) as stored:
            return dict(stored)

    def finish(self, state: TrainState) -> None:
        """Saves what prediction needs.

        Raises:
          UserError: it cannot be written.
        """
        final = {"params": state.params, "batch_stats": state.batch_stats}
        with _writable(self._directory), ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(self._directory / FINAL_WEIGHTS, final, force=True)

    def close(self) -> None:
        """Lets go of the folder."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    def drop_training_states(self) -> None:
        """Removes the states with the optimiser's moments; the final weights stay."""
        self.close()
        for path in self._directory.iterdir() if self._directory.exists() else ():
            if path.name != FINAL_WEIGHTS:
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Turns any failure to write a checkpoint into one sentence; what was saved before stays."""
    try:
        yield
    except Exception as error:  # a full disk is no OSError here, but whatever the storage raises
        raise UserError(
            f"a checkpoint cannot be written to {path} ({str(error).splitlines()[0][:120]}); make "
            f"room or give write permission there, and give the same command to go on"
        ) from error


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns any failure to read a checkpoint into one sentence that names its folder."""
    try:
        yield
    except Exception as error:  # Orbax and its storage raise many kinds
        raise UserError(
            f"the checkpoint {path} cannot be read, it was cut short or altered; "
            f"delete that folder to go on from what was saved before it"
        ) from error


def load_final(directory: Path, fresh: TrainState) -> TrainState:
    """The weights a finished fold ended with, put into a fresh state of the same model.

    Args:
      directory: the fold's `checkpoints` folder.
      fresh: gives the shapes.

    Raises:
      UserError: there are none, or they cannot be read.
    """
    path = directory.absolute() / FINAL_WEIGHTS
    if not path.exists():
        raise UserError(f"there are no final weights in {path}; train the fold to its end first")
    abstract = jax.tree.map(
        ocp.utils.to_shape_dtype_struct,
        {"params": fresh.params, "batch_stats": fresh.batch_stats},
    )
    with _readable(path), ocp.StandardCheckpointer() as checkpointer:
        final = checkpointer.restore(path, abstract)
    return fresh.replace(params=final["params"], batch_stats=final["batch_stats"])

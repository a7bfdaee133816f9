"""What a fold needs to go on after a crash, and the weights it ends with, kept by Orbax."""

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
from fdp_jax.workdir import FINAL_WEIGHTS

KEPT = 2  # one more than needed, in case the newest cannot be read


class FoldCheckpoints:
    """The folder `checkpoints` of one training.

    While it trains, the folder holds `<step>/` with the whole state, and `looks/<step>.npz` with
    what the looks until then found, where any are taken; once it is through, `final/` with the
    parameters and running statistics alone, and `looks/final.npz`.
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
            self._open().save(step, args=ocp.args.StandardSave(_packed(state)))
        kept = {str(saved) for saved in self._open().all_steps()}
        for path in self._looks(step).parent.glob("*.npz"):
            if path.stem not in kept:
                path.unlink()

    def newest(self) -> tuple[int, ...]:
        """The steps to go on from, newest first: the last two saved, or the start for one."""
        return (*sorted(self._open().all_steps(), reverse=True), 0)[:KEPT]

    def restore(
        self, fresh: TrainState, step: int, has_looks: bool
    ) -> tuple[TrainState, dict[str, np.ndarray]]:
        """The state saved at a step, on the host, and the looks saved with it.

        Args:
          fresh: gives the shapes.
          step: one of `newest`, not 0.
          has_looks: whether the training looks for its best step.

        Raises:
          UserError: the checkpoint cannot be read.
        """
        with _readable(self._directory / str(step)):
            room = ocp.args.StandardRestore(_room_for(fresh))
            state = _unpacked(self._open().restore(step, args=room), fresh)
            return state, self._read_looks(step) if has_looks else {}

    def drop_after(self, step: int) -> None:
        """Removes what was saved later, before a training goes on from `step`.

        Raises:
          UserError: it cannot be removed.
        """
        for saved in self._open().all_steps():
            if saved > step:
                with _writable(self._directory):
                    self._open().delete(saved)

    def _looks(self, step: int | str) -> Path:
        return self._directory / "looks" / f"{step}.npz"

    def _read_looks(self, step: int | str) -> dict[str, np.ndarray]:
        with np.load(self._looks(step), allow_pickle=False) as stored:
            return dict(stored)

    def finish(self, state: TrainState, looks: Mapping[str, np.ndarray]) -> None:
        """Saves what prediction needs, after the last step.

        Args:
          state: of the training.
          looks: arrays that belong to it; may be none.

        Raises:
          UserError: it cannot be written.
        """
        final = jax.device_get({"params": state.params, "batch_stats": state.batch_stats})
        if looks:  # first: weights that are there have their looks
            write_atomically(self._looks(FINAL_WEIGHTS), partial(np.savez, **looks))
        with _writable(self._directory), ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(self._directory / FINAL_WEIGHTS, final, force=True)

    def is_through(self, has_looks: bool) -> bool:
        """Whether nothing is left to train."""
        weights, looks = self._directory / FINAL_WEIGHTS, self._looks(FINAL_WEIGHTS)
        return weights.exists() and (looks.exists() or not has_looks)

    def final(self, fresh: TrainState, has_looks: bool) -> tuple[TrainState, dict[str, np.ndarray]]:
        """What `finish` saved, put into `fresh`.

        Raises:
          UserError: it cannot be read.
        """
        with _readable(self._looks(FINAL_WEIGHTS)):
            looks = self._read_looks(FINAL_WEIGHTS) if has_looks else {}
        return load_final(self._directory, fresh), looks

    def close(self) -> None:
        """Lets go of the folder."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None


# A state has hundreds of leaves, and each costs Orbax about a millisecond: they are saved end to
# end as one vector for each kind of number.


def _packed(state: TrainState) -> dict[str, np.ndarray]:
    leaves = [np.asarray(leaf) for leaf in jax.device_get(jax.tree.leaves(state))]
    kinds = sorted({leaf.dtype.name for leaf in leaves})
    return {
        kind: np.concatenate([leaf.ravel() for leaf in leaves if leaf.dtype == kind])
        for kind in kinds
    }


def _room_for(fresh: TrainState) -> dict[str, np.ndarray]:
    """Empty vectors of the sizes that `_packed` gives."""
    sizes: dict[str, int] = {}
    for leaf in jax.tree.leaves(fresh):
        sizes[leaf.dtype.name] = sizes.get(leaf.dtype.name, 0) + leaf.size
    return {kind: np.empty(size, kind) for kind, size in sizes.items()}


def _unpacked(packed: Mapping[str, np.ndarray], fresh: TrainState) -> TrainState:
    """The reverse of `_packed`; `fresh` gives the shapes."""
    leaves, structure = jax.tree.flatten(fresh)
    begins = dict.fromkeys(packed, 0)
    found = []
    for leaf in leaves:
        kind, begin = leaf.dtype.name, begins[leaf.dtype.name]
        begins[kind] = begin + leaf.size
        found.append(packed[kind][begin : begins[kind]].reshape(leaf.shape))
    return jax.tree.unflatten(structure, found)


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
def _readable(
    path: Path, way_out: str = "delete that folder to go on from what was saved before it"
) -> Iterator[None]:
    """Turns any failure to read a checkpoint into one sentence that names its folder."""
    _hush_late_reads()
    try:
        yield
    except Exception as error:  # Orbax and its storage raise many kinds
        raise UserError(
            f"the checkpoint {path} cannot be read, it was cut short or altered; {way_out}"
        ) from error


@cache
def _hush_late_reads() -> None:
    """Where one read fails, others come back to a loop that Orbax has closed, and each says so."""
    usual = sys.unraisablehook

    def hook(event: Any) -> None:
        if str(event.exc_value) != "Event loop is closed":
            usual(event)

    sys.unraisablehook = hook


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
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
        {"params": fresh.params, "batch_stats": fresh.batch_stats},
    )
    way_out = "name another fold, or remove this one's folder and train it again"
    with _readable(path, way_out), ocp.StandardCheckpointer() as checkpointer:
        final = jax.device_put(checkpointer.restore(path, shapes), may_alias=False)
    return fresh.replace(params=final["params"], batch_stats=final["batch_stats"])

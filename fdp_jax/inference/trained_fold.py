"""Trained networks found in a work directory, ready to say something of other clips."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from datasets.crop import Crop
from datasets.errors import UserError
from fdp_jax import json_files
from fdp_jax.checkpoints import load_final
from fdp_jax.config import TrainConfig
from fdp_jax.evaluate import predict_clips
from fdp_jax.input_pipeline import PackedClips
from fdp_jax.rng import fold_key
from fdp_jax.stored_config import config_from
from fdp_jax.train_step import Steps, TrainState
from fdp_jax.workdir import FoldDirectory


@dataclass(frozen=True, eq=False)
class TrainedFold:
    """One network and what it was trained on.

    Attributes:
      directory: of its fold.
      config: of the training.
      classes: names of the categories, in the order of the probabilities.
      dataset, protocol, preset, label_version: of the run, for who reads the result.
      seed: of the run.
      crop: how the faces it was trained on were cut out.
      is_grey: whether those were grey.
      state: weights and running statistics after the last step.
    """

    directory: FoldDirectory
    config: TrainConfig
    classes: tuple[str, ...]
    dataset: str
    protocol: str
    preset: str
    label_version: str
    seed: int
    crop: Crop
    is_grey: bool
    state: TrainState

    @property
    def fold(self) -> str:
        """Who was left out of the training."""
        return self.directory.path.name

    def predict(
        self, frames: np.ndarray, starts: np.ndarray, lengths: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the network says of clips, as `predict_clips` gives it.

        Args:
          frames: uint8 [N, side, side, c], aligned faces, all clips among them; c is 1 or 3.
          starts: int32 [clip], number of a clip's first frame; clips may overlap.
          lengths: int32 [clip], frames of a clip.
        """
        count = len(starts)
        corpus = PackedClips(frames, starts, lengths, np.zeros(count, np.int32))
        # A batch of 36 for a single clip would be 36 times the work.
        at_once = dataclasses.replace(self.config, batch_size=min(count, self.config.batch_size))
        steps = Steps(at_once, len(self.classes))
        return predict_clips(steps, jax.device_put(corpus), self.state, np.arange(count))


def find_folds(path: Path) -> list[FoldDirectory]:
    """The finished folds of a work directory, by seed and name; or the one that `path` itself is.

    Raises:
      UserError: there are none.
    """
    if not path.is_dir():
        raise UserError(f"there is no folder {path}; name the --workdir of a training, or a fold")
    path = path.resolve()
    if FoldDirectory(path).is_finished():
        return [FoldDirectory(path)]
    folders = sorted(
        path.glob("seed_*/folds/*"), key=lambda folder: (_seed_of(folder), folder.name)
    )
    folds = [FoldDirectory(folder) for folder in folders]
    if not (path / "config.json").exists():
        raise UserError(
            f"{path} is no work directory of a training: it has no config.json; name the "
            "--workdir of a training, or a fold in it"
        )
    if not (finished := [fold for fold in folds if fold.is_finished()]):
        raise UserError(f"no fold of {path} is finished yet; let the training finish one first")
    return finished


def load_fold(directory: FoldDirectory) -> TrainedFold:
    """The network that a finished fold ended with, as the rule `last` chooses it.

    Raises:
      UserError: a file is missing, torn, or of another version.
    """
    seed_folder = directory.path.resolve().parents[1]
    told = _read_json(seed_folder / "run.json", _RUN)
    path = seed_folder.parent / "config.json"
    identity = _read_json(path, {"preset": str})
    config = config_from(identity, path)
    inputs = told["input"]
    crop = Crop(inputs["per_frame"], inputs["side"], inputs["margin"])
    classes, seed = tuple(told["classes"]), told["seed"]
    # What training alone needs, Adam's moments, is not made here.
    key = fold_key(seed, directory.path.name)
    shapes = jax.eval_shape(Steps(config, len(classes)).initial_state, key)
    state = load_final(directory.checkpoints, shapes.replace(optimizer_state=()))
    return TrainedFold(
        directory,
        config,
        classes,
        told["dataset"],
        told["protocol"],
        identity["preset"],
        told["label_version"],
        seed,
        crop,
        inputs["is_grey"],
        state,
    )


def _seed_of(folder: Path) -> int:
    number = folder.parents[1].name.removeprefix("seed_")
    return int(number) if number.isdecimal() else -1


_RUN = {
    "dataset": str,
    "protocol": str,
    "label_version": str,
    "seed": int,
    "classes": [str],
    "input": {"per_frame": bool, "side": int, "margin": float, "is_grey": bool},
}


def _read_json(path: Path, kind: json_files.Kind) -> dict:
    """The content of a file of this program.

    Raises:
      UserError: it is missing or torn, or an entry is not there or of another kind.
    """
    try:
        content = json_files.read(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is missing or torn ({error}); name a whole work directory"
        ) from error
    if wrong := json_files.wrong_in(content, kind):
        raise UserError(f"{path} is of another version of this program ({wrong}); train again")
    return content

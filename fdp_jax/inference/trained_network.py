"""Trained networks for inference: finished folds of a work directory, and files of weights.

All use of the training code by `inference` is in this module.

Axes: b clips, t frames that the network takes, s pixels along the edge of a face, c channels.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from datasets.crop import CROP_ENTRIES, Crop
from datasets.errors import UserError
from fdp_jax import json_files
from fdp_jax.animation.action_units import DATASET as ANIMATED
from fdp_jax.checkpoints import load_final_weights
from fdp_jax.config import TrainConfig, config_from_dict
from fdp_jax.evaluate import predict_clips
from fdp_jax.input_pipeline import PackedClips
from fdp_jax.metrics.predictions import PredictionTable, pool
from fdp_jax.models.fdp import Outputs
from fdp_jax.rng import fold_key
from fdp_jax.train_step import create_train_state, eval_step
from fdp_jax.weights import BUNDLED_NAME, read_weights
from fdp_jax.workdir import FoldDirectory

# Attributes of `TrainedNetwork` that run.json holds as they are.
_OF_RUN = {"dataset": str, "protocol": str, "label_version": str, "seed": int}
_RUN_JSON = _OF_RUN | {"classes": [str], "input": CROP_ENTRIES | {"is_grey": bool}}


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network, and the facts about its training.

    Attributes:
      name: the subject or group left out of the training.
      source: its folder in the work directory, or the file of its weights.
      accuracy: returns a sentence on how often it was right for people left out of its training;
        it reads the predictions of all folds, which few need.
      config: options of the training.
      classes: names of the categories, in the order of the probabilities.
      dataset, protocol, preset, label_version, seed: of the run.
      crop: how the faces of the corpus were cropped.
      is_grey: whether those faces were grey.
      variables: `params` and `batch_stats` after the last step.
    """

    name: str
    source: str
    accuracy: Callable[[], str]
    config: TrainConfig
    classes: tuple[str, ...]
    dataset: str
    protocol: str
    preset: str
    label_version: str
    seed: int
    crop: Crop
    is_grey: bool
    variables: dict

    def predict(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs for aligned faces uint8 [b, t, s, s, c], as `predict_clips` does."""
        config = dataclasses.replace(self.config, batch_size=len(faces))
        clips, indices = jax.device_put(_pack(faces)), np.arange(len(faces))
        return predict_clips(config, len(self.classes), self.variables, clips, indices)

    def predict_packed(self, clips: PackedClips, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs for clips of a corpus; see `predict_clips`."""
        return predict_clips(self.config, len(self.classes), self.variables, clips, indices)

    def apply(self, variables: dict, faces: jax.Array) -> Outputs:
        """Returns the outputs with `variables` in place of the fold's own, for use under `jit`."""
        clips, indices = _pack(faces), jnp.arange(faces.shape[0])
        options = {"config": self.config, "classes": len(self.classes)}
        return eval_step(variables, clips, indices, **options)[1]


def find_folds(path: Path) -> list[FoldDirectory]:
    """Returns the finished folds of a work directory in order, or the fold at `path`.

    Raises UserError where there are none.
    """
    if not path.is_dir():
        raise UserError(f"there is no folder {path}; give the --workdir of a training, or a fold")
    path = path.resolve()
    if FoldDirectory(path).is_finished():
        return [FoldDirectory(path)]
    if not (path / "config.json").exists():
        raise UserError(
            f"{path} is not the work directory of a training, since it has no config.json; give "
            "the --workdir of a training, or a fold in it"
        )
    folders = sorted(path.glob("seed_*/folds/*"), key=lambda path: (_seed_of(path), path.name))
    if not (folds := [fold for fold in map(FoldDirectory, folders) if fold.is_finished()]):
        raise UserError(f"no fold of {path} is finished yet; let the training finish one first")
    return folds


def load_fold(directory: FoldDirectory) -> TrainedNetwork:
    """Loads the network of a finished fold after its last step.

    Raises UserError where a file is missing, damaged or of another version.
    """
    path = directory.path.resolve()
    run = _read_json(path.parents[1] / "run.json", _RUN_JSON)
    config_path = path.parents[2] / "config.json"
    identity = _read_json(config_path, {"preset": str})
    config, classes = config_from_dict(identity, config_path), tuple(run["classes"])
    create = functools.partial(create_train_state, config, len(classes))
    shapes = jax.eval_shape(create, fold_key(run["seed"], path.name)).variables
    face = run["input"]
    return TrainedNetwork(
        **{name: run[name] for name in _OF_RUN},
        name=path.name,
        source=f"seed_{run['seed']}/folds/{path.name}",
        accuracy=functools.partial(_accuracy, directory, len(classes)),
        config=config,
        classes=classes,
        preset=identity["preset"],
        crop=Crop.from_entries(face),
        is_grey=face["is_grey"],
        variables=load_final_weights(directory.checkpoints, shapes),
    )


def load_weights(name: str, preset: str = "small") -> TrainedNetwork:
    """Loads the network of a file of weights, or the bundled one of a preset.

    Raises UserError as `read_weights` does.
    """
    weights = read_weights(name, preset)
    variables = unflatten_dict(weights.arrays, sep="/")
    scores = ", ".join(f"{score} {value:.3g}" for score, value in weights.scores.items())
    return TrainedNetwork(
        name="held_out",
        source=f"{name} weights" if name == BUNDLED_NAME else name,
        accuracy=lambda: f"On animated faces of people held out of its training: {scores}.",
        config=weights.config,
        classes=weights.classes,
        dataset=ANIMATED,
        protocol=f"{len(weights.classes)}class",
        preset=weights.preset,
        label_version="",
        seed=weights.seed,
        crop=weights.crop,
        is_grey=weights.is_grey,
        variables=jax.device_put({"batch_stats": {}, **variables}),
    )


def _accuracy(directory: FoldDirectory, classes: int) -> str:
    """Returns a sentence on a fold's accuracy, and on that of all finished folds of its seed."""
    siblings = map(FoldDirectory, sorted(directory.path.resolve().parent.iterdir()))
    try:
        tables = [PredictionTable.read(d.predictions) for d in siblings if d.is_finished()]
        table = pool(tables)
    except UserError as error:
        return f"The accuracy of the network is unknown ({error})."
    # Other rules chose other weights than those after the last step.
    name = directory.path.name
    last = np.array([rule == "last" for rule in table.select], bool)
    own = last & np.array([fold == name for fold in table.fold], bool)
    if not own.any():
        return "The accuracy of the network after the last step was not measured."
    text = (
        f"The network of fold {name} was right for {_share(table.correct[own])} of people left out "
        "of its training"
    )
    if len(tables) > 1:
        text += f", and all {len(tables)} folds together for {_share(table.correct[last])}"
    return f"{text}; guessing is right for {100 / classes:.0f} %."


def _pack(faces: jax.Array | np.ndarray) -> PackedClips:
    """Returns clips of t frames each from [b, t, s, s, c]."""
    b, t = faces.shape[:2]
    starts, lengths = jnp.arange(b) * t, jnp.full((b,), t, jnp.int32)
    frames = faces.reshape(b * t, *faces.shape[2:])
    return PackedClips(frames, starts, lengths, jnp.zeros((b,), jnp.int32))


def _share(correct: np.ndarray) -> str:
    """How many of bool [n] are true, in words."""
    return f"{correct.sum()} of {len(correct)} clips ({100 * correct.mean():.0f} %)"


def _seed_of(folder: Path) -> int:
    seed = folder.parents[1].name.removeprefix("seed_")
    return int(seed) if seed.isdecimal() else -1


def _read_json(path: Path, kind: json_files.Kind) -> dict:
    """Reads a JSON file of a work directory; `kind` describes its entries."""
    try:
        content = json_files.read(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}); give a complete work directory"
        ) from error
    if wrong := json_files.wrong_in(content, kind):
        raise UserError(f"{path} is of another version of this program ({wrong}); train again")
    return content

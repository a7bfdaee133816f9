"""Weights of a network in one small file, to start a training from or to predict with.

A file is an uncompressed zip archive without pickles: a header in JSON, and one `.npy` entry per
array, parameters in float16 and running statistics in float32. Its comment is the SHA-256 of all
bytes before it. `python -m fdp_jax.pretrain` writes such files.
"""

import dataclasses
import functools
import io
import json
from pathlib import Path

import numpy as np

from datasets.crop import CROP_ENTRIES, Crop
from datasets.errors import UserError
from fdp_jax import json_files
from fdp_jax.config import NO_GLOBAL, TrainConfig, as_dict, config_from_dict
from fdp_jax.exported_model import ExportedModelError, read_archive
from fdp_jax.files import write_checked_archive

BUNDLED_NAME = "bundled"
_FOLDER = Path(__file__).parent
# Preset -> the file that is shipped with the package; the larger one in pieces.
BUNDLED: dict[str, tuple[Path, ...]] = {
    "small": (_FOLDER / "bundled.weights",),
    "paper": tuple(_FOLDER / f"bundled_paper.weights.{piece}" for piece in (1, 2, 3)),
}
HEADER = "fdp_weights.json"  # the first entry; its name identifies the format
FORMAT = 1
_NO_SIZES = (
    "stochastic_depth", "dropout", "leaky_slope", "initial_std", "temporal_initial_std",
    "batch_norm_momentum",
)  # fmt: skip
# Attributes of `Weights` that the header holds as they are.
_PROVENANCE = {
    "preset": str, "seed": int, "trained_on": str, "command": str, "device": str, "scores": dict,
}  # fmt: skip
_ENTRIES = {
    "format": int,
    "classes": [str],
    **_PROVENANCE,
    "input": CROP_ENTRIES | {"is_grey": bool},
}


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """A trained network.

    Attributes:
      config: options of its training.
      classes: its categories, in the order of the probabilities.
      preset, seed: of its training.
      trained_on: what it saw, as words.
      command: which trained it.
      device: on which it was trained.
      scores: name -> value, on people whom it never saw.
      crop, is_grey: of the faces that it takes.
      arrays: `params/...` and `batch_stats/...` -> array.
      digest: hexadecimal SHA-256 of the file; empty for weights that were not read from one.
    """

    config: TrainConfig
    classes: tuple[str, ...]
    preset: str
    seed: int
    trained_on: str
    command: str
    device: str
    scores: dict[str, float]
    crop: Crop
    is_grey: bool
    arrays: dict[str, np.ndarray]
    digest: str = ""

    def check_fits(self, config: TrainConfig) -> None:
        """Raises UserError if a training of other sizes wants to start from these weights."""
        ours, wanted = self._sizes(self.config), self._sizes(config)
        for name, value in wanted.items():
            if value != ours[name]:
                raise UserError(
                    f"the initial weights are of a network with --{name}={ours[name]}, not "
                    f"{value}; use --preset={self.preset} without options that change sizes"
                )
        if config.ablate in NO_GLOBAL:
            raise UserError(
                f"--ablate={config.ablate} changes the widths of the network, so it cannot start "
                "from weights of the whole one; leave out --init"
            )

    @staticmethod
    def _sizes(config: TrainConfig) -> dict[str, object]:
        """Returns the options on which the shapes of the arrays depend."""
        sizes = {"backbone": config.backbone}
        sizes |= {f"clip.{name}": getattr(config.clip, name) for name in ("frames", "crop")}
        model = as_dict(config.model)
        return sizes | {f"model.{name}": model[name] for name in model if name not in _NO_SIZES}

    @property
    def description(self) -> str:
        """What a report says about a training that starts from these weights."""
        return (
            f"weights {self.digest[:12]}: {self.preset} preset, {self.config.steps} steps of "
            f"{self.config.batch_size} clips of {self.trained_on}"
        )


def write_weights(path: Path, weights: Weights) -> None:
    """Writes weights; the same weights give the same bytes.

    Raises:
      UserError: the file cannot be written.
    """
    header = {
        "format": FORMAT,
        "classes": list(weights.classes),
        **{name: getattr(weights, name) for name in _PROVENANCE},
        "input": {**dataclasses.asdict(weights.crop), "is_grey": weights.is_grey},
        "training": as_dict(weights.config),
    }
    entries = {HEADER: json.dumps(header, indent=2).encode()}
    for name, array in weights.arrays.items():
        file = io.BytesIO()
        dtype = np.float16 if name.startswith("params/") else np.float32
        np.lib.format.write_array(file, np.asarray(array, dtype), allow_pickle=False)
        entries[f"{name}.npy"] = file.getvalue()
    write_checked_archive(path, entries)


def read_weights(name: str, preset: str = "small") -> Weights:
    """Reads weights.

    Args:
      name: a file, or `bundled`.
      preset: whose bundled weights.

    Raises:
      UserError: the file is missing, truncated, altered, or of another format or version.
    """
    pieces = BUNDLED[preset] if name == BUNDLED_NAME else (Path(name).expanduser().absolute(),)
    return _read(pieces)


@functools.lru_cache(maxsize=2)
def _read(pieces: tuple[Path, ...]) -> Weights:
    path = pieces[0]
    try:
        entries, digest = read_archive(
            pieces, HEADER, "weights written by python -m fdp_jax.pretrain"
        )
        header = json.loads(entries.pop(HEADER))
    except (ExportedModelError, ValueError) as error:
        raise UserError(str(error)) from error
    wrong = json_files.wrong_in(header, _ENTRIES)
    if wrong or header["format"] != FORMAT:
        raise UserError(
            f"{path} was written by another version of this program "
            f"({wrong or header['format']}); pretrain again"
        )
    face = header["input"]
    arrays = {
        entry.removesuffix(".npy"): np.load(io.BytesIO(array), allow_pickle=False)
        for entry, array in entries.items()
    }
    return Weights(
        **{name: header[name] for name in _PROVENANCE},
        config=config_from_dict(header["training"], path),
        classes=tuple(header["classes"]),
        crop=Crop.from_entries(face),
        is_grey=face["is_grey"],
        arrays={name: array.astype(np.float32) for name, array in arrays.items()},
        digest=digest,
    )

"""Writes a trained network to the single file that `fdp_jax.exported_model` runs."""

import io
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import export

from fdp_jax import exported_model
from fdp_jax.config import as_dict
from fdp_jax.environment import installed_versions
from fdp_jax.files import write_checked_archive
from fdp_jax.inference.trained_network import TrainedNetwork
from fdp_jax.input_pipeline import GREY_WEIGHTS

PLATFORMS = ("cpu", "cuda")


def export_model(path: Path, fold: TrainedNetwork) -> None:
    """Writes the network of a fold; the same network gives the same bytes."""
    # Variables on the host, named params/<module>/.../<weight>.
    weights = flatten_dict(jax.device_get(fold.variables), sep="/")
    exported = _export_program(fold, weights)
    entries = {
        exported_model.HEADER: json.dumps(_header(fold, exported), indent=2).encode(),
        exported_model.PROGRAM: bytes(exported.serialize()),
    }
    for name, array in weights.items():
        file = io.BytesIO()
        np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
        entries[f"{exported_model.WEIGHTS}{name}.npy"] = file.getvalue()
    write_checked_archive(path, entries)


def _export_program(fold: TrainedNetwork, weights: dict[str, np.ndarray]) -> export.Exported:
    """Lowers the network for any number of clips; weights are arguments of the program."""

    @jax.jit
    def predict(weights: dict[str, jax.Array], faces: jax.Array) -> dict[str, jax.Array]:
        variables = {"batch_stats": {}, **unflatten_dict(weights, sep="/")}
        outputs = fold.apply(variables, faces)
        logits = outputs.logits
        named = {
            "probabilities": None if logits is None else jax.nn.softmax(logits),
            "dynamic_image": outputs.dynamic_image,
            "rank_scores": outputs.rank_scores,
        }
        return {name: output for name, output in named.items() if output is not None}

    (b,) = export.symbolic_shape("b")
    faces = jax.ShapeDtypeStruct((b, *_clip_shape(fold)), jnp.uint8)
    jax.config.update("jax_traceback_in_locations_limit", 0)  # no file names of this machine
    return export.export(predict, platforms=PLATFORMS)(weights, faces)


def _header(fold: TrainedNetwork, exported: export.Exported) -> dict:
    """Describes input, outputs and origin of the network, as plain values."""
    outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    frames, side, _, channels = _clip_shape(fold)
    return {
        "version": exported_model.VERSION,
        "classes": list(fold.classes),
        "input": {
            "dtype": "uint8",
            "shape": ["b", frames, side, side, channels],
            "frames": frames,
            "side": side,
            "channels": channels,
            "colour": "grey" if fold.is_grey else "RGB",
            "grey_of_rgb": list(GREY_WEIGHTS),
            "faces": "detected, aligned and cropped as by python -m datasets.build with "
            f"{fold.crop.as_options}",
            "sampling": "frame floor((k + 1/2) n / t) of the n from onset to offset, k = 0 .. t-1",
            "inside_the_network": f"central crop of {fold.config.clip.crop} pixels, scaling to "
            "-1 .. 1",
        },
        "outputs": {
            name: ["b", *(int(size) for size in output.shape[1:])]
            for name, output in outputs.items()
        },
        "dataset": fold.dataset,
        "protocol": fold.protocol,
        "label_version": fold.label_version,
        "left_out": fold.name,
        "seed": fold.seed,
        "select": "last",
        "preset": fold.preset,
        "training": as_dict(fold.config),
        "platforms": list(exported.platforms),
        "exported_with": installed_versions(),
    }


def _clip_shape(fold: TrainedNetwork) -> tuple[int, int, int, int]:
    """Frames, height, width and channels of the input."""
    return fold.config.clip.frames, fold.crop.side, fold.crop.side, 1 if fold.is_grey else 3

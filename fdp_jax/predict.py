"""Predicts the category of a micro-expression in a video or a folder of frames.

    python -m fdp_jax.predict clip.mp4 --out=prediction
    python -m fdp_jax.predict clip.mp4 --checkpoint=runs/demo --out=prediction
    python -m fdp_jax.predict clip.mp4 --checkpoint=WORKDIR --out=DIR --onset=1.2 --offset=1.6
    python -m fdp_jax.predict frames/ --fps=200 --checkpoint=WORKDIR --out=DIR --ensemble
    python -m fdp_jax.predict slow_motion.mp4 --fps=240 --checkpoint=WORKDIR --out=DIR

Without --onset and --offset, a window of half a second slides over the video in steps of a tenth.
The bundled network also tells windows with an expression from those without one, and the command
reports the intervals that it finds: onset, apex, offset and category.
Writes prediction.html, prediction.json, windows.csv and pictures; nothing leaves the machine. The
prediction does not detect whether there is a micro-expression, and it is not a lie detector.
"""

import contextlib
import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

# Heavy modules are imported late, so that mistakes and --help are answered at once.
from datasets.command_line import check_name, parse_options, run_command
from datasets.errors import UserError

if TYPE_CHECKING:
    from fdp_jax.inference.windows import Interval

_MAX_PRINTED = 10  # windows; windows.csv has all


@dataclass(frozen=True)
class Options:
    """Options of `python -m fdp_jax.predict`."""

    video: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="VIDEO_OR_FOLDER")]
    """A video file, or a folder of numbered frames."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the page, the tables and the pictures."""
    checkpoint: Annotated[Path | None, tyro.conf.arg(metavar="WORKDIR|FOLD|FILE")] = None
    """The --workdir of a training, whose first finished fold is used, one fold in it, or a file of
    weights; by default the bundled network, which was pretrained on animated faces."""
    onset: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Start of the clip, in seconds from the first frame; with --offset alone, the first frame."""
    offset: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """End of the clip, in seconds from the first frame; with --onset alone, the last frame."""
    fps: Annotated[float | None, tyro.conf.arg(metavar="RATE")] = None
    """Frames per second of a folder, which is one clip without it, or of a video whose file states
    another rate than that of the camera, as slow motion does."""
    ensemble: bool = False
    """Average the probabilities of all finished folds of the work directory."""
    json: bool = False
    """Print prediction.json instead of a summary."""
    face_models: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder with the two .tflite face models; without it, pip downloads them once."""
    compilation_cache: Path = Path("~/.cache/fdp_jax/compiled")
    """Folder for compiled programs, kept between runs."""


def options_from(arguments: Sequence[str]) -> Options:
    """Returns the options, checked without heavy imports. Raises UserError for a mistake."""
    options = parse_options(Options, arguments, "python -m fdp_jax.predict", __doc__)
    interval_from(options.onset, options.offset)
    if options.fps is not None and not 0 < options.fps <= 10_000:
        raise UserError(f"--fps={options.fps:g} must be more than 0 and at most 10000")
    return options


def interval_from(onset: float | None, offset: float | None) -> "Interval | None":
    """Returns (onset, offset) in seconds, None where neither is given; UserError for a mistake."""
    if onset is None and offset is None:
        return None
    if not all(seconds is None or 0 <= seconds < math.inf for seconds in (onset, offset)):
        raise UserError("onset and offset are seconds from the first frame, 0 or more")
    interval = (0.0 if onset is None else onset, math.inf if offset is None else offset)
    if interval[1] <= interval[0]:
        raise UserError(f"the offset, {offset:g} s, must be later than the onset, {onset or 0:g} s")
    return interval


def run(arguments: Sequence[str]) -> dict:
    """Runs the command; returns the content of `prediction.json`, or raises UserError."""
    options = options_from(arguments)
    checkpoint, out = options.checkpoint, options.out.expanduser()
    from datasets.video import open_video
    from fdp_jax.workdir import check_writable

    video = open_video(options.video.expanduser(), options.fps)
    interval = interval_from(options.onset, options.offset)
    if interval is not None and not video.has_times:
        raise UserError("--onset and --offset are seconds; for a folder give --fps=RATE too")
    if checkpoint is not None:
        checkpoint = checkpoint.expanduser()
        check_name(checkpoint)
        if not checkpoint.exists():
            raise UserError(f"there is no folder {checkpoint}; give the --workdir of a training")
    is_new = not out.exists()
    check_writable(out, "folder", "out")
    try:
        from tqdm import tqdm

        from fdp_jax.environment import start_jax

        start_jax(options.compilation_cache.expanduser())
        from fdp_jax.inference.predictor import Predictor
        from fdp_jax.inference.windows import count_windows

        predictor = Predictor.load(checkpoint, options.ensemble, options.face_models)
        seconds = video.stated_frames / video.stated_rate if video.stated_rate else 0.0
        bar = {"total": count_windows(seconds) or None, "unit": "window", "dynamic_ncols": True}
        content, pictures = predictor.predict(
            video, interval, lambda windows: tqdm(windows, disable=None, **bar)
        )
        _write(content, pictures, out)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # not empty
                out.rmdir()
        raise
    if options.json:
        print(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_summary(content, out)))
    return content


def _write(content: dict, pictures: dict[str, bytes], out: Path) -> None:
    """Writes the files, `prediction.json` last, and removes those left from an earlier run."""
    from fdp_jax.files import write_atomically
    from fdp_jax.inference.page import PICTURES, render_page

    files = dict.fromkeys(PICTURES) | pictures
    files["windows.csv"] = windows_table(content)
    files["prediction.html"] = render_page(content, pictures)
    as_json = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    files["prediction.json"] = f"{as_json}\n"
    for name, written in files.items():
        if written is None:
            (out / name).unlink(missing_ok=True)
        else:
            write_atomically(out / name, written)


def windows_table(content: dict) -> str:
    """Returns `windows.csv`, a row for each window, from the content of `prediction.json`."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    lead = ["start", "end", "first_frame", "last_frame", "prediction"]
    writer.writerow([*lead, *(f"p_{name}" for name in content["classes"])])
    for row in content["windows"]:
        writer.writerow([*(row[name] for name in lead), *row["probabilities"].values()])
    return table.getvalue()


def _summary(content: dict, out: Path) -> Iterator[str]:
    """Yields the lines that the terminal shows."""
    rate = content["frames_per_second"]
    rate = "frame rate unknown" if rate is None else f"{rate:.4g} frames/s"
    size = f"{content['width']}x{content['height']} pixels"
    yield f"{content['video']}: {size}, {rate}, {content['frames_read']} frames read"
    yield content["model"]
    yield from (f"note: {notice}" for notice in content["notices"])
    yield ""
    page = out / "prediction.html"
    where = f"Page: {page}" if page.exists() else f"Table: {out / 'windows.csv'}"
    windows = _windows(content["windows"])
    yield from windows if content["intervals"] is None else _intervals(content["intervals"])
    yield f"\n{content['meaning']} {content['worth']}\n"
    yield where


def _windows(rows: Sequence[dict]) -> Iterator[str]:
    """Yields the lines on the most confident windows."""
    from fdp_jax.inference.page import describe_window

    best = sorted(rows, key=lambda row: -max(row["probabilities"].values()))[:_MAX_PRINTED]
    if len(rows) > 1:
        yield (
            f"The {len(best)} most confident of {len(rows)} windows, in order of confidence; the "
            "page shows the first:"
        )
    for row in best:
        ordered = sorted(row["probabilities"].items(), key=lambda pair: -pair[1])
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in ordered)
        yield f"  {describe_window(row)}: {shares}"


def _intervals(intervals: Sequence[dict]) -> Iterator[str]:
    """Yields the lines on what was spotted."""
    yield f"Expressions found: {len(intervals)}" if intervals else "No expression found."
    for found in intervals:
        yield (
            f"  {found['onset']:.2f} to {found['offset']:.2f} s, apex {found['apex']:.2f} s: "
            f"{found['category']} (an expression with {100 * found['confidence']:.0f} %)"
        )


def main() -> None:
    """The command line."""
    run(sys.argv[1:])


if __name__ == "__main__":
    run_command(main)

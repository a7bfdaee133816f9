"""Predicts the category of a micro-expression in videos or folders of frames.

    python -m fdp_jax.predict clip.mp4 --out=prediction
    python -m fdp_jax.predict a.mp4 b.mp4 FOLDER_OF_VIDEOS 'clips/*.mp4' --out=predictions
    python -m fdp_jax.predict clip.mp4 --checkpoint=runs/demo --out=prediction
    python -m fdp_jax.predict clip.mp4 --checkpoint=WORKDIR --out=DIR --onset=1.2 --offset=1.6
    python -m fdp_jax.predict frames/ --fps=200 --checkpoint=WORKDIR --out=DIR --ensemble
    python -m fdp_jax.predict slow_motion.mp4 --fps=240 --checkpoint=WORKDIR --out=DIR

Without --onset and --offset, a window of half a second slides over the video in steps of a tenth.
The bundled network separates windows with an expression from those without one, and the command
reports the intervals that it finds: onset, apex, offset and category. A network without the
category `none` names the category that fits each window best and does not detect whether there is
an expression.
Writes prediction.html, prediction.json, windows.csv and pictures; nothing leaves the machine. A
prediction is no lie detector.

Of several videos, videos.csv lists what was found, and index.html links a page for each. A video
that fails is named in the column `problem`, the rest continue, and the exit status is 1 in the end.
Repeat the command to resume: it keeps the videos that were predicted from the same files with the
same network and options (remove videos.json to start again).
"""

import functools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

# Heavy modules are imported late, so that mistakes and --help are answered at once.
from datasets.command_line import parse_options, run_command
from datasets.errors import UserError

if TYPE_CHECKING:
    from datasets.video import Video
    from fdp_jax.inference.predictor import Predictor, WindowPrediction
    from fdp_jax.inference.windows import Interval

_MAX_PRINTED = 10  # windows; windows.csv has all


@dataclass(frozen=True)
class NetworkOptions:
    """Options on the network, of this command and of `python -m fdp_jax.app`."""

    checkpoint: Annotated[Path | None, tyro.conf.arg(metavar="WORKDIR|FOLD|FILE")] = None
    """The --workdir of a training, whose first finished fold is used, one fold in it, or a file of
    weights; by default the bundled network, which was pretrained on animated faces."""
    face_models: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder with the two .tflite face models; without it, pip downloads them once."""
    compilation_cache: Path = Path("~/.cache/fdp_jax/compiled")
    """Folder for compiled programs, kept between runs."""

    def load(self, ensemble: bool = False) -> "Predictor":
        """Starts jax, and loads the network, or all of a work directory. Raises UserError."""
        checkpoint = self.checkpoint and self.checkpoint.expanduser()
        if checkpoint is not None and not checkpoint.exists():
            raise UserError(
                f"there is no folder {checkpoint}; give the --workdir of a training, or leave out "
                "--checkpoint"
            )
        from fdp_jax.environment import start_jax

        start_jax(self.compilation_cache.expanduser())
        from fdp_jax.inference.predictor import Predictor

        return Predictor.load(checkpoint, ensemble, self.face_models)


@dataclass(frozen=True)
class Options:
    """Options of `python -m fdp_jax.predict`."""

    videos: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="VIDEO_OR_FOLDER")
    ]
    """Video files, folders of numbered frames, folders of both, or patterns such as 'a/*.mp4'."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder for the page, the tables and the pictures."""
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
    """Print prediction.json, or videos.json of several videos, instead of a summary."""
    table_only: bool = False
    """Write tables and JSON only, without pages and pictures."""
    network: Annotated[NetworkOptions, tyro.conf.arg(name="")] = field(
        default_factory=NetworkOptions
    )


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
    """Runs the command; returns the content of `prediction.json`, of several of `videos.json`.

    Raises UserError, also where one of several videos failed.
    """
    options = options_from(arguments)
    out = options.out.expanduser()
    from datasets.video import find_videos
    from fdp_jax.workdir import check_writable

    words = [word.expanduser() for word in options.videos]
    videos = find_videos(words)
    is_single = len(words) == 1 and videos == words
    video = _open(options, videos[0]) if is_single else None
    check_writable(out, "folder", "out")
    predictor = options.network.load(options.ensemble)
    if video is not None:
        return _run_single(options, predictor, video, out)
    return _run_several(options, predictor, videos, out)


def _open(options: Options, path: Path) -> "Video":
    from datasets.video import open_video

    video = open_video(path, options.fps)
    if interval_from(options.onset, options.offset) is not None and not video.has_times:
        raise UserError("--onset and --offset are seconds; for a folder give --fps=RATE too")
    return video


def _read(
    options: Options, predictor: "Predictor", video: "Video", label: str | None = None
) -> "tuple[dict, WindowPrediction]":
    """Predicts a video with a progress bar over its windows."""
    from tqdm import tqdm

    from fdp_jax.inference.windows import count_windows

    seconds = video.stated_frames / video.stated_rate if video.stated_rate else 0.0
    bar = functools.partial(
        tqdm, desc=label, total=count_windows(seconds) or None, unit="window", disable=None,
        dynamic_ncols=True, leave=label is None,
    )  # fmt: skip
    return predictor.read(video, interval_from(options.onset, options.offset), bar)


def _run_single(options: Options, predictor: "Predictor", video: "Video", out: Path) -> dict:
    from fdp_jax.inference.results import as_json, write_prediction

    content, best = _read(options, predictor, video)
    write_prediction(content, None if options.table_only else best, out)
    print(as_json(content).rstrip() if options.json else "\n".join(_summary(content, out)))
    return content


def _run_several(
    options: Options, predictor: "Predictor", videos: Sequence[Path], out: Path
) -> dict:
    from fdp_jax.inference import many
    from fdp_jax.inference.results import as_json

    def read(path: Path, label: str) -> "tuple[dict, WindowPrediction]":
        return _read(options, predictor, _open(options, path), label)

    def say(line: str) -> None:
        print(line, file=sys.stderr if options.json else sys.stdout, flush=True)

    settings = (options.onset, options.offset, options.fps)
    has_pages = not options.table_only
    try:
        content = many.predict_videos(predictor, videos, read, settings, out, has_pages, say)
    except KeyboardInterrupt:
        print("finished videos are kept; repeat the command to resume", file=sys.stderr)
        raise
    if options.json:
        print(as_json(content).rstrip())
    else:
        print(f"\n{many.counts_of(content)}\n{content['model']}\n")
        print(f"{content['meaning']} {content['worth']}\n")
        print(f"Table: {out / many.TABLE}")
        if (out / many.INDEX).exists():
            print(f"Page: {out / many.INDEX}")
    many.check_all_succeeded(content, out)
    return content


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
    from fdp_jax.inference.results import describe_window

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


if __name__ == "__main__":
    run_command(lambda: run(sys.argv[1:]))

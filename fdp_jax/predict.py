"""Says which category fits a clip of your own that holds a micro-expression.

    python -m fdp_jax.predict clip.mp4 --checkpoint=runs/demo --out=said
    python -m fdp_jax.predict clip.mp4 --checkpoint=WORKDIR --out=said --onset=1.2 --offset=1.6
    python -m fdp_jax.predict frames/ --fps=200 --checkpoint=WORKDIR --out=said --ensemble

Without --onset and --offset a window of half a second slides over the video in steps of a tenth.
Writes prediction.html, prediction.json, windows.csv and the pictures. Nothing leaves the machine.
It does not find out whether there is a micro-expression, and it is no detector of lies.
"""

import contextlib
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

# Only what is light: wrong arguments and --help are answered before anything heavy is loaded.
from datasets.command_line import main_with_clear_errors, names_and_options, parse_options
from datasets.errors import UserError

if TYPE_CHECKING:
    from fdp_jax.inference.predicting import Interval, Prediction
    from fdp_jax.inference.reading import Source

PROGRAM = "python -m fdp_jax.predict VIDEO_OR_FOLDER"
_MOST_PRINTED = 10  # windows; all of them are in windows.csv


@dataclass(frozen=True)
class Options:
    """What `python -m fdp_jax.predict` takes beside the video."""

    checkpoint: Annotated[Path | None, tyro.conf.arg(metavar="WORKDIR_OR_FOLD")] = None
    """The --workdir of a training, of which the first finished fold speaks, or a fold in it; always
    to be given."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the page, the table and the pictures; always to be given."""
    onset: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Where the clip begins, seconds from the first frame; the start of the video if only --offset
    is given."""
    offset: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Where the clip ends, seconds from the first frame; the end of the video if only --onset is
    given."""
    fps: Annotated[float | None, tyro.conf.arg(metavar="RATE")] = None
    """Frames a second of a folder of frames; without it the whole folder is one clip."""
    ensemble: bool = False
    """Average the probabilities of all finished folds of the work directory."""
    json: bool = False
    """Print prediction.json instead of words."""
    face_models: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder that holds the two .tflite face models; without it pip fetches them once."""
    compilation_cache: Path = Path("~/.cache/fdp_jax/compiled")
    """Where compiled programs are kept between runs."""


def options_from(arguments: list[str]) -> tuple[Path, Options]:
    """The video and the options, checked as far as that goes without loading anything heavy.

    Raises:
      UserError: an unknown option, none or several videos, or values that cannot work.
    """
    videos, others = names_and_options(Options, arguments)
    options = parse_options(Options, None, others, PROGRAM, __doc__)
    if len(videos) != 1:
        raise UserError(
            f"name one video or folder, then the options as --name=value: {PROGRAM} "
            "--checkpoint=WORKDIR --out=DIR"
        )
    for name, what in (("checkpoint", "the --workdir of a training"), ("out", "a folder")):
        if getattr(options, name) is None:
            raise UserError(f"--{name}=DIR is needed: {what}")
    interval_of(options.onset, options.offset)
    if options.fps is not None and not 0 < options.fps <= 10_000:
        raise UserError(f"--fps={options.fps:g} must be more than 0 and at most 10000")
    return Path(videos[0]).expanduser(), options


def interval_of(onset: float | None, offset: float | None) -> "Interval | None":
    """Onset and offset in seconds, None where neither is given.

    Raises:
      UserError: they cannot be those of a clip.
    """
    times = (onset, offset)
    if not all(value is None or 0 <= value < math.inf for value in times):
        raise UserError("onset and offset are seconds from the first frame, 0 or more")
    if None not in times and offset <= onset:
        raise UserError(f"the offset, {offset:g} s, must be later than the onset, {onset:g} s")
    return None if times == (None, None) else times


def run(arguments: list[str]) -> dict:
    """The command line as a function; returns the content of `prediction.json`.

    Raises:
      UserError: a mistake in the options, or anything that keeps a prediction from being made.
    """
    video, options = options_from(arguments)
    checkpoint, out = options.checkpoint.expanduser(), options.out.expanduser()
    from fdp_jax.files import check_name
    from fdp_jax.inference.reading import open_source
    from fdp_jax.workdir import check_writable

    source = open_source(video, options.fps)
    interval = interval_of(options.onset, options.offset)
    if interval is not None and not source.has_times:
        raise UserError("--onset and --offset are seconds; for a folder tell --fps=RATE too")
    check_name(checkpoint)
    if not checkpoint.is_dir():
        raise UserError(f"there is no folder {checkpoint}; name the --workdir of a training")
    is_new = not out.exists()
    check_writable(out, "folder", "out")
    try:
        content = _predicted(source, interval, checkpoint, out, options)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # something is in it
                out.rmdir()
        raise
    if options.json:
        print(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(content, out)))
    return content


def _predicted(
    source: "Source", interval: "Interval | None", checkpoint: Path, out: Path, options: Options
) -> dict:
    """Predicts and writes; the content of `prediction.json`."""
    from tqdm import tqdm

    from fdp_jax.inference import windows
    from fdp_jax.inference.predicting import load_networks, predict
    from fdp_jax.train import keep_compiled_programs

    keep_compiled_programs(options.compilation_cache.expanduser())
    folds = load_networks(checkpoint, options.ensemble)

    length = source.told_frames / source.told_rate if source.told_rate else 0.0
    total = windows.count_within(length) or None

    def progress(clips):
        return tqdm(clips, total=total, unit="window", dynamic_ncols=True, disable=None)

    prediction = predict(source, folds, checkpoint, interval, options.face_models, progress)
    write(prediction, out)
    return prediction.content


def write(prediction: "Prediction", out: Path) -> None:
    """Writes page, table, pictures and `prediction.json`, the last one last."""
    from fdp_jax.files import write_atomically
    from fdp_jax.inference import page, result

    as_json = json.dumps(prediction.content, indent=2, ensure_ascii=False, allow_nan=False)
    for name in page.CHARTS:
        if name in prediction.pictures:
            write_atomically(out / name, prediction.pictures[name])
        else:  # left from an earlier prediction that had it
            (out / name).unlink(missing_ok=True)
    write_atomically(out / "windows.csv", result.windows_csv(prediction.content["windows"]))
    whole_page = page.html(prediction.content, prediction.pictures)
    if whole_page is None:  # nor may the page of an earlier prediction stay
        (out / "prediction.html").unlink(missing_ok=True)
    else:
        write_atomically(out / "prediction.html", whole_page)
    write_atomically(out / "prediction.json", as_json + "\n")


def lines(content: dict, out: Path) -> list[str]:
    """What the terminal shows."""
    from fdp_jax.inference.page import stretch

    rate = content["frames_per_second"]
    told_rate = "frame rate unknown" if rate is None else f"{rate:.4g} frames/s"
    told = [
        f"{content['video']}: {content['width']}x{content['height']} pixels, {told_rate}, "
        f"{content['frames_read']} frames read",
        content["model"],
        *(f"note: {notice}" for notice in content["notices"]),
        "",
    ]
    rows = content["windows"]
    surest = sorted(rows, key=lambda row: -max(row["probabilities"].values()))[:_MOST_PRINTED]
    if len(rows) > _MOST_PRINTED:
        told.append(f"The {_MOST_PRINTED} surest of {len(rows)} windows:")
    for row in rows:
        if row in surest:
            ordered = sorted(row["probabilities"].items(), key=lambda pair: -pair[1])
            shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in ordered)
            is_shown = len(rows) > 1 and row is rows[content["shown"]["window"]]
            told.append(f"  {stretch(row)}: {shares}{'  <- shown' * is_shown}")
    page_path = out / "prediction.html"
    return [
        *told,
        "",
        f"{content['meaning']} {content['worth']}",
        "",
        f"Page: {page_path}" if page_path.exists() else f"Table: {out / 'windows.csv'}",
    ]


def main() -> None:
    """The command line."""
    # Names of files may have letters that an old terminal cannot show.
    sys.stdout.reconfigure(errors="replace")
    sys.stderr.reconfigure(errors="replace")
    run(sys.argv[1:])


if __name__ == "__main__":
    main_with_clear_errors(main, goes_on=False)

"""What is shown of a prediction: tables, JSON, pictures, pages, and the player of the app.

Axes: t frames, h rows, w columns, n windows.
"""

import base64
import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from datasets.errors import UserError
from datasets.video import Video
from fdp_jax.files import write_atomically
from fdp_jax.reporting.figures import BLUE, render
from fdp_jax.templates import environment_of

if TYPE_CHECKING:
    import jinja2

    from fdp_jax.inference.predictor import WindowPrediction

COLUMNS = ("video", "onset", "apex", "offset", "category", "confidence", "problem")
# File name -> title and caption.
PICTURES = {
    "filmstrip.png": (
        "Input frames",
        "The aligned frames of the window that the network takes, shown in grey.",
    ),
    "dynamic_image.png": (
        "Dynamic image",
        "The movement in these frames as one image, and the image that the network constructs.",
    ),
    "rank_scores.png": (
        "Rank scores",
        "Where the network places each frame in time; rising scores follow the order of frames.",
    ),
    "probabilities.png": (
        "Probabilities over time",
        "Probabilities of each window. Windows overlap, and most contain no micro-expression. "
        "Spotted intervals are shaded.",
    ),
}
PLAYER_HEAD = Path(__file__).with_name("player_head.html.j2")  # style and scripts of all players
_HEIGHT = 240  # pixels of a frame in the player
_EVENLY, _MOST_IN_MARKS = 24, 90  # frames over the video, and in all marks together
_OF_A_MARK = (3, 9)  # least and most frames in one mark
_TOLERANCE = 1e-4  # seconds, rounding of times


def write_prediction(
    content: dict, best: "WindowPrediction | None", out: Path, index: str | None = None
) -> None:
    """Writes the files of one video, `prediction.json` last, and removes those of an earlier run.

    Args:
      content: of `prediction.json`.
      best: the window to draw; None writes neither pictures nor a page.
      out: the folder.
      index: address of the page that lists several videos, relative to this one.

    Raises:
      UserError: a file cannot be written.
    """
    files: dict[str, str | bytes | None] = dict.fromkeys((*PICTURES, "prediction.html"))
    if best is not None:
        pictures = draw_pictures(content, best)
        files |= pictures
        files["prediction.html"] = render_page(content, pictures, index)
    files["windows.csv"] = windows_table(content)
    files["prediction.json"] = as_json(content)
    for name, written in files.items():
        if written is None:
            (out / name).unlink(missing_ok=True)
        else:
            write_atomically(out / name, written)


def as_json(content: dict) -> str:
    """Returns the text of a JSON file."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def windows_table(content: dict) -> str:
    """Returns `windows.csv`, a row for each window, from the content of `prediction.json`."""
    lead = ("start", "end", "first_frame", "last_frame", "prediction")
    rows = (
        row | {f"p_{name}": share for name, share in row["probabilities"].items()}
        for row in content["windows"]
    )
    return _csv((*lead, *(f"p_{name}" for name in content["classes"])), rows)


def expressions_table(entries: Iterable[dict]) -> str:
    """Returns `videos.csv` from entries of `videos.json`: the rows of `expression_rows`."""
    return _csv(COLUMNS, (row for entry in entries for row in expression_rows(entry)))


def expression_rows(entry: dict) -> Iterator[dict]:
    """Yields what was found in a video, with the names of `COLUMNS` for the values that are known.

    These are its intervals, or one row with the category `none`. A network that does not report
    intervals gives its most confident window, with the probability of the category as confidence.
    A video that failed has a problem instead.

    Args:
      entry: of `videos.json`.
    """
    lead = {"video": entry["video"]}
    if entry["problem"]:
        yield lead | {"problem": entry["problem"]}
    elif entry["intervals"] is None:
        window = entry["window"]
        yield lead | {
            "onset": window["start"],
            "offset": window["end"],
            "category": window["prediction"],
            "confidence": window["probabilities"][window["prediction"]],
        }
    else:
        yield from (lead | found for found in entry["intervals"] or [{"category": "none"}])


def short_names(videos: Sequence[str]) -> dict[str, str]:
    """Returns video -> its path below the folder that all of them share."""
    if not videos:
        return {}
    shared = os.path.commonpath([os.path.dirname(os.path.abspath(video)) for video in videos])
    return {video: os.path.relpath(video, shared) for video in videos}


def summary_of(content: dict) -> dict:
    """Returns the entry of `videos.json` from the content of `prediction.json`."""
    kept = ("video", "frames_per_second", "frames_read", "notices", "intervals")
    window = content["windows"][content["shown"]["window"]]
    return {name: content[name] for name in kept} | {"window": window, "problem": None}


def _csv(columns: Sequence[str], rows: Iterable[Mapping]) -> str:
    """Returns a table of these columns; a value that a row lacks is left empty."""
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def draw_pictures(content: dict, best: "WindowPrediction") -> dict[str, bytes]:
    """Draws the most confident window and the probabilities of all; file name -> PNG bytes."""
    outputs = best.outputs
    labels = [f"{seconds:.3f} s" for seconds in best.window.seconds]
    labels = labels or [f"frame {k + 1}" for k in range(len(outputs["frames"]))]
    images = {"by rank pooling": outputs["target"]}
    if "dynamic_image" in outputs:
        images["as constructed"] = outputs["dynamic_image"]
    pictures = {
        "filmstrip.png": render(_images, outputs["frames"] / 255, labels, 1.2),
        "dynamic_image.png": render(_images, [*images.values()], [*images], 2.2),
    }
    if "rank_scores" in outputs:
        pictures["rank_scores.png"] = render(_rank_scores, outputs["rank_scores"], labels)
    if len(rows := content["windows"]) > 1:
        pictures["probabilities.png"] = render(_probabilities, rows, content["intervals"] or ())
    return pictures


def _images(images: Sequence[np.ndarray], titles: Sequence[str], inches: float) -> Figure:
    """Images [h, w] in [0, 1] in a row, each so wide."""
    figure = Figure(figsize=(inches * len(images), inches + 0.3), layout="constrained")
    row = figure.subplots(1, len(images), squeeze=False)[0]
    for axes, image, title in zip(row, images, titles, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize=8.5, pad=3, loc="left")
        axes.set_axis_off()
    return figure


def _rank_scores(scores: np.ndarray, labels: Sequence[str]) -> Figure:
    """Rank scores float [t] of the frames in order."""
    figure = Figure(figsize=(6.0, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(len(scores)), scores, color=BLUE, lw=2, marker="o", ms=4)
    axes.set_xticks(range(len(scores)), labels, fontsize=8.5)
    # The target rises by one per frame; on a smaller scale noise would look like an order.
    middle, half = (scores.max() + scores.min()) / 2, max(0.5, 0.55 * np.ptp(scores))
    axes.set_ylim(middle - half, middle + half)
    axes.set_ylabel("rank score")
    return figure


def _probabilities(rows: Sequence[dict], intervals: Sequence[dict]) -> Figure:
    """Probability of each category in n windows over time, with the intervals shaded."""
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.subplots()
    middles = [(row["start"] + row["end"]) / 2 for row in rows]
    for k, name in enumerate(rows[0]["probabilities"]):
        shares = [row["probabilities"][name] for row in rows]
        marker = "o" if len(rows) < 40 else None
        color = colormaps["tab10"](k % 10)
        axes.plot(middles, shares, color=color, lw=1.6, label=name, marker=marker, ms=3)
    for interval in intervals:
        axes.axvspan(interval["onset"], interval["offset"], color="0.5", alpha=0.25, lw=0)
    axes.set_ylim(0, 1)
    axes.set_xlabel("middle of the window (s)")
    axes.set_ylabel("probability")
    axes.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def render_page(content: dict, pictures: dict[str, bytes], index: str | None = None) -> str | None:
    """Returns the self-contained page of a video; None where jinja2 is not installed.

    Args:
      content: of `prediction.json`.
      pictures: file name -> PNG bytes.
      index: address of the page that lists several videos.
    """
    if (template := _template("page")) is None:
        return None
    shown = content["windows"][content["shown"]["window"]]
    return template.render(
        content=content,
        name=Path(content["video"]).name or content["video"],
        shown=shown,
        ordered=sorted(shown["probabilities"].items(), key=lambda pair: -pair[1]),
        captions=PICTURES,
        pictures={name: base64.b64encode(png).decode("ascii") for name, png in pictures.items()},
        describe_window=describe_window,
        index=index,
    )


def describe_window(row: dict) -> str:
    """Returns the time, where known, and the frames of an entry of `windows`."""
    frames = f"frames {row['first_frame']} to {row['last_frame']}"
    return frames if row["start"] is None else f"{row['start']:.2f} to {row['end']:.2f} s, {frames}"


def render_index(content: dict, counts: str) -> str | None:
    """Returns the page that lists several videos; None where jinja2 is not installed.

    Args:
      content: of `videos.json`.
      counts: a summary of it.
    """
    if (template := _template("index")) is None:
        return None
    names = short_names([entry["video"] for entry in content["videos"]])
    return template.render(content=content, counts=counts, rows_of=expression_rows, names=names)


def _template(name: str) -> "jinja2.Template | None":
    environment = environment_of(Path(__file__).parents[1])
    return environment and environment.get_template(f"inference/{name}.html.j2")


def render_player(address: str, video: Video, entry: dict | None = None) -> str:
    """Returns HTML that plays a video in the browser, with what was found marked on a timeline.

    Where the browser cannot play the format it shows single frames instead. The page that holds the
    player needs `PLAYER_HEAD`.

    Args:
      address: of the file, for the browser.
      video: the same file, to read frames from.
      entry: of `videos.json`, what is marked; None before a prediction.

    Raises:
      UserError: the file cannot be read.
    """
    # As read, or as stated where only a part was read.
    stated = video.stated_frames / video.stated_rate if video.stated_rate else 0.0
    duration = video.duration if video.is_complete else max(stated, video.duration)
    marks, moments = [], np.zeros(1)
    if entry is not None:
        marks = [row for row in expression_rows(entry) if "onset" in row]
        each = int(np.clip(_MOST_IN_MARKS // max(1, len(marks)), *_OF_A_MARK))
        of_marks = [np.linspace(mark["onset"], mark["offset"], each) for mark in marks]
        evenly = np.linspace(0, duration, _EVENLY, endpoint=False)
        moments = np.sort(np.concatenate([evenly, *of_marks]))
    if not (frames := list(_frames_at(video, moments))):
        raise UserError(f"{video.path} has no frame that can be read; give another video")
    width, height = frames[0]["size"]
    caption = f"{video.path.name}: {width} x {height} pixels"
    if video.stated_rate:
        caption += f", {video.stated_rate:.4g} frames per second"
    return _template("player").render(
        address=address,
        name=video.path.name,
        frames=frames,
        marks=marks,
        duration=duration,
        caption=caption,
    )


def _frames_at(video: Video, moments: np.ndarray) -> Iterator[dict]:
    """Yields the first frame at or after each of some seconds, once: its time, size and JPEG."""
    waiting = moments
    for frame in video.frames():
        if frame.seconds < waiting[0] - _TOLERANCE:
            continue
        height, width = frame.pixels.shape[:2]
        small = (max(1, round(width * _HEIGHT / height)), _HEIGHT)
        _, jpeg = cv2.imencode(
            ".jpg", cv2.resize(frame.pixels, small, interpolation=cv2.INTER_AREA)
        )
        encoded = base64.b64encode(jpeg).decode("ascii")
        yield {"seconds": round(frame.seconds, 4), "size": (width, height), "jpeg": encoded}
        waiting = waiting[waiting > frame.seconds + _TOLERANCE]
        if not waiting.size:
            return

"""The result page `prediction.html`, in the style of the report, and its pictures.

Axes: t frames, h rows, w columns, n windows.
"""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from fdp_jax.inference.results import expression_rows, short_names
from fdp_jax.reporting.figures import BLUE, render
from fdp_jax.templates import environment_of

if TYPE_CHECKING:
    from fdp_jax.inference.predictor import WindowPrediction

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


def render_page(content: dict, pictures: dict[str, bytes], index: str | None = None) -> str | None:
    """Returns the self-contained page; None where jinja2 is not installed.

    Args:
      content: of `prediction.json`.
      pictures: file name -> PNG bytes.
      index: address of the page that lists several videos.
    """
    environment = environment_of(Path(__file__).parents[1])
    if environment is None:
        return None
    shown = content["windows"][content["shown"]["window"]]
    return environment.get_template("inference/page.html.j2").render(
        content=content,
        name=Path(content["video"]).name or content["video"],
        shown=shown,
        ordered=sorted(shown["probabilities"].items(), key=lambda pair: -pair[1]),
        captions=PICTURES,
        pictures={name: base64.b64encode(png).decode("ascii") for name, png in pictures.items()},
        describe_window=describe_window,
        index=index,
    )


def render_index(content: dict, counts: str) -> str | None:
    """Returns the page that lists several videos; None where jinja2 is not installed.

    Args:
      content: of `videos.json`.
      counts: a summary of it.
    """
    environment = environment_of(Path(__file__).parents[1])
    if environment is None:
        return None
    return environment.get_template("inference/index.html.j2").render(
        content=content,
        counts=counts,
        rows_of=expression_rows,
        names=short_names([entry["video"] for entry in content["videos"]]),
    )


def describe_window(row: dict) -> str:
    """Returns the time, where known, and the frames of an entry of `windows`."""
    frames = f"frames {row['first_frame']} to {row['last_frame']}"
    return frames if row["start"] is None else f"{row['start']:.2f} to {row['end']:.2f} s, {frames}"


def draw_pictures(
    best: "WindowPrediction", rows: Sequence[dict], intervals: Sequence[dict] | None = None
) -> dict[str, bytes]:
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
    if len(rows) > 1:
        pictures["probabilities.png"] = render(_probabilities, rows, intervals or ())
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

"""The pictures of a prediction, drawn with matplotlib onto white, as PNG bytes.

Axes of arrays: t frames, h rows, w columns, m categories, n windows.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from fdp_jax.reporting.figures import BLUE, render


def filmstrip(frames: np.ndarray, captions: Sequence[str]) -> bytes:
    """The frames that the network sees, uint8 [t, h, w], each with its caption."""
    return _row_of_images([frame / 255 for frame in frames], captions)


def dynamic_images(target: np.ndarray, built: np.ndarray | None) -> bytes:
    """The dynamic image that the frames pool to and the constructed one, float [h, w] in [0, 1]."""
    images = {"by rank pooling": target} | ({} if built is None else {"as constructed": built})
    return _row_of_images(list(images.values()), list(images), inches=2.2)


def _row_of_images(
    images: Sequence[np.ndarray], captions: Sequence[str], inches: float = 1.2
) -> bytes:
    return render(_draw_row, images, captions, inches)


def _draw_row(images: Sequence[np.ndarray], captions: Sequence[str], inches: float) -> Figure:
    figure = Figure(figsize=(inches * len(images), inches + 0.3))
    grid = figure.subplots(1, len(images), squeeze=False)[0]
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.27 / (inches + 0.3),
                           wspace=0.04)  # fmt: skip
    for axes, image, caption in zip(grid, images, captions, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(caption, fontsize=8.5, pad=3, loc="left")
        axes.set_axis_off()
    return figure


def rank_curve(scores: np.ndarray, captions: Sequence[str]) -> bytes:
    """Rank scores float [t] of the frames, in their order."""
    return render(_draw_ranks, scores, captions)


def _draw_ranks(scores: np.ndarray, captions: Sequence[str]) -> Figure:
    figure = Figure(figsize=(6.0, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(len(scores)), scores, color=BLUE, lw=2, marker="o", ms=4)
    axes.set_xticks(range(len(scores)), captions, fontsize=8.5)
    # One unit is asked for between two frames; closer up, noise would look like an order.
    middle, half = (scores.max() + scores.min()) / 2, max(0.5, 0.55 * np.ptp(scores))
    axes.set_ylim(middle - half, middle + half)
    axes.set_ylabel("rank score")
    return figure


def probabilities(middles: Sequence[float], shares: np.ndarray, classes: Sequence[str]) -> bytes:
    """Probability float [n, m] of each category over time; `middles` of the windows in seconds."""
    return render(_draw_probabilities, middles, shares, classes)


def _draw_probabilities(
    middles: Sequence[float], shares: np.ndarray, classes: Sequence[str]
) -> Figure:
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.subplots()
    colors = colormaps["tab10"].colors
    for place, name in enumerate(classes):
        axes.plot(middles, shares[:, place], color=colors[place % 10], lw=1.6, label=name,
                  marker="o" if len(middles) < 40 else None, ms=3)  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_xlabel("middle of the window, s")
    axes.set_ylabel("probability")
    axes.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    return figure

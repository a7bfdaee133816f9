"""The figures of a report, drawn with matplotlib onto white, as PNG bytes.

No pyplot: figures are plain objects, so nothing is left open and no display is asked for. Axes of
arrays: n clips, t frames, h rows, w columns.
"""

import collections
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.reporting.auxiliary import best_constant_rank_loss, rank_targets
from fdp_jax.reporting.workdir import Outputs, Run

PIXELS_PER_INCH = 150
INK, SOFT, BLUE, AMBER, RED = "#22262b", "#8a9099", "#2f6db5", "#c77b19", "#b8433c"
_LOSS_TITLES = {
    "cross_entropy": "Cross-entropy",
    "dynamic_image": "Dynamic image (MSE)",
    "rank": "Rank loss",
}
# Later families only serve letters that the first lacks; those not installed are passed over.
_FAMILIES = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans", "Arial Unicode MS")


def _style() -> dict:
    installed = set(font_manager.get_font_names())
    return {
        "font.family": [name for name in _FAMILIES if name in installed],
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.titlepad": 9,
        "axes.edgecolor": "#c9cdd2",
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.parse_math": False,  # a name may hold a dollar sign
        "legend.frameon": False,
        "figure.facecolor": "white",
    }


def render(draw, *arguments) -> bytes:
    """Calls `draw(*arguments)` in the common style and renders the figure it returns."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_style()), warnings.catch_warnings():
        # A name in letters that no font here has is drawn as boxes; warnings would help nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = draw(*arguments)
        figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def confusion_matrix(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Counts with row shares as colour; rows are true classes, columns are predictions."""
    return render(_draw_confusion, np.asarray(matrix), list(classes))


def _draw_confusion(matrix: np.ndarray, classes: list[str]) -> Figure:
    m = len(classes)
    figure = Figure(figsize=(2.4 + 0.78 * m, 1.7 + 0.66 * m), layout="constrained")
    axes = figure.subplots()
    totals = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i in range(m):
        for j in range(m):
            color = "white" if share[i, j] > 0.55 else INK
            if totals[i, 0]:
                axes.text(j, i - 0.1, str(matrix[i, j]), ha="center", va="center", color=color)
                axes.text(j, i + 0.24, f"{100 * share[i, j]:.0f} %", ha="center", va="center",
                          color=color, fontsize=7.5, alpha=0.85)  # fmt: skip
            else:
                axes.text(j, i, "-", ha="center", va="center", color=SOFT)
    names = [_clip_text(name, 18) for name in classes]
    turn = 30 if max(map(len, names)) > 8 else 0
    axes.set_xticks(range(m), names, rotation=turn, ha="right" if turn else "center")
    axes.set_yticks(range(m), [f"{n}  ({t})" for n, t in zip(names, totals[:, 0], strict=True)])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (clips)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def subject_accuracy(people: list[dict], headline: float, title: str) -> bytes:
    """One bar per person (`summary.per_subject`), and the headline accuracy as a line.

    `title`: how the headline comes about, as `words.scores_title` gives.
    """
    return render(_draw_subjects, people, headline, title)


def _draw_subjects(people: list[dict], headline: float, title: str) -> Figure:
    n = len(people)
    figure = Figure(figsize=(min(14, max(5.5, 1.6 + 0.34 * n)), 3.4), layout="constrained")
    axes = figure.subplots()
    places = np.arange(n)
    axes.bar(places, [person["acc"] for person in people], color=BLUE, width=0.72, alpha=0.85)
    axes.axhline(headline, color=AMBER, linewidth=1.4, label=f"{title}: {100 * headline:.1f} %")
    small = 9 if n <= 30 else 6
    for place, person in zip(places, people, strict=True):
        axes.annotate(str(person["n_clips"]), (place, person["acc"]), (0, 2),
                      textcoords="offset points", ha="center", fontsize=small - 1,
                      color=SOFT)  # fmt: skip
    names = [_clip_text(person["subject"], 16) for person in people]
    turn = 0 if n * max(map(len, names)) <= 8 * figure.get_figwidth() else 90
    axes.set_xticks(places, names, rotation=turn, fontsize=small)
    axes.set_xlim(-0.7, n - 0.3)
    axes.set_ylim(0, 1.08)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_yticks(np.linspace(0, 1, 5))
    axes.set_ylabel("right")
    axes.set_xlabel("left-out person (number over the bar: clips)")
    axes.tick_params(axis="x", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    return figure


def training_curves(runs: list[Run], levels: dict[str, list[tuple[str, float]]]) -> bytes:
    """The losses against the step: each fold thin, their mean thick, trivial levels dashed.

    A loss that no fold has is left out. `levels`: loss name -> (what, value), as
    `words.loss_levels` gives.
    """
    return render(_draw_curves, runs, levels)


def _draw_curves(runs: list[Run], levels: dict[str, list[tuple[str, float]]]) -> Figure:
    logged = {
        name: [curve for run in runs for fold in run.folds if len(curve := _curve(fold.log, name))]
        for name in _LOSS_TITLES
    }
    names = [name for name, curves in logged.items() if curves] or list(logged)
    figure = Figure(figsize=(0.8 + 3.4 * len(names), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        by_step: dict[int, list[float]] = {}
        curves = logged[name]
        for curve in curves:
            axes.plot(*curve.T, color=BLUE, alpha=max(0.12, 0.5 / len(curves) ** 0.5), lw=0.8)
            for step, value in curve:
                by_step.setdefault(int(step), []).append(value)
        # The mean is drawn only where every fold has a value: anything else would jump.
        mean = [(s, np.mean(v)) for s, v in sorted(by_step.items()) if len(v) == len(curves)]
        if mean:
            axes.plot(*np.array(mean).T, color=BLUE, lw=2, label="mean of the folds")
        for (what, value), color in zip(levels.get(name, []), (RED, AMBER), strict=False):
            axes.axhline(value, color=color, lw=1.2, ls=(0, (4, 3)), label=f"{what}: {value:.3g}")
        if not curves:
            axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color=SOFT)
        axes.set_title(_LOSS_TITLES[name])
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.margins(x=0.02)
        axes.set_ylim(0, _top(curves, [value for _, value in levels.get(name, [])]))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="best")
    return figure


def _top(curves: list[np.ndarray], levels: list[float]) -> float | None:
    """Upper end of a loss axis: the first steps may be many times what the rest is about."""
    values = np.concatenate([curve[:, 1] for curve in curves]) if curves else np.zeros(0)
    tops = [*levels, *([np.quantile(values, 0.95)] if len(values) else [])]
    return 1.08 * max(tops) if tops and max(tops) > 0 else None


def _curve(log: Sequence[dict], name: str) -> np.ndarray:
    """float64 [points, 2] of step and value, without points that are no number."""
    points = [
        (entry["step"], entry[name]) for entry in log if isinstance(entry.get(name), int | float)
    ]
    array = np.array(points, dtype=np.float64).reshape(-1, 2)
    return array[np.isfinite(array[:, 1])]


def rank_curves(scores: np.ndarray, slope: float) -> bytes:
    """Rank scores float [n, t] against the frame index, with the target K(k) = slope * k."""
    return render(_draw_ranks, np.asarray(scores, dtype=np.float64), slope)


def _draw_ranks(scores: np.ndarray, slope: float) -> Figure:
    n, t = scores.shape
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    frames, targets = np.arange(t), rank_targets(t, slope)
    axes.plot(frames, scores.T, color=BLUE, alpha=max(0.06, 0.6 / n**0.5), lw=0.8)
    low, high = np.quantile(scores, [0.25, 0.75], axis=0)
    axes.fill_between(frames, low, high, color=BLUE, alpha=0.18, lw=0, label="middle half")
    axes.plot(frames, np.median(scores, axis=0), color=BLUE, lw=2.2, label="median clip")
    axes.plot(frames, targets, color=AMBER, lw=1.6, ls=(0, (5, 3)), label=f"target {slope:g} · k")
    axes.axhline(np.median(targets), color=RED, lw=1.2, ls=(0, (2, 2)),
                 label=f"best constant (loss {best_constant_rank_loss(t, slope):g})")  # fmt: skip
    axes.set_xlabel("frame k")
    axes.set_ylabel("rank score")
    axes.set_xticks(frames)
    axes.legend(fontsize=8.5, loc="upper left", borderpad=0)
    return figure


@dataclass(frozen=True, eq=False)
class ShownClip:
    """One clip of the panel of dynamic images."""

    title: str
    right: bool | None  # None where nothing was predicted
    label: str
    prediction: str
    frames: np.ndarray  # uint8 [t, h, w]
    target: np.ndarray  # float32 [h, w]
    dynamic_image: np.ndarray  # float32 [h, w]
    mse: float


def balanced_order(table: PredictionTable) -> list[int]:
    """Every row of the table, not ordered by looks: classes, right and wrong, and people by turns.

    Each class gives a right and a wrong clip, then second ones, and so on; where one kind is used
    up, the other goes on. Of a kind comes a person's clip of whom the fewest were shown.
    """
    right, shown = table.right, collections.Counter()
    queues = {
        (name, wanted): [
            row for row in range(len(table)) if table.label[row] == name and right[row] == wanted
        ]
        for name in table.classes
        for wanted in (True, False)
    }
    # First right, wrong, right, ... round the classes, then the other half of each class.
    kinds = [
        (name, (place + turn) % 2 == 0)
        for turn in (0, 1)
        for place, name in enumerate(table.classes)
    ]
    order = []
    while len(order) < len(table):
        for queue in filter(None, map(queues.get, kinds)):
            row = min(queue, key=lambda row: shown[table.dataset[row], table.subject[row]])
            queue.remove(row)
            shown[table.dataset[row], table.subject[row]] += 1
            order.append(row)
    return order


def choose_clips(table: PredictionTable, outputs: Outputs, count: int = 6) -> list[ShownClip]:
    """The first `count` clips of `balanced_order`, sorted by class."""
    rows, right = balanced_order(table)[:count], table.right
    corpora = [f"{name} " if len(set(table.dataset)) > 1 else "" for name in table.dataset]
    return [
        ShownClip(
            title=f"{corpora[row]}{table.subject[row]} / {table.clip[row]}",
            right=bool(right[row]) if table.recognises else None,
            label=table.label[row],
            prediction=table.prediction[row],
            frames=outputs.frames[row],
            target=outputs.target[row],
            dynamic_image=outputs.dynamic_image[row],
            mse=float(table.dic_mse[row]),
        )
        for row in sorted(rows, key=lambda row: (table.classes.index(table.label[row]), row))
    ]


def dynamic_images(clips: list[ShownClip]) -> bytes:
    """The panel: a row per clip with its frames, ground truth and construction."""
    return render(_draw_panel, clips)


def _draw_panel(clips: list[ShownClip]) -> Figure:
    t = len(clips[0].frames)
    # Set by hand: a layout engine would push columns apart to make room for the long titles.
    widths = [1] * t + [0.12, 1, 1]
    figure = Figure(figsize=(1.0 * sum(widths) + 0.3, 1.28 * len(clips) + 0.1))
    grid = figure.subplots(len(clips), len(widths), squeeze=False, width_ratios=widths)
    figure.subplots_adjust(left=0.015, right=0.985, bottom=0.01,
                           top=1 - 0.3 / figure.get_figheight(), wspace=0.03,
                           hspace=0.28)  # fmt: skip
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (line, clip) in enumerate(zip(grid, clips, strict=True)):
        images = [*(frame / 255 for frame in clip.frames), clip.target, clip.dynamic_image]
        for axes, image in zip([*line[:t], *line[t + 1 :]], images, strict=True):
            axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        verdict, color = {
            None: (clip.label, INK),
            True: (f"right: {clip.label}", BLUE),
            False: (f"wrong: {clip.label}, called {clip.prediction}", RED),
        }[clip.right]
        title = f"{_clip_text(clip.title, 40)}   {_clip_text(verdict, 60)}"
        line[0].set_title(title, fontsize=8.5, color=color, pad=3)
        if row == 0:
            for axes, name in zip(line[t + 1 :], ("ground truth", "built"), strict=True):
                axes.set_title(name, fontsize=8.5, pad=3)
    return figure


def _clip_text(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

"""Figures of a report, as the bytes of PNG, PDF or SVG files.

Figures are plain matplotlib objects without pyplot, so they need no display. Axes of arrays: n
clips, t frames, h rows, w columns.
"""

import collections
import io
import warnings
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fdp_jax.metrics.auxiliary_tasks import best_constant_rank_loss, rank_targets
from fdp_jax.metrics.predictions import PredictionTable, rows_by
from fdp_jax.reporting.results import Outputs, Run

PIXELS_PER_INCH = 150
INK, SOFT, BLUE, AMBER, RED = "#22262b", "#8a9099", "#2f6db5", "#c77b19", "#b8433c"
_LOSS_TITLES = {
    "cross_entropy": "Cross-entropy",
    "dynamic_image": "Dynamic image (MSE)",
    "rank": "Rank loss",
}
# Later families provide letters that the first lacks; missing families are skipped.
_FAMILIES = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans", "Arial Unicode MS")
_STYLE = {
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
    "text.parse_math": False,  # a name may contain a dollar sign
    "legend.frameon": False,
    "figure.facecolor": "white",
    # Text stays text, which a journal asks for and an editor can change.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "fdp_jax",  # random otherwise
}
# File name extension -> metadata that would differ between two equal figures.
_METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
PAPER_FORMATS = ("pdf", "svg")


def render(draw: Callable[..., Figure], *arguments) -> bytes:
    """Calls `draw(*arguments)` in the common style and returns the figure as PNG."""
    return render_formats(("png",), draw, *arguments)["png"]


def render_formats(
    formats: Sequence[str], draw: Callable[..., Figure], *arguments
) -> dict[str, bytes]:
    """Calls `draw(*arguments)` in the common style and returns format -> the figure's file."""
    installed = set(font_manager.get_font_names())
    style = _STYLE | {"font.family": [name for name in _FAMILIES if name in installed]}
    files = {}
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # a user's own style must not change the figures
        matplotlib.rcParams.update(style)
        # Letters that no installed font has are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = draw(*arguments)
        for name in formats:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=name, dpi=PIXELS_PER_INCH, metadata=_METADATA[name])
            files[name] = buffer.getvalue()
    return files


def draw_all(
    report: dict, runs: Sequence[Run], formats: Sequence[str] = ("png",)
) -> dict[str, bytes]:
    """Returns file name -> content of every figure of a report.

    Args:
      report: content of `report.json`.
      runs: of the headline; figures of single clips show the first one.
      formats: file name extensions of `png`, `pdf` and `svg`.
    """
    outputs, table = runs[0].outputs, runs[0].table
    figures = {}
    if report["confusion_matrix"] is not None:
        matrix = np.array(report["confusion_matrix"])
        figures["confusion_matrix"] = (_confusion_matrix, matrix, report["classes"])
        figures["subject_accuracy"] = (_subject_accuracy, report["per_subject"], report["acc"])
    figures["training_curves"] = (_training_curves, runs, _baselines(report))
    if report["auxiliary"]["dynamic_image"]:
        figures["dynamic_images"] = (_dynamic_images, table, outputs)
    if rank := report["auxiliary"]["rank"]:
        figures["rank_scores"] = (_rank_scores, outputs.rank_scores, rank["slope"])
    return {
        f"{name}.{extension}": content
        for name, drawing in figures.items()
        for extension, content in render_formats(formats, *drawing).items()
    }


def _confusion_matrix(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Counts, with row shares as colour."""
    m = len(classes)
    figure = Figure(figsize=(2.4 + 0.78 * m, 1.7 + 0.66 * m), layout="constrained")
    axes = figure.subplots()
    totals = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(matrix):
        style = {"ha": "center", "va": "center", "color": "white" if share[i, j] > 0.55 else INK}
        if totals[i, 0]:
            axes.text(j, i - 0.1, str(count), **style)
            axes.text(j, i + 0.24, f"{100 * share[i, j]:.0f} %", fontsize=7.5, alpha=0.85, **style)
        else:
            axes.text(j, i, "-", **style)
    names = [_shortened(name, 18) for name in classes]
    angle = 30 if max(map(len, names)) > 8 else 0
    axes.set_xticks(range(m), names, rotation=angle, ha="right" if angle else "center")
    axes.set_yticks(range(m), [f"{n}  ({t})" for n, t in zip(names, totals[:, 0], strict=True)])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (clips)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _subject_accuracy(subjects: list[dict], headline: float) -> Figure:
    """One bar per subject, and the headline accuracy as a line."""
    n = len(subjects)
    figure = Figure(figsize=(min(14, max(5.5, 1.6 + 0.34 * n)), 3.4), layout="constrained")
    axes = figure.subplots()
    size = 9 if n <= 30 else 6
    bars = axes.bar(np.arange(n), [s["acc"] for s in subjects], color=BLUE, width=0.72, alpha=0.85)
    axes.bar_label(bars, [s["n_clips"] for s in subjects], padding=2, fontsize=size - 1, color=SOFT)
    axes.axhline(headline, color=AMBER, linewidth=1.4, label=f"headline: {100 * headline:.1f} %")
    names = [_shortened(subject["subject"], 16) for subject in subjects]
    angle = 0 if n * max(map(len, names)) <= 8 * figure.get_figwidth() else 90
    axes.set_xticks(np.arange(n), names, rotation=angle, fontsize=size)
    axes.set_xlim(-0.7, n - 0.3)
    axes.set_ylim(0, 1.08)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_yticks(np.linspace(0, 1, 5))
    axes.set_ylabel("accuracy")
    axes.set_xlabel("subject left out (above the bar: number of clips)")
    axes.tick_params(axis="x", length=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    return figure


def _baselines(report: dict) -> dict[str, dict[str, float]]:
    """Returns loss -> title -> level of the baselines drawn with its training curve."""
    image, rank = report["auxiliary"]["dynamic_image"], report["auxiliary"]["rank"]
    levels = {"cross_entropy": {"uniform guess": np.log(len(report["classes"]))}}
    if image:
        levels["dynamic_image"] = {
            "best constant image": image["best_constant_image"],
            "mean of each clip": image["own_mean"],
        }
    if rank:
        levels["rank"] = {"best constant scores": rank["best_constant"]}
    return levels


def _training_curves(runs: Sequence[Run], baselines: dict[str, dict[str, float]]) -> Figure:
    """Losses against the step: each fold thin, their mean thick, baselines dashed."""
    folds = [fold for run in runs for fold in run.folds]
    curves = {
        name: [c for fold in folds if len(c := _curve(fold.log, name))] for name in _LOSS_TITLES
    }
    names = [name for name, of_loss in curves.items() if of_loss] or list(curves)
    figure = Figure(figsize=(0.8 + 3.4 * len(names), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        by_step = collections.defaultdict(list)
        for curve in curves[name]:
            axes.plot(*curve.T, color=BLUE, alpha=max(0.12, 0.5 / len(curves[name]) ** 0.5), lw=0.8)
            for step, value in curve:
                by_step[step].append(value)
        # Only steps with a value of every fold: otherwise the mean would jump.
        mean = [(s, np.mean(v)) for s, v in sorted(by_step.items()) if len(v) == len(curves[name])]
        if mean:
            axes.plot(*np.array(mean).T, color=BLUE, lw=2, label="mean of the folds")
        levels = baselines.get(name, {})
        for (title, level), color in zip(levels.items(), (RED, AMBER), strict=False):
            axes.axhline(level, color=color, lw=1.2, ls=(0, (4, 3)), label=f"{title}: {level:.3g}")
        if curves[name]:
            # The first steps may be far above all others.
            typical = np.quantile(np.concatenate(curves[name])[:, 1], 0.95)
            axes.set_ylim(0, 1.08 * max(typical, *levels.values(), 1e-9))
        else:
            axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color=SOFT)
        axes.set_title(_LOSS_TITLES[name])
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.margins(x=0.02)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="best")
    return figure


def _curve(log: Sequence[dict], name: str) -> np.ndarray:
    """Returns step and value of the points of a loss, float64 [points, 2]."""
    points = [(entry["step"], entry[name]) for entry in log if name in entry]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _rank_scores(scores: np.ndarray, slope: float) -> Figure:
    """Rank scores [n, t] against the frame index, with the target K(k) = slope * k."""
    n, t = scores.shape
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    frames, targets = np.arange(t), rank_targets(t, slope)
    axes.plot(frames, scores.T, color=BLUE, alpha=max(0.06, 0.6 / n**0.5), lw=0.8)
    low, median, high = np.quantile(scores, [0.25, 0.5, 0.75], axis=0)
    axes.fill_between(frames, low, high, color=BLUE, alpha=0.18, lw=0, label="middle half")
    axes.plot(frames, median, color=BLUE, lw=2.2, label="median")
    axes.plot(frames, targets, color=AMBER, lw=1.6, ls=(0, (5, 3)), label=f"target {slope:g} · k")
    axes.axhline(np.median(targets), color=RED, lw=1.2, ls=(0, (2, 2)),
                 label=f"best constant (loss {best_constant_rank_loss(t, slope):g})")  # fmt: skip
    axes.set_xlabel("frame k")
    axes.set_ylabel("rank score")
    axes.set_xticks(frames)
    axes.legend(fontsize=8.5, loc="upper left", borderpad=0)
    return figure


def balanced_order(table: PredictionTable) -> list[int]:
    """Returns every row of the table, alternating classes, correct and wrong rows, and subjects.

    Each class contributes a correct and a wrong clip, then second ones, and so on, each from the
    subject with the fewest clips so far.
    """
    queues = rows_by(zip(table.label, table.correct.tolist(), strict=True))
    # First correct, wrong, correct, ... along the classes, then the other half of each class.
    kinds = [
        (name, (index + turn) % 2 == 0)
        for turn in (0, 1)
        for index, name in enumerate(table.classes)
    ]
    subjects = list(zip(table.dataset, table.subject, strict=True))
    shown = collections.Counter()
    order = []
    while len(order) < len(table):
        for queue in filter(None, map(queues.get, kinds)):
            row = min(queue, key=lambda row: shown[subjects[row]])
            queue.remove(row)
            shown[subjects[row]] += 1
            order.append(row)
    return order


def choose_clips(table: PredictionTable, count: int = 6) -> list[int]:
    """Returns the first `count` rows of `balanced_order`, sorted by class."""
    rows = balanced_order(table)[:count]
    return sorted(rows, key=lambda row: (table.classes.index(table.label[row]), row))


def _dynamic_images(table: PredictionTable, outputs: Outputs) -> Figure:
    """A row per clip with its frames, ground truth and construction."""
    rows, correct = choose_clips(table), table.correct
    t = outputs.frames.shape[1]
    # Set by hand: a layout engine would move columns apart to fit the long titles.
    widths = [1] * t + [0.12, 1, 1]
    figure = Figure(figsize=(1.0 * sum(widths) + 0.3, 1.28 * len(rows) + 0.1))
    grid = figure.subplots(len(rows), len(widths), squeeze=False, width_ratios=widths)
    top = 1 - 0.3 / figure.get_figheight()
    figure.subplots_adjust(0.015, 0.01, 0.985, top, wspace=0.03, hspace=0.28)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, line in zip(rows, grid, strict=True):
        pair = (outputs.target[row], outputs.dynamic_image[row])
        images = [*(frame / 255 for frame in outputs.frames[row]), *pair]
        for axes, image in zip([*line[:t], *line[t + 1 :]], images, strict=True):
            axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        verdict, color = table.label[row], INK
        if table.has_predictions and correct[row]:
            verdict, color = f"correct: {verdict}", BLUE
        elif table.has_predictions:
            verdict, color = f"wrong: {verdict}, predicted {table.prediction[row]}", RED
        corpus = f"{table.dataset[row]} " if len(set(table.dataset)) > 1 else ""
        clip = _shortened(f"{corpus}{table.subject[row]} / {table.clip[row]}", 40)
        title = f"{clip}   {_shortened(verdict, 60)}"
        line[0].set_title(title, fontsize=8.5, color=color, pad=3)
    for axes, name in zip(grid[0, t + 1 :], ("ground truth", "constructed"), strict=True):
        axes.set_title(name, fontsize=8.5, pad=3)
    return figure


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

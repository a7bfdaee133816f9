"""The figure of part `score`: UF1 on held-out people over training time."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

NAMES = {
    "bundled": "from the bundled weights",
    "scratch": "from scratch",
    "pytorch": "PyTorch, from scratch",
}


def draw(curves: Mapping[str, Any]) -> Figure:
    """Draws the curves of a report's `score`, those that were measured."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in NAMES.items():
        if "uf1" in curves.get(name, {}):
            axes.plot(curves[name]["seconds"], curves[name]["uf1"], label=label)
    axes.axhline(curves["target_uf1"], color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel="seconds of training per group of people", ylabel="UF1", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="center right")
    return figure

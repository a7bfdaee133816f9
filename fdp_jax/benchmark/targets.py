"""What the project set out to reach on a GPU, beside what was reached."""

from collections.abc import Iterator, Mapping
from typing import Any

STEP = {"eager": 0.33, "compiled": 0.60}  # our step over PyTorch's at equal precision, at most
WHOLE_SECONDS = 300.0  # all folds of SAMM's size, report included
FOLD_BYTES = 5.8e9  # peak memory of a single fold, the paper's
LOOP = 0.95  # bare steps' time over the loop's, at least


def reached(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every target that was measured: `what`, `wanted`, `reached`, `met`; none without a GPU.

    A whole training that was stopped counts as missed, with the time it would have taken.
    """
    if report["backend"] != "gpu":
        return []
    return [
        {"what": what, "wanted": wanted, "reached": value, "met": bool(met)}
        for what, wanted, value, met in _compared(report)
    ]


def _compared(report: Mapping[str, Any]) -> Iterator[tuple[str, float, float | None, bool]]:
    for precision, ratios in report.get("step", {}).get("ratios", {}).items():
        for kind, ratio in ratios.items():
            what = f"step over {kind} PyTorch, {precision}"
            yield what, STEP[kind], ratio, ratio <= STEP[kind]
    whole = report.get("whole", {})
    if "complete" in whole:
        seconds = whole["seconds"] if whole["complete"] else whole["projected_seconds"]
        met = whole["complete"] and seconds < WHOLE_SECONDS
        yield "whole training, seconds", WHOLE_SECONDS, seconds, met
    peak = report.get("fold", {}).get("peak_bytes")
    if peak is not None:
        yield "peak memory of a single fold, bytes", FOLD_BYTES, peak, peak < FOLD_BYTES
    if report.get("loop_ratio") is not None:
        yield "bare steps over the loop", LOOP, report["loop_ratio"], report["loop_ratio"] >= LOOP

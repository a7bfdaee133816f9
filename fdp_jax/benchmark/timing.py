"""Medians, their spread, and contenders that take turns."""

import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)

# A turn that is shorter than this is made of several runs, or the clock and the wait at its end
# would be part of what is measured.
SHORTEST_TURN_SECONDS = 0.25


def spread(seconds: Sequence[float]) -> dict[str, float | int | list[float]]:
    """Median, fastest, quartiles and number of the measurements, under these names."""
    if len(seconds) > 1:
        lower, _, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    else:
        lower = upper = seconds[0]
    return {
        "median": statistics.median(seconds),
        "min": min(seconds),
        "quartiles": [lower, upper],
        "repeats": len(seconds),
    }


def alternate(
    contenders: Mapping[Name, Callable[[], float]], repeats: int
) -> dict[Name, list[float]]:
    """Asks each contender in turn, A B C A B C ..., so that a slow moment meets all alike.

    Args:
      contenders: name -> function that does its work once and returns what it measured.
      repeats: how many rounds.

    Returns:
      name -> its measurements, in their order.
    """
    measured = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            measured[name].append(run())
    return measured


def seconds_of(run: Callable[[], object]) -> float:
    """How long one call takes; `run` waits for its own result."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def runs_in_a_turn(seconds_a_run: float) -> int:
    """How many runs make a turn that is long enough to time."""
    return max(1, math.ceil(SHORTEST_TURN_SECONDS / max(seconds_a_run, 1e-6)))

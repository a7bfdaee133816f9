"""Which stretches of a video are looked at, by time alone. Times are seconds from the first frame.

A window of `SECONDS` starts at every multiple of `STEP`; its frames are those from its start up
to, and without, its end.
"""

import math

SECONDS, STEP = 0.5, 0.1
LOWEST_RATE = 25.0  # frames a second; with fewer, half a second holds too few to show a movement
_ROUNDING = 1e-6  # what times of frames may be off


def span(number: int) -> tuple[float, float]:
    """Start and end of the window with that number, counted from 0."""
    start = round(number * STEP, 6)
    return start, round(start + SECONDS, 6)


def count_within(length: float) -> int:
    """How many windows start and end within so many seconds."""
    return max(0, math.floor((length - SECONDS + _ROUNDING) / STEP) + 1)


def opened_by(seconds: float, after: int) -> int | None:
    """The window that a frame at that time opens, the latest that has started; None for none.

    Args:
      seconds: time of the frame.
      after: number of the window opened last, -1 before the first.
    """
    number = math.floor((seconds + _ROUNDING) / STEP)
    return number if number > after else None


def is_over(end: float, seconds: float) -> bool:
    """Whether a frame at that time lies behind a window that ends at `end`."""
    return seconds >= end - _ROUNDING


def is_within(onset: float | None, offset: float | None, seconds: float) -> bool:
    """Whether a frame belongs to the interval, both ends included; None: open on that side."""
    return (onset is None or seconds >= onset - _ROUNDING) and not is_behind(offset, seconds)


def is_behind(offset: float | None, seconds: float) -> bool:
    """Whether a frame comes after the interval."""
    return offset is not None and seconds > offset + _ROUNDING

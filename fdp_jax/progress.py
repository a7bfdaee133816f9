"""How far a run is, told to whoever watches: the command's bar, or nobody."""

import contextlib
from collections.abc import Callable
from typing import Protocol


class Bar(Protocol):
    """What a run needs of a progress bar; tqdm's are some."""

    n: int
    initial: int
    last_print_n: int

    def update(self, steps: int) -> object:
        """So many more steps are done."""

    def refresh(self) -> object:
        """Draws the bar again."""

    def set_description(self, text: str) -> object:
        """What is being trained."""

    def set_postfix_str(self, text: str) -> object:
        """How it does."""


# Called with `total`, the steps of the whole run.
OpenBar = Callable[..., contextlib.AbstractContextManager[Bar]]


class SilentBar(contextlib.nullcontext):
    """Shows nothing."""

    def __init__(self, total: int):
        """Args: total: steps of the whole run."""
        super().__init__(self)
        self.total, self.n, self.initial, self.last_print_n = total, 0, 0, 0

    def update(self, steps: int) -> None:
        """Counts."""
        self.n += steps

    def refresh(self) -> None:
        """Shows nothing."""

    def set_description(self, text: str) -> None:
        """Shows nothing."""

    def set_postfix_str(self, text: str) -> None:
        """Shows nothing."""


def show_progress(bar: Bar, steps_done: int, scalars: dict[str, float]) -> None:
    """Moves the bar on; steps that come without losses were restored, and took no time."""
    if scalars:
        bar.update(steps_done)
        told = {
            "cross_entropy": "cross-entropy {:.3f}",
            "dynamic_image": "dynamic image {:.4f}",
            "rank": "rank {:.2f}",
        }
        there = [text.format(scalars[name]) for name, text in told.items() if name in scalars]
        bar.set_postfix_str(", ".join(there))
    else:
        bar.initial += steps_done
        bar.n += steps_done
        bar.last_print_n += steps_done
        bar.refresh()

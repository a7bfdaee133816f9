"""Which folds are trained at once, and from which step each group goes on (no jax needed)."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

from datasets.errors import UserError

T = TypeVar("T")

# How several folds are trained at once: side by side in one program, one after the other inside
# one program, or each with the program of a single fold, a step of every fold in turn.
FoldAxis = Literal["auto", "vmap", "scan", "turn"]

# Of the device's free memory; the rest is for what the compiler cannot foresee.
USABLE_SHARE = 0.9
# A device is busy with fewer; more at once would only let a kill cost more.
MOST_AT_ONCE = 32
BUSY_WITH = 8  # folds, that a device works on about as fast as on more


def folds_that_fit(free_bytes: int, bytes_per_fold: int) -> int:
    """How many folds to train at once on a device: as many as fit, up to `MOST_AT_ONCE`.

    Args:
      free_bytes: of the device, with the corpus there already.
      bytes_per_fold: that each fold adds: its state, and the temporary memory of a step.
    """
    fitting = int(USABLE_SHARE * free_bytes // bytes_per_fold)
    return min(max(fitting, 1), MOST_AT_ONCE)


def group_sizes(count: int, at_most: int) -> list[int]:
    """Sizes of the fewest groups of `at_most` folds or fewer.

    Groups of one size share a compiled program, so more groups are made where that lets all have
    one size, as long as that keeps a device busy; else sizes differ by one, the larger first.
    """
    fewest = math.ceil(count / at_most)
    equal = (n for n in range(fewest, count // BUSY_WITH + 1) if count % n == 0)
    groups = next(equal, fewest)
    smaller, larger_ones = divmod(count, groups)
    return [smaller + 1] * larger_ones + [smaller] * (groups - larger_ones)


def grouped(items: Sequence[T], at_most: int) -> list[list[T]]:
    """The items in their order, in groups of the sizes above; a pure function of both."""
    groups, first = [], 0
    for size in group_sizes(len(items), at_most) if items else ():
        groups.append(list(items[first : first + size]))
        first += size
    return groups


def starts(saved: Sequence[Sequence[int]], steps: int) -> list[tuple[int, list[int]]]:
    """From which step which members of a group train together.

    Checkpoints of a group are written one after the other, so a kill leaves some members one
    behind: all go on from the newest step that all have. Members further apart were not trained
    together; they are split by their newest step rather than lose work. Who is through with the
    training goes by itself.

    Args:
      saved: of each member, the steps it can go on from: at most two, 0 where nothing is older,
        or `steps` alone where it is through.
      steps: of the training.

    Returns:
      (step, places of its members) for each part.
    """
    through = [place for place, of_member in enumerate(saved) if steps in of_member]
    going = [place for place in range(len(saved)) if place not in through]
    if common := set.intersection(*(set(saved[place]) for place in going)) if going else None:
        parts = [(max(common), going)]
    else:
        newest = {place: max(saved[place]) for place in going}
        parts = [
            (step, [place for place in going if newest[place] == step])
            for step in sorted(set(newest.values()))
        ]
    return [*((steps, [place]) for place in through), *parts]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had no room for a program; jax has no class of error for it."""
    return "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)


@contextlib.contextmanager
def clear_out_of_memory_error() -> Iterator[None]:
    """Turns a device's lack of memory into one sentence.

    Raises:
      UserError: that sentence.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"the device has not enough memory for this training "
            f"({str(error).splitlines()[0][:120]}); try a smaller --batch_size or --preset=small"
        ) from error

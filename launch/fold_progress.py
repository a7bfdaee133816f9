"""How far a fold is, by the log that its training writes."""

from dataclasses import dataclass

from fdp_jax.plan import FoldTask
from fdp_jax.training_log import read_log

_LOSSES = (("cross_entropy", "CE", 3), ("dynamic_image", "MSE", 4), ("rank", "rank", 2))


@dataclass(frozen=True)
class FoldProgress:
    """Of one fold, over all its trainings.

    Attributes:
      step: done.
      steps: to do in all.
      losses: the latest, in words; "" before the first line of the log.
      seconds_left: None where that cannot be told yet.
    """

    step: int
    steps: int
    losses: str = ""
    seconds_left: float | None = None


def progress_of(task: FoldTask, steps: int, together: int = 1) -> FoldProgress:
    """Reads it.

    Args:
      task: the fold.
      steps: of each of its trainings.
      together: folds trained at once with it; a fold's seconds are its share of theirs.
    """
    places = (task.directory, task.directory.second_training)
    logs = [read_log(place.log) for place in places[: len(task.trainings)]]
    done = sum(rows[-1]["step"] for rows in logs if rows)
    total = steps * len(task.trainings)
    rows = next((rows for rows in reversed(logs) if rows), None)
    if rows is None:
        return FoldProgress(0, total)
    last = rows[-1]
    before = rows[-2]["step"] if len(rows) > 1 else 0
    seconds = last["seconds"] / (last["step"] - before) * together
    losses = ", ".join(
        f"{name} {last[key]:.{digits}f}" for key, name, digits in _LOSSES if key in last
    )
    return FoldProgress(done, total, losses, (total - done) * seconds)

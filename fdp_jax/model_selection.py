"""Which step's weights predict: the rules of `--select`, and the looks they take (no jax needed).

`last` predicts after the fixed number of steps. The others look at clips at regular steps and keep
what the network of the best look says of the people left out: `test-best` looks at those people
themselves and takes the look with most clips right, which makes it optimistic; `val` looks at
people held out of the training part, and where as many are right takes the lower cross-entropy.
On a tie the first look stays. `last` and `test-best` share a training; `val` needs its own, since
its held-out people are missing from what it trains on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fdp_jax.clips import Clips
from fdp_jax.config import RULES, TrainConfig
from fdp_jax.splits import Fold, hold_out

_NO_SCORE = (-1.0, 0.0)  # lower than that of any look


@dataclass(frozen=True, eq=False)
class Training:
    """One training that a fold needs.

    Attributes:
      rules: the selection rules that it serves.
      split: whose `train` is trained on, and whose `test` is looked at if any rule looks.
    """

    rules: tuple[str, ...]
    split: Fold

    @property
    def looking_rule(self) -> str | None:
        """The rule that looks for the best step; at most one in a training."""
        return next((rule for rule in self.rules if rule != "last"), None)


def plan_trainings(clips: Clips, fold: Fold, seed: int, select: str) -> tuple[Training, ...]:
    """The trainings that one fold needs, in their order.

    Raises:
      UserError: nobody can be held out.
    """
    trainings = []
    if shared := tuple(rule for rule in RULES[select] if rule != "val"):
        trainings.append(Training(shared, fold))
    if "val" in RULES[select]:
        inner = hold_out(fold, clips.datasets, clips.subjects, clips.labels, seed)
        trainings.append(Training(("val",), inner))
    return tuple(trainings)


def looks_after(step: int, config: TrainConfig) -> bool:
    """Whether a look is due after `step`: every so many steps, and after the last."""
    return step % config.evaluate_every == 0 or step == config.steps


class Looks:
    """The looks that one training has taken so far, and what the best of them found.

    Attributes:
      rule: test-best or val.
      count: looks taken.
      best_step: of the best look; 0 before the first.
      outputs: what the network of that step says of the clips left out, as `predict_clips` gives.
    """

    def __init__(self, rule: str, stored: Mapping[str, np.ndarray] | None = None):
        """From the start, or from what `stored` of an earlier object returned."""
        stored = dict(stored or {})
        self.rule = rule
        self.count = int(stored.pop("looks.count", 0))
        self.best_step = int(stored.pop("looks.best_step", 0))
        self._best_score = tuple(stored.pop("looks.best_score", _NO_SCORE))
        self.outputs = stored

    def stored(self) -> dict[str, np.ndarray]:
        """Everything as arrays, to go on from."""
        return {
            "looks.count": np.array(self.count),
            "looks.best_step": np.array(self.best_step),
            "looks.best_score": np.array(self._best_score, np.float64),
            **self.outputs,
        }

    def take(
        self,
        step: int,
        probabilities: np.ndarray,
        labels: np.ndarray,
        predict: Callable[[], dict[str, np.ndarray]],
    ) -> None:
        """One more look.

        Args:
          step: after which it is taken.
          probabilities: float32 [clip, m], of the clips looked at.
          labels: int32 [clip], of the same.
          predict: gives `outputs`; called where the look is better than all before.
        """
        self.count += 1
        right = float((probabilities.argmax(axis=1) == labels).sum())
        score = (right, -cross_entropy(probabilities, labels) if self.rule == "val" else 0.0)
        if score > self._best_score:
            self.best_step, self._best_score, self.outputs = step, score, predict()


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over clips; a probability that underflowed counts as the smallest positive number."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean())

"""Selection rules: which step's weights are used (no jax needed).

`last` predicts after the fixed number of steps. The others evaluate at regular steps and keep the
predictions of the best step: `test-best` evaluates on the people left out themselves and takes the
step with most correct clips, which makes it optimistic; `val` evaluates on people held out of the
training part and breaks ties by the lower cross-entropy. Otherwise the earlier step wins a tie.
`last` and `test-best` share a training; `val` needs its own, as its held-out people are missing
from the training data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fdp_jax.clips import Clips
from fdp_jax.config import RULES, TrainConfig
from fdp_jax.splits import Fold, hold_out

_NO_SCORE = (-1.0, 0.0)  # lower than any score


@dataclass(frozen=True, eq=False)
class Training:
    """One training that a fold needs.

    Attributes:
      rules: selection rules that it serves.
      split: its `train` is trained on; its `test` is evaluated if a rule needs that.
    """

    rules: tuple[str, ...]
    split: Fold

    @property
    def evaluating_rule(self) -> str | None:
        """The rule that searches for the best step; at most one per training."""
        return next((rule for rule in self.rules if rule != "last"), None)


def plan_trainings(clips: Clips, fold: Fold, seed: int, select: str) -> tuple[Training, ...]:
    """Returns the trainings that one fold needs, in order.

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


def is_evaluation_due(step: int, config: TrainConfig) -> bool:
    """Returns whether to evaluate after `step`: at regular steps, and after the last."""
    return step % config.evaluate_every == 0 or step == config.steps


class BestStepTracker:
    """The evaluations of one training so far, and the outputs of the best step.

    Attributes:
      rule: test-best or val.
      count: number of evaluations.
      best_step: 0 before the first evaluation.
      outputs: outputs of the best step on the clips left out, as `predict_clips` returns.
    """

    def __init__(self, rule: str, stored: Mapping[str, np.ndarray] | None = None):
        """Starts empty, or from the arrays of `as_arrays`."""
        stored = dict(stored or {})
        self.rule = rule
        self.count = int(stored.pop("tracker.count", 0))
        self.best_step = int(stored.pop("tracker.best_step", 0))
        self._best_score = tuple(stored.pop("tracker.best_score", _NO_SCORE))
        self.outputs = stored

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Returns the whole tracker as arrays, for a checkpoint."""
        return {
            "tracker.count": np.array(self.count),
            "tracker.best_step": np.array(self.best_step),
            "tracker.best_score": np.array(self._best_score, np.float64),
            **self.outputs,
        }

    def update(
        self,
        step: int,
        probabilities: np.ndarray,
        labels: np.ndarray,
        predict: Callable[[], dict[str, np.ndarray]],
    ) -> None:
        """Adds one evaluation.

        Args:
          step: number of steps done.
          probabilities: float32 [clip, m], of the evaluated clips.
          labels: int32 [clip].
          predict: returns `outputs`; called if this is the best evaluation so far.
        """
        self.count += 1
        correct = float((probabilities.argmax(axis=1) == labels).sum())
        score = (correct, -cross_entropy(probabilities, labels) if self.rule == "val" else 0.0)
        if score > self._best_score:
            self.best_step, self._best_score, self.outputs = step, score, predict()


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over clips; an underflowed probability counts as the smallest positive number."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean())

"""Predictions of a network on clips, and the search for the best step of a training."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.clips import Clips
from fdp_jax.config import TrainConfig
from fdp_jax.input_pipeline import GREY_WEIGHTS, Batch, PackedClips
from fdp_jax.losses import dynamic_image_loss
from fdp_jax.metrics.auxiliary_tasks import dynamic_image_levels, rank_levels
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.models.fdp import Outputs
from fdp_jax.splits import Fold
from fdp_jax.train_step import eval_step

# Arrays of `predict_clips` that go into the prediction table; the others go into `outputs.npz`.
TABLE_ARRAYS = ("probabilities", "dic_mse")
_NO_SCORE = (-1.0, 0.0)  # lower than any score


def pack_clips(clips: Clips) -> PackedClips:
    """Moves all clips to the device, once."""
    return jax.device_put(PackedClips(clips.frames, clips.starts, clips.lengths, clips.labels))


def predict_clips(
    config: TrainConfig, classes: int, variables: dict, corpus: PackedClips, indices: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the outputs of a network in evaluation mode.

    Args:
      config: options of its training.
      classes: m, number of categories.
      variables: params and batch_stats.
      corpus: clips on the device.
      indices: int [clip], which of them.

    Returns:
      frames uint8 [clip, t, h, w] grey, target and dynamic_image float32 [clip, h, w],
      rank_scores float32 [clip, t], probabilities float32 [clip, m], dic_mse float32 [clip];
      those of ablated modules are left out.
    """
    size = config.batch_size
    parts = []
    for start in range(0, len(indices), size):
        some = indices[start : start + size]
        # The last batch is filled up, so that one compiled program serves all.
        full = jax.device_put(np.resize(some, size))
        batch, outputs = eval_step(variables, corpus, full, config=config, classes=classes)
        part = _as_arrays(batch, outputs)
        parts.append({name: array[: len(some)] for name, array in part.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _as_arrays(batch: Batch, outputs: Outputs) -> dict[str, np.ndarray]:
    grey = (batch.clips @ jnp.array(GREY_WEIGHTS) + 1.0) * 127.5
    arrays = {"frames": jnp.clip(grey.round(), 0, 255).astype(np.uint8), "target": batch.target}
    if outputs.dynamic_image is not None:
        arrays["dynamic_image"] = outputs.dynamic_image
        arrays["dic_mse"] = dynamic_image_loss(outputs.dynamic_image, batch.target)
    if outputs.rank_scores is not None:
        arrays["rank_scores"] = outputs.rank_scores
    if outputs.logits is not None:
        arrays["probabilities"] = jax.nn.softmax(outputs.logits)
    return jax.device_get(arrays)


def fold_table(
    clips: Clips, fold: Fold, rule: str, seed: int, arrays: dict[str, np.ndarray]
) -> PredictionTable:
    """Returns the rows of one fold under one selection rule, from arrays of `predict_clips`."""

    def of_test_clips(column: Sequence[str]) -> list[str]:
        return [column[index] for index in fold.test]

    protocol = clips.protocol
    return PredictionTable.of_fold(
        protocol=protocol.name,
        select=rule,
        seed=seed,
        fold=fold.name,
        classes=protocol.classes,
        datasets=of_test_clips(clips.datasets),
        subjects=of_test_clips(clips.subjects),
        clips=of_test_clips(clips.names),
        labels=[protocol.classes[label] for label in of_test_clips(clips.labels)],
        probabilities=arrays.get("probabilities"),
        dic_mse=arrays.get("dic_mse"),
    )


def train_set_metrics(
    arrays: dict[str, np.ndarray], labels: np.ndarray, rank_slope: float
) -> dict[str, float | None]:
    """Returns the scores of the training clips, for `done.json`; None where a module is ablated.

    Args:
      arrays: as `predict_clips` returns.
      labels: int32 [clip], of the same clips.
      rank_slope: a of the rank target.
    """
    of_image = ("best_constant_image", "structure_correlation")
    names = ("acc", "dic_mse", *of_image, "rank_loss", "kendall_tau")
    metrics: dict[str, float | None] = dict.fromkeys(names)
    if "probabilities" in arrays:
        metrics["acc"] = float((arrays["probabilities"].argmax(axis=1) == labels).mean())
    if "dic_mse" in arrays:
        images = dynamic_image_levels(arrays["target"], arrays["dynamic_image"], arrays["dic_mse"])
        metrics["dic_mse"] = images["mse"]
        metrics |= {name: images[name] for name in of_image}
    if "rank_scores" in arrays:
        ranks = rank_levels(arrays["rank_scores"], rank_slope)
        metrics["rank_loss"], metrics["kendall_tau"] = ranks["loss"], ranks["kendall_tau"]
    return metrics


def is_evaluation_due(step: int, config: TrainConfig) -> bool:
    """Returns whether to evaluate after `step`: at regular steps, and after the last."""
    return step % config.evaluate_every == 0 or step == config.steps


class BestStepTracker:
    """The evaluations of one training so far, and the outputs of the best step.

    The step with most correct clips is the best; under `val` the lower cross-entropy breaks ties,
    otherwise the earlier step does.

    Attributes:
      rule: test-best or val; None in a training that is not evaluated.
      count: number of evaluations.
      best_step: 0 before the first evaluation.
      outputs: outputs of the best step on the clips left out, as `predict_clips` returns.
    """

    def __init__(self, rule: str | None, stored: Mapping[str, np.ndarray] | None = None):
        """Starts empty, or from the arrays of `as_arrays`."""
        stored = dict(stored or {})
        self.rule = rule
        self.count = int(stored.pop("tracker.count", 0))
        self.best_step = int(stored.pop("tracker.best_step", 0))
        self._best_score = tuple(stored.pop("tracker.best_score", _NO_SCORE))
        self.outputs = stored

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Returns the whole tracker as arrays, for a checkpoint; none without a rule."""
        if self.rule is None:
            return {}
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
        score = (correct, -_cross_entropy(probabilities, labels) if self.rule == "val" else 0.0)
        if score > self._best_score:
            self.best_step, self._best_score, self.outputs = step, score, predict()


def _cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over clips; an underflowed probability counts as the smallest positive number."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean())

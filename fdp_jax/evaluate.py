"""What the network says of clips, brought to the host: the table's rows and `outputs.npz`."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.clips import Clips
from fdp_jax.input_pipeline import GREY_WEIGHTS, Batch, PackedClips
from fdp_jax.losses import dynamic_image_loss
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.models.fdp import Outputs
from fdp_jax.splits import Fold
from fdp_jax.train_step import Steps, TrainState

# What of `predict_clips` goes into the table; the rest is `outputs.npz`.
OF_TABLE = ("probabilities", "dic_mse")


def predict_clips(
    steps: Steps, corpus: PackedClips, state: TrainState, numbers: np.ndarray
) -> dict[str, np.ndarray]:
    """What the network in evaluation mode says of the clips with these numbers, int32 [clip].

    Returns:
      frames uint8 [clip, t, h, w] grey, target and dynamic_image float32 [clip, h, w],
      rank_scores float32 [clip, t], probabilities float32 [clip, m], dic_mse float32 [clip];
      nothing of a module that is ablated.
    """
    size = steps.config.batch_size
    parts = []
    for start in range(0, len(numbers), size):
        some = numbers[start : start + size]
        # Always a full batch, so that one compiled program serves every fold.
        padded = jax.device_put(np.resize(some, size))
        batch, outputs = steps.evaluate(state.params, state.batch_stats, corpus, padded)
        part = _as_arrays(batch, outputs)
        parts.append({name: array[: len(some)] for name, array in part.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _as_arrays(batch: Batch, outputs: Outputs) -> dict[str, np.ndarray]:
    """One evaluated batch on the host, under the names of `outputs.npz` and of the table."""
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
    """The rows of one fold under one selection rule; `arrays` as `predict_clips` gives."""

    def of_clip(column: Sequence[str]) -> list[str]:
        return [column[number] for number in fold.test]

    protocol = clips.protocol
    return PredictionTable.of_fold(
        protocol=protocol.name,
        select=rule,
        seed=seed,
        fold=fold.name,
        classes=protocol.classes,
        datasets=of_clip(clips.datasets),
        subjects=of_clip(clips.subjects),
        clips=of_clip(clips.names),
        labels=[protocol.classes[label] for label in of_clip(clips.labels)],
        probabilities=arrays.get("probabilities"),
        dic_mse=arrays.get("dic_mse"),
    )

"""One fold from its first step to its predictions."""

import io
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from datasets.errors import UserError
from fdp_jax.batching import batch_numbers
from fdp_jax.checkpoints import FoldCheckpoints
from fdp_jax.clips import Clips
from fdp_jax.files import write_atomically
from fdp_jax.folds import Fold
from fdp_jax.losses import dynamic_image_loss
from fdp_jax.optimizer import learning_rate_schedule
from fdp_jax.predictions import PredictionTable
from fdp_jax.random_streams import fold_key
from fdp_jax.sampling import DeviceCorpus
from fdp_jax.steps import StepReport, Steps, TrainState
from fdp_jax.training_log import TrainingLog, read_log
from fdp_jax.work_directory import FoldDirectory, write_json

Progress = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Cadence:
    """How often a training looks up from its work; changes no number.

    Attributes:
      log_every: steps between two lines of the log.
      checkpoint_every: steps between two checkpoints.
    """

    log_every: int
    checkpoint_every: int

    def logs(self, step: int, steps: int) -> bool:
        """Whether `step` ends a line; checkpoints do, so that a resumed log is the same."""
        return step % self.log_every == 0 or self.saves(step) or step == steps

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is due after `step`."""
        return step % self.checkpoint_every == 0


def device_corpus(clips: Clips) -> DeviceCorpus:
    """The whole corpus, moved to the device once."""
    return jax.device_put(DeviceCorpus(clips.frames, clips.starts, clips.lengths, clips.labels))


def train_fold(
    steps: Steps,
    clips: Clips,
    corpus: DeviceCorpus,
    fold: Fold,
    seed: int,
    directory: FoldDirectory,
    cadence: Cadence,
    progress: Progress,
) -> None:
    """Trains a fold, going on from its newest checkpoint, and writes what the report reads.

    Args:
      steps: compiled functions; shared by all folds.
      clips: the corpus on the host, for names.
      corpus: the same on the device.
      fold: who is left out.
      seed: of the run.
      directory: of the fold.
      cadence: of log and checkpoints.
      progress: called with (steps done since the last call, latest losses).

    Raises:
      UserError: a checkpoint cannot be read, a file cannot be written, or the loss is no longer
        finite.
    """
    checkpoints = FoldCheckpoints(directory.checkpoints)
    key = fold_key(seed, fold.name)
    state = checkpoints.restore(steps.initial_state(key))
    restored = int(state.step)
    log = TrainingLog(directory, restored)
    progress(restored, {})
    started = time.monotonic()
    state = _optimise(steps, state, corpus, fold, seed, key, cadence, checkpoints, log, progress)
    log.close()
    table, outputs = predict_fold(steps, state, clips, corpus, fold, seed)
    table.write(directory.predictions)
    write_atomically(directory.outputs, _npz(outputs))
    checkpoints.finish(state)
    _write_done(directory, fold, state, restored, time.monotonic() - started)
    checkpoints.drop_training_states()


def _optimise(
    steps: Steps,
    state: TrainState,
    corpus: DeviceCorpus,
    fold: Fold,
    seed: int,
    key: jax.Array,
    cadence: Cadence,
    checkpoints: FoldCheckpoints,
    log: TrainingLog,
    progress: Progress,
) -> TrainState:
    """All remaining steps, with their log lines and checkpoints."""
    config = steps.config
    schedule = learning_rate_schedule(config.optimizer, config.steps)
    since_log: list[StepReport] = []
    began = time.monotonic()
    for step in range(int(state.step), config.steps):
        numbers = batch_numbers(fold.train, config.batch_size, seed, fold.name, step)
        batch = jax.device_put(numbers)
        with jax.transfer_guard("disallow"):  # the corpus must never travel again
            state, report = steps.train(state, corpus, batch, key)
        since_log.append(report)
        done = step + 1
        if not cadence.logs(done, config.steps):
            continue
        scalars = _averages(since_log)
        if not np.isfinite(scalars["total"]):
            raise UserError(
                f"the loss of fold {fold.name} is no longer finite between steps "
                f"{done - len(since_log) + 1} and {done}; try a lower --optimizer.learning_rate"
            )
        now = time.monotonic()
        scalars["learning_rate"] = float(schedule(step))
        scalars["seconds"] = now - began
        log.write(done, scalars)
        progress(len(since_log), scalars)
        since_log, began = [], now
        if cadence.saves(done) and done < config.steps:
            checkpoints.save(state)
    return state


def _averages(reports: list[StepReport]) -> dict[str, float]:
    """Means over the steps since the last line."""
    columns = {name: [] for name in StepReport.__dataclass_fields__}
    for report in jax.device_get(reports):
        for name, values in columns.items():
            values.append(getattr(report, name))
    return {name: float(np.mean(values)) for name, values in columns.items()}


def predict_fold(
    steps: Steps, state: TrainState, clips: Clips, corpus: DeviceCorpus, fold: Fold, seed: int
) -> tuple[PredictionTable, dict[str, np.ndarray]]:
    """What the network says of the people left out.

    Returns:
      The fold's prediction table, and the arrays of `outputs.npz`, rows in the table's order:
      frames uint8 [clip, t, h, w], target and dynamic_image float32 [clip, h, w], rank_scores
      float32 [clip, t].
    """
    size = steps.config.batch_size
    parts = []
    for start in range(0, len(fold.test), size):
        numbers = fold.test[start : start + size]
        # Always a full batch, so that one compiled program serves every fold.
        padded = np.resize(numbers, size)
        batch, outputs = steps.evaluate(
            state.params, state.batch_stats, corpus, jax.device_put(padded)
        )
        part = {
            "frames": ((batch.clips.mean(axis=-1) + 1.0) * 127.5).round().astype(np.uint8),
            "target": batch.target,
            "dynamic_image": outputs.dynamic_image,
            "rank_scores": outputs.rank_scores,
            "probabilities": jax.nn.softmax(outputs.logits),
            "dic_mse": dynamic_image_loss(outputs.dynamic_image, batch.target),
        }
        parts.append({name: np.asarray(v)[: len(numbers)] for name, v in part.items()})
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    protocol = clips.protocol
    table = PredictionTable.of_fold(
        dataset=protocol.dataset,
        protocol=protocol.name,
        select=steps.config.select,
        seed=seed,
        fold=fold.name,
        classes=protocol.classes,
        subjects=[clips.subjects[number] for number in fold.test],
        clips=[clips.names[number] for number in fold.test],
        labels=[protocol.classes[clips.labels[number]] for number in fold.test],
        probabilities=arrays.pop("probabilities"),
        dic_mse=arrays.pop("dic_mse"),
    )
    return table, arrays


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _write_done(
    directory: FoldDirectory, fold: Fold, state: TrainState, restored: int, seconds: float
) -> None:
    """The marker that the fold is finished, with what it cost."""
    last = read_log(directory.log)[-1]
    names = ("total", "cross_entropy", "dynamic_image", "rank")
    write_json(
        directory.done,
        {
            "fold": fold.name,
            "n_clips": len(fold.test),
            "steps": int(state.step),
            "resumed_from_step": restored,
            "seconds": seconds,
            "peak_memory_bytes": peak_memory_bytes(),
            "final_losses": {name: last[name] for name in names},
        },
    )


def peak_memory_bytes() -> int:
    """Most memory used so far: the device's own where it counts it, else this process'."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"]
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

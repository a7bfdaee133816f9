"""One fold from its first step to its predictions."""

import contextlib
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np

from datasets.errors import UserError
from fdp_jax.batching import batch_numbers
from fdp_jax.checkpoints import FoldCheckpoints
from fdp_jax.clips import Clips
from fdp_jax.files import write_atomically
from fdp_jax.folds import Fold
from fdp_jax.losses import dynamic_image_loss
from fdp_jax.models.fdp import Outputs
from fdp_jax.optimizer import learning_rate_schedule
from fdp_jax.predictions import PredictionTable
from fdp_jax.random_streams import fold_key
from fdp_jax.sampling import GREY_WEIGHTS, Batch, DeviceCorpus
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


@dataclass(frozen=True)
class FoldJob:
    """One fold to train and where its results go.

    Attributes:
      steps: compiled functions; shared by all folds.
      clips: the corpus on the host, for names.
      corpus: the same on the device.
      fold: who is left out.
      seed: of the run.
      directory: of the fold.
      cadence: of log and checkpoints.
      progress: called with (steps done since the last call, latest losses); first with the steps
        restored from a checkpoint, and no losses.
    """

    steps: Steps
    clips: Clips
    corpus: DeviceCorpus
    fold: Fold
    seed: int
    directory: FoldDirectory
    cadence: Cadence
    progress: Progress

    @property
    def key(self) -> jax.Array:
        """The key that all random streams of this training derive from."""
        return fold_key(self.seed, self.fold.name)


def train_fold(job: FoldJob) -> None:
    """Trains a fold, going on from its newest checkpoint, and writes what the report reads.

    `done.json` comes last, so that a fold that has one is whole.

    Raises:
      UserError: a checkpoint cannot be read, a file cannot be written, another process trains
        this fold, or the network's numbers are no longer finite.
    """
    directory = job.directory
    with directory.locked():
        checkpoints = FoldCheckpoints(directory.checkpoints)
        state = checkpoints.restore(job.steps.initial_state(job.key))
        restored = int(state.step)
        job.progress(restored, {})
        with contextlib.closing(TrainingLog(directory, restored)) as log:
            state = _optimise(job, state, checkpoints, log)
        table, outputs = predict_fold(job, state)
        table.write(directory.predictions)
        write_atomically(directory.outputs, partial(np.savez_compressed, **outputs))
        checkpoints.finish(state)
        _write_done(job, state, restored)
        checkpoints.drop_training_states()


def _optimise(
    job: FoldJob, state: TrainState, checkpoints: FoldCheckpoints, log: TrainingLog
) -> TrainState:
    """All remaining steps, with their log lines and checkpoints."""
    config, fold, key = job.steps.config, job.fold, job.key
    schedule = learning_rate_schedule(config.optimizer, config.steps)
    since_log: list[StepReport] = []
    began = time.monotonic()
    for step in range(int(state.step), config.steps):
        numbers = batch_numbers(fold.train, config.batch_size, job.seed, fold.name, step)
        batch = jax.device_put(numbers)
        with jax.transfer_guard("disallow"):  # the corpus must never travel again
            state, report = job.steps.train(state, job.corpus, batch, key)
        since_log.append(report)
        done = step + 1
        if not job.cadence.logs(done, config.steps):
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
        job.progress(len(since_log), scalars)
        since_log, began = [], now
        if job.cadence.saves(done) and done < config.steps:
            checkpoints.save(state)
    return state


def _averages(reports: list[StepReport]) -> dict[str, float]:
    """Means over the steps since the last line."""
    columns = {name: [] for name in StepReport.__dataclass_fields__}
    for report in jax.device_get(reports):
        for name, values in columns.items():
            values.append(getattr(report, name))
    return {name: float(np.mean(values)) for name, values in columns.items()}


def predict_fold(job: FoldJob, state: TrainState) -> tuple[PredictionTable, dict[str, np.ndarray]]:
    """What the network says of the people left out.

    Returns:
      The fold's prediction table, and the arrays of `outputs.npz`, rows in the table's order:
      frames uint8 [clip, t, h, w] grey, target and dynamic_image float32 [clip, h, w],
      rank_scores float32 [clip, t].

    Raises:
      UserError: the network's outputs are not finite.
    """
    steps, fold, clips = job.steps, job.fold, job.clips
    size = steps.config.batch_size
    parts = []
    for start in range(0, len(fold.test), size):
        numbers = fold.test[start : start + size]
        # Always a full batch, so that one compiled program serves every fold.
        padded = jax.device_put(np.resize(numbers, size))
        batch, outputs = steps.evaluate(state.params, state.batch_stats, job.corpus, padded)
        part = _as_arrays(batch, outputs)
        parts.append({name: array[: len(numbers)] for name, array in part.items()})
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise UserError(
            f"the outputs of fold {fold.name} are not finite after its last step; delete "
            f"{job.directory.path} and try a lower --optimizer.learning_rate"
        )
    protocol = clips.protocol
    table = PredictionTable.of_fold(
        protocol=protocol.name,
        select=steps.config.select,
        seed=job.seed,
        fold=fold.name,
        classes=protocol.classes,
        datasets=[clips.datasets[number] for number in fold.test],
        subjects=[clips.subjects[number] for number in fold.test],
        clips=[clips.names[number] for number in fold.test],
        labels=[protocol.classes[clips.labels[number]] for number in fold.test],
        probabilities=arrays.pop("probabilities"),
        dic_mse=arrays.pop("dic_mse"),
    )
    return table, arrays


def _as_arrays(batch: Batch, outputs: Outputs) -> dict[str, np.ndarray]:
    """One evaluated batch on the host, under the names of `outputs.npz` and of the table."""
    grey = (batch.clips @ jnp.array(GREY_WEIGHTS) + 1.0) * 127.5
    return jax.device_get(
        {
            "frames": jnp.clip(grey.round(), 0, 255).astype(np.uint8),
            "target": batch.target,
            "dynamic_image": outputs.dynamic_image,
            "rank_scores": outputs.rank_scores,
            "probabilities": jax.nn.softmax(outputs.logits),
            "dic_mse": dynamic_image_loss(outputs.dynamic_image, batch.target),
        }
    )


def _write_done(job: FoldJob, state: TrainState, restored: int) -> None:
    """The marker that the fold is finished, with what it cost and where it ran."""
    rows = read_log(job.directory.log)
    names = ("total", "cross_entropy", "dynamic_image", "rank")
    write_json(
        job.directory.done,
        {
            "fold": job.fold.name,
            "n_clips": len(job.fold.test),
            "steps": int(state.step),
            "resumed_from_step": restored,
            "seconds": sum(row["seconds"] for row in rows),  # over all sessions
            "peak_memory_bytes": peak_memory_bytes(),
            "final_losses": {name: rows[-1][name] for name in names},
            "trained_on": device_name(),
            "versions": installed_versions(),
        },
    )


def device_name() -> str:
    """Kind and platform of the device that trains."""
    device = jax.local_devices()[0]
    return f"{device.device_kind} ({device.platform})"


def installed_versions() -> dict[str, str]:
    """The packages that a number may depend on."""
    packages = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python-headless")
    versions = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def peak_memory_bytes() -> int:
    """Most memory used so far: the device's own where it counts it, else this process'."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"]
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

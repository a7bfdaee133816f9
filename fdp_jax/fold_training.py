"""One fold from the first step of its trainings to its predictions."""

import contextlib
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata

import jax
import numpy as np

from datasets.errors import UserError
from fdp_jax.batching import batch_numbers
from fdp_jax.checkpoints import FoldCheckpoints
from fdp_jax.clips import Clips
from fdp_jax.config import RULES
from fdp_jax.files import write_atomically
from fdp_jax.folds import Fold
from fdp_jax.optimizer import learning_rate_schedule
from fdp_jax.prediction import OF_TABLE, fold_table, predict_clips
from fdp_jax.predictions import pool
from fdp_jax.random_streams import fold_key
from fdp_jax.sampling import DeviceCorpus
from fdp_jax.selection import Looks, Training, looks_after
from fdp_jax.steps import StepReport, Steps, TrainState
from fdp_jax.training_log import TrainingLog, read_log
from fdp_jax.training_people import levels
from fdp_jax.work_directory import FoldDirectory, TrainingDirectory, write_json

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
      trainings: that the fold needs, as `plan_trainings` gives.
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
    trainings: tuple[Training, ...]
    seed: int
    directory: FoldDirectory
    cadence: Cadence
    progress: Progress

    @property
    def key(self) -> jax.Array:
        """The key that all random streams of the fold derive from, the same in every training."""
        return fold_key(self.seed, self.fold.name)

    @property
    def directories(self) -> tuple[TrainingDirectory, ...]:
        """Where each of the trainings lives."""
        both = (self.directory, self.directory.second_training)
        return both[: len(self.trainings)]


@dataclass(frozen=True, eq=False)
class Chosen:
    """What one selection rule came to.

    Attributes:
      step: whose network predicts.
      looks: among which it was chosen.
      outputs: of the clips left out, as `predict_clips` gives.
      training_people: how the same network does on the training clips; None unless the rule is
        `last`.
    """

    step: int
    looks: int
    outputs: dict[str, np.ndarray]
    training_people: dict | None = None


def train_fold(job: FoldJob) -> None:
    """Trains a fold, going on from its newest checkpoint, and writes what the report reads.

    `done.json` comes last, so that a fold that has one is whole.

    Raises:
      UserError: a checkpoint cannot be read, a file cannot be written, another process trains
        this fold, or the network's numbers are no longer finite.
    """
    with job.directory.locked():
        chosen, restored = {}, 0
        for number in range(len(job.trainings)):
            of_training, restored_step = _train(job, number)
            chosen |= of_training
            restored += restored_step
        chosen = {rule: chosen[rule] for rule in RULES[job.steps.config.select]}
        _write_predictions(job, chosen)
        _write_done(job, chosen, restored)
        drop_training_states(job.directory)


def drop_training_states(directory: FoldDirectory) -> None:
    """Removes what only an unfinished fold needs; final weights and logs stay."""
    FoldCheckpoints(directory.checkpoints).drop_training_states()
    shutil.rmtree(directory.second_training.checkpoints, ignore_errors=True)


def _train(job: FoldJob, number: int) -> tuple[dict[str, Chosen], int]:
    """The training of that number -> (what each of its rules came to, step it went on from)."""
    training, directory = job.trainings[number], job.directories[number]
    rule, steps = training.looking_rule, job.steps.config.steps
    with contextlib.closing(FoldCheckpoints(directory.checkpoints)) as checkpoints:
        state, stored = checkpoints.restore(job.steps.initial_state(job.key), rule is not None)
        looks = Looks(rule, stored) if rule else None
        restored = int(state.step)
        job.progress(restored, {})
        with contextlib.closing(TrainingLog(directory, restored)) as log:
            state = _optimise(job, training, state, looks, checkpoints, log)
        more_to_come = number + 1 < len(job.trainings)
        if more_to_come and restored < steps:  # a kill in the next one must not cost this one
            checkpoints.save(state, looks.stored() if looks else {})
        chosen = {rule: Chosen(looks.best_step, looks.count, looks.outputs)} if looks else {}
        if "last" in training.rules:
            outputs = _predict(job, state, job.fold.test)
            chosen["last"] = Chosen(steps, 1, outputs, _on_training_people(job, state))
        if number == 0:
            checkpoints.finish(state)
    return chosen, restored


def _optimise(
    job: FoldJob,
    training: Training,
    state: TrainState,
    looks: Looks | None,
    checkpoints: FoldCheckpoints,
    log: TrainingLog,
) -> TrainState:
    """All remaining steps, with their looks, log lines and checkpoints."""
    config, fold, key = job.steps.config, job.fold, job.key
    schedule = learning_rate_schedule(config.optimizer, config.steps)
    since_log: list[StepReport] = []
    began = time.monotonic()
    for step in range(int(state.step), config.steps):
        numbers = batch_numbers(training.split.train, config.batch_size, job.seed, fold.name, step)
        batch = jax.device_put(numbers)
        with jax.transfer_guard("disallow"):  # the corpus must never travel again
            state, report = job.steps.train(state, job.corpus, batch, key)
        since_log.append(report)
        done = step + 1
        if looks and looks_after(done, config):
            _look(job, training, state, looks)
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
            checkpoints.save(state, looks.stored() if looks else {})
    return state


def _look(job: FoldJob, training: Training, state: TrainState, looks: Looks) -> None:
    """Looks at the clips that the training's rule goes by; leaves the training as it is."""
    numbers = training.split.test
    seen = _predict(job, state, numbers)
    looks.take(
        int(state.step),
        seen["probabilities"],
        job.clips.labels[numbers],
        lambda: seen if training.split is job.fold else _predict(job, state, job.fold.test),
    )


def _predict(job: FoldJob, state: TrainState, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """`predict_clips`, checked.

    Raises:
      UserError: the network's outputs are not finite.
    """
    outputs = predict_clips(job.steps, job.corpus, state, numbers)
    if not all(np.isfinite(array).all() for array in outputs.values()):
        raise UserError(
            f"the outputs of fold {job.fold.name} are not finite after step {int(state.step)}; "
            f"delete {job.directory.path} and try a lower --optimizer.learning_rate"
        )
    return outputs


def _on_training_people(job: FoldJob, state: TrainState) -> dict:
    numbers = job.fold.train
    seen = _predict(job, state, numbers)
    return levels(seen, job.clips.labels[numbers], job.steps.config.loss.rank_slope)


def _averages(reports: list[StepReport]) -> dict[str, float]:
    """Means over the steps since the last line, of the terms that there are."""
    columns = {name: [] for name in StepReport.__dataclass_fields__}
    for report in jax.device_get(reports):
        for name, values in columns.items():
            values.append(getattr(report, name))
    return {name: float(np.mean(values)) for name, values in columns.items() if None not in values}


def _write_predictions(job: FoldJob, chosen: dict[str, Chosen]) -> None:
    """`predictions.csv` and `outputs.npz`: a block of rows for each rule, in the same order."""
    tables = [
        fold_table(job.clips, job.fold, rule, job.seed, part.outputs)
        for rule, part in chosen.items()
    ]
    names = [name for name in next(iter(chosen.values())).outputs if name not in OF_TABLE]
    arrays = {
        name: np.concatenate([part.outputs[name] for part in chosen.values()]) for name in names
    }
    pool(tables).write(job.directory.predictions)
    write_atomically(job.directory.outputs, partial(np.savez_compressed, **arrays))


def _write_done(job: FoldJob, chosen: dict[str, Chosen], restored: int) -> None:
    """The marker that the fold is finished, with what it cost and where it ran.

    Its steps and final losses are those of the first training; its seconds, and the steps that
    were restored, those of all.
    """
    logs = [read_log(directory.log) for directory in job.directories]
    held_out = [t.split.people for t in job.trainings if t.split is not job.fold]
    names = ("total", "cross_entropy", "dynamic_image", "rank")
    write_json(
        job.directory.done,
        {
            "fold": job.fold.name,
            "n_clips": len(job.fold.test),
            "steps": job.steps.config.steps,
            "selection": {
                rule: {"step": part.step, "looks": part.looks} for rule, part in chosen.items()
            },
            "held_out": [" ".join(person) for people in held_out for person in people],
            "resumed_from_step": restored,
            "seconds": sum(row["seconds"] for rows in logs for row in rows),  # over all sessions
            "peak_memory_bytes": peak_memory_bytes(),
            "training_people": chosen["last"].training_people if "last" in chosen else None,
            "final_losses": {name: logs[0][-1].get(name) for name in names},
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

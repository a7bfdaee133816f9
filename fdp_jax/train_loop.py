"""A group of folds, often of one, from the first step of its trainings to its predictions."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from datasets.errors import UserError
from fdp_jax.checkpoints import FoldCheckpoints
from fdp_jax.clips import Clips
from fdp_jax.config import RULES
from fdp_jax.environment import device_name, installed_versions, peak_memory_bytes
from fdp_jax.evaluate import OF_TABLE, fold_table, predict_clips
from fdp_jax.files import write_atomically
from fdp_jax.folds_together import FoldsTogether, averages
from fdp_jax.grouping import starts
from fdp_jax.input_pipeline import PackedClips
from fdp_jax.metrics.predictions import pool
from fdp_jax.model_selection import Looks, Training, looks_after
from fdp_jax.optimizer import learning_rate_schedule
from fdp_jax.rng import fold_key
from fdp_jax.sampler import batch_indices
from fdp_jax.schedule import Cadence
from fdp_jax.splits import Fold
from fdp_jax.train_set_metrics import levels
from fdp_jax.train_step import StepMetrics, Steps, TrainState
from fdp_jax.training_log import TrainingLog, read_log
from fdp_jax.workdir import (
    FoldDirectory,
    TrainingDirectory,
    drop_training_states,
    write_json,
)

Progress = Callable[[int, dict[str, float]], None]


def device_corpus(clips: Clips) -> PackedClips:
    """The whole corpus, moved to the device once."""
    return jax.device_put(PackedClips(clips.frames, clips.starts, clips.lengths, clips.labels))


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
    corpus: PackedClips
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


def train_folds(jobs: Sequence[FoldJob], patience: float = 0.0) -> None:
    """Trains a group of folds in step, each from its newest checkpoint on, to their results.

    On disk each fold is as if it had been trained alone. Its `done.json` comes last, so that a fold
    that has one is whole.

    Args:
      jobs: of folds that need the same trainings; one is the ordinary case.
      patience: seconds to wait for another process that trains one of them to let go.

    Raises:
      UserError: a checkpoint cannot be read, a file cannot be written, another process trains one
        of the folds, or the network's numbers are no longer finite.
    """
    with contextlib.ExitStack() as locks:
        for job in jobs:
            locks.enter_context(job.directory.locked(patience))
        chosen: list[dict[str, Chosen]] = [{} for _ in jobs]
        restored = [0] * len(jobs)
        for number in range(len(jobs[0].trainings)):
            for place, member in enumerate(_train(jobs, number)):
                chosen[place] |= member.chosen
                restored[place] += member.start
        for job, of_job, from_step in zip(jobs, chosen, restored, strict=True):
            ordered = {rule: of_job[rule] for rule in RULES[job.steps.config.select]}
            _write_predictions(job, ordered)
            _write_done(job, ordered, from_step, len(jobs))
            drop_training_states(job.directory)


class _Member:
    """One fold of a group, in one of its trainings.

    Attributes:
      job: of the fold.
      training: of that number.
      start: the step that it went on from.
      chosen: what each rule of the training came to, once it has predicted.
    """

    def __init__(self, job: FoldJob, number: int):
        """Args: job: of the fold; number: of the training."""
        self.job, self.training, self.start = job, job.trainings[number], 0
        self.chosen: dict[str, Chosen] = {}
        self._directory = job.directories[number]
        self._checkpoints = FoldCheckpoints(self._directory.checkpoints)
        self._looks: Looks | None = None
        self._log: TrainingLog | None = None
        self._final: TrainState | None = None

    def saved_steps(self) -> tuple[int, ...]:
        """The steps that it can go on from, as `grouping.starts` takes them."""
        if self._checkpoints.is_through(self.training.looking_rule is not None):
            return (self.job.steps.config.steps,)
        return self._checkpoints.newest()

    def restore(self, start: int) -> TrainState:
        """The state after `start`, one of the steps above; log and looks are of it, too."""
        steps, key, rule = self.job.steps, self.job.key, self.training.looking_rule
        stored = {}
        if start == 0:
            state = steps.initial_state(key)
        else:
            shapes = jax.eval_shape(steps.initial_state, key)
            if start == steps.config.steps:
                state, stored = self._checkpoints.final(shapes, rule is not None)
                self._final = state
            else:
                state, stored = self._checkpoints.restore(shapes, start, rule is not None)
                state = jax.device_put(state, may_alias=False)
        self._checkpoints.drop_after(start)
        self.start, self._looks = start, Looks(rule, stored) if rule else None
        self._log = TrainingLog(self._directory, start)
        self.job.progress(start, {})
        return state

    def numbers(self, step: int) -> np.ndarray:
        """The clips of a step, int32 [b]."""
        train, size = self.training.split.train, self.job.steps.config.batch_size
        return batch_indices(train, size, self.job.seed, self.job.fold.name, step)

    def look(self, step: int, state: TrainState) -> None:
        """Looks at the clips that the rule goes by, if it does; leaves the training as it is."""
        job, split = self.job, self.training.split
        seen = _predict(job, state, split.test, step)
        self._looks.take(
            step,
            seen["probabilities"],
            job.clips.labels[split.test],
            lambda: seen if split is job.fold else _predict(job, state, job.fold.test, step),
        )

    def tell(self, step: int, steps_done: int, scalars: dict[str, float]) -> None:
        """One line of the log, over the last `steps_done` steps.

        Raises:
          UserError: the loss is not finite.
        """
        if not np.isfinite(scalars["total"]):
            raise UserError(
                f"the loss of fold {self.job.fold.name} is no longer finite between steps "
                f"{step - steps_done + 1} and {step}; try a lower --optimizer.learning_rate"
            )
        self._log.write(step, scalars)
        self.job.progress(steps_done, scalars)

    def save(self, state: TrainState) -> None:
        """A checkpoint."""
        self._checkpoints.save(state, self._looks.stored() if self._looks else {})

    def finish(self, state: TrainState) -> None:
        """Keeps what predicts after the last step, also on disk."""
        self._checkpoints.finish(state, self._looks.stored() if self._looks else {})
        self._final = state.replace(optimizer_state=())  # two thirds of the memory

    def choose(self) -> None:
        """Predicts by every rule of the training."""
        job, steps = self.job, self.job.steps.config.steps
        if looks := self._looks:
            self.chosen[looks.rule] = Chosen(looks.best_step, looks.count, looks.outputs)
        if "last" in self.training.rules:
            outputs = _predict(job, self._final, job.fold.test, steps)
            seen = _predict(job, self._final, job.fold.train, steps)
            labels = job.clips.labels[job.fold.train]
            on_training_people = levels(seen, labels, job.steps.config.loss.rank_slope)
            self.chosen["last"] = Chosen(steps, 1, outputs, on_training_people)

    def close(self) -> None:
        """Lets go of the folder."""
        if self._log:
            self._log.close()
        self._checkpoints.close()


def _train(jobs: Sequence[FoldJob], number: int) -> list[_Member]:
    """The training of that number for every fold, up to its predictions."""
    steps = jobs[0].steps.config.steps
    with contextlib.ExitStack() as stack:
        members = [_Member(job, number) for job in jobs]
        for member in members:
            stack.callback(member.close)
        for start, places in starts([member.saved_steps() for member in members], steps):
            together = [members[place] for place in places]
            if start < steps:
                _optimise(together, start)
            else:
                together[0].restore(start)
        for member in members:  # all are through on disk, so that a kill from here costs no step
            member.choose()
        return members


def _optimise(members: Sequence[_Member], start: int) -> None:
    """All remaining steps of members that go on from one step, with looks, log, checkpoints."""
    job, count = members[0].job, len(members)
    config, cadence = job.steps.config, job.cadence
    states = (member.restore(start) for member in members)
    keys = [member.job.key for member in members]
    folds = FoldsTogether(job.steps, job.corpus, states, keys)
    schedule = learning_rate_schedule(config.optimizer, config.steps)
    since_log: list[list[StepMetrics]] = []
    began = saved = time.monotonic()
    save_took = 0.0
    for step in range(start, config.steps):
        since_log.append(folds.train(np.stack([member.numbers(step) for member in members])))
        done = step + 1
        if members[0].training.looking_rule and looks_after(done, config):
            for place, member in enumerate(members):
                member.look(done, folds.state(place))
        if not cadence.logs(done, config.steps):
            continue
        means = averages(since_log)
        now = time.monotonic()
        # A fold's share, so that the seconds of all folds are those of the run.
        common = {"learning_rate": float(schedule(step)), "seconds": (now - began) / count}
        for member, scalars in zip(members, means, strict=True):
            member.tell(done, len(since_log), scalars | common)
        since_log, began = [], now
        if done < config.steps and cadence.saves(done, now - saved, save_took):
            for place, member in enumerate(members):
                member.save(folds.state(place))
            saved = time.monotonic()
            save_took = saved - now
    for place, member in enumerate(members):
        member.finish(folds.state(place))


def _predict(
    job: FoldJob, state: TrainState, numbers: np.ndarray, step: int
) -> dict[str, np.ndarray]:
    """`predict_clips` after a step, checked.

    Raises:
      UserError: the network's outputs are not finite.
    """
    outputs = predict_clips(job.steps, job.corpus, state, numbers)
    if not all(np.isfinite(array).all() for array in outputs.values()):
        raise UserError(
            f"the outputs of fold {job.fold.name} are not finite after step {step}; "
            f"delete {job.directory.path} and try a lower --optimizer.learning_rate"
        )
    return outputs


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


def _write_done(job: FoldJob, chosen: dict[str, Chosen], restored: int, folds_at_once: int) -> None:
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
            "folds_at_once": folds_at_once,  # of those that were finished together
            "seconds": sum(row["seconds"] for rows in logs for row in rows),  # over all sessions
            "peak_memory_bytes": peak_memory_bytes(),
            "training_people": chosen["last"].training_people if "last" in chosen else None,
            "final_losses": {name: logs[0][-1].get(name) for name in names},
            "trained_on": device_name(),
            "versions": installed_versions(),
        },
    )

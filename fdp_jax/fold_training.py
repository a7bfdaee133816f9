"""One fold in training: its data order, checkpoints, log, evaluations and result files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from datasets.errors import UserError
from fdp_jax.checkpoints import Checkpoints
from fdp_jax.environment import device_name, installed_versions, peak_memory_bytes
from fdp_jax.evaluate import (
    TABLE_ARRAYS,
    BestStepTracker,
    fold_table,
    predict_clips,
    train_set_metrics,
)
from fdp_jax.files import write_atomically
from fdp_jax.input_pipeline import PackedClips
from fdp_jax.metrics.predictions import pool
from fdp_jax.plan import FoldTask, Plan, Training
from fdp_jax.rng import batch_indices, fold_key
from fdp_jax.train_step import TrainState, create_train_state, with_weights
from fdp_jax.training_log import TrainingLog, read_log
from fdp_jax.workdir import write_json

# Called with (steps done since the last call, averaged metrics); with no metrics for steps that
# were restored.
Progress = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, eq=False)
class Selection:
    """Result of one selection rule.

    Attributes:
      step: step whose weights are used.
      evaluations: number of evaluations among which it was chosen.
      outputs: of the clips left out, as `predict_clips` returns.
      train_set_metrics: of the same weights on the training clips; only for `last`.
    """

    step: int
    evaluations: int
    outputs: dict[str, np.ndarray]
    train_set_metrics: dict | None = None


class FoldTraining:
    """One fold in one of its trainings: data order, checkpoints, log, evaluations.

    Attributes:
      key: from which all random keys of the fold derive, the same in every training.
      start: the step it resumed from.
      tracker: of the best step.
    """

    def __init__(
        self,
        task: FoldTask,
        training: Training,
        plan: Plan,
        corpus: PackedClips,
        progress: Progress,
    ):
        """Args: training: one of the fold's; others as of `train_folds`."""
        self._task, self._training = task, training
        self._plan, self._corpus, self._progress = plan, corpus, progress
        self._config = plan.options.config
        rule = training.evaluating_rule
        self._checkpoints = Checkpoints(training.directory.checkpoints, rule is not None)
        self._log: TrainingLog | None = None
        self._variables: dict | None = None  # after the last step
        self.key = fold_key(task.seed, task.fold.name)
        self.start = 0
        self.tracker = BestStepTracker(rule)

    def restore(self, step: int) -> TrainState:
        """Returns the state after `step`; the log and the evaluations are set back to it."""
        self._checkpoints.drop_after(step)
        self._resume_at(step)
        if step == 0:
            state, init = self._first_state(self.key), self._plan.init
            return with_weights(state, init.arrays) if init else state
        shapes = jax.eval_shape(self._first_state, self.key)
        state, evaluations = self._checkpoints.restore(shapes, step)
        self.tracker = BestStepTracker(self.tracker.rule, evaluations)
        return jax.device_put(state, may_alias=False)

    def load_final(self) -> None:
        """Loads the weights of a training that is complete but not evaluated yet."""
        shapes = jax.eval_shape(self._first_state, self.key)
        self._variables, evaluations = self._checkpoints.final(shapes)
        self.tracker = BestStepTracker(self.tracker.rule, evaluations)
        self._resume_at(self._config.steps)

    def _first_state(self, key: jax.Array) -> TrainState:
        return create_train_state(self._config, self._plan.classes, key)

    def _resume_at(self, step: int) -> None:
        self.start = step
        self._log = TrainingLog(self._training.directory, step)
        self._progress(step, {})

    def batch_indices(self, step: int) -> np.ndarray:
        """Returns the clips of a step, int32 [b]."""
        train, size = self._training.split.train, self._config.batch_size
        return batch_indices(train, size, self._task.seed, self._task.fold.name, step)

    def evaluate(self, step: int, variables: dict) -> None:
        """Adds an evaluation after `step` to the tracker; leaves the training as it is."""
        fold, split = self._task.fold, self._training.split
        outputs = self._predict(variables, split.test, step)
        self.tracker.update(
            step,
            outputs["probabilities"],
            self._plan.clips.labels[split.test],
            lambda: outputs if split is fold else self._predict(variables, fold.test, step),
        )

    def log(self, step: int, steps: int, metrics: dict[str, float]) -> None:
        """Writes one line, averaged over the last `steps` steps.

        Raises:
          UserError: the loss is not finite.
        """
        if not np.isfinite(metrics["total"]):
            raise UserError(
                f"the loss of fold {self._task.fold.name} is not finite between steps "
                f"{step - steps + 1} and {step}; try a lower --optimizer.learning_rate"
            )
        self._log.write(step, metrics)
        self._progress(steps, metrics)

    def save(self, state: TrainState) -> None:
        """Writes a checkpoint."""
        self._checkpoints.save(state, self.tracker.as_arrays())

    def finish(self, variables: dict) -> None:
        """Writes the weights after the last step."""
        self._checkpoints.finish(variables, self.tracker.as_arrays())
        self._variables = variables

    def select(self) -> dict[str, Selection]:
        """Returns the result of every selection rule that the training serves."""
        fold, config, tracker = self._task.fold, self._config, self.tracker
        selections = {}
        if tracker.rule:
            selections[tracker.rule] = Selection(tracker.best_step, tracker.count, tracker.outputs)
        if "last" in self._training.rules:
            outputs = self._predict(self._variables, fold.test, config.steps)
            on_train = self._predict(self._variables, fold.train, config.steps)
            labels = self._plan.clips.labels[fold.train]
            metrics = train_set_metrics(on_train, labels, config.loss.rank_slope)
            selections["last"] = Selection(config.steps, 1, outputs, metrics)
        return selections

    def _predict(self, variables: dict, indices: np.ndarray, step: int) -> dict[str, np.ndarray]:
        outputs = predict_clips(self._config, self._plan.classes, variables, self._corpus, indices)
        if not all(np.isfinite(array).all() for array in outputs.values()):
            raise UserError(
                f"the outputs of fold {self._task.fold.name} are not finite after step {step}; "
                f"delete {self._task.directory.path} and try a lower --optimizer.learning_rate"
            )
        return outputs

    def close(self) -> None:
        """Closes the log and the checkpoint manager."""
        if self._log:
            self._log.close()
        self._checkpoints.close()


def write_predictions(task: FoldTask, plan: Plan, selections: dict[str, Selection]) -> None:
    """Writes `predictions.csv` and `outputs.npz`: one block of rows per rule, in the same order."""
    tables = [
        fold_table(plan.clips, task.fold, rule, task.seed, selection.outputs)
        for rule, selection in selections.items()
    ]
    pool(tables).write(task.directory.predictions)
    of_rules = [selection.outputs for selection in selections.values()]
    names = [name for name in of_rules[0] if name not in TABLE_ARRAYS]
    arrays = {name: np.concatenate([outputs[name] for outputs in of_rules]) for name in names}
    write_atomically(task.directory.outputs, partial(np.savez_compressed, **arrays))


def write_done(
    task: FoldTask,
    plan: Plan,
    selections: dict[str, Selection],
    restored: int,
    folds_at_once: int,
) -> None:
    """Writes the marker that the fold is finished, with its cost and environment.

    Steps and final losses are those of the first training; seconds and restored steps of all.
    """
    logs = [read_log(training.directory.log) for training in task.trainings]
    held_out = [t.split.people for t in task.trainings if t.split is not task.fold]
    losses = ("total", "cross_entropy", "dynamic_image", "rank")
    last = selections.get("last")
    write_json(
        task.directory.done,
        {
            "fold": task.fold.name,
            "n_clips": len(task.fold.test),
            "steps": plan.options.config.steps,
            "selection": {
                rule: {"step": selection.step, "evaluations": selection.evaluations}
                for rule, selection in selections.items()
            },
            "held_out": [" ".join(person) for people in held_out for person in people],
            "resumed_from_step": restored,
            "folds_at_once": folds_at_once,
            "seconds": sum(row["seconds"] for rows in logs for row in rows),  # over all sessions
            "peak_memory_bytes": peak_memory_bytes(),
            "train_set_metrics": last.train_set_metrics if last else None,
            "final_losses": {name: logs[0][-1].get(name) for name in losses},
            "device": device_name(),
            "versions": installed_versions(),
        },
    )

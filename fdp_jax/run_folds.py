"""All seeds and folds of a run on one device, in groups that are trained at once."""

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial

import jax

from fdp_jax.clips import Clips
from fdp_jax.environment import device_name, installed_versions
from fdp_jax.folds_together import choose_folds_at_once, compiled_step
from fdp_jax.grouping import grouped, is_out_of_memory
from fdp_jax.memory import give_back_freed_memory
from fdp_jax.plan import FoldTask, Machine, Plan, Run
from fdp_jax.progress import Bar, OpenBar, SilentBar, show_progress
from fdp_jax.rng import fold_key
from fdp_jax.train_loop import FoldJob, Progress, device_corpus, train_folds
from fdp_jax.train_step import Steps
from fdp_jax.workdir import drop_training_states

Group = Sequence[FoldTask]


def run_folds(run: Run, clips: Clips, open_bar: OpenBar = SilentBar) -> None:
    """Trains every fold of every seed asked for that is not finished yet.

    Args:
      run: what to train.
      clips: of the protocol.
      open_bar: shows how far it is.

    Raises:
      UserError: a crop larger than the frames, a fold that does not exist or has nobody to hold
        out, a work directory of another run, or a file that cannot be read or written.
    """
    plan = Plan(run, clips)
    plan.claim()
    trainer = FoldTrainer(plan)
    plan.write_seeds(trainer.machine())
    pending = plan.pending()
    for task in plan.wanted:
        if task not in pending:  # a kill may have come before the last tidying up
            drop_training_states(task.directory)
    if len(pending) < len(plan.wanted):
        print(f"{len(plan.wanted) - len(pending)} of {len(plan.wanted)} folds are finished already")
    if not pending:
        return
    # Of all folds, so that a run that goes on has the groups it had before.
    groups = grouped(plan.wanted, trainer.folds_at_once())
    groups = [[task for task in group if task in pending] for group in groups]
    with open_bar(total=run.config.steps * sum(len(task.trainings) for task in pending)) as bar:
        announce = partial(_announce, bar, len(pending), len(run.seeds) > 1)
        trainer.train([group for group in groups if group], partial(show_progress, bar), announce)


def _announce(bar: Bar, total: int, name_seeds: bool, done: int, group: Group) -> None:
    if len(group) == 1:
        of_seed = f", seed {group[0].seed}" if name_seeds else ""
        bar.set_description(f"fold {done + 1}/{total} {group[0].fold.name}{of_seed}")
    else:
        bar.set_description(f"folds {done + 1}-{done + len(group)} of {total}")


class FoldTrainer:
    """Trains folds of a run on this process' device; the corpus travels there once."""

    def __init__(self, plan: Plan):
        """Args: plan: of the run."""
        self._plan, run = plan, plan.run
        self._steps = Steps(run.config, len(plan.clips.protocol.classes), run.fold_axis)
        self._key = fold_key(run.seeds[0], plan.folds[0].name)  # any fold's, for shapes
        self._corpus = None
        self._has_compiled = False

    def machine(self) -> Machine:
        """What `run.json` tells of this process."""
        shapes = jax.eval_shape(self._steps.initial_state, self._key).params
        count = {
            name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in shapes.items()
        }
        parameters = {"total": sum(count.values()), **count}
        return Machine(parameters, device_name(), installed_versions())

    def folds_at_once(self) -> int:
        """How many folds are trained together here, at most."""
        if self._plan.run.folds_at_once != "auto":
            return self._plan.run.folds_at_once
        wanted = len(self._plan.wanted)
        return choose_folds_at_once(self._steps, self._on_device(), self._key, wanted)

    def train(
        self,
        groups: Sequence[Group],
        progress: Progress,
        announce: Callable[[int, Group], None] = lambda done, group: None,
        patience: float = 0.0,
    ) -> None:
        """Each group in turn; smaller groups from where one does not fit the device's memory.

        Args:
          groups: of folds to train at once.
          progress: as of `FoldJob`.
          announce: called with (folds done, the group that begins).
          patience: as of `train_folds`.

        Raises:
          UserError: as `train_folds`.
        """
        waiting, done = list(groups), 0
        while waiting:
            group = waiting.pop(0)
            announce(done, group)
            if self._fits_when_trained(group, progress, patience):
                done += len(group)
                continue
            at_once = math.ceil(len(group) / 2)
            print(
                f"{len(group)} folds at once do not fit the device's memory; "
                f"going on with {at_once}",
                file=sys.stderr,
            )
            waiting = [part for whole in (group, *waiting) for part in grouped(whole, at_once)]

    def _fits_when_trained(self, group: Group, progress: Progress, patience: float) -> bool:
        """Trains a group; False where several folds were too many for the device's memory."""
        self._compile(len(group))
        clips, cadence = self._plan.clips, self._plan.run.cadence
        jobs = [
            FoldJob(
                self._steps,
                clips,
                self._on_device(),
                task.fold,
                task.trainings,
                task.seed,
                task.directory,
                cadence,
                progress,
            )
            for task in group
        ]
        try:
            train_folds(jobs, patience)
        except RuntimeError as error:
            if len(group) == 1 or not is_out_of_memory(error):
                raise
            return False
        return True

    def _compile(self, folds: int) -> None:
        """Compiles the step of a single fold, if that is what is needed, and tidies up after."""
        if not self._has_compiled and (folds == 1 or self._steps.chosen_fold_axis == "turn"):
            compiled_step(self._steps, self._on_device(), self._key)
            give_back_freed_memory()  # before the first step asks for its own
            self._has_compiled = True

    def _on_device(self):
        if self._corpus is None:
            self._corpus = device_corpus(self._plan.clips)
        return self._corpus

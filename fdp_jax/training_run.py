"""All seeds and folds of a run on one device, in groups that are trained at once."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax

from datasets.errors import UserError
from fdp_jax.clips import Clips
from fdp_jax.config import TrainConfig, as_dict, looks_of
from fdp_jax.fold_training import (
    Cadence,
    FoldJob,
    device_corpus,
    drop_training_states,
    train_folds,
)
from fdp_jax.folds import Fold, choose_folds, make_folds
from fdp_jax.folds_together import choose_folds_at_once, compiled_step
from fdp_jax.grouping import FoldAxis, grouped, is_out_of_memory
from fdp_jax.memory import give_back_freed_memory
from fdp_jax.progress import Bar, OpenBar, SilentBar, show_progress
from fdp_jax.random_streams import fold_key
from fdp_jax.selection import Training, plan_trainings
from fdp_jax.steps import Steps
from fdp_jax.trained_on import device_name, installed_versions
from fdp_jax.work_directory import FoldDirectory, claim, fold_directory, write_json


@dataclass(frozen=True)
class Run:
    """What to train and where to keep it.

    Attributes:
      config: everything that determines the numbers, with the seed and the clips.
      preset: name of the preset that `config` came from, for the report.
      seeds: each of initial weights, data order, augmentation and held-out people; in turn.
      fold_names: folds to train now; none means all.
      workdir: of the run.
      cadence: of log and checkpoints.
      command: as the user typed it, for the report.
      folds_at_once: how many are trained together; `auto` goes by the device's memory.
      fold_axis: how; `auto` goes by the kind of device.
    """

    config: TrainConfig
    preset: str
    seeds: tuple[int, ...]
    fold_names: tuple[str, ...]
    workdir: Path
    cadence: Cadence
    command: str
    folds_at_once: int | Literal["auto"] = "auto"
    fold_axis: FoldAxis = "auto"


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
    if run.config.clip.crop > clips.side:
        raise UserError(
            f"--clip.crop={run.config.clip.crop} is more than the {clips.side} pixels of the "
            f"stored frames of {clips.protocol.dataset}; choose at most {clips.side}, or build "
            "with a larger --side"
        )
    folds = make_folds(clips.datasets, clips.subjects, clips.protocol.split, run.config.group_folds)
    wanted = [
        _Task(seed, fold, plan_trainings(clips, fold, seed, run.config.select), run.workdir)
        for seed in run.seeds
        for fold in choose_folds(folds, run.fold_names)
    ]
    claim(run.workdir, identity(run, clips))
    steps = Steps(run.config, len(clips.protocol.classes), run.fold_axis)
    for seed in run.seeds:
        _write_seed(run, seed, clips, folds, steps)

    pending = [task for task in wanted if not task.directory.is_finished()]
    for task in wanted:
        if task not in pending:  # a kill may have come before the last tidying up
            drop_training_states(task.directory)
    if len(pending) < len(wanted):
        print(f"{len(wanted) - len(pending)} of {len(wanted)} folds are finished already")
    if not pending:
        return
    corpus = device_corpus(clips)
    some_key = fold_key(run.seeds[0], folds[0].name)
    at_once = run.folds_at_once
    if at_once == "auto":
        at_once = choose_folds_at_once(steps, corpus, some_key, len(wanted))
    if at_once == 1 or steps.chosen_fold_axis == "turn":
        compiled_step(steps, corpus, some_key)
        give_back_freed_memory()  # what compiling needed, before the first step asks for its own
    with open_bar(total=run.config.steps * sum(len(task.trainings) for task in pending)) as bar:
        progress = partial(show_progress, bar)

        def job(task: _Task) -> FoldJob:
            place = (task.trainings, task.seed, task.directory)
            return FoldJob(steps, clips, corpus, task.fold, *place, run.cadence, progress)

        # Of all folds, so that a run that goes on has the groups it had before.
        groups = [
            [job(task) for task in group if task in pending] for group in grouped(wanted, at_once)
        ]
        _train_groups([group for group in groups if group], bar, len(run.seeds) > 1)


@dataclass(frozen=True, eq=False)
class _Task:
    """One fold of one seed.

    Attributes:
      seed: of the run.
      fold: who is left out.
      trainings: that the fold needs.
      workdir: of the run.
    """

    seed: int
    fold: Fold
    trainings: tuple[Training, ...]
    workdir: Path

    @property
    def directory(self) -> FoldDirectory:
        """Where its results go."""
        return fold_directory(self.workdir, self.seed, self.fold.name)


def _train_groups(groups: Sequence[Sequence[FoldJob]], bar: Bar, name_seeds: bool) -> None:
    """Each group in turn; smaller groups from where one does not fit the device's memory."""
    waiting, done, total = list(groups), 0, sum(map(len, groups))
    while waiting:
        group = waiting.pop(0)
        if len(group) == 1:
            of_seed = f", seed {group[0].seed}" if name_seeds else ""
            bar.set_description(f"fold {done + 1}/{total} {group[0].fold.name}{of_seed}")
        else:
            bar.set_description(f"folds {done + 1}-{done + len(group)} of {total}")
        if _fits_when_trained(group):
            done += len(group)
            continue
        at_once = math.ceil(len(group) / 2)
        print(
            f"{len(group)} folds at once do not fit the device's memory; going on with {at_once}",
            file=sys.stderr,
        )
        waiting = [part for whole in (group, *waiting) for part in grouped(whole, at_once)]


def _fits_when_trained(group: Sequence[FoldJob]) -> bool:
    """Trains a group; False where several folds were too many for the device's memory."""
    try:
        train_folds(group)
    except RuntimeError as error:
        if len(group) == 1 or not is_out_of_memory(error):
            raise
        return False
    return True


def identity(run: Run, clips: Clips) -> dict:
    """Everything that determines the numbers of a work directory, seeds apart, for config.json."""
    return {
        "dataset": clips.protocol.dataset,
        "protocol": clips.protocol.name,
        "preset": run.preset,
        **as_dict(run.config),
        "label_version": clips.label_version,
        "clips": clips.digest(),
    }


def _write_seed(run: Run, seed: int, clips: Clips, folds: Sequence[Fold], steps: Steps) -> None:
    """`run.json` of a seed: what the report says about it; the first command's stays."""
    path = run.workdir / f"seed_{seed}" / "run.json"
    if path.exists():
        return
    shapes = jax.eval_shape(steps.initial_state, fold_key(seed, folds[0].name)).params
    count = {
        name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in shapes.items()
    }
    protocol = clips.protocol
    content = {
        "dataset": protocol.dataset,
        "protocol": protocol.name,
        "split": protocol.split,
        "select": run.config.select,
        "looks": looks_of(run.config),
        "seed": seed,
        "folds": [
            {
                "name": fold.name,
                "datasets": [dataset for dataset, _ in fold.people],
                "subjects": [subject for _, subject in fold.people],
                "n_clips": len(fold.test),
            }
            for fold in folds
        ],
        "classes": list(protocol.classes),
        "group_folds": run.config.group_folds or None,
        "parameters": {"total": sum(count.values()), **count},
        "steps": run.config.steps,
        "label_version": clips.label_version,
        "corrections": list(clips.corrections),
        "warnings": list(clips.warnings),
        "trained_on": device_name(),
        "versions": installed_versions(),
        "rank_slope": run.config.loss.rank_slope,
        "command": run.command,
    }
    write_json(path, content)

"""The folds of a run and the files that identify it (no jax needed)."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from datasets.errors import UserError
from datasets.protocols import Protocol
from fdp_jax.clips import Clips, load_clips
from fdp_jax.config import PRESETS, RULES, as_dict, evaluations_per_fold
from fdp_jax.corpora import ensure_built
from fdp_jax.options import TrainOptions
from fdp_jax.splits import Fold, choose_folds, hold_out, make_folds
from fdp_jax.weights import read_weights
from fdp_jax.workdir import (
    FoldDirectory,
    check_or_create_config,
    check_writable,
    drop_training_states,
    fold_directory,
    write_json,
)

T = TypeVar("T")

MAX_FOLDS_AT_ONCE = 32  # more would let a kill cost more and keep a device no busier
BUSY_WITH = 8  # folds at once that keep a device about as busy as more
CPU_STEP_SECONDS = {"paper": 1.6, "small": 0.09}  # preset -> on two cores, from benchmarks/


@dataclass(frozen=True, eq=False)
class Training:
    """One training that a fold needs.

    Attributes:
      rules: selection rules that it serves.
      split: its `train` is trained on; its `test` is evaluated if a rule needs that.
      directory: folder of its checkpoints and log.
    """

    rules: tuple[str, ...]
    split: Fold
    directory: FoldDirectory

    @property
    def evaluating_rule(self) -> str | None:
        """The rule that searches for the best step; at most one per training."""
        return next((rule for rule in self.rules if rule != "last"), None)


@dataclass(frozen=True, eq=False)
class FoldTask:
    """One fold of one seed.

    Attributes:
      seed: seed of the run.
      fold: who is left out.
      trainings: of `plan_trainings`.
      directory: folder of its results.
    """

    seed: int
    fold: Fold
    trainings: tuple[Training, ...]
    directory: FoldDirectory


@dataclass(frozen=True, eq=False)
class FoldGroup:
    """Folds that are trained as one program.

    Attributes:
      tasks: those that are not finished yet.
      size: K, folds of the program. Places of finished folds are filled with copies of another, so
        that a resumed run compiles the same program and ends with the same bits.
    """

    tasks: tuple[FoldTask, ...]
    size: int


@dataclass(frozen=True)
class Environment:
    """Where a run trains, for `run.json`.

    Attributes:
      parameters: number of parameters by module, and `total`.
      device: kind and platform.
      versions: package -> version.
    """

    parameters: dict[str, int]
    device: str
    versions: dict[str, str]


class Plan:
    """What one command trains.

    Attributes:
      options: options of the command; `workdir` is set.
      clips: clips of the protocol.
      command: as the user typed it.
      folds: all folds of the protocol.
      tasks: the folds to train now, for each seed in turn.
      init: weights that the trainings start from; None for random ones.
    """

    def __init__(
        self,
        options: TrainOptions,
        clips: Clips,
        command: str,
        folds: Sequence[Fold] | None = None,
    ):
        """Plans; writes nothing. `folds` replaces those of the protocol.

        Raises:
          UserError: a crop larger than the frames, initial weights that cannot be read or do not
            fit, or a fold that does not exist or has nobody to hold out.
        """
        crop, side = options.config.clip.crop, clips.side
        if crop > side:
            raise UserError(
                f"--clip.crop={crop} is larger than the stored frames of "
                f"{clips.protocol.dataset}, {side} pixels; choose at most {side}, or build with a "
                "larger --side"
            )
        self.options, self.clips, self.command = options, clips, command
        config = options.config
        self.init = read_weights(options.init, options.preset) if options.init else None
        if self.init:
            self.init.check_fits(config)
        self.folds = folds or make_folds(
            clips.datasets, clips.subjects, clips.protocol.split, config.group_folds
        )
        self.tasks = []
        for seed in options.all_seeds:
            for fold in choose_folds(self.folds, options.folds):
                directory = fold_directory(options.workdir, seed, fold.name)
                trainings = plan_trainings(clips, fold, seed, config.select, directory)
                self.tasks.append(FoldTask(seed, fold, trainings, directory))

    @property
    def workdir(self) -> Path:
        """Folder of the results."""
        assert self.options.workdir, "resolved options have one"
        return self.options.workdir

    @property
    def classes(self) -> int:
        """m, number of categories."""
        return len(self.clips.protocol.classes)

    def pending(self) -> list[FoldTask]:
        """Returns the tasks that are not finished yet."""
        return [task for task in self.tasks if not task.directory.is_finished()]

    def groups(self, folds_at_once: int) -> list[FoldGroup]:
        """Returns the pending tasks in groups, cut from all tasks so that they never change."""
        groups = []
        for tasks in split_evenly(self.tasks, folds_at_once):
            unfinished = tuple(task for task in tasks if not task.directory.is_finished())
            if unfinished:
                groups.append(FoldGroup(unfinished, len(tasks)))
        return groups

    def describe_resume(self, groups: Sequence[FoldGroup] = ()) -> str:
        """Returns a sentence on the steps from which the same command resumes each fold.

        Args:
          groups: as trained; by default each pending fold alone.
        """
        pending, begun = self.pending(), []
        for group in groups or [FoldGroup((task,), 1) for task in pending]:
            begun += self._resume_points(group)
        finished = len(self.tasks) - len(pending)
        counts = f"{finished} of {len(self.tasks)} folds finished"
        if fresh := len(pending) - len(begun):
            counts += f", {fresh} not begun"
        return f"run the same command again to resume: {', '.join([*begun, counts])}"

    def _resume_points(self, group: FoldGroup) -> list[str]:
        """Returns a phrase for each fold of a group that is begun and not finished."""
        tasks = [task for task in group.tasks if not task.directory.is_finished()]
        tasks = [task for task in tasks if task.directory.log.exists()]
        steps = self.options.config.steps
        point_of: dict[int, str] = {}  # place -> point in the first training it has not finished
        for number, trainings in enumerate(zip(*(task.trainings for task in tasks), strict=True)):
            saved = [training.directory.resumable_steps(steps) for training in trainings]
            which = " of its second training" if number else ""
            is_last = number == len(tasks[0].trainings) - 1
            for step, places in resume_groups(saved, steps):
                if step < steps or is_last:
                    found = dict.fromkeys(places, f"from step {step} of {steps}{which}")
                    point_of = found | point_of
        seeds = len(self.options.all_seeds) > 1
        return [
            f"fold {task.fold.name}{f' (seed {task.seed})' if seeds else ''} {point_of[place]}"
            for place, task in enumerate(tasks)
        ]

    def remove_training_states_of_finished_folds(self) -> None:
        """Repeats the last clean-up of a fold, which a kill may have prevented."""
        for task in self.tasks:
            if task.directory.is_finished():
                drop_training_states(task.directory)

    def claim_workdir(self) -> None:
        """Writes `config.json`, or checks that it is this run's.

        Raises:
          UserError: the folder holds another run, or cannot be written.
        """
        protocol = self.clips.protocol
        identity = {
            "dataset": protocol.dataset,
            "protocol": protocol.name,
            "preset": self.options.preset,
            **as_dict(self.options.config),
            "label_version": self.clips.label_version,
            "clips": self.clips.digest(),
        }
        if self.init:
            identity["init"] = self.init.digest
        check_or_create_config(self.workdir, identity)

    def write_run_files(self, environment: Environment) -> None:
        """Writes `run.json` of each seed, what the report needs; an existing one stays."""
        clips, config, protocol = self.clips, self.options.config, self.clips.protocol
        folds = [
            {
                "name": fold.name,
                "datasets": [dataset for dataset, _ in fold.people],
                "subjects": [subject for _, subject in fold.people],
                "n_clips": len(fold.test),
            }
            for fold in self.folds
        ]
        for seed in self.options.all_seeds:
            path = self.workdir / f"seed_{seed}" / "run.json"
            if path.exists():
                continue
            content = {
                "dataset": protocol.dataset,
                "protocol": protocol.name,
                "split": protocol.split,
                "select": config.select,
                "evaluations": evaluations_per_fold(config),
                "seed": seed,
                "folds": folds,
                "classes": list(protocol.classes),
                "input": {**asdict(clips.crop), "is_grey": clips.is_grey},
                "group_folds": config.group_folds or None,
                "parameters": environment.parameters,
                "steps": config.steps,
                "label_version": clips.label_version,
                "corrections": list(clips.corrections),
                "warnings": list(clips.warnings),
                "device": environment.device,
                "versions": environment.versions,
                "rank_slope": config.loss.rank_slope,
                "command": self.command,
                "init": self.init.description if self.init else None,
            }
            write_json(path, content)


def make_plan(options: TrainOptions, protocol: Protocol, command: str) -> Plan:
    """Builds the corpora where needed, loads the clips and plans.

    Raises:
      UserError: the work directory cannot be written, or the clips cannot be built or read.
    """
    check_writable(options.workdir)
    ensure_built(protocol, options.data_dir, options.manual_dir, options.config.clip.crop)
    clips = load_clips(protocol, options.data_dir, options.config.clip.last_frame)
    return Plan(options, clips, command)


def plan_trainings(
    clips: Clips, fold: Fold, seed: int, select: str, directory: FoldDirectory
) -> tuple[Training, ...]:
    """Returns the trainings that the selection rules of `--select` need in one fold, in order.

    `last` predicts after the fixed number of steps. The others evaluate at regular steps and keep
    the predictions of the best step: `test-best` evaluates on the people left out themselves, which
    makes it optimistic; `val` on people held out of the training part. `last` and `test-best` share
    a training; `val` needs its own, as its held-out people are missing from the training data.

    Raises:
      UserError: nobody can be held out.
    """
    trainings = []
    if shared := tuple(rule for rule in RULES[select] if rule != "val"):
        trainings.append(Training(shared, fold, directory))
    if "val" in RULES[select]:
        inner = hold_out(fold, clips.datasets, clips.subjects, clips.labels, seed)
        own = directory.second_training if trainings else directory
        trainings.append(Training(("val",), inner, own))
    return tuple(trainings)


def describe_work(options: TrainOptions, trainings: int, on_cpu: bool | None) -> str:
    """Returns how much there is to train, and how long the presets take for it on a CPU.

    Args:
      options: of the trainings.
      trainings: their number.
      on_cpu: whether they run there; None if that is unknown.
    """
    config, common = options.config, PRESETS[options.preset]
    text = f"{trainings} training{'s' if trainings > 1 else ''} of {config.steps:,} steps"
    is_measured = (config.model, config.batch_size) == (common.model, common.batch_size)
    if on_cpu is False or not is_measured:
        return text
    seconds = trainings * config.steps * CPU_STEP_SECONDS[options.preset]
    text += f", about {duration(seconds)} on a CPU of two cores"
    if options.preset != "small" and seconds > 1800:
        times = CPU_STEP_SECONDS[options.preset] / CPU_STEP_SECONDS["small"]
        text += f" (--preset=small computes a step {times:.0f} times faster)"
    return text


def expected_folds(protocol: Protocol, group_folds: int) -> int | None:
    """Returns how many folds the published corpora have; None if that is not established."""
    if group_folds:
        return group_folds
    if protocol.split == "corpora":
        return len(protocol.parts)
    counts = [next(iter(part.expected.values()), None) for part in protocol.parts]
    people = [count and count.subjects for count in counts]
    return None if None in people else sum(people)


def duration(seconds: float) -> str:
    """Returns a time in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def resume_groups(resumable: Sequence[Sequence[int]], steps: int) -> list[tuple[int, list[int]]]:
    """Returns from which step which folds of a group train on together.

    The checkpoints of a group are written one after the other, so a kill leaves some folds one
    behind: all resume from the newest step that all have. Folds further apart were not trained
    together; they are split by their newest step rather than lose work. Finished ones come alone.

    Args:
      resumable: for each fold the steps it can resume from, at most two; `steps` alone if finished.
      steps: of the training.

    Returns:
      (step, places of the folds) for each part.
    """
    finished = [place for place, saved in enumerate(resumable) if steps in saved]
    unfinished = [place for place in range(len(resumable)) if place not in finished]
    parts = [(steps, [place]) for place in finished]
    if not unfinished:
        return parts
    if common := set.intersection(*(set(resumable[place]) for place in unfinished)):
        return [*parts, (max(common), unfinished)]
    newest = {place: max(resumable[place]) for place in unfinished}
    for step in sorted(set(newest.values())):
        parts.append((step, [place for place in unfinished if newest[place] == step]))
    return parts


def split_evenly(items: Sequence[T], at_most: int) -> list[list[T]]:
    """Splits items, in their order, into groups of at most that many.

    Groups of one size share a compiled program: more groups are made where that gives all the same
    size, as long as they keep a device busy; else sizes differ by one, the larger first.
    """
    if not items:
        return []
    count = len(items)
    fewest = math.ceil(count / at_most)
    equal = (n for n in range(fewest, count // BUSY_WITH + 1) if count % n == 0)
    groups = next(equal, fewest)
    smaller, larger_groups = divmod(count, groups)
    sizes = [smaller + 1] * larger_groups + [smaller] * (groups - larger_groups)
    ends = [sum(sizes[: place + 1]) for place in range(groups)]
    return [list(items[end - size : end]) for size, end in zip(sizes, ends, strict=True)]

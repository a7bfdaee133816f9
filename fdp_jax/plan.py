"""What a run has to train, fold by fold, and the files that tell of it (no jax needed)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from datasets.errors import UserError
from fdp_jax.clips import Clips
from fdp_jax.config import TrainConfig, as_dict, looks_of
from fdp_jax.grouping import FoldAxis
from fdp_jax.model_selection import Training, plan_trainings
from fdp_jax.schedule import Cadence
from fdp_jax.splits import Fold, choose_folds, make_folds
from fdp_jax.workdir import FoldDirectory, claim, fold_directory, write_json


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


@dataclass(frozen=True, eq=False)
class FoldTask:
    """One fold of one seed.

    Attributes:
      seed: of the run.
      fold: who is left out.
      trainings: that the fold needs.
      directory: where its results go.
    """

    seed: int
    fold: Fold
    trainings: tuple[Training, ...]
    directory: FoldDirectory


@dataclass(frozen=True)
class Machine:
    """What `run.json` says of where a run was trained.

    Attributes:
      parameters: of the network, by its part.
      device: kind and platform.
      versions: package -> version.
    """

    parameters: dict[str, int]
    device: str
    versions: dict[str, str]


class Plan:
    """The folds of a run.

    Attributes:
      run: what to train.
      clips: of the protocol.
      folds: all of the protocol.
      wanted: those to train now, for each seed in turn.
    """

    def __init__(self, run: Run, clips: Clips):
        """Plans; nothing is written.

        Raises:
          UserError: a crop larger than the frames, or a fold that does not exist or has nobody to
            hold out.
        """
        if run.config.clip.crop > clips.side:
            raise UserError(
                f"--clip.crop={run.config.clip.crop} is more than the {clips.side} pixels of the "
                f"stored frames of {clips.protocol.dataset}; choose at most {clips.side}, or build "
                "with a larger --side"
            )
        self.run, self.clips = run, clips
        split, groups = clips.protocol.split, run.config.group_folds
        self.folds = make_folds(clips.datasets, clips.subjects, split, groups)
        self.wanted = [
            FoldTask(
                seed,
                fold,
                plan_trainings(clips, fold, seed, run.config.select),
                fold_directory(run.workdir, seed, fold.name),
            )
            for seed in run.seeds
            for fold in choose_folds(self.folds, run.fold_names)
        ]

    def pending(self) -> list[FoldTask]:
        """The wanted folds that are not finished yet."""
        return [task for task in self.wanted if not task.directory.is_finished()]

    def claim(self) -> None:
        """Makes the work directory this run's own.

        Raises:
          UserError: it holds another run, or cannot be written to.
        """
        claim(self.run.workdir, identity(self.run, self.clips))

    def write_seeds(self, machine: Machine) -> None:
        """`run.json` of every seed: what the report says about it; the first command's stays."""
        for seed in self.run.seeds:
            path = self.run.workdir / f"seed_{seed}" / "run.json"
            if not path.exists():
                write_json(path, _seed_content(self.run, seed, self.clips, self.folds, machine))


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


def _seed_content(
    run: Run, seed: int, clips: Clips, folds: Sequence[Fold], machine: Machine
) -> dict:
    protocol = clips.protocol
    return {
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
        "input": {**asdict(clips.crop), "is_grey": clips.is_grey},
        "group_folds": run.config.group_folds or None,
        "parameters": machine.parameters,
        "steps": run.config.steps,
        "label_version": clips.label_version,
        "corrections": list(clips.corrections),
        "warnings": list(clips.warnings),
        "trained_on": machine.device,
        "versions": machine.versions,
        "rank_slope": run.config.loss.rank_slope,
        "command": run.command,
    }

"""All seeds and folds of a run, in turn on one device."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
from tqdm import tqdm

from datasets.errors import UserError
from fdp_jax.clips import Clips
from fdp_jax.config import TrainConfig, as_dict, looks_of
from fdp_jax.fold_training import (
    Cadence,
    FoldJob,
    device_corpus,
    device_name,
    drop_training_states,
    installed_versions,
    train_fold,
)
from fdp_jax.folds import Fold, choose_folds, make_folds
from fdp_jax.random_streams import fold_key
from fdp_jax.selection import plan_trainings
from fdp_jax.steps import Steps
from fdp_jax.work_directory import claim, fold_directory, write_json


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
    """

    config: TrainConfig
    preset: str
    seeds: tuple[int, ...]
    fold_names: tuple[str, ...]
    workdir: Path
    cadence: Cadence
    command: str


def run_folds(run: Run, clips: Clips) -> None:
    """Trains every fold of every seed asked for that is not finished yet.

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
        (seed, fold, plan_trainings(clips, fold, seed, run.config.select))
        for seed in run.seeds
        for fold in choose_folds(folds, run.fold_names)
    ]
    claim(run.workdir, identity(run, clips))
    steps = Steps(run.config, len(clips.protocol.classes))
    for seed in run.seeds:
        _write_seed(run, seed, clips, folds, steps)

    pending = []
    for seed, fold, trainings in wanted:
        directory = fold_directory(run.workdir, seed, fold.name)
        if directory.is_finished():  # a kill may have come before the last tidying up
            drop_training_states(directory)
        else:
            pending.append((seed, fold, trainings, directory))
    if len(pending) < len(wanted):
        print(f"{len(wanted) - len(pending)} of {len(wanted)} folds are finished already")
    if not pending:
        return
    corpus = device_corpus(clips)
    total = run.config.steps * sum(len(trainings) for _, _, trainings, _ in pending)
    with tqdm(total=total, unit="step", dynamic_ncols=True) as bar:
        progress = partial(show_progress, bar)
        for number, (seed, fold, trainings, directory) in enumerate(pending, start=1):
            of_seed = f", seed {seed}" if len(run.seeds) > 1 else ""
            bar.set_description(f"fold {number}/{len(pending)} {fold.name}{of_seed}")
            cadence = run.cadence
            train_fold(
                FoldJob(steps, clips, corpus, fold, trainings, seed, directory, cadence, progress)
            )


def show_progress(bar: tqdm, steps_done: int, scalars: dict[str, float]) -> None:
    """Moves the bar on; steps that come without losses were restored, and took no time."""
    if scalars:
        bar.update(steps_done)
        told = {
            "cross_entropy": "cross-entropy {:.3f}",
            "dynamic_image": "dynamic image {:.4f}",
            "rank": "rank {:.2f}",
        }
        there = [text.format(scalars[name]) for name, text in told.items() if name in scalars]
        bar.set_postfix_str(", ".join(there))
    else:
        bar.initial += steps_done
        bar.n += steps_done
        bar.last_print_n += steps_done
        bar.refresh()


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

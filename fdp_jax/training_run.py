"""All folds of a run, in turn on one device, then the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
from tqdm import tqdm

from datasets.errors import UserError
from fdp_jax.checkpoints import FoldCheckpoints
from fdp_jax.clips import Clips
from fdp_jax.config import TrainConfig, as_dict
from fdp_jax.fold_training import (
    Cadence,
    FoldJob,
    device_corpus,
    device_name,
    installed_versions,
    train_fold,
)
from fdp_jax.folds import Fold, choose_folds, make_folds
from fdp_jax.random_streams import fold_key
from fdp_jax.steps import Steps
from fdp_jax.work_directory import claim, fold_directory, write_json


@dataclass(frozen=True)
class Run:
    """What to train and where to keep it.

    Attributes:
      config: everything that determines the numbers, with `seed` and the clips.
      preset: name of the preset that `config` came from, for the report.
      seed: of initial weights, data order and augmentation.
      fold_names: folds to train now; none means all.
      workdir: of the run.
      cadence: of log and checkpoints.
      command: as the user typed it, for the report.
    """

    config: TrainConfig
    preset: str
    seed: int
    fold_names: tuple[str, ...]
    workdir: Path
    cadence: Cadence
    command: str


def run_folds(run: Run, clips: Clips) -> None:
    """Trains every fold asked for that is not finished yet.

    Raises:
      UserError: a crop larger than the frames, a fold that does not exist, a work directory of
        another run, or a file that cannot be read or written.
    """
    if run.config.clip.crop > clips.side:
        raise UserError(
            f"--clip.crop={run.config.clip.crop} is more than the {clips.side} pixels of the "
            f"stored frames of {clips.protocol.dataset}; choose at most {clips.side}, or build "
            "with a larger --side"
        )
    folds = make_folds(clips.datasets, clips.subjects, clips.protocol.split, run.config.group_folds)
    wanted = choose_folds(folds, run.fold_names)
    claim(run.workdir, identity(run, clips))
    steps = Steps(run.config, len(clips.protocol.classes))
    _write_seed(run, clips, folds, steps)

    pending = []
    for fold in wanted:
        directory = fold_directory(run.workdir, run.seed, fold.name)
        if directory.is_finished():  # a kill may have come before the last tidying up
            FoldCheckpoints(directory.checkpoints).drop_training_states()
        else:
            pending.append(fold)
    if len(pending) < len(wanted):
        print(f"{len(wanted) - len(pending)} of {len(wanted)} folds are finished already")
    if not pending:
        return
    corpus = device_corpus(clips)
    total = len(pending) * run.config.steps
    with tqdm(total=total, unit="step", dynamic_ncols=True) as bar:
        for number, fold in enumerate(pending, start=1):
            bar.set_description(f"fold {number}/{len(pending)} {fold.name}")

            directory = fold_directory(run.workdir, run.seed, fold.name)
            progress = partial(show_progress, bar)
            train_fold(
                FoldJob(steps, clips, corpus, fold, run.seed, directory, run.cadence, progress)
            )


def show_progress(bar: tqdm, steps_done: int, scalars: dict[str, float]) -> None:
    """Moves the bar on; steps that come without losses were restored, and took no time."""
    if scalars:
        bar.update(steps_done)
        bar.set_postfix_str(
            f"cross-entropy {scalars['cross_entropy']:.3f}, dynamic image "
            f"{scalars['dynamic_image']:.4f}, rank {scalars['rank']:.2f}"
        )
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


def _write_seed(run: Run, clips: Clips, folds: Sequence[Fold], steps: Steps) -> None:
    """`run.json` of the seed: what the report says about it; the first command's stays."""
    path = run.workdir / f"seed_{run.seed}" / "run.json"
    if path.exists():
        return
    shapes = jax.eval_shape(steps.initial_state, fold_key(run.seed, folds[0].name)).params
    count = {
        name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in shapes.items()
    }
    protocol = clips.protocol
    content = {
        "dataset": protocol.dataset,
        "protocol": protocol.name,
        "split": protocol.split,
        "select": run.config.select,
        "seed": run.seed,
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

"""The smallest FDP that is still one: compiles in seconds, for tests of everything around it."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from datasets.crop import Crop
from datasets.protocols import Membership, Protocol
from fdp_jax.clips import Clips
from fdp_jax.config import ClipConfig, ModelConfig, OptimizerConfig, TrainConfig
from fdp_jax.options import TrainOptions
from fdp_jax.plan import Plan
from fdp_jax.workdir import FoldDirectory

TINY = TrainConfig(
    steps=6,
    batch_size=4,
    model=ModelConfig(
        stem_channels=8, local_channels=(8,), attention_channels=(8,), output_channels=(16,),
        key_value_windows=(2,), local_blocks=1, construction_channels=(4,), pooled_channels=2,
        recognition_units=8,
    ),
    clip=ClipConfig(frames=4, crop=16),
    optimizer=OptimizerConfig(learning_rate=1e-2),
)  # fmt: skip

# For each option of which only its effect on the computation matters, another value than TINY's.
CHANGES = {
    "batch_size": 5,
    "precision": "bfloat16",
    "model.stochastic_depth": 0.6,
    "model.dropout": 0.5,
    "model.leaky_slope": 0.5,
    "model.initial_std": 0.05,
    "model.temporal_initial_std": 0.1,
    "model.batch_norm_momentum": 0.5,
    "clip.frames": 3,
    "clip.crop": 8,
    "clip.flip_probability": 0.1,
    "loss.recognition_weight": 0.5,
    "loss.dynamic_image_weight": 3.0,
    "loss.rank_weight": 0.7,
    "loss.rank_slope": 3.0,
    "optimizer.learning_rate": 0.02,
    "optimizer.weight_decay": 1.0,
    "optimizer.second_moment_decay": 0.5,
    "optimizer.warmup_steps": 3,
    "optimizer.schedule": "cosine",
}

# TINY for a command line.
TINY_OPTIONS = [
    f"--{group}.{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
    for group in ("model", "clip", "optimizer")
    for name, value in dataclasses.asdict(getattr(TINY, group)).items()
] + [f"--steps={TINY.steps}", f"--batch_size={TINY.batch_size}"]


def make_tiny_plan(
    workdir: Path, clips: Clips, config: TrainConfig = TINY, **options: object
) -> Plan:
    """Plans a run on these clips; options as of `TrainOptions`, by default a line for each step."""
    settings = {"log_every": 1, "checkpoint_every": config.steps, "checkpoint_seconds": 0.0}
    settings |= {"preset": "tiny", "workdir": workdir, "config": config, **options}
    return Plan(TrainOptions(**settings), clips, "a command")


def train_plan(plan: Plan, progress: Callable = lambda steps, metrics: None) -> Path:
    """Trains all pending folds of a plan; returns the work directory."""
    from fdp_jax.evaluate import pack_clips
    from fdp_jax.train_loop import choose_folds_at_once, describe_environment, train_folds

    plan.claim_workdir()
    plan.write_run_files(describe_environment(plan))
    plan.remove_training_states_of_finished_folds()
    corpus = pack_clips(plan.clips)
    for group in plan.groups(choose_folds_at_once(plan, corpus)):
        train_folds(group, plan, corpus, progress)
    return plan.workdir


def train_tiny(folder: Path, clips: Clips, names: tuple[str, ...], steps: int = 2) -> Path:
    """Trains folds of seed 7 into `folder`, which it returns."""
    config = dataclasses.replace(TINY, steps=steps, batch_size=4)
    return train_plan(make_tiny_plan(folder, clips, config, seed=7, folds=names))


def random_clips(
    people: int = 3,
    each: int = 3,
    classes: int = 2,
    seed: int = 0,
    corpora: tuple[str, ...] = ("noise",),
    split: Literal["people", "corpora"] = "people",
) -> Clips:
    """Clips of noise, of 5 to 9 frames of 72 x 72 grey pixels.

    People have the same names in every corpus, and clips the same names for every person.
    """
    rng = np.random.default_rng(seed)
    count = len(corpora) * people * each
    lengths = rng.integers(5, 10, count).astype(np.int32)
    names = tuple(f"class{k}" for k in range(classes))
    parts = tuple(Membership(corpus, {name: name for name in names}) for corpus in corpora)
    of_clip = list(itertools.product(corpora, range(people), range(each)))
    return Clips(
        protocol=Protocol("2class", names, parts, split),
        frames=rng.integers(0, 256, (lengths.sum(), 72, 72, 1), np.uint8),
        starts=(np.cumsum(lengths) - lengths).astype(np.int32),
        lengths=lengths,
        labels=np.resize(np.arange(classes, dtype=np.int32), count),
        datasets=tuple(corpus for corpus, _, _ in of_clip),
        subjects=tuple(f"p{person}" for _, person, _ in of_clip),
        names=tuple(f"EP{clip:02}_01f" for _, _, clip in of_clip),
        label_version=", ".join(f"{corpus} made up" for corpus in corpora),
        corrections=(),
        warnings=(),
        crop=Crop(per_frame=False, side=72, margin=2.5),
    )


def replaced(config: TrainConfig, option: str, value: object) -> TrainConfig:
    """The config with one option changed, named as on the command line."""
    group, _, name = option.rpartition(".")
    if not group:
        return dataclasses.replace(config, **{name: value})
    inner = dataclasses.replace(getattr(config, group), **{name: value})
    return dataclasses.replace(config, **{group: inner})


def final_weights(directory: FoldDirectory, config: TrainConfig = TINY, part: str = "params"):
    """The final parameters, or running statistics, of a fold with two classes."""
    import jax

    from fdp_jax.checkpoints import load_final_weights
    from fdp_jax.train_step import create_train_state

    shapes = jax.eval_shape(lambda key: create_train_state(config, 2, key), jax.random.key(0))
    return load_final_weights(directory.checkpoints, shapes.variables)[part]


def same_bits(first: object, second: object) -> bool:
    """Whether two trees of arrays are equal to the bit."""
    import jax

    return all(jax.tree.leaves(jax.tree.map(np.array_equal, first, second)))

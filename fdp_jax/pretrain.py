"""Pretrains FDP on endless clips of animated faces and writes its weights to a file.

    python -m fdp_jax.pretrain --preset=small --out=small.weights
    python -m fdp_jax.pretrain --preset=small --faces=PHOTOGRAPHS --out=small.weights
    python -m fdp_jax.train --dataset=samm --init=small.weights

Neutral faces are warped inside the training step by the action units of seven expressions, or by
none of them, so no clip is seen twice. A tenth of the people is held out for the report. Repeat the
command to resume.
"""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from datasets.command_line import parse_options, run_command
from datasets.errors import UserError
from datasets.protocols import CORPORA
from datasets.reading import is_built
from fdp_jax.animation.action_units import DATASET, NEUTRAL
from fdp_jax.config import PRESETS, OptimizerConfig, TrainConfig, preset, validate
from fdp_jax.environment import start_jax, use_large_pages
from fdp_jax.options import SYNONYMS, TrainOptions, arg, preset_name
from fdp_jax.workdir import check_writable

if TYPE_CHECKING:
    from fdp_jax.plan import Plan

PROGRAM = "python -m fdp_jax.pretrain"
# Preset -> steps, clips per step, largest learning rate: those of the bundled weights. `small` was
# seen to break down at 1.5e-3.
SCHEDULES = {"paper": (900, 128, 4e-4), "small": (10_000, 24, 7e-4)}
WARMUP_STEPS = 100
GROUPS = 10  # of people, one of which is held out
HELD_OUT = "held_out"


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of `python -m fdp_jax.pretrain`."""

    preset: Literal[*PRESETS] = "paper"
    """Defaults of the options below: paper, or small for a laptop."""
    faces: Annotated[str, arg(metavar="DIR|CORPUS")] = "drawn"
    """Neutral faces: drawn; a folder of photographs, with a folder per person or without; or the
    name of a built corpus, whose onset frames are used."""
    people: int = 200
    """Number of drawn people."""
    stills: int = 5
    """Pictures of each drawn person."""
    seed: int = 0
    """Seed of initial weights, animation and drawn people."""
    data_dir: Path = Path("data")
    """Folder of built corpora."""
    out: Annotated[Path | None, arg(metavar="FILE")] = None
    """File of the weights; pretrained.weights in the work directory by default."""
    workdir: Path | None = None
    """Folder of checkpoints, log and report; runs/pretrained_<preset> by default."""
    compilation_cache: Path = Path("~/.cache/fdp_jax/compiled")
    """Cache of compiled programs."""
    config: Annotated[TrainConfig, arg(name="")] = dataclasses.field(default_factory=TrainConfig)


def parse(arguments: list[str]) -> Options:
    """Returns the options; raises UserError for a mistake."""
    name = preset_name(arguments)
    config, (steps, batch_size, learning_rate) = preset(name), SCHEDULES[name]
    # No clip is seen twice, so nothing is to be regularised.
    optimizer = OptimizerConfig(learning_rate, 0.0, warmup_steps=WARMUP_STEPS, schedule="cosine")
    config = dataclasses.replace(
        config,
        steps=steps,
        batch_size=batch_size,
        group_folds=GROUPS,
        model=dataclasses.replace(config.model, stochastic_depth=0.0),
        optimizer=optimizer,
    )
    default = Options(preset=name, config=config)
    options = parse_options(Options, arguments, PROGRAM, __doc__, default, SYNONYMS)
    validate(options.config)
    for option in ("people", "stills"):
        if getattr(options, option) < 1:
            raise UserError(f"--{option} must be at least 1, not {getattr(options, option)}")
    if options.config.ablate:
        raise UserError("pretraining needs the whole network; leave out --ablate")
    return options


def pretrain(options: Options, command: str) -> Path:
    """Trains, writes the report and the weights, and returns the path of the weights.

    Raises:
      UserError: the faces cannot be read, or as of `train.train`.
    """
    workdir = (options.workdir or Path("runs") / f"pretrained_{options.preset}").expanduser()
    out = (options.out or workdir / "pretrained.weights").expanduser()
    check_writable(workdir)
    check_writable(out.parent, "folder", "out")
    faces = _faces(options)

    compilation_cache = options.compilation_cache.expanduser()
    start_jax(compilation_cache)
    from fdp_jax.animation.clips import animated_clips
    from fdp_jax.plan import Plan
    from fdp_jax.reporting.formatting import table
    from fdp_jax.splits import make_folds
    from fdp_jax.train import train

    clips, corpus = animated_clips(faces, options.config.clip)
    train_options = TrainOptions(
        dataset=DATASET,
        protocol=clips.protocol.name,
        preset=options.preset,
        seed=options.seed,
        workdir=workdir,
        compilation_cache=compilation_cache,
        config=options.config,
    )
    groups = make_folds(clips.datasets, clips.subjects, group_folds=options.config.group_folds)
    held_out = dataclasses.replace(groups[0], name=HELD_OUT)
    plan = Plan(train_options, clips, command, [held_out])
    report = train(plan, corpus)
    scores = held_out_scores(report, plan)
    rows = [("Held-out people", "", "Without learning")]
    rows += [(name, f"{value:.4g}", f"{trivial:.4g}") for name, value, trivial in scores]
    print(f"\n{table(rows)}\n\nWeights: {out}")
    _write(out, plan, faces.source, {name: value for name, value, _ in scores})
    return out


def held_out_scores(report: dict, plan: "Plan") -> list[tuple[str, float, float]]:
    """Returns (name, value, value without learning) of every task, on the people held out."""
    from fdp_jax.metrics.predictions import PredictionTable
    from fdp_jax.metrics.spotting import detection_auc

    predictions = PredictionTable.read(plan.tasks[0].directory.predictions)
    neutral = predictions.probabilities[:, predictions.classes.index(NEUTRAL)]
    is_there = [label != NEUTRAL for label in predictions.label]
    image, rank = report["auxiliary"]["dynamic_image"], report["auxiliary"]["rank"]
    scores = [("accuracy", report["acc"], report["chance"])]
    if len(set(is_there)) == 2:  # not so with a handful of people
        scores.append(("detection AUC", detection_auc(1 - neutral, is_there), 0.5))
    return [
        *scores,
        ("rank loss", rank["loss"], rank["best_constant"]),
        ("Kendall's tau", rank["kendall_tau"], 0.0),
        ("dynamic image MSE", image["mse"], image["best_constant_image"]),
        ("dynamic image correlation", image["structure_correlation"], 0.0),
    ]


def _write(out: Path, plan: "Plan", trained_on: str, scores: dict[str, float]) -> None:
    import jax
    from flax.traverse_util import flatten_dict

    from fdp_jax.environment import device_name
    from fdp_jax.inference.trained_network import load_fold
    from fdp_jax.weights import Weights, write_weights

    fold = load_fold(plan.tasks[0].directory)
    weights = Weights(
        config=fold.config,
        classes=fold.classes,
        preset=fold.preset,
        seed=fold.seed,
        trained_on=trained_on,
        command=plan.command,
        device=device_name(),
        scores=scores,
        crop=fold.crop,
        is_grey=fold.is_grey,
        arrays=flatten_dict(jax.device_get(fold.variables), sep="/"),
    )
    write_weights(out, weights)


def _faces(options: Options):
    from fdp_jax.animation.stills import corpus_faces, drawn_faces, photographed_faces

    if options.faces == "drawn":
        # No corpus has this seed unless a user chooses it.
        return drawn_faces(options.people, options.stills, seed=10_000 + options.seed)
    data_dir = options.data_dir.expanduser()
    if options.faces in CORPORA or is_built(options.faces, data_dir):
        return corpus_faces(options.faces, data_dir)
    return photographed_faces(Path(options.faces).expanduser())


def main() -> None:
    """The command line."""
    arguments = sys.argv[1:]
    pretrain(parse(arguments), f"{PROGRAM} {shlex.join(arguments)}")


if __name__ == "__main__":
    use_large_pages()
    run_command(main, resumable=True)

"""Trains FDP and evaluates it on people, or on a corpus, left out; then writes the report.

    python -m fdp_jax.train --dataset=synthetic --preset=small --group_folds=3
    python -m fdp_jax.train --dataset=samm --manual_dir=DIR_OF_SAMM
    python -m fdp_jax.train --dataset=samm --select=all --seeds=0,1,2 --workdir=runs/samm_all
    python -m fdp_jax.train --protocol=megc2019 --manual_dir=DIR_OF_CASME2_SAMM_AND_SMIC

A run that was stopped goes on where it was when the same command is given again; finished folds
are kept. Each corpus is built first where that is still to do.
"""

import dataclasses
import logging
import math
import os
import shlex
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import tyro

from datasets.command_line import main_with_clear_errors, parse_options
from datasets.errors import UserError
from datasets.protocols import COMPOSITES, CORPORA, Protocol, get_protocol, protocols_of
from fdp_jax.config import PRESETS, Ints, Names, TrainConfig, check, check_groups, preset
from fdp_jax.corpora import ensure_built
from fdp_jax.grouping import FoldAxis, clear_out_of_memory_error
from fdp_jax.memory import use_large_pages

if TYPE_CHECKING:
    from fdp_jax.clips import Clips
    from fdp_jax.plan import Run

_SINGLE = [f"{name} {', '.join(protocols_of(name))}" for name in CORPORA]
_SEVERAL = [f"{name} ({get_protocol(None, name).dataset})" for name in COMPOSITES]
_DATASET_HELP = (
    f"The corpus: {', '.join(CORPORA)} (synthetic builds itself). Left out where --protocol names "
    "its own corpora."
)
_PROTOCOL_HELP = (
    f"Categories and clips, the corpus' first ones when not given: {'; '.join(_SINGLE)}. Over "
    f"several corpora: {', '.join(_SEVERAL)}."
)

# Names from other programs -> the option here, or what to do instead.
SYNONYMS = {
    "lr": "--optimizer.learning_rate",
    "learning_rate": "--optimizer.learning_rate",
    "wd": "--optimizer.weight_decay",
    "weight_decay": "--optimizer.weight_decay",
    "epochs": "--steps",
    "iterations": "--steps",
    "max_steps": "--steps",
    "bs": "--batch_size",
    "batch": "--batch_size",
    "output": "--workdir",
    "output_dir": "--workdir",
    "out": "--workdir",
    "save_dir": "--workdir",
    "data": "--manual_dir",
    "data_path": "--manual_dir",
    "root": "--manual_dir",
    "model": "--backbone or --preset",
    "dropout": "--model.dropout",
} | dict.fromkeys(
    ("gpu", "gpus", "device"),
    "choose devices with CUDA_VISIBLE_DEVICES or JAX_PLATFORMS; "
    "python -m launch.loso spreads folds over GPUs",
)


@dataclass(frozen=True)
class Options:
    """What `python -m fdp_jax.train` takes."""

    dataset: Annotated[str, tyro.conf.arg(help=_DATASET_HELP)] = ""
    protocol: Annotated[str, tyro.conf.arg(help=_PROTOCOL_HELP)] = ""
    preset: str = "paper"
    """Where the options below start from: paper, or small for a laptop."""
    folds: Names = ()
    """Names of the folds to train now, as 006,007 or casme2_to_samm; all when not given."""
    seed: int = 0
    """Of initial weights, data order, augmentation and held-out people."""
    seeds: Ints = ()
    """Several seeds in turn, as 0,1,2, instead of --seed; the report gives mean and spread."""
    data_dir: Path = Path("data")
    """Where built corpora are kept."""
    manual_dir: Path | None = None
    """Where the corpus was unpacked, or the parent of such folders where --protocol names several
    corpora; needed only until they are built."""
    workdir: Path | None = None
    """Where results go; runs/<dataset>_<protocol>_<preset> when not given (without dataset where
    there are several)."""
    log_every: int = 20
    """Steps between two lines of the log."""
    checkpoint_every: int = 100
    """Checkpoints come after multiples of so many steps."""
    checkpoint_seconds: float = 60.0
    """Least seconds between two of them, the work that a kill can cost; 0: one at each multiple."""
    folds_at_once: Annotated[str, tyro.conf.arg(metavar="auto|INT")] = "auto"
    """Folds trained at once on the device, at most: `auto` takes as many as its memory holds, one
    on a CPU. Changes no number beyond rounding."""
    fold_axis: FoldAxis = "auto"
    """How folds are trained at once: side by side in one program, one after the other inside one
    program, or a step of each in turn. `auto` is vmap, and turn on a CPU."""
    compilation_cache: Path = Path("~/.cache/fdp_jax/compiled")
    """Where compiled programs are kept between runs."""
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)


AnyOptions = TypeVar("AnyOptions", bound=Options)


def options_from(
    arguments: list[str],
    kind: type[AnyOptions] = Options,
    program: str = "python -m fdp_jax.train",
    about: str = __doc__,
) -> tuple[AnyOptions, Protocol]:
    """The command line, checked as far as that goes without loading anything heavy.

    Args:
      arguments: without the program's name.
      kind: of the options; a command that trains elsewhere has more of them.
      program, about: as of `parse_options`.

    Raises:
      UserError: unknown option, corpus, protocol or preset, or sizes that cannot work.
    """
    chosen = _preset_name(arguments)
    start = kind(preset=chosen, config=preset(chosen))
    options = parse_options(kind, arguments, program, about, start, SYNONYMS)
    protocol = get_protocol(options.dataset or None, options.protocol or None)
    check(options.config)
    check_groups(options.config.group_folds, protocol.split)
    _check_seeds(options, arguments)
    if options.log_every < 1 or options.checkpoint_every < 1:
        raise UserError("--log_every and --checkpoint_every must be at least 1")
    if not 0 <= options.checkpoint_seconds < math.inf:
        raise UserError("--checkpoint_seconds must be finite and not negative")
    _folds_at_once(options)
    return _with_home_expanded(options), protocol


def _folds_at_once(options: Options) -> int | Literal["auto"]:
    if options.folds_at_once == "auto":
        return "auto"
    if not options.folds_at_once.isdecimal() or int(options.folds_at_once) < 1:
        raise UserError(
            f"--folds_at_once={options.folds_at_once} must be auto or a whole number of at least 1"
        )
    return int(options.folds_at_once)


def _check_seeds(options: Options, arguments: list[str]) -> None:
    if options.seeds and any(argument.partition("=")[0] == "--seed" for argument in arguments):
        raise UserError("--seed and --seeds cannot both be given; give one of them")
    if len(set(options.seeds)) < len(options.seeds):
        raise UserError(f"--seeds={','.join(map(str, options.seeds))} names a seed twice")
    if not all(0 <= seed < 2**32 for seed in (options.seed, *options.seeds)):
        raise UserError("--seed and --seeds must be at least 0 and less than 4294967296")


def _with_home_expanded(options: AnyOptions) -> AnyOptions:
    """A shell leaves the ~ of `--data_dir=~/x` alone."""
    paths = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    expanded = {k: path.expanduser() for k, path in paths.items() if isinstance(path, Path)}
    return dataclasses.replace(options, **expanded)


def _preset_name(arguments: list[str]) -> str:
    """The preset must be known before the rest is read: it gives the other options' defaults."""
    chosen = next(iter(PRESETS))
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, given, value = argument.partition("=")
        if name == "--preset":
            chosen = value if given else following
    return chosen


def train(options: Options, protocol: Protocol, command: str) -> dict:
    """Builds, trains and reports; returns the content of `report.json`."""

    run, clips = prepared(options, protocol, command)

    from tqdm import tqdm

    from fdp_jax.report import print_summary, write_report
    from fdp_jax.run_folds import run_folds

    keep_compiled_programs(options.compilation_cache)
    run_folds(run, clips, partial(tqdm, unit="step", dynamic_ncols=True))
    report = write_report(run.workdir)
    print_summary(report, run.workdir)
    return report


def prepared(options: Options, protocol: Protocol, command: str) -> "tuple[Run, Clips]":
    """What the options ask for, and the clips, which are built where that is still to do.

    No jax is loaded.

    Raises:
      UserError: the work directory cannot be written to, or the clips cannot be built or read.
    """
    from fdp_jax.clips import load_clips
    from fdp_jax.plan import Run
    from fdp_jax.schedule import Cadence
    from fdp_jax.workdir import check_writable

    workdir = workdir_of(options, protocol)
    check_writable(workdir)
    ensure_built(protocol, options.data_dir, options.manual_dir, options.config.clip.crop)
    clips = load_clips(protocol, options.data_dir)
    for warning in clips.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    cadence = Cadence(options.log_every, options.checkpoint_every, options.checkpoint_seconds)
    seeds = options.seeds or (options.seed,)
    wanted = (options.config, options.preset, seeds, options.folds)
    at_once = _folds_at_once(options)
    return Run(*wanted, workdir, cadence, command, at_once, options.fold_axis), clips


def workdir_of(options: Options, protocol: Protocol) -> Path:
    """Where results go."""
    datasets = () if protocol.is_composite else protocol.datasets
    return options.workdir or Path("runs") / "_".join((*datasets, protocol.name, options.preset))


def keep_compiled_programs(directory: Path) -> None:
    """Lets a second run start at once; a folder that cannot be written to is no error."""
    import jax

    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return
    if os.access(directory, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(directory))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def run(arguments: list[str]) -> dict:
    """The command line as a function; returns the content of `report.json`.

    Raises:
      UserError: a mistake in the options, or anything that keeps the training from its end.
    """
    options, protocol = options_from(arguments)
    # Orbax prints a page of tracebacks for what ends as one sentence here.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    with clear_out_of_memory_error():
        return train(options, protocol, "python -m fdp_jax.train " + shlex.join(arguments))


def main() -> None:
    """The command line."""
    run(sys.argv[1:])


if __name__ == "__main__":
    use_large_pages()
    main_with_clear_errors(main)

"""Options of the commands that train; parsed before anything heavy is imported."""

import dataclasses
import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

from datasets.command_line import parse_options
from datasets.errors import UserError
from datasets.protocols import COMPOSITES, CORPORA, OWN, Protocol, get_protocol, protocols_of
from datasets.reading import find_protocol
from fdp_jax.config import (
    PRESETS,
    Ints,
    Names,
    TrainConfig,
    check_groups,
    fine_tuned,
    preset,
    validate,
)
from fdp_jax.corpora import build_table

try:
    from tyro.conf import arg
except ModuleNotFoundError:  # only --help needs it: a training from Python does without

    def arg(**settings: str) -> None:
        """Ignores how --help shows an option."""


_DATASET_HELP = (
    f"Corpus: {', '.join(CORPORA)} (synthetic needs no files), {OWN} or the name of another one "
    "from a table of yours. Not needed where --protocol implies its corpora."
)
_PROTOCOL_HELP = (
    "Categories and clips; the first of its corpus by default: "
    + "; ".join(f"{name} {', '.join(protocols_of(name))}" for name in CORPORA)
    + ". Over several corpora: "
    + ", ".join(f"{name} ({get_protocol(None, name).dataset})" for name in COMPOSITES)
    + "."
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
class TrainOptions:
    """Options of `python -m fdp_jax.train`."""

    dataset: Annotated[str, arg(help=_DATASET_HELP)] = ""
    protocol: Annotated[str, arg(help=_PROTOCOL_HELP)] = ""
    preset: str = "paper"
    """Defaults of the options below: paper, or small for a laptop."""
    init: Annotated[str, arg(metavar="FILE|bundled")] = ""
    """Weights to start from, of python -m fdp_jax.pretrain, or `bundled`, those of the preset;
    with a third of the steps and of the learning rate by default."""
    folds: Names = ()
    """Folds to train now, as 006,007 or casme2_to_samm; all by default."""
    seed: int = 0
    """Seed of initial weights, data order, augmentation and held-out people."""
    seeds: Ints = ()
    """Several seeds one after the other, as 0,1,2; the report gives mean and spread."""
    data_dir: Path = Path("data")
    """Folder of built corpora."""
    manual_dir: Path | None = None
    """Folder of the unpacked corpus, or the parent of several where --protocol names several;
    needed until they are built."""
    table: Path | None = None
    """Table of a corpus of yours, as python -m datasets.example own --out=DIR writes one; needed
    until it is built."""
    workdir: Path | None = None
    """Folder of the results; runs/<dataset>_<protocol>_<preset> by default (without the dataset
    where there are several)."""
    log_every: int = 20
    """Steps between lines of the log."""
    checkpoint_every: int = 100
    """Checkpoints are written after multiples of this many steps."""
    checkpoint_seconds: float = 60.0
    """Least seconds between checkpoints, which is what a kill can cost; 0: one at each multiple."""
    folds_at_once: Annotated[str, arg(metavar="auto|INT")] = "auto"
    """Folds trained as one program on the device; auto: as many as the memory of a GPU holds, one
    on a CPU. Numbers change by rounding only."""
    compilation_cache: Path = Path("~/.cache/fdp_jax/compiled")
    """Cache of compiled programs."""
    config: Annotated[TrainConfig, arg(name="")] = field(default_factory=TrainConfig)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds to train, one after the other."""
        return self.seeds or (self.seed,)


AnyOptions = TypeVar("AnyOptions", bound=TrainOptions)


def parse_train_options(
    arguments: list[str],
    program: str,
    description: str,
    kind: type[AnyOptions] = TrainOptions,
) -> tuple[AnyOptions, Protocol]:
    """Parses and validates the options of a command that trains.

    Args:
      arguments: command line without the program's name.
      program, description: as of `parse_options`.
      kind: class of the options.

    Raises:
      UserError: unknown option, corpus, protocol or preset, or impossible values.
    """
    return resolve_options(parse_unresolved_options(arguments, program, description, kind))


def parse_unresolved_options(
    arguments: list[str], program: str, description: str, kind: type[AnyOptions]
) -> AnyOptions:
    """As `parse_train_options`, without `resolve_options`."""
    name = preset_name(arguments)
    config = preset(name)
    if any(argument.partition("=")[0] == "--init" for argument in arguments):
        config = fine_tuned(config)
    default = kind(preset=name, config=config)
    options = parse_options(
        kind,
        arguments,
        program=program,
        description=description,
        default=default,
        synonyms=SYNONYMS,
    )
    seed_given = any(argument.partition("=")[0] == "--seed" for argument in arguments)
    if options.seeds and seed_given:
        raise UserError("--seed and --seeds cannot both be given; give one of them")
    return options


def resolve_options(options: AnyOptions) -> tuple[AnyOptions, Protocol]:
    """Validates options, expands ~ in paths, builds the corpus of `--table`, finds the protocol.

    Raises:
      UserError: unknown corpus or protocol, impossible values, or a table that cannot be built.
    """
    paths = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    expanded = {name: p.expanduser() for name, p in paths.items() if isinstance(p, Path)}
    options = dataclasses.replace(options, **expanded)
    validate(options.config)
    if len(set(options.seeds)) < len(options.seeds):
        raise UserError(f"--seeds={','.join(map(str, options.seeds))} contains a seed twice")
    if not all(0 <= seed < 2**32 for seed in options.all_seeds):
        raise UserError("--seed and --seeds must be from 0 to 4294967295")
    for option in ("log_every", "checkpoint_every"):
        if getattr(options, option) < 1:
            raise UserError(f"--{option} must be at least 1, not {getattr(options, option)}")
    if not 0 <= options.checkpoint_seconds < math.inf:
        raise UserError("--checkpoint_seconds must be finite and not negative")
    at_once = options.folds_at_once
    if at_once != "auto" and not (at_once.isdecimal() and int(at_once) >= 1):
        raise UserError(f"--folds_at_once must be auto or an integer from 1, not {at_once}")
    protocol = find_protocol_of(options)
    check_groups(options.config.group_folds, protocol.split)
    if options.workdir is None:
        datasets = () if protocol.is_composite else protocol.datasets
        name = "_".join((*datasets, protocol.name, options.preset))
        workdir = Path("runs") / f"{name}{init_suffix(options.init)}"
        options = dataclasses.replace(options, workdir=workdir)
    return options, protocol


def find_protocol_of(options: TrainOptions) -> Protocol:
    """Returns the protocol of a run, after building the corpus of `--table`, which defines it.

    Raises:
      UserError: unknown corpus or protocol, or a table that cannot be built.
    """
    data_dir = options.data_dir.expanduser()
    if options.table is not None:
        table = options.table.expanduser()
        build_table(options.dataset, data_dir, table, options.config.clip.crop)
    return find_protocol(options.dataset or None, options.protocol or None, data_dir)


def init_suffix(init: str) -> str:
    """Returns what a folder's name adds for the initial weights."""
    return f"_from_{Path(init).stem}" if init else ""


def preset_name(arguments: list[str]) -> str:
    """Returns the preset on a command line, which gives the other options' defaults."""
    chosen = next(iter(PRESETS))
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, given, value = argument.partition("=")
        if name == "--preset":
            chosen = value if given else following
    return chosen

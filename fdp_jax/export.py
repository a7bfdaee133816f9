"""Writes a trained network to a single file that runs without the rest of this project.

    python -m fdp_jax.export runs/samm_5class_paper --out=samm.fdp
    python -m fdp_jax.export runs/samm_5class_paper --fold=006 --seed=0 --out=samm_006.fdp
    python -m fdp_jax.export runs/samm_5class_paper/seed_0/folds/006 --out=samm_006.fdp

The file holds the network for CPUs and NVIDIA GPUs, its weights, its categories and the
description of its input. On another machine, with jax, numpy, flatbuffers and a copy of
fdp_jax/exported_model.py:

    import exported_model
    network = exported_model.load("samm.fdp")
    outputs = network.predict(network.sample(clip)[None])     # clip: uint8 [n, side, side, 3]
    dict(zip(network.classes, outputs["probabilities"][0]))

`python exported_model.py samm.fdp` prints the description.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from datasets.command_line import parse_options, run_command
from datasets.errors import UserError

if TYPE_CHECKING:
    from fdp_jax.inference.trained_network import TrainedNetwork


@dataclass(frozen=True)
class Options:
    """Options of `python -m fdp_jax.export`."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The file to write; an existing file is replaced."""
    source: Annotated[
        tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="WORKDIR_FOLD_OR_FILE")
    ] = None
    """The --workdir of a training, one fold in it, or a file of weights; by default the bundled
    network."""
    fold: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """Fold of a work directory, by the subject left out; by default the first finished one."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Seed of the fold; by default the first."""


def run(arguments: Sequence[str]) -> None:
    """Runs the command. Raises UserError for a mistake."""
    options = parse_options(Options, arguments, "python -m fdp_jax.export", __doc__)
    out = options.out.expanduser()
    if out.is_dir():
        raise UserError(f"--out={out} is a folder; give a file, as --out={out / 'network.fdp'}")
    if find_spec("flatbuffers") is None:
        raise UserError("jax.export needs flatbuffers: pip install -r requirements.txt")
    from fdp_jax.environment import start_jax

    start_jax()
    from fdp_jax.inference.export_model import export_model
    from fdp_jax.inference.trained_network import load_weights
    from fdp_jax.weights import BUNDLED_NAME

    source = options.source and options.source.expanduser()
    if source is None or source.is_file():
        fold = load_weights(BUNDLED_NAME if source is None else str(source))
    else:
        fold = _choose_fold(source, options)
    if (rule := fold.config.select) != "last":
        print(f"the weights are those of the last step; --select={rule} applies to the report only")
    export_model(out, fold)
    print(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, {fold.dataset} {fold.protocol}, "
        f"{fold.name} left out, seed {fold.seed}"
    )
    print(f"its description: python -m fdp_jax.exported_model {out}")


def _choose_fold(folder: Path, options: Options) -> "TrainedNetwork":
    from fdp_jax.inference.trained_network import find_folds, load_fold

    found = {(fold.path.parents[1].name, fold.path.name): fold for fold in find_folds(folder)}
    chosen = [
        directory
        for (seed, fold), directory in found.items()
        if options.fold in ("", fold) and (options.seed is None or seed == f"seed_{options.seed}")
    ]
    if not chosen:
        names = ", ".join(f"{fold} of {seed}" for seed, fold in found)
        raise UserError(f"{folder} has no finished fold as given; it has {names}")
    if len(chosen) > 1:
        print(f"the first of {len(chosen)} finished folds; choose one by --fold=NAME and --seed=N")
    return load_fold(chosen[0])


if __name__ == "__main__":
    run_command(lambda: run(sys.argv[1:]))

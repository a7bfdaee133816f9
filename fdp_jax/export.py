"""Writes a trained network into one file that runs without any of this code.

    python -m fdp_jax.export runs/samm_5class_paper --out=samm.fdp
    python -m fdp_jax.export runs/samm_5class_paper --fold=006 --seed=0 --out=samm_006.fdp
    python -m fdp_jax.export runs/samm_5class_paper/seed_0/folds/006 --out=samm_006.fdp

The file holds the network for CPUs and NVIDIA GPUs, its weights, the names of its categories and
what its input must be. On another machine, with jax, numpy and flatbuffers installed and
fdp_jax/exported_model.py copied beside it:

    import exported_model
    network = exported_model.load("samm.fdp")
    said = network.predict(network.sample(clip)[None])     # clip: uint8 [n, side, side, c]
    dict(zip(network.classes, said["probabilities"][0]))

`python exported_model.py samm.fdp` shows what a file holds.
"""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from datasets.command_line import main_with_clear_errors, names_and_options, parse_options
from datasets.errors import UserError

if TYPE_CHECKING:
    from fdp_jax.workdir import FoldDirectory

PROGRAM = "python -m fdp_jax.export WORKDIR_OR_FOLD"


@dataclass(frozen=True)
class Options:
    """What `python -m fdp_jax.export` takes beside the folder."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The file to write, always to be given; one that is there is replaced."""
    fold: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """Which fold of a work directory, by the name of who was left out; the first when not given."""
    seed: Annotated[str, tyro.conf.arg(metavar="INT")] = ""
    """Of which seed; the first when not given."""


def main() -> None:
    """The command line."""
    run(sys.argv[1:])


def run(arguments: list[str]) -> None:
    """The command line as a function.

    Args:
      arguments: without the program's name.

    Raises:
      UserError: an option that cannot be, no such fold, or a file that cannot be written.
    """
    folders, others = names_and_options(Options, arguments)
    options = parse_options(Options, None, others, PROGRAM, __doc__)
    if len(folders) != 1:
        raise UserError(
            "name one work directory of a training, or one fold in it, then the options as "
            f"--name=value: {PROGRAM} --out=FILE"
        )
    if options.out is None:
        raise UserError("name the file to write with --out=FILE")
    out = options.out.expanduser()
    if out.is_dir():
        raise UserError(f"--out={out} is a folder; name a file, as --out={out / 'network.fdp'}")
    if find_spec("flatbuffers") is None:
        raise UserError("jax.export needs flatbuffers: pip install -r requirements.txt")
    # Names of people may have letters that an old terminal cannot show.
    sys.stdout.reconfigure(errors="replace")
    _export(Path(folders[0]).expanduser(), options, out)


def _export(folder: Path, options: Options, out: Path) -> None:
    from fdp_jax.inference.export_model import write_artefact
    from fdp_jax.inference.trained_fold import find_folds, load_fold

    found = find_folds(folder.resolve())
    suited = [fold for fold in found if _suits(fold, options)]
    if not suited:
        there = ", ".join(f"{fold.path.name} of {_seed_folder(fold)}" for fold in found)
        raise UserError(f"no finished fold of {folder} is as asked for; there are {there}")
    if len(suited) > 1:
        print(f"the first of {len(suited)} finished folds; --fold=NAME and --seed=N take another")
    fold = load_fold(suited[0])
    if fold.config.select != "last":
        print(f"--select={fold.config.select} is not heeded: these are the last step's weights")
    write_artefact(out, fold)
    print(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, {fold.dataset} {fold.protocol}, "
        f"{fold.fold} left out, seed {fold.seed}"
    )
    print(f"what it holds: python -m fdp_jax.exported_model {out}")


def _suits(fold: "FoldDirectory", options: Options) -> bool:
    return options.fold in ("", fold.path.name) and (
        not options.seed or _seed_folder(fold) == f"seed_{options.seed}"
    )


def _seed_folder(fold: "FoldDirectory") -> str:
    return fold.path.parents[1].name


if __name__ == "__main__":
    main_with_clear_errors(main, goes_on=False)

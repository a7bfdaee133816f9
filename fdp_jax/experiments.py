"""A table or figure of the paper, beside the paper's own numbers.

    python -m fdp_jax.experiments --list
    python -m fdp_jax.experiments table12
    python -m fdp_jax.experiments table9 --dataset=synthetic --preset=small --group_folds=3
    python -m fdp_jax.experiments table4 --manual_dir=DIR --seeds=0,1,2

  --list          every experiment in one line
  --dataset=NAME  on another corpus than the paper's (--protocol=NAME: not its first protocol)
  --workdir=DIR   where the runs and results go (runs/experiments)
  --manual_dir=DIR  the unpacked corpus, or a folder that holds one for each corpus of the table
  --json          print the result as JSON

Every other option is one of `python -m fdp_jax.train` and holds for all runs. Runs that are there
are reused and missing ones are trained, so that a stopped experiment goes on where it was; what is
found is printed and written to WORKDIR as NAME.md, NAME.json and, where there are pictures,
NAME.png.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.command_line import main_with_clear_errors
from datasets.errors import UserError
from fdp_jax.files import write_atomically
from fdp_jax.memory import use_large_pages
from fdp_jax.paper.catalogue import NAMES, Experiment, experiment
from fdp_jax.paper.running import (
    IN_TURN,
    Place,
    Result,
    Trainer,
    check_failures,
    check_results,
    option_name,
    run_all,
)

_OWN = ("dataset", "protocol", "workdir", "manual_dir")
_FORBIDDEN = ("ablate", "backbone", "folds", "seed")
_OF_INPUTS = ("data_dir", "preset", "clip.crop", "clip.frames")  # what Figure 1 heeds


def main(arguments: list[str] | None = None, trainer: Trainer = IN_TURN) -> None:
    """The command line.

    Args:
      arguments: without the program's name; those of the process when None.
      trainer: that the runs are trained by.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(_help())
        return
    if "--list" in arguments:
        for name in NAMES:
            print(f"{name:<8} {experiment(name).title}")
        return
    name, own, others = _split(arguments)
    chosen = experiment(name, own.get("dataset", ""), own.get("protocol", ""))
    _check_options(chosen, own, others)
    workdir = Path(own.get("workdir", "runs/experiments")).expanduser()
    place = _place(chosen, workdir, own.get("manual_dir"), others, trainer) if chosen.runs else None
    counts = _count_parameters() if chosen.kind == "backbones" else {}
    results = run_all(chosen, place, trainer) if chosen.trains else []
    if chosen.trains:
        check_results(chosen, results)
    sheet, png = _sheet(chosen, results, counts) if chosen.trains else _untrained(chosen, place)
    _write(workdir / name, sheet, png)
    _print(workdir / name, sheet, png, "json" in own)
    check_failures(results)


def _help() -> str:
    lines = [__doc__, "The experiments, and the options that they choose themselves:\n"]
    for name in NAMES:
        options = [f"--{option}" for option in experiment(name).chosen_options]
        chooses = f" ({', '.join(options)})" if options else ""
        lines.append(f"  {name:<8} {experiment(name).title}{chooses}")
    kept = ", ".join(f"--{option}" for option in _FORBIDDEN)
    heeded = ", ".join(f"--{option}" for option in _OF_INPUTS)
    lines.append(f"\nNone takes {kept}. figure1 trains nothing and heeds {heeded} alone.")
    return "\n".join(lines)


def _split(arguments: list[str]) -> tuple[str, dict[str, str], list[str]]:
    """The experiment's name, its own options, and those for the trainer."""
    names = [argument for argument in arguments if not argument.startswith("-")]
    if len(names) != 1 or arguments[0] != names[0]:
        raise UserError(
            f"name one experiment, then options as --name=value; they are {', '.join(NAMES)}."
        )
    if names[0] not in NAMES:
        raise UserError(f"there is no experiment '{names[0]}'; they are {', '.join(NAMES)}.")
    own, others = {}, []
    for argument in arguments[1:]:
        option = option_name(argument)
        if option in _OWN:
            value = argument.partition("=")[2]
            if not value:
                raise UserError(f"--{option} needs a value, as --{option}=...")
            own[option] = value
        elif argument == "--json":
            own["json"] = ""
        else:
            others.append(argument)
    return names[0], own, others


def _check_options(chosen: Experiment, own: dict[str, str], others: Sequence[str]) -> None:
    """Raises UserError for an option that is the experiment's to choose, or would do nothing."""
    for option in map(option_name, others):
        if option in (*_FORBIDDEN, *chosen.chosen_options):
            raise UserError(
                f"--{option} is chosen by the experiment"
                + ("; name seeds as --seeds=0,1,2." if option == "seed" else ".")
            )
    given = [*own, *map(option_name, others)]
    if chosen.trains:
        return
    heeded = ("workdir", "json", *(() if not chosen.runs else (*_OWN, *_OF_INPUTS)))
    unheeded = [option for option in given if option not in heeded]
    if unheeded:
        raise UserError(
            f"{chosen.name} trains nothing and does not heed --{unheeded[0]}; leave it out (it "
            f"takes --{', --'.join(dict.fromkeys(heeded))})."
        )


def _place(
    chosen: Experiment, workdir: Path, manual_dir: str | None, others: list[str], trainer: Trainer
) -> Place:
    """Where the runs go; every run's options are checked here, before anything is trained.

    Raises:
      UserError: an option that the trainer does not have, or cannot take.
    """
    options, _ = trainer.options_from([*others, *chosen.runs[0].arguments()])
    place = Place(
        workdir=workdir,
        data_dir=options.data_dir,
        manual_dir=Path(manual_dir).expanduser() if manual_dir else None,
        preset=options.preset,
        options=tuple(others),
        is_parent=len({name for run in chosen.runs for name in run.corpora}) > 1,
    )
    for run in chosen.runs:
        trainer.options_from(place.arguments(run))
    return place


def _sheet(chosen: Experiment, results: list[Result], counts: dict[str, int]):
    """The finished table, and a picture where the experiment has one."""
    from fdp_jax.paper import pictures, tables

    match chosen.kind:
        case "methods":
            return tables.methods(chosen, results), None
        case "ablations":
            return tables.ablations(chosen, results), None
        case "backbones":
            return tables.backbones(chosen, results, counts), None
        case "weights":
            return tables.weights(chosen, results), None
        case "images":
            return tables.ablations(chosen, results), pictures.draw(pictures.constructions(results))
    trained = [result for result in results if result.report is not None]
    rows = [row for result in trained for row in pictures.clip_rows(result)]
    panels = [panel for result in trained for panel in pictures.right_and_wrong(result)]
    return tables.clips(chosen, rows, results), pictures.draw(panels)


def _untrained(chosen: Experiment, place: Place | None):
    """As `_sheet`, of an experiment that trains nothing."""
    from fdp_jax.paper import tables

    if place is None:
        return tables.significance(chosen), None
    from datasets.protocols import get_protocol
    from fdp_jax.corpora import ensure_built
    from fdp_jax.paper import pictures
    from fdp_jax.train import options_from

    (run,) = chosen.runs
    if lacking := place.why_missing(run):
        raise UserError(f"{lacking} (or name another corpus with --dataset).")
    options, _ = options_from(place.arguments(run))
    config = options.config.clip
    protocol = get_protocol(run.dataset, run.protocol)
    ensure_built(protocol, place.data_dir, place.manual_dir, config.crop)
    panels = pictures.dynamic_images(place.data_dir, run.dataset, run.protocol, config)
    sheet = tables.shown(chosen, [panel.title.split("\n") for panel in panels])
    return sheet, pictures.draw(panels)


def _count_parameters() -> dict[str, int]:
    """Backbone -> parameters at the paper's sizes, told at once; nothing is trained for it."""
    import dataclasses

    from fdp_jax.config import preset
    from fdp_jax.models.fdp import count_backbone_params
    from fdp_jax.paper.numbers import paper_table

    counts = {
        name: count_backbone_params(dataclasses.replace(preset("paper"), backbone=name))
        for name in paper_table("table10").column("backbone")
    }
    told = "; ".join(f"{name} {count:,}" for name, count in counts.items())
    print(f"Parameters at the paper's sizes: {told}", file=sys.stderr)
    return counts


def _write(stem: Path, sheet, png: bytes | None) -> None:
    from fdp_jax.paper.sheets import as_markdown

    picture = f"\n![{sheet.title}]({stem.name}.png)\n" if png else ""
    write_atomically(stem.with_suffix(".md"), as_markdown(sheet) + picture)
    as_json = json.dumps(sheet.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(stem.with_suffix(".json"), as_json + "\n")
    if png:
        write_atomically(stem.with_suffix(".png"), png)


def _print(stem: Path, sheet, png: bytes | None, is_json: bool) -> None:
    from fdp_jax.paper.sheets import as_text

    if is_json:
        print(json.dumps(sheet.as_dict(), indent=2, ensure_ascii=False))
        return
    print(as_text(sheet))
    print(f"Written: {stem}.md, {stem.name}.json" + (f", {stem.name}.png" if png else ""))


if __name__ == "__main__":
    use_large_pages()
    main_with_clear_errors(main)

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
from pathlib import Path

from datasets.command_line import main_with_clear_errors
from datasets.errors import UserError
from fdp_jax.experiments.catalogue import NAMES, Experiment, experiment
from fdp_jax.experiments.running import Place, none_was_possible, run_all
from fdp_jax.files import write_atomically
from fdp_jax.memory import use_large_pages

_FORBIDDEN = ("ablate", "backbone", "workdir", "folds", "seed")


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    if "--list" in arguments:
        for name in NAMES:
            print(f"{name:<8} {experiment(name).title}")
        return
    name, own, others = _split(arguments)
    if name not in NAMES:
        raise UserError(f"there is no experiment '{name}'; they are {', '.join(NAMES)}.")
    chosen = experiment(name, own.get("dataset", ""), own.get("protocol", ""))
    place = _place(chosen, own, others)
    sheet, png = _result(chosen, place)
    written = sheet.as_dict()
    stem = place.workdir / name
    _write(stem, sheet, written, png)
    if "json" in own:
        print(json.dumps(written, indent=2, ensure_ascii=False))
        return
    from fdp_jax.experiments.tables import as_text

    print(as_text(sheet))
    print(f"Written: {stem}.md, {stem.name}.json" + (f", {stem.name}.png" if png else ""))


def _split(arguments: list[str]) -> tuple[str, dict[str, str], list[str]]:
    """The experiment's name, its own options, and those for the trainer."""
    names = [argument for argument in arguments if not argument.startswith("-")]
    if len(names) != 1 or arguments[0] != names[0]:
        raise UserError(
            f"name one experiment, then options as --name=value; they are {', '.join(NAMES)}."
        )
    own, others = {}, []
    for argument in arguments[1:]:
        option, _, value = argument.removeprefix("--").partition("=")
        option = option.replace("-", "_")
        if option in ("dataset", "protocol", "workdir", "manual_dir"):
            if not value:
                raise UserError(f"--{option} needs a value, as --{option}=...")
            own[option] = value
        elif argument == "--json":
            own["json"] = ""
        elif option in _FORBIDDEN:
            raise UserError(
                f"--{option} is chosen by the experiment"
                + ("; name seeds as --seeds=0,1,2." if option == "seed" else ".")
            )
        else:
            others.append(argument)
    return names[0], own, others


def _place(chosen: Experiment, own: dict[str, str], others: list[str]) -> Place:
    """Where the runs go; the options are checked here, before anything is trained.

    Raises:
      UserError: an option that the trainer does not have, or cannot take.
    """
    from fdp_jax.train import options_from

    example = chosen.runs[0].arguments() if chosen.runs else ["--dataset=synthetic"]
    options, _ = options_from([*others, *example])
    corpora = {name for run in chosen.runs for name in run.corpora}
    manual_dir = own.get("manual_dir")
    return Place(
        workdir=Path(own.get("workdir", "runs/experiments")).expanduser(),
        data_dir=options.data_dir,
        manual_dir=Path(manual_dir).expanduser() if manual_dir else None,
        preset=options.preset,
        options=tuple(others),
        is_parent=len(corpora) > 1,
    )


def _result(chosen: Experiment, place: Place):
    """The finished table, and a picture where the experiment has one."""
    from fdp_jax.experiments import tables

    if chosen.kind == "significance":
        return tables.significance(chosen), None
    if chosen.name == "figure1":
        return _figure1(chosen, place)
    counts = {}
    if chosen.kind == "backbones":
        counts = _count_parameters()
    results = run_all(chosen, place)
    trained = [result for result in results if result.report is not None]
    if not trained and chosen.kind != "backbones":
        raise none_was_possible(results)
    match chosen.kind:
        case "methods":
            return tables.methods(chosen, results), None
        case "ablations":
            return tables.ablations(chosen, results), None
        case "backbones":
            return tables.backbones(chosen, results, counts), None
        case "weights":
            return tables.weights(chosen, results), None
    from fdp_jax.experiments import pictures

    if chosen.kind == "clips":
        rows = [row for result in trained for row in pictures.clip_rows(result)]
        panels = [panel for result in trained for panel in pictures.right_and_wrong(result)]
        return tables.clips(chosen, rows, results), pictures.draw(panels)
    return tables.ablations(chosen, results), pictures.draw(pictures.constructions(results))


def _figure1(chosen: Experiment, place: Place):
    from fdp_jax.config import ClipConfig
    from fdp_jax.corpora import ensure_built
    from fdp_jax.experiments import pictures, tables

    run = chosen.runs[0]
    if place.missing_corpora(run):
        from datasets.reading import build_command

        raise UserError(
            f"{run.dataset} is not built: {build_command(run.dataset, place.data_dir)} (or name "
            "another corpus with --dataset)."
        )
    from datasets.protocols import get_protocol

    crop = ClipConfig().crop
    ensure_built(get_protocol(run.dataset, run.protocol), place.data_dir, place.manual_dir, crop)
    panels = pictures.dynamic_images(place.data_dir, run.dataset, run.protocol, crop)
    return tables.shown(chosen, [panel.title.split("\n") for panel in panels]), pictures.draw(
        panels
    )


def _count_parameters() -> dict[str, int]:
    """Backbone -> parameters at the paper's sizes; nothing is trained for it."""
    import dataclasses

    from fdp_jax.config import preset
    from fdp_jax.models.parameter_count import backbone_parameters
    from fdp_jax.paper_numbers import paper_table

    return {
        name: backbone_parameters(dataclasses.replace(preset("paper"), backbone=name))
        for name in paper_table("table10").column("backbone")
    }


def _write(stem: Path, sheet, written: dict, png: bytes | None) -> None:
    from fdp_jax.experiments.tables import as_markdown

    picture = f"\n![{sheet.title}]({stem.name}.png)\n" if png else ""
    write_atomically(stem.with_suffix(".md"), as_markdown(sheet) + picture)
    as_json = json.dumps(written, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(stem.with_suffix(".json"), as_json + "\n")
    if png:
        write_atomically(stem.with_suffix(".png"), png)


if __name__ == "__main__":
    use_large_pages()
    main_with_clear_errors(main)

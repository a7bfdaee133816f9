"""Reproduces a table or figure of the paper, beside the paper's own numbers.

    python -m fdp_jax.experiments --list
    python -m fdp_jax.experiments table12
    python -m fdp_jax.experiments table9 --dataset=synthetic --preset=small --group_folds=3
    python -m fdp_jax.experiments table4 --manual_dir=DIR --seeds=0,1,2

Options of training hold for all runs of a table. --dataset and --protocol replace the paper's
corpora; --manual_dir is the folder of the unpacked corpus, or the parent of several. Finished runs
are reused, and repeating the command resumes one that was stopped. The result is printed and
written to WORKDIR as NAME.md and NAME.json, and as NAME.png if it has images.
"""

import contextlib
import dataclasses
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from datasets.command_line import run_command
from datasets.errors import UserError
from datasets.protocols import Protocol
from fdp_jax.corpora import MissingCorpusError, folder_of
from fdp_jax.environment import use_large_pages
from fdp_jax.options import (
    TrainOptions,
    arg,
    find_protocol_of,
    init_suffix,
    parse_unresolved_options,
    resolve_options,
)
from fdp_jax.paper import registry
from fdp_jax.paper.registry import Experiment, RunResult
from fdp_jax.train import train
from fdp_jax.weights import BUNDLED_NAME

if TYPE_CHECKING:
    from fdp_jax.paper.result_table import ResultTable

PROGRAM = "python -m fdp_jax.experiments"
_FIXED_OPTIONS = ("ablate", "backbone", "folds", "seed")
# Options that are read without training.
_READ = {
    "significance": ("workdir", "json"),
    "spotting": ("workdir", "json", "weights", "seed"),
    "inputs": ("workdir", "json", "dataset", "protocol", "manual_dir", "table", "data_dir",
               "preset", "clip.crop", "clip.frames"),
}  # fmt: skip

Resolved = tuple[TrainOptions, Protocol]


@dataclass(frozen=True)
class ExperimentOptions(TrainOptions):
    """Options of `python -m fdp_jax.experiments`."""

    name: tyro.conf.Positional[str] = ""
    """Table or figure of the paper."""
    workdir: Path = Path("runs/experiments")
    """Folder of the results, with a folder for each run."""
    list: bool = False
    """Print the names and titles of all tables and figures."""
    json: bool = False
    """Print the result as JSON."""
    weights: Annotated[str, arg(metavar="FILE|bundled")] = BUNDLED_NAME
    """Weights that `pretraining` and `spotting` evaluate."""


def _train_here(options: TrainOptions, protocol: Protocol, command: str) -> dict:
    from fdp_jax.plan import make_plan  # late, since it loads scikit-learn

    return train(make_plan(options, protocol, command))


def main(
    arguments: Sequence[str] | None = None,
    train: Callable[[TrainOptions, Protocol, str], dict] = _train_here,
    kind: type[ExperimentOptions] = ExperimentOptions,
    program: str = PROGRAM,
    description: str = __doc__,
) -> None:
    """Runs the command line.

    Args:
      arguments: without the program's name; those of the process by default.
      train: trains a run and returns the content of its `report.json`, as `fdp_jax.train.train`.
      kind: class of the options, which `train` gets.
      program, description: of the command.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parse_unresolved_options(arguments, program, description + _overview(), kind)
    if options.list:
        print("\n".join(f"{name:<8} {registry.experiment(name).title}" for name in registry.NAMES))
        return
    if options.name not in registry.NAMES:
        mistake = "name one experiment"
        if options.name:
            mistake = f"there is no experiment '{options.name}'"
        raise UserError(f"{mistake}; they are {', '.join(registry.NAMES)}")
    if options.table is not None:  # the experiment depends on the classes that are built
        find_protocol_of(options)
        options = dataclasses.replace(options, table=None)
    experiment = registry.experiment(
        options.name, options.dataset, options.protocol, options.data_dir.expanduser()
    )
    _check_options(experiment, arguments)
    runs = _resolve_runs(experiment, options)
    command = f"{program} {shlex.join(arguments)}"
    results = _train_all(experiment, runs, train, command) if experiment.trains else []
    table = _make_table(experiment, options, runs, results)
    files = table.write(options.workdir.expanduser())
    print(table.as_json() if options.json else f"{table.as_text()}\nWritten: {', '.join(files)}")
    if failed := [result for result in results if result.failed]:
        raise UserError(
            f"{len(failed)} of {len(results)} runs failed; {failed[0].run.name}: {failed[0].reason}"
        )


def _overview() -> str:
    """Returns all experiments with the options that they set themselves, for --help."""
    lines = ["", "The experiments, and the options that they set themselves:", ""]
    for name in registry.NAMES:
        experiment = registry.experiment(name)
        own = ", ".join(f"--{option}" for option in experiment.own_options)
        lines.append(f"    {name:<8} {experiment.title}{f' ({own})' if own else ''}")
    fixed, read = (", --".join(options) for options in (_FIXED_OPTIONS, _READ["inputs"]))
    lines += ["", f"No experiment takes --{fixed}; figure1 reads only --{read}."]
    return "\n".join(lines)


def _check_options(experiment: Experiment, arguments: Sequence[str]) -> None:
    """Raises UserError for an option that the experiment sets itself or does not read."""
    read = _READ.get(experiment.kind)
    words = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    for option in [word.removeprefix("--").replace("-", "_") for word in words]:
        if read and option not in read:
            raise UserError(
                f"{experiment.name} trains nothing and does not read --{option}; leave it out (it"
                f" takes --{', --'.join(read)})"
            )
        if option == "weights" and experiment.kind not in ("pretraining", "spotting"):
            raise UserError(f"{experiment.name} does not read --weights; leave it out")
        if not read and option in (*_FIXED_OPTIONS, *experiment.own_options):
            hint = "; name seeds as --seeds=0,1,2" if option == "seed" else "; leave it out"
            raise UserError(f"--{option} is set by the experiment{hint}")


def _resolve_runs(experiment: Experiment, options: ExperimentOptions) -> list[Resolved]:
    """Returns the validated options and the protocol of every run.

    Raises:
      UserError: an option has an impossible value, or --manual_dir does not exist.
    """
    parent = options.manual_dir and options.manual_dir.expanduser()
    corpora = dict.fromkeys(name for run in experiment.runs for name in run.corpora)
    folders = dict.fromkeys(corpora, parent)
    if parent and (len(corpora) > 1 or not parent.is_dir()):
        folders = {name: folder_of(name, parent) for name in corpora}
    runs: list[Resolved] = []
    for run in experiment.runs:
        init = options.weights if run.is_fine_tuned else options.init
        own = dataclasses.replace(
            options,
            dataset=run.dataset,
            protocol=run.protocol,
            manual_dir=folders[run.dataset] if run.dataset else parent,
            workdir=options.workdir / f"{run.folder(options.preset)}{init_suffix(init)}",
            init=init,
            config=run.config(options.config),
        )
        runs.append(resolve_options(own))
    return runs


def _train_all(
    experiment: Experiment, runs: Sequence[Resolved], train: Callable, command: str
) -> list[RunResult]:
    """Trains the runs one after the other; an error in one of them does not stop the others.

    Prints first how much there is to train.

    Raises:
      UserError: no run has a result; Table 10 shows the numbers of parameters even so.
    """
    print(f"{experiment.name}: {_describe_plan(experiment, runs)}", file=sys.stderr)
    results = []
    for run, (options, protocol) in zip(experiment.runs, runs, strict=True):
        progress = f"run {len(results) + 1} of {len(runs)}"
        print(f"{experiment.name}, {progress}: {options.workdir}", file=sys.stderr)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for the table
                report = train(options, protocol, command)
            results.append(RunResult(run, options.workdir, report))
        except UserError as error:
            print(f"{run.name}: {error}", file=sys.stderr)
            failed = not isinstance(error, MissingCorpusError)
            results.append(RunResult(run, options.workdir, None, str(error), failed))
    if experiment.name != "table10" and not any(result.report for result in results):
        if failed := [result.reason for result in results if result.failed]:
            raise UserError(f"no run was completed: {failed[0]}")
        raise UserError(
            f"nothing can be trained: {results[0].reason} (or choose another corpus with --dataset)"
        )
    return results


def _describe_plan(experiment: Experiment, runs: Sequence[Resolved]) -> str:
    """Returns how much the runs train, before any of them has a corpus."""
    from fdp_jax.plan import describe_work, expected_folds  # late, since it needs scikit-learn

    names = ", ".join(run.name for run in experiment.runs)
    lead = f"{len(runs)} run{'s' if len(runs) > 1 else ''} ({names})"
    trainings: Counter[int] = Counter()  # of so many steps
    of_steps = {}
    for options, protocol in runs:
        config = options.config
        folds = expected_folds(protocol, config.group_folds)
        if folds is None:
            return f"{lead} of {config.steps:,} steps per fold and seed"
        of_steps[config.steps] = options
        rounds = 2 if config.select == "all" else 1
        trainings[config.steps] += folds * len(options.all_seeds) * rounds
    work = [describe_work(of_steps[steps], n, on_cpu=None) for steps, n in trainings.items()]
    return f"{lead}, together {' and '.join(work)}; finished ones are reused"


def _make_table(
    experiment: Experiment,
    options: ExperimentOptions,
    runs: Sequence[Resolved],
    results: Sequence[RunResult],
) -> "ResultTable":
    from fdp_jax.paper import pictures, pretraining, result_table  # late, with matplotlib

    match experiment.kind:
        case "spotting":
            return pretraining.spotting_table(experiment, options.weights, options.seed)
        case "pretraining":
            return pretraining.pretraining_table(experiment, results, *runs[0], options.weights)
        case "methods":
            return result_table.methods_table(experiment, results)
        case "significance":
            return result_table.significance_table(experiment)
        case "variants":
            return result_table.variants_table(experiment, results)
        case "images":
            table = result_table.variants_table(experiment, results)
            panels = pictures.constructions(results)
        case "clips":
            panels = pictures.correct_and_wrong(results)
            table = result_table.clips_table(experiment, panels, results)
        case "inputs":
            panels = pictures.dynamic_images(*runs[0])
            table = result_table.clips_table(experiment, panels, results)
    return dataclasses.replace(table, picture=pictures.draw(panels))


if __name__ == "__main__":
    use_large_pages()
    run_command(main, resumable=True)

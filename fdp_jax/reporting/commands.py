"""Command lines of `python -m fdp_jax.report`; everything heavy is imported after parsing."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from datasets.command_line import parse_options
from datasets.errors import UserError
from datasets.protocols import COMPOSITES, CORPORA, OWN
from datasets.reading import find_protocol
from fdp_jax.reporting.formatting import to_json

PROGRAM = "python -m fdp_jax.report"
_ABOUT = """
Writes the report of a training again, from the files in its work directory.

Also: `report compare WORKDIR WORKDIR` compares two trainings on the same clips, and `report chance`
computes the scores of random guessing under a selection rule. Each has its own --help.
"""
_EVALUATIONS = (1, 10, 70, 125)  # the released code evaluates 70 to 125 times
_MAX_DRAWS = 100_000  # more would exhaust memory


@dataclass(frozen=True)
class ReportOptions:
    """What to report."""

    workdir: tyro.conf.Positional[Path]
    """The --workdir of a training."""
    out: Path | None = None
    """Folder of the report, where the work directory cannot be written to; the work directory by
    default."""
    for_paper: bool = False
    """Write the figures as PDF and SVG, too, with text as text; this takes some seconds more, so a
    training leaves it out. Tables for LaTeX are in tables.tex always."""
    json: bool = False
    """Print report.json instead of the summary."""


@dataclass(frozen=True)
class CompareOptions:
    """What to compare."""

    workdir: tyro.conf.Positional[Path]
    """The --workdir of the first training."""
    other_workdir: tyro.conf.Positional[Path]
    """The --workdir of the second training."""
    draws: int = 2000
    """Bootstrap resamples of the subjects."""
    seed: int = 0
    """Seed of the resamples."""
    json: bool = False
    """Print one JSON object instead of text."""


@dataclass(frozen=True)
class ChanceOptions:
    """Which protocol to guess, and how often."""

    dataset: Annotated[str, tyro.conf.arg(help=f"The corpus: {', '.join((*CORPORA, OWN))}.")] = ""
    protocol: Annotated[
        str,
        tyro.conf.arg(
            help="Classes and clips; by default the first protocol of the corpus. Protocols of"
            f" several corpora take no --dataset: {', '.join(COMPOSITES)}."
        ),
    ] = ""
    group_folds: int = 0
    """Leave out K groups of subjects instead of one subject at a time."""
    annotations: Path | None = None
    """Folder with the annotation sheet of the corpus, or the parent of one such folder per corpus
    of the protocol."""
    data_dir: Path | None = None
    """Folder with built corpora; `data` if no other source of labels is given."""
    workdir: Path | None = None
    """The --workdir of a training, whose corpus, protocol and folds are used."""
    evaluations: Annotated[
        tuple[int, ...],
        tyro.conf.arg(
            help="Evaluations per fold, one row for each; by default those of --workdir, or"
            f" {','.join(map(str, _EVALUATIONS))}."
        ),
    ] = ()
    draws: int = 200
    """Simulated runs of the whole protocol."""
    seed: int = 0
    """Seed of the guesses."""
    json: bool = False
    """Print one JSON object instead of text."""


def parse_report_options(arguments: Sequence[str]) -> ReportOptions:
    """Returns the options of `report WORKDIR`."""
    return parse_options(ReportOptions, arguments, program=PROGRAM, description=_ABOUT)


def compare_command(arguments: Sequence[str]) -> None:
    """Compares two trainings on the clips that both have.

    Prints scores with intervals, their differences, McNemar's exact test, and how the trainings
    differ. The intervals resample subjects, not clips.
    """
    options = parse_options(
        CompareOptions,
        arguments,
        program=f"{PROGRAM} compare",
        description=inspect.getdoc(compare_command),
    )
    _check_draws(options)
    from fdp_jax.reporting.comparison import compare, text

    found = compare(options.workdir, options.other_workdir, draws=options.draws, seed=options.seed)
    print(to_json(found) if options.json else text(found))


def chance_command(arguments: Sequence[str]) -> None:
    """Prints the scores of random guessing under a rule that evaluates the test clips.

    Nothing is trained. The labels of the test clips come from one of three sources: an annotation
    sheet (--annotations), a built corpus (--data_dir), or the predictions of a training
    (--workdir). Each evaluation guesses the test clips of a fold anew, and each fold keeps its best
    evaluation, as the selection rule test-best does.
    """
    options = parse_options(
        ChanceOptions,
        arguments,
        program=f"{PROGRAM} chance",
        description=inspect.getdoc(chance_command),
        synonyms={"looks": "--evaluations"},
    )
    _check_draws(options)
    if min(options.evaluations, default=1) < 1:
        raise UserError("--evaluations must be at least 1")
    names = ("annotations", "data_dir", "workdir")
    sources = [f"--{name}" for name in names if getattr(options, name) is not None]
    if len(sources) > 1:
        raise UserError(f"labels come from one source; leave out {' or '.join(sources)}")
    if options.workdir and (options.dataset or options.protocol or options.group_folds):
        raise UserError(
            "--workdir determines corpus, protocol and folds; leave out --dataset, --protocol and"
            " --group_folds"
        )
    from fdp_jax.reporting.chance import chance_levels, text

    labels = _fold_labels(options)
    default = (labels.evaluations,) if labels.evaluations else _EVALUATIONS
    found = chance_levels(labels, options.evaluations or default, options.draws, options.seed)
    print(to_json(found) if options.json else text(found))


def _fold_labels(options: ChanceOptions):
    from fdp_jax.config import check_groups
    from fdp_jax.reporting.chance import labels_of_protocol, labels_of_workdir

    if options.workdir:
        return labels_of_workdir(options.workdir.expanduser())
    annotations = options.annotations and options.annotations.expanduser()
    data_dir = (options.data_dir or Path("data")).expanduser()
    protocol = find_protocol(options.dataset or None, options.protocol or None, data_dir)
    check_groups(options.group_folds, protocol.split)
    try:
        return labels_of_protocol(protocol, annotations, data_dir, options.group_folds)
    except UserError as error:
        if annotations:
            raise
        raise UserError(
            f"{str(error).rstrip('.')}; or name the folder of its annotation sheet with"
            " --annotations=DIR, or a training with --workdir=DIR"
        ) from error


def _check_draws(options: CompareOptions | ChanceOptions) -> None:
    if not 1 <= options.draws <= _MAX_DRAWS:
        raise UserError(f"--draws must be from 1 to {_MAX_DRAWS:,}")
    if options.seed < 0:
        raise UserError("--seed must be at least 0")

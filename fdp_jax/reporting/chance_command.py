"""What guessing reaches where a rule looks at the test clips: `python -m fdp_jax.report chance`.

    python -m fdp_jax.report chance --dataset=samm --annotations=DIR_OF_SAMM --looks=1,10
    python -m fdp_jax.report chance --protocol=megc2019 --data_dir=data
    python -m fdp_jax.report chance --workdir=runs/samm_5class_paper

Nothing is trained. The labels of each fold's test clips come from one of three places: the
annotation sheet alone (--annotations), a corpus as built (--data_dir), or the predictions of a
training (--workdir). Every look guesses the test clips of a fold anew; each fold keeps its best
look, as the selection rule test-best does, and the folds are scored as one table (each direction by
itself, and averaged, where whole corpora are left out).
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from datasets.command_line import parse_options
from datasets.errors import UserError
from datasets.protocols import COMPOSITES, CORPORA, get_protocol
from fdp_jax.config import Ints, check_groups

PROGRAM = "python -m fdp_jax.report chance"
LOOKS = (1, 10, 70, 125)

_PROTOCOL_HELP = (
    "Categories and clips, the corpus' first ones when not given. Over several corpora: "
    f"{', '.join(COMPOSITES)}, which take no --dataset."
)
_LOOKS_HELP = (
    f"How many looks at each fold, one row for each number; {','.join(map(str, LOOKS))} when not "
    "given (the released code takes 70 to 125), or those of the --workdir."
)


@dataclass(frozen=True)
class Options:
    """What `report chance` takes."""

    dataset: Annotated[str, tyro.conf.arg(help=f"The corpus: {', '.join(CORPORA)}.")] = ""
    protocol: Annotated[str, tyro.conf.arg(help=_PROTOCOL_HELP)] = ""
    group_folds: int = 0
    """Leave out K groups of people in turn instead of one person at a time."""
    annotations: Path | None = None
    """Folder with the corpus' annotation sheet (of smic: its folders), or the parent of such
    folders where --protocol names several corpora."""
    data_dir: Path | None = None
    """Where built corpora are kept; `data` when no place is named."""
    workdir: Path | None = None
    """Of a training, which tells corpus, protocol and folds by itself."""
    looks: Annotated[Ints, tyro.conf.arg(help=_LOOKS_HELP)] = ()
    draws: int = 200
    """How many times the whole protocol is guessed through."""
    seed: int = 0
    """Of the guesses."""
    json: bool = False
    """Print one JSON object instead of words."""


def main(arguments: list[str]) -> None:
    """The command line.

    Raises:
      UserError: an option that does not exist or cannot be, or labels that are not to be had.
    """
    options = parse_options(Options, None, arguments, PROGRAM, __doc__)
    _check(options)
    labels = _labels(options)
    from fdp_jax.metrics.chance import chance_level

    looks = options.looks or ((labels.looks,) if labels.looks else LOOKS)
    levels = [
        chance_level(
            labels.by_fold, labels.classes, number, options.draws, options.seed, labels.split
        )
        for number in looks
    ]
    if options.json:
        print(json.dumps(_as_json(labels, levels), indent=2, ensure_ascii=False))
    else:
        sys.stdout.reconfigure(errors="replace")
        print("\n".join(_screen(labels, levels)))


def _check(options: Options) -> None:
    """Refuses what cannot be, before anything is read."""
    from fdp_jax.metrics.chance import MOST_DRAWS

    if min((options.draws, *options.looks)) < 1:
        raise UserError("--looks and --draws must be at least 1")
    if options.draws > MOST_DRAWS:
        raise UserError(f"--draws must be at most {MOST_DRAWS:,}")
    if options.seed < 0:
        raise UserError("--seed must be at least 0")
    places = ("annotations", "data_dir", "workdir")
    named = [f"--{place}" for place in places if getattr(options, place) is not None]
    if len(named) > 1:
        raise UserError(f"the labels come from one place; leave out {' or '.join(named)}")
    if options.workdir is not None and (options.dataset or options.protocol or options.group_folds):
        raise UserError(
            "a --workdir tells its own corpus, protocol and folds; leave out --dataset, --protocol "
            "and --group_folds"
        )


def _labels(options: Options):
    """The labels by fold, from the place that was named."""
    from fdp_jax.reporting import protocol_labels as places

    if options.workdir is not None:
        return places.labels_of_workdir(options.workdir.expanduser())
    protocol = get_protocol(options.dataset or None, options.protocol or None)
    check_groups(options.group_folds, protocol.split)
    if options.annotations is not None:
        folder = options.annotations.expanduser()
        return places.labels_of_annotations(protocol, folder, options.group_folds)
    data_dir = (options.data_dir or Path("data")).expanduser()
    try:
        return places.labels_of_corpus(protocol, data_dir, options.group_folds)
    except UserError as error:
        raise UserError(
            f"{str(error).rstrip('.')}; or name the folder of its annotation sheet with"
            " --annotations=DIR, or a training with --workdir=DIR"
        ) from error


def _as_json(labels, levels: list) -> dict:
    return {
        "dataset": labels.dataset,
        "protocol": labels.protocol,
        "split": labels.split,
        "classes": list(labels.classes),
        "n_clips": labels.clips,
        "n_subjects": labels.people,
        "n_folds": len(labels.by_fold),
        "levels": [asdict(level) for level in levels],
        "warnings": list(labels.warnings),
    }


def _screen(labels, levels: list) -> list[str]:
    """The table, and what it means."""
    from fdp_jax.reporting.comparison_text import columns

    rows = [("Looks", "Guesses", "Acc", "UF1 (macro F1)")]
    for level in levels:
        for kind, found in (("uniform", level.uniform), ("class shares", level.class_share)):
            cells = (_range(score) for score in (found.acc, found.uf1))
            rows.append((str(level.looks), kind, *cells))
    scored = "each direction by itself, then averaged"
    scored = scored if labels.split == "corpora" else "pooled into one table"
    return [
        f"What guessing reaches on {labels.dataset} {labels.protocol}: {labels.clips} clips of"
        f" {labels.people} people, {len(labels.by_fold)} folds, {len(labels.classes)} classes",
        "",
        *columns(rows),
        "",
        f"Mean, and in brackets the middle 95 %, of {levels[0].draws} random runs (seed"
        f" {levels[0].seed}), their folds {scored}.",
        "Nothing was trained and nothing was seen: every look guesses each test clip at random,",
        "either every class alike (uniform) or as often as the clips have it (class shares), and",
        "each fold keeps the look with most of its own test clips right. That is what the rule",
        "test-best does with a network. A result under test-best shows learning only by how far it",
        "is above the row with as many looks; last and val look at no test clip: one look.",
        *(f"WARNING: {sentence}" for sentence in labels.warnings),
    ]


def _range(score) -> str:
    return f"{100 * score.mean:.1f} % [{100 * score.low:.1f}, {100 * score.high:.1f}]"

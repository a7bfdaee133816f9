"""Two work directories side by side: `python -m fdp_jax.report compare WORKDIR WORKDIR`.

Scores with intervals, their difference on the clips that both have, McNemar's exact test, and in
what the two trainings differ. The intervals come from drawing people, not clips, with replacement.
"""

import json
import sys
from dataclasses import dataclass

from datasets.command_line import names_and_options, parse_options
from datasets.errors import UserError

PROGRAM = "python -m fdp_jax.report compare"


@dataclass(frozen=True)
class Options:
    """What `report compare` takes beside the two folders."""

    draws: int = 2000
    """How many times the people are drawn."""
    seed: int = 0
    """Of the draws."""
    json: bool = False
    """Print one JSON object instead of words."""


def main(arguments: list[str]) -> None:
    """The command line.

    Raises:
      UserError: not two folders, an option that does not exist, or runs that have nothing in
        common.
    """
    folders, others = names_and_options(Options, arguments)
    options = parse_options(Options, None, others, f"{PROGRAM} WORKDIR WORKDIR", __doc__)
    if len(folders) != 2:
        raise UserError(
            f"name two work directories, then the options as --name=value: {PROGRAM} WORKDIR"
            " WORKDIR"
        )
    from fdp_jax.metrics.chance import MOST_DRAWS

    if not 1 <= options.draws <= MOST_DRAWS or options.seed < 0:
        raise UserError(f"--draws must be from 1 to {MOST_DRAWS:,}, and --seed at least 0")
    from fdp_jax.reporting.comparison import compare
    from fdp_jax.reporting.comparison_text import lines

    found = compare(*folders, draws=options.draws, seed=options.seed)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        sys.stdout.reconfigure(errors="replace")
        print("\n".join(lines(found)))

"""Two work directories of one protocol, compared on the clips that both have.

Scores of several seeds are averaged, and the intervals are of that average: in each draw the same
people are taken for every seed of both runs. McNemar's test is made for each seed that both have
(where they have none in common, for their seeds in order), since it needs one prediction a clip.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from datasets.errors import UserError
from fdp_jax.metrics.bootstrap import DRAWS, Resampling, drawn_scores, interval
from fdp_jax.metrics.confusion import SCORED
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.significance import combined_p_value, mcnemar
from fdp_jax.reporting.selection import side_by_side
from fdp_jax.reporting.summary import headline_runs, split_of
from fdp_jax.reporting.workdir import Run, read_workdir

Key = tuple[str, str, str]  # corpus, subject, clip

# Entries of config.json whose difference means that two runs did not have the same task.
_TASK = {
    "dataset": "the corpus",
    "protocol": "the protocol",
    "label_version": "the label version",
    "clips": "the built clips (frames, labels or people)",
    "group_folds": "the groups of people left out",
}
OPTIMISTIC = "test-best"
_NO_OPTIONS = ("select", "preset")  # told by themselves


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two.

    Attributes:
      workdir: of the training.
      config: its config.json.
      runs: those that its report's headline comes from, one a seed.
      tables: their predictions, one table a seed.
    """

    workdir: Path
    config: dict
    runs: tuple[Run, ...]
    tables: tuple[PredictionTable, ...]

    @classmethod
    def read(cls, workdir: str | Path) -> "Side":
        """Reads a work directory.

        Raises:
          UserError: it is none, has no finished fold, or its network names no categories.
        """
        workdir = Path(workdir)
        config, runs = read_workdir(workdir)
        chosen = tuple(headline_runs(runs))
        tables = tuple(run.table for run in chosen)
        if not all(table.recognises for table in tables):
            raise UserError(
                f"{workdir} has no predictions to compare: the recognition module was left out of"
                " its training (--ablate=no_mer); name another work directory."
            )
        return cls(workdir, config, chosen, tables)

    @property
    def seeds(self) -> list[int]:
        """One for each table."""
        return [run.seed for run in self.runs]

    @property
    def info(self) -> dict:
        """run.json of the first seed."""
        return self.runs[0].info

    def labels(self) -> dict[Key, str]:
        """True class of every clip that all seeds predict."""
        first, *others = (dict(zip(_keys(t), t.label, strict=True)) for t in self.tables)
        return {key: label for key, label in first.items() if all(key in o for o in others)}


def compare(
    first: str | Path, second: str | Path, draws: int = DRAWS, seed: int = 0
) -> dict[str, object]:
    """Everything that `report compare` tells, as plain values.

    Args:
      first, second: work directories.
      draws: of the bootstrap over people.
      seed: of the draws.

    Raises:
      UserError: one is no work directory or has no predictions, or the two have other categories
        or no clip in common.
    """
    sides = (Side.read(first), Side.read(second))
    _check_comparable(*sides)
    labels, others = (side.labels() for side in sides)
    relabelled = [key for key in labels if key in others and labels[key] != others[key]]
    common = sorted(key for key in labels if key in others and labels[key] == others[key])
    if not common:
        raise UserError(
            f"{first} and {second} have no clip with the same label in common, so that there is"
            " nothing to compare: name two work directories of one corpus and protocol."
        )
    on_common = tuple([_rows_of(table, common) for table in side.tables] for side in sides)
    return {
        **{name: _about(side) for name, side in zip(("first", "second"), sides, strict=True)},
        "clips": {
            "common": len(common),
            "people": len({key[:2] for key in common}),
            "only_first": [list(key) for key in sorted(labels.keys() - others.keys())],
            "only_second": [list(key) for key in sorted(others.keys() - labels.keys())],
            "relabelled": [list(key) for key in sorted(relabelled)],
        },
        "scores": _scores(*on_common, split_of(sides[0].info), draws, seed),
        "mcnemar": _mcnemar(sides, on_common),
        "draws": draws,
        "seed": seed,
        "warnings": list(_warnings(*sides)),
        "options": list(_options(sides[0].config, sides[1].config)),
    }


def _check_comparable(first: Side, second: Side) -> None:
    """Raises UserError unless both tell the same categories apart in the same way."""
    classes = [sorted(side.info["classes"]) for side in (first, second)]
    splits = [split_of(side.info) for side in (first, second)]
    if classes[0] != classes[1] or splits[0] != splits[1]:
        names = [f"{s.info['dataset']} {s.info['protocol']}" for s in (first, second)]
        raise UserError(
            f"{first.workdir} was trained for {names[0]} and {second.workdir} for {names[1]}, which"
            " cannot be compared clip by clip: name two work directories of one protocol."
        )


def _keys(table: PredictionTable) -> list[Key]:
    return list(zip(table.dataset, table.subject, table.clip, strict=True))


def _rows_of(table: PredictionTable, keys: Sequence[Key]) -> PredictionTable:
    row_of = {key: row for row, key in enumerate(_keys(table))}
    return table.take([row_of[key] for key in keys])


def _about(side: Side) -> dict:
    """What a run is, and its scores on all of its own clips."""
    info, table, rule = side.info, side.tables[0], side.runs[0].select
    everyone = Resampling.none([person for table in side.tables for person in table.people])
    own = drawn_scores(side.tables, everyone, split_of(info))
    return {
        "workdir": str(side.workdir),
        "dataset": info["dataset"],
        "protocol": info["protocol"],
        "select": rule,
        "label_version": info.get("label_version"),
        "seeds": side.seeds,
        "preset": side.config.get("preset"),
        "steps": info.get("steps"),
        "n_clips": len(table),
        "n_subjects": len(table.people),
        "folds_finished": sum(len(run.folds) for run in side.runs),
        "folds_expected": sum(len(run.info["folds"]) for run in side.runs),
        **{name: float(own[name][0]) for name in SCORED},
        "selection": side_by_side([{"select": rule}], side.runs[0] if rule == OPTIMISTIC else None),
    }


def _scores(
    first: Sequence[PredictionTable],
    second: Sequence[PredictionTable],
    split: str,
    draws: int,
    seed: int,
) -> dict[str, dict]:
    """Scores on the common clips and their difference, second less first, with intervals."""
    people = first[0].people
    everyone, resampling = Resampling.none(people), Resampling.of(people, draws, seed)
    seeds = [
        [drawn_scores([table], everyone, split) for table in tables] for tables in (first, second)
    ]
    drawn = [drawn_scores(tables, resampling, split) for tables in (first, second)]
    found = {}
    for name in SCORED:
        entries = []
        for of_seed, draws_of_mean in zip(seeds, drawn, strict=True):
            values = [float(scores[name][0]) for scores in of_seed]
            entries.append(
                {
                    "value": float(np.mean(values)),
                    "interval": _pair(draws_of_mean[name], resampling),
                    "per_seed": values,
                    "spread": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                }
            )
        found[name] = {
            "first": entries[0],
            "second": entries[1],
            "difference": {
                "value": entries[1]["value"] - entries[0]["value"],
                "interval": _pair(drawn[1][name] - drawn[0][name], resampling),
            },
        }
    return found


def _pair(drawn: np.ndarray, resampling: Resampling) -> list[float] | None:
    """[low, high] of the draws; None where they say nothing."""
    if not resampling.says_something:
        return None
    found = interval(drawn)
    return [found.low, found.high]


def _mcnemar(sides: Sequence[Side], on_common: Sequence[list[PredictionTable]]) -> dict:
    """The test for each pair of seeds, and one P-value for them all."""
    tables = [
        dict(zip(side.seeds, found, strict=True))
        for side, found in zip(sides, on_common, strict=True)
    ]
    shared = [seed for seed in tables[0] if seed in tables[1]]
    pairs = [(seed, seed) for seed in shared] or list(zip(*tables, strict=False))
    tests = [
        {
            "first_seed": one,
            "second_seed": other,
            **asdict(mcnemar(tables[0][one].right, tables[1][other].right)),
        }
        for one, other in pairs
    ]
    return {"tests": tests, "p_value": combined_p_value([test["p_value"] for test in tests])}


def _warnings(first: Side, second: Side) -> Iterator[str]:
    """Sentences on what keeps the two from being compared like with like."""
    for key, what in _TASK.items():
        old, new = _fact(first, key), _fact(second, key)
        if old != new:
            yield f"They differ in {what}: {_told(old)} in the first, {_told(new)} in the second."
    rules = [side.runs[0].select for side in (first, second)]
    if rules[0] != rules[1]:
        yield (
            f"They differ in the selection rule: {rules[0]} in the first, {rules[1]} in the second."
        )
    for name, side in (("first", first), ("second", second)):
        missing = sum(len(run.missing) for run in side.runs)
        if missing:
            yield f"The {name} is incomplete: {missing} of its folds are missing."
    if first.workdir.resolve() == second.workdir.resolve():
        yield "Both are the same work directory."


def _options(first: dict, second: dict, prefix: str = "") -> Iterator[dict]:
    """The options in which the two differ: name, first, second."""
    for key in {**first, **second}:
        old, new = first.get(key), second.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _options(old, new, f"{prefix}{key}.")
        elif old != new and not (prefix == "" and (key in _TASK or key in _NO_OPTIONS)):
            yield {"name": f"{prefix}{key}", "first": old, "second": new}


def _fact(side: Side, key: str) -> object:
    """What a side was trained for, by its config.json, or by the run's own file."""
    return side.config.get(key, side.runs[0].info.get(key))


def _told(value: object) -> str:
    return "none" if value in (None, "", 0) else str(value)

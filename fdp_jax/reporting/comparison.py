"""Compares two trainings of one protocol.

Compares scores, with bootstrap intervals over subjects, and predictions, with McNemar's exact test,
on the clips that both have, and lists how the two trainings differ. Scores of several seeds are
averaged, with the same resampled subjects for every seed of both. McNemar's test needs one
prediction per clip, so it is made per seed that both have (or their seeds in order, without a
common one).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.errors import UserError
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.statistics import (
    DRAWS,
    INTERVAL_SCORES,
    combined_p_value,
    mcnemar,
    percentile_interval,
    resample_subjects,
    weighted_scores,
)
from fdp_jax.reporting import formatting
from fdp_jax.reporting.formatting import table
from fdp_jax.reporting.results import Run, headline_runs, read_workdir
from fdp_jax.reporting.summary import summarise

Clip = tuple[str, str, str]  # corpus, subject, name

# Entries of config.json that define the task rather than the method.
_TASK = {
    "dataset": "corpus",
    "protocol": "protocol",
    "label_version": "label version",
    "clips": "built clips (frames, labels or subjects)",
    "group_folds": "groups of subjects left out",
    "select": "selection rule",
}
_ABOUT = (
    "dataset", "protocol", "select", "label_version", "seeds", "preset", "steps", "n_clips",
    "n_subjects", "folds_finished", "folds_expected", *INTERVAL_SCORES, "selection",
)  # fmt: skip
_EXCLUDED = {
    "only_first": "only in the first",
    "only_second": "only in the second",
    "relabelled": "labelled differently",
}
_LEVEL = 0.05  # of McNemar's test
_SHOWN = 10  # excluded clips that the text names; --json lists all


@dataclass(frozen=True, eq=False)
class _Training:
    """A work directory: its headline runs, one per seed, and the content of its report."""

    workdir: Path
    runs: list[Run]
    report: dict

    @classmethod
    def read(cls, workdir: Path) -> "_Training":
        config, runs = read_workdir(workdir)
        training = cls(workdir, headline_runs(runs), summarise(config, runs))
        if not formatting.has_scores(training.report):
            raise UserError(
                f"{workdir} has no predictions to compare: it was trained without the recognition"
                " module (--ablate=no_mer); name another work directory."
            )
        return training

    def label_of(self) -> dict[Clip, str]:
        """Returns the true class of every clip that all seeds predict."""
        seeds = [dict(zip(_clips(run.table), run.table.label, strict=True)) for run in self.runs]
        return {clip: label for clip, label in seeds[0].items() if all(clip in of for of in seeds)}


def _clips(predictions: PredictionTable) -> list[Clip]:
    return list(zip(predictions.dataset, predictions.subject, predictions.clip, strict=True))


def compare(
    first: str | Path, second: str | Path, draws: int = DRAWS, seed: int = 0
) -> dict[str, object]:
    """Returns the comparison as plain values.

    Args:
      first, second: work directories.
      draws, seed: of the bootstrap over subjects.

    Raises:
      UserError: one is not a work directory or has no predictions, or the two have different
        classes or no clip in common.
    """
    first, second = Path(first), Path(second)
    pair = (_Training.read(first), _Training.read(second))
    tasks = [(sorted(t.report["classes"]), t.report["split"]) for t in pair]
    if tasks[0] != tasks[1]:
        names = [f"{t.report['dataset']} {t.report['protocol']}" for t in pair]
        raise UserError(
            f"{first} was trained for {names[0]} and {second} for {names[1]}, which cannot be"
            " compared clip by clip: name two work directories of one protocol."
        )
    labels, others = (training.label_of() for training in pair)
    shared = sorted(labels.keys() & others.keys())
    common = [clip for clip in shared if labels[clip] == others[clip]]
    if not common:
        raise UserError(
            f"{first} and {second} have no clip with the same label in common: name two work"
            " directories of one corpus and protocol."
        )
    tables = tuple([_on_clips(run.table, common) for run in t.runs] for t in pair)
    subjects = len({clip[:2] for clip in common})
    scores = _scores(tables, pair[0].report["split"], draws, seed)
    tests = _mcnemar(tables)
    return {
        # What each is, and its scores on all of its own clips.
        "first": {"workdir": str(first), **{name: pair[0].report[name] for name in _ABOUT}},
        "second": {"workdir": str(second), **{name: pair[1].report[name] for name in _ABOUT}},
        "clips": {
            "common": len(common),
            "subjects": subjects,
            "only_first": [list(clip) for clip in sorted(labels.keys() - others.keys())],
            "only_second": [list(clip) for clip in sorted(others.keys() - labels.keys())],
            "relabelled": [list(clip) for clip in shared if labels[clip] != others[clip]],
        },
        "scores": scores,
        "mcnemar": tests,
        "verdict": _verdict(scores, tests["p_value"], subjects),
        "draws": draws,
        "seed": seed,
        "warnings": list(_warnings(*pair)),
        "options": list(_different_options(*(t.report["config"] for t in pair))),
    }


def _on_clips(predictions: PredictionTable, clips: Sequence[Clip]) -> PredictionTable:
    row_of = {clip: row for row, clip in enumerate(_clips(predictions))}
    return predictions.take([row_of[clip] for clip in clips])


def _scores(
    tables: tuple[list[PredictionTable], ...], split: str, draws: int, seed: int
) -> dict[str, dict]:
    """Returns scores on the common clips and their difference, second minus first."""
    subjects = tables[0][0].subjects
    once = np.ones((1, len(subjects)), np.int64)
    weights = resample_subjects(subjects, draws, seed)
    by_seed = [[weighted_scores([one], once, split) for one in of_seeds] for of_seeds in tables]
    drawn = weights is not None and [weighted_scores(found, weights, split) for found in tables]
    scores = {}
    for name in INTERVAL_SCORES:
        intervals = [None, None, None]
        if drawn:
            first, second = drawn[0][name], drawn[1][name]
            intervals = [percentile_interval(draw) for draw in (first, second, second - first)]
        entries = []
        for of_seeds, interval in zip(by_seed, intervals[:2], strict=True):
            values = [float(of_seed[name][0]) for of_seed in of_seeds]
            entries.append(
                {
                    "value": float(np.mean(values)),
                    "interval": interval,
                    "per_seed": values,
                    "spread": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                }
            )
        difference = entries[1]["value"] - entries[0]["value"]
        scores[name] = {
            "first": entries[0],
            "second": entries[1],
            "difference": {"value": difference, "interval": intervals[2]},
        }
    return scores


def _mcnemar(tables: Sequence[list[PredictionTable]]) -> dict:
    """Returns the test of each pair of seeds, and one P-value for all."""
    correct = [{int(one.seed[0]): one.correct for one in of_seeds} for of_seeds in tables]
    shared = [(seed, seed) for seed in correct[0] if seed in correct[1]]
    tests = [
        {"first_seed": one, "second_seed": other, **mcnemar(correct[0][one], correct[1][other])}
        for one, other in shared or zip(*correct, strict=False)
    ]
    return {"tests": tests, "p_value": combined_p_value([test["p_value"] for test in tests])}


def _verdict(scores: dict[str, dict], p_value: float, subjects: int) -> dict:
    """Returns which test decides, and which training is higher by it.

    The interval over subjects does, since clips of one subject are not independent, as McNemar's
    test assumes. Of few subjects it is too narrow, so there both tests must agree.
    """
    intervals = {name: found["difference"]["interval"] for name, found in scores.items()}
    if None in intervals.values():
        difference = scores["acc"]["difference"]["value"]
        decides, intervals = "mcnemar", {"acc": (difference, difference)}
    else:
        decides = "both" if subjects < formatting.FEW_SUBJECTS else "interval"
    if decides != "interval" and p_value >= _LEVEL:
        return {"decides": decides, "higher": dict.fromkeys(intervals)}
    higher = {
        name: "second" if low > 0 else "first" if high < 0 else None
        for name, (low, high) in intervals.items()
    }
    return {"decides": decides, "higher": higher}


def _warnings(first: _Training, second: _Training) -> Iterator[str]:
    """Yields sentences on why the two are not directly comparable."""
    for key, what in _TASK.items():
        values = [t.report.get(key, t.report["config"].get(key)) for t in (first, second)]
        if values[0] != values[1]:
            old, new = ("none" if value in (None, "", 0) else value for value in values)
            yield f"They differ in the {what}: {old} in the first, {new} in the second."
    for name, training in (("first", first), ("second", second)):
        if missing := sum(len(run.missing) for run in training.runs):
            yield f"The {name} is incomplete: {missing} of its folds are missing."
    if first.workdir.resolve() == second.workdir.resolve():
        yield "Both are the same work directory."


def _different_options(first: dict, second: dict, prefix: str = "") -> Iterator[dict]:
    """Yields name, first and second value of every option of the method that differs."""
    for key in {**first, **second}:
        old, new = first.get(key), second.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _different_options(old, new, f"{prefix}{key}.")
        elif old != new and (prefix or key not in (*_TASK, "preset")):
            yield {"name": f"{prefix}{key}", "first": old, "second": new}


def text(found: dict) -> str:
    """Returns the content of `compare` as text."""
    pair, clips = (found["first"], found["second"]), found["clips"]
    parts = [
        table([("", "First", "Second"), *_facts(pair, any(clips[key] for key in _EXCLUDED))]),
        f"Compared: {clips['common']} clips of {clips['subjects']} subjects, in both with the same"
        " label.",
        table(_score_rows(found["scores"])),
        _interval_text(found),
        *_mcnemar_text(found["mcnemar"]),
        _verdict_text(found),
    ]
    for key, where in _EXCLUDED.items():
        if clips[key]:
            named = ", ".join(" ".join(clip) for clip in clips[key][:_SHOWN])
            more = len(clips[key]) - _SHOWN
            named += f" and {more} more (see --json)" if more > 0 else ""
            parts.append(f"Not compared, {where} ({len(clips[key])}): {named}.")
    if found["options"]:
        rows = [(o["name"], str(o["first"]), str(o["second"])) for o in found["options"]]
        parts.append(table([("Different options", "First", "Second"), *rows]))
    parts += [f"WARNING: {sentence}" for sentence in found["warnings"]]
    for name, training in zip(("first", "second"), pair, strict=True):
        if training["select"] == "test-best":
            parts.append(f"The {name}: {' '.join(formatting.selection_notes(training))}")
    return "\n\n".join(parts)


def _facts(pair: Sequence[dict], with_own_scores: bool) -> Iterator[tuple[str, ...]]:
    yield "Work directory", *(t["workdir"] for t in pair)
    yield "Protocol", *(f"{t['dataset']} {t['protocol']}" for t in pair)
    yield "Selection rule", *(formatting.rule_name(t["select"]) for t in pair)
    yield "Label version", *(t["label_version"] or "unknown" for t in pair)
    yield "Seeds", *(", ".join(map(str, t["seeds"])) for t in pair)
    yield "Steps per fold", *(str(t["steps"]) for t in pair)
    yield "Clips, subjects", *(f"{t['n_clips']}, {t['n_subjects']}" for t in pair)
    yield "Folds", *(f"{t['folds_finished']} of {t['folds_expected']}" for t in pair)
    for name in INTERVAL_SCORES if with_own_scores else ():
        title = f"{formatting.SCORE_TITLES[name]}, all own clips"
        yield title, *(formatting.percent(t[name]) for t in pair)


def _score_rows(scores: dict) -> formatting.Rows:
    rows: formatting.Rows = [("On the same clips", "First", "Second", "Second minus first, points")]
    for name, found in scores.items():
        cells = []
        for entry in (found["first"], found["second"]):
            spread = "" if entry["spread"] is None else f" (sd {100 * entry['spread']:.2f})"
            value = formatting.percent(entry["value"])
            cells.append(f"{value}{spread}{formatting.bracket(entry['interval'])}")
        difference = found["difference"]
        interval = formatting.bracket(difference["interval"], "{:+.1f}")
        cells.append(f"{100 * difference['value']:+.2f}{interval}")
        rows.append((formatting.SCORE_TITLES[name], *cells))
    return rows


def _interval_text(found: dict) -> str:
    averaged = max(len(found[name]["seeds"]) for name in ("first", "second")) > 1
    seeds = " Scores are means over the seeds, with their standard deviation." if averaged else ""
    intervals = {name: x["difference"]["interval"] for name, x in found["scores"].items()}
    if None in intervals.values():
        return f"Too few subjects for intervals: a corpus has a single one.{seeds}"
    brackets = formatting.resampling_text(found["draws"], found["clips"]["subjects"])
    return f"{brackets} Both use the same resamples (seed {found['seed']}).{seeds}"


def _mcnemar_text(found: dict) -> Iterator[str]:
    kinds = ("both_correct", "only_first", "only_second", "both_wrong")
    head = ("McNemar's exact test, seeds", *(kind.replace("_", " ") for kind in kinds), "P")
    rows = []
    for test in found["tests"]:
        seeds = f"{test['first_seed']}, {test['second_seed']}"
        rows.append((seeds, *(str(test[kind]) for kind in kinds), p_text(test["p_value"])))
    yield table([head, *rows])
    if len(rows) > 1:
        yield (
            f"All pairs of seeds: P = {p_text(found['p_value'])}, twice the mean, since seeds share"
            " their clips and are not independent."
        )


def _verdict_text(found: dict) -> str:
    verdict, p_value = found["verdict"], found["mcnemar"]["p_value"]
    found_higher = []
    for side in ("first", "second"):
        titles = [formatting.SCORE_TITLES[k] for k, of in verdict["higher"].items() if of == side]
        if titles:
            found_higher.append(f"the {side} is higher in {formatting.listing(titles)}")
    text = f"Verdict: {formatting.listing(found_higher or ['no difference is established'])}."
    p = f"P = {p_text(p_value)}"
    if verdict["decides"] == "mcnemar":
        return (
            f"{text} Deciding test: McNemar's ({p}), since there is no interval; it holds for"
            " further clips of these subjects, not for other people."
        )
    why = "clips of one subject are not independent, as McNemar's test assumes"
    if verdict["decides"] == "both":
        return (
            f"{text} Deciding test: both together. The interval of the difference over subjects"
            f" must exclude 0, since {why}; with fewer than {formatting.FEW_SUBJECTS} subjects it"
            f" tends to be too narrow, so McNemar's test must agree (P below {_LEVEL}; here {p})."
        )
    text += (
        " Deciding test: whether the interval of the difference over subjects excludes 0, not"
        f" McNemar's test, since {why}."
    )
    if bool(found_higher) != (p_value < _LEVEL):
        text += f" McNemar's test ({p}), which counts single clips, does not overrule it."
    return text


def p_text(p_value: float) -> str:
    """Returns a P-value with three significant digits."""
    return f"{p_value:.3g}"

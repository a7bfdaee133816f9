"""Runs -> the content of `report.json`: scores of the pooled tables, levels, missing folds.

One seed: the scores of its pooled table; where whole corpora are left out, each direction scored by
itself and the mean of the two. Several seeds: the mean over the complete ones, with their sample
standard deviation under `spread` and every seed under `runs`; a seed with missing folds enters the
mean only when no seed is complete. Only runs of one selection rule are ever averaged.

Where the recognition module is ablated, everything that predictions are needed for is None.
"""

import math
from collections import Counter
from dataclasses import asdict

import numpy as np

from fdp_jax.metrics.bootstrap import DRAWS, subject_bootstrap
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.scores import SCORE_NAMES, score
from fdp_jax.reporting.auxiliary import dynamic_image_levels, mean_levels, rank_levels
from fdp_jax.reporting.selection import side_by_side
from fdp_jax.reporting.workdir import LOSSES, TRAINING_PEOPLE, Run

_BY_CLASS = ("per_class_recall", "per_class_f1")


def headline_runs(runs: list[Run]) -> list[Run]:
    """The runs that the headline numbers come from (see the module docstring)."""
    rule = runs[0].select
    scored = [run for run in runs if run.folds and run.select == rule]
    scored = scored or [run for run in runs if run.folds]
    complete = [run for run in scored if not run.missing]
    return complete or scored


def summarise(config: dict, runs: list[Run]) -> dict:
    """The content of `report.json`: plain numbers, texts, lists and dicts, no NaN.

    Raises:
      UserError: the folds' tables cannot be pooled.
    """
    chosen = headline_runs(runs)
    info = chosen[0].info
    entries = {id(run): _run_entry(run) for run in runs}
    heads = [entries[id(run)] for run in chosen]
    rule = chosen[0].select
    same_rule = [run for run in runs if run.select == rule]
    missing = [asdict(fold) for run in same_rule for fold in run.missing]
    report = {
        "dataset": info["dataset"],
        "protocol": info["protocol"],
        "split": split_of(info),
        "select": rule,
        "looks": chosen[0].looks,
        "seeds": [run.seed for run in chosen],
        "n_clips": heads[0]["n_clips"],
        "n_subjects": heads[0]["n_subjects"],
        "classes": list(info["classes"]),
        **_headline_scores(heads),
        "spread": _spread(heads),
        "intervals": _intervals(chosen),
        "selection": _selection(runs, entries),
        "classes_without_clips": heads[0]["classes_without_clips"],
        "dic_mse": _mean_or_none([head["dic_mse"] for head in heads]),
        "chance": 1 / len(info["classes"]) if chosen[0].table.recognises else None,
        "largest_class_acc": _largest_class_acc(chosen[0]),
        "complete": not missing,
        "missing_folds": missing,
        "n_folds": len(info["folds"]),
        "folds_expected": sum(len(run.info["folds"]) for run in same_rule),
        "folds_finished": sum(len(run.folds) for run in same_rule),
        "seeds_left_out": [run.seed for run in same_rule if run not in chosen],
        "auxiliary": _auxiliary(chosen),
        "training_losses": _training_losses(chosen),
        "training_people": _training_people(chosen),
        "per_subject": per_subject([run.table for run in chosen], len(corpora_of(info)) > 1),
        **_costs_and_origin(config, info, heads),
    }
    if len(corpora_of(info)) > 1:
        report["per_dataset"] = _mean_per_dataset(heads, corpora_of(info))
    if len(runs) > 1:
        report["runs"] = [entries[id(run)] for run in runs]
    return report


def _intervals(chosen: list[Run]) -> dict | None:
    """[low, high] of Acc, UF1 and UAR from drawing people; None where that says nothing."""
    tables = [run.table for run in chosen]
    if not tables[0].recognises:
        return None
    found = subject_bootstrap(tables, split_of(chosen[0].info))
    if found is None:
        return None
    pairs = {name: [interval.low, interval.high] for name, interval in found.items()}
    return {"draws": DRAWS, **pairs}


def _selection(runs: list[Run], entries: dict[int, dict]) -> dict | None:
    """The selection rules side by side, each over its seeds as the headline is."""
    rules, test_best = [], None
    for name in dict.fromkeys(run.select for run in runs):
        chosen = headline_runs([run for run in runs if run.select == name])
        heads = [entries[id(run)] for run in chosen]
        if not heads:
            continue
        rule = {"select": name, "looks": chosen[0].looks, "seeds": [run.seed for run in chosen]}
        rules.append(rule | _mean_scores(heads) | {"spread": _spread(heads)})
        test_best = chosen[0] if name == "test-best" else test_best
    return side_by_side(rules, test_best)


def _run_entry(run: Run) -> dict:
    """One seed under one selection rule; scores are None when no fold of it is finished."""
    entry = {
        "dataset": run.info["dataset"],
        "protocol": run.info["protocol"],
        "select": run.select,
        "looks": run.looks,
        "seed": run.seed,
        "n_clips": 0,
        "n_subjects": 0,
        **dict.fromkeys(SCORE_NAMES),
        "n_folds": len(run.info["folds"]),
        "folds_finished": len(run.folds),
        "complete": not run.missing,
        "missing_folds": [asdict(fold) for fold in run.missing],
    }
    if not run.folds:
        return entry
    table = run.table
    entry |= _scores(table, run.info["classes"])
    if len(corpora_of(run.info)) > 1:
        entry["per_dataset"] = _per_dataset(table, run.info)
    if split_of(run.info) == "corpora":
        entry |= _mean_scores(entry["per_dataset"])
    peaks = [fold.done.get("peak_memory_bytes") for fold in run.folds]
    return entry | {
        "n_clips": len(table),
        "n_subjects": len(table.people),
        "seconds": float(sum(fold.done.get("seconds") or 0 for fold in run.folds)),
        "peak_memory_bytes": max((peak for peak in peaks if peak), default=None),
    }


def _scores(table: PredictionTable, classes: list[str]) -> dict:
    """Everything that is computed from a table alone; None what was not predicted."""
    entry = {
        **dict.fromkeys((*SCORE_NAMES, *_BY_CLASS, "confusion_matrix")),
        "classes_without_clips": [],
        "dic_mse": _mean_error(table.dic_mse),
    }
    if table.recognises:
        scores = score(table.label, table.prediction, classes)
        entry |= {name: getattr(scores, name) for name in (*SCORE_NAMES, *_BY_CLASS)}
        entry["confusion_matrix"] = scores.confusion_matrix.tolist()
        entry["classes_without_clips"] = list(scores.classes_without_clips)
    return entry


def _mean_error(mse: np.ndarray) -> float | None:
    return None if np.isnan(mse).any() else float(mse.mean())


def corpora_of(info: dict) -> list[str]:
    """The corpora of a run, in its protocol's order."""
    return info["dataset"].split("+")


def split_of(info: dict) -> str:
    """What the run leaves out in turn: people, or whole corpora."""
    return info.get("split", "people")


def _by_dataset(pooled: PredictionTable, datasets: list[str]) -> dict[str, PredictionTable]:
    """The pooled table in parts: corpora that were tested, in the order given."""
    rows = {name: [] for name in datasets}
    for row, name in enumerate(pooled.dataset):
        rows[name].append(row)
    return {name: pooled.take(numbers) for name, numbers in rows.items() if numbers}


def _per_dataset(pooled: PredictionTable, info: dict) -> list[dict]:
    """The scores of each corpus that was tested, by itself."""
    entries = []
    for dataset, table in _by_dataset(pooled, corpora_of(info)).items():
        scores = _scores(table, info["classes"])
        kept = (*SCORE_NAMES, "classes_without_clips", "dic_mse")
        entries.append(
            {
                "dataset": dataset,
                "fold": table.fold[0] if split_of(info) == "corpora" else None,
                "n_clips": len(table),
                "n_subjects": len(table.people),
                **{name: scores[name] for name in kept},
            }
        )
    return entries


def _mean_per_dataset(heads: list[dict], datasets: list[str]) -> list[dict]:
    """Means over the seeds that tested a corpus."""
    entries = [entry for head in heads for entry in head["per_dataset"]]
    of = {name: [entry for entry in entries if entry["dataset"] == name] for name in datasets}
    return [
        same[0] | _mean_scores(same) | {"dic_mse": _mean_or_none([e["dic_mse"] for e in same])}
        for same in of.values()
        if same
    ]


def _mean_scores(entries: list[dict]) -> dict[str, float | None]:
    return {name: _mean_or_none([entry[name] for entry in entries]) for name in SCORE_NAMES}


def _largest_class_acc(run: Run) -> float | None:
    """What always naming the largest class reaches; by direction where the scores are."""
    if not run.table.recognises:
        return None
    tables = [run.table]
    if split_of(run.info) == "corpora":
        tables = _by_dataset(run.table, corpora_of(run.info)).values()
    return float(np.mean([max(Counter(t.label).values()) / len(t) for t in tables]))


def _headline_scores(heads: list[dict]) -> dict:
    """Means over the seeds; the confusion matrix is their sum."""
    classes = heads[0]["per_class_recall"]
    if classes is None:
        return dict.fromkeys((*SCORE_NAMES, *_BY_CLASS, "confusion_matrix"))
    return {
        **_mean_scores(heads),
        **{
            score: {name: _mean_or_none([head[score][name] for head in heads]) for name in classes}
            for score in _BY_CLASS
        },
        "confusion_matrix": np.sum([head["confusion_matrix"] for head in heads], axis=0).tolist(),
    }


def _spread(heads: list[dict]) -> dict | None:
    """Sample standard deviation over the seeds of each score and of the dynamic image's error.

    None for a single seed.
    """
    if len(heads) < 2:
        return None
    values = {name: [head[name] for head in heads] for name in (*SCORE_NAMES, "dic_mse")}
    return {
        name: None if None in seeds else float(np.std(seeds, ddof=1))
        for name, seeds in values.items()
    }


def _mean_or_none(values: list) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None


def per_subject(tables: list[PredictionTable], several_corpora: bool) -> list[dict]:
    """For each person: clips, share right and error of the image, averaged over the seeds."""
    people = sorted({person for table in tables for person in table.people})
    hits_by_table = [table.right for table in tables]
    entries = []
    for corpus, subject in people:
        right, folds, clips, errors = [], [], 0, []
        for table, hits in zip(tables, hits_by_table, strict=True):
            rows = [
                row
                for row in range(len(table))
                if (table.dataset[row], table.subject[row]) == (corpus, subject)
            ]
            right.extend(hits[rows].tolist())
            errors.extend(table.dic_mse[rows])
            folds.extend(table.fold[row] for row in rows)
            clips = max(clips, len(rows))
        name = f"{corpus} {subject}" if several_corpora else subject
        entries.append(
            {
                "subject": name,
                "fold": folds[0],
                "n_clips": clips,
                "acc": float(np.mean(right)) if tables[0].recognises else None,
                "dic_mse": _mean_error(np.array(errors)),
            }
        )
    return entries


def _auxiliary(chosen: list[Run]) -> dict:
    """Levels of both auxiliary tasks, None where the module was ablated."""
    images, ranks = [], []
    for run in chosen:
        outputs, mse = run.outputs, run.table.dic_mse
        if outputs.dynamic_image is not None and not np.isnan(mse).any():
            images.append(dynamic_image_levels(outputs.target, mse))
        if outputs.rank_scores is not None:
            ranks.append(rank_levels(outputs.rank_scores, run.info.get("rank_slope", 1.0)))
    return {
        "dynamic_image": asdict(mean_levels(images)) if images else None,
        "rank": asdict(mean_levels(ranks)) if ranks else None,
    }


def _training_losses(chosen: list[Run]) -> dict:
    """Means over the folds of the losses of the last logged training steps."""
    return _means_over_folds(chosen, "final_losses", LOSSES)


def _training_people(chosen: list[Run]) -> dict:
    """Means over the folds of how the finished networks do on the people they were trained on."""
    return _means_over_folds(chosen, "training_people", TRAINING_PEOPLE)


def _means_over_folds(chosen: list[Run], part: str, names: tuple[str, ...]) -> dict:
    """Means of some numbers of every fold's `done.json`; None where no fold has one."""
    of_folds = [fold.done.get(part) or {} for run in chosen for fold in run.folds]
    means = {}
    for name in names:
        values = [of_fold[name] for of_fold in of_folds if _is_number(of_fold.get(name))]
        means[name] = float(np.mean(values)) if values else None
    return means


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _costs_and_origin(config: dict, info: dict, heads: list[dict]) -> dict:
    """What it cost and where it comes from, copied from the run's own files."""
    peaks = [head["peak_memory_bytes"] for head in heads if head["peak_memory_bytes"]]
    return {
        "parameters": info.get("parameters"),
        "steps": info.get("steps", config.get("steps")),
        "seconds": float(sum(head["seconds"] for head in heads)),
        "peak_memory_bytes": max(peaks, default=None),
        "preset": config.get("preset"),
        "group_folds": info.get("group_folds"),
        "label_version": info.get("label_version"),
        "corrections": list(info.get("corrections") or []),
        "warnings": list(info.get("warnings") or []),
        "trained_on": info.get("trained_on"),
        "rank_slope": info.get("rank_slope"),
        "command": info.get("command"),
        "versions": info.get("versions") or {},
        "config": config,
    }

"""Computes the content of `report.json` from the runs of a work directory.

One seed: the scores of its pooled table; if whole corpora are left out, the mean of the scores of
each direction. Several seeds: the mean over the complete ones, with the sample standard deviation
under `spread` and every seed under `runs`. Incomplete seeds enter the mean only if no seed is
complete. Only runs of one selection rule are averaged. Without the recognition module, everything
that needs predictions is None.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from fdp_jax.metrics import auxiliary_tasks
from fdp_jax.metrics.chance_level import chance_level
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.metrics.scores import SCORE_NAMES, score
from fdp_jax.metrics.statistics import DRAWS, bootstrap_intervals
from fdp_jax.reporting.published import published_entry
from fdp_jax.reporting.results import Run, headline_runs

# Of run.json.
_COPIED = (
    "dataset", "protocol", "classes", "parameters", "group_folds", "label_version", "device",
    "rank_slope", "command", "init",
)  # fmt: skip
_SCORES = (*SCORE_NAMES, "fold_acc")  # the last is the mean of the accuracies of the folds
_BY_CLASS = ("per_class_recall", "per_class_f1")
_LOSSES = ("total", "cross_entropy", "dynamic_image", "rank")
_TRAIN_SET_METRICS = (
    "acc",
    "dic_mse",
    "best_constant_image",
    "structure_correlation",
    "rank_loss",
    "kendall_tau",
)


def summarise(config: dict, runs: list[Run]) -> dict:
    """Returns the content of `report.json`: plain numbers, texts, lists and dicts, no NaN.

    Args:
      config: content of `config.json`.
      runs: of the work directory, at least one with a finished fold.

    Raises:
      UserError: the folds' tables cannot be pooled.
    """
    chosen = headline_runs(runs)
    first, info = chosen[0], chosen[0].info
    tables = [run.table for run in chosen]
    entries = {run: _run_entry(run) for run in runs}
    heads = [entries[run] for run in chosen]
    same_rule = [run for run in runs if run.select == first.select]
    missing = [asdict(fold) for run in same_rule for fold in run.missing]
    intervals = bootstrap_intervals(tables, first.split) if tables[0].has_predictions else None
    peaks = [head["peak_memory_bytes"] for head in heads if head["peak_memory_bytes"]]
    report = {
        **{name: info.get(name) for name in _COPIED},
        "split": first.split,
        "select": first.select,
        "evaluations": first.evaluations,
        "seeds": [run.seed for run in chosen],
        "n_clips": heads[0]["n_clips"],
        "n_subjects": heads[0]["n_subjects"],
        **_mean_scores(heads),
        **_mean_by_class(heads),
        "spread": _spread(heads),
        "intervals": {"draws": DRAWS, **intervals} if intervals else None,
        "selection": _selection(entries),
        "classes_without_clips": heads[0]["classes_without_clips"],
        "dic_mse": _mean(heads, "dic_mse"),
        "chance": 1 / len(info["classes"]) if tables[0].has_predictions else None,
        "largest_class_acc": _largest_class_acc(first),
        "published": published_entry(info, config) if tables[0].has_predictions else None,
        "complete": not missing,
        "missing_folds": missing,
        "n_folds": len(info["folds"]),
        "folds_expected": sum(len(run.info["folds"]) for run in same_rule),
        "folds_finished": sum(len(run.folds) for run in same_rule),
        "seeds_left_out": [run.seed for run in same_rule if run not in chosen],
        "auxiliary": _auxiliary(chosen),
        "training_losses": _means_over_folds(chosen, "final_losses", _LOSSES),
        "train_set_metrics": _means_over_folds(chosen, "train_set_metrics", _TRAIN_SET_METRICS),
        "per_subject": _per_subject(tables, len(first.corpora) > 1),
        "steps": info.get("steps", config.get("steps")),
        "seconds": float(sum(head["seconds"] for head in heads)),
        "peak_memory_bytes": max(peaks, default=None),
        "preset": config.get("preset"),
        "corrections": info.get("corrections") or [],
        "warnings": info.get("warnings") or [],
        "versions": info.get("versions") or {},
        "config": config,
    }
    if len(first.corpora) > 1:
        report["per_dataset"] = _mean_per_dataset(heads, first.corpora)
    if len(runs) > 1:
        report["runs"] = list(entries.values())
    return report


def _run_entry(run: Run) -> dict:
    """Returns the summary of one run; scores are None if none of its folds is finished."""
    peaks = [fold.done.get("peak_memory_bytes") or 0 for fold in run.folds]
    entry = {
        "dataset": run.info["dataset"],
        "protocol": run.info["protocol"],
        "select": run.select,
        "evaluations": run.evaluations,
        "seed": run.seed,
        "n_folds": len(run.info["folds"]),
        "folds_finished": len(run.folds),
        "complete": not run.missing,
        "missing_folds": [asdict(fold) for fold in run.missing],
        "seconds": float(sum(fold.done.get("seconds") or 0 for fold in run.folds)),
        "peak_memory_bytes": max(peaks, default=0) or None,
        **_table_scores(run.table if run.folds else None),
    }
    if run.folds and len(run.corpora) > 1:
        entry["per_dataset"] = _per_dataset(run)
        if run.split == "corpora":
            entry |= _mean_scores(entry["per_dataset"])
    return entry


def _table_scores(table: PredictionTable | None) -> dict:
    """Returns everything that is computed from a table alone; None without a table."""
    entry = {
        "n_clips": 0 if table is None else len(table),
        "n_subjects": 0 if table is None else len(table.subjects),
        **dict.fromkeys((*_SCORES, *_BY_CLASS, "confusion_matrix")),
        "classes_without_clips": [],
        "dic_mse": None if table is None else _finite_mean(table.dic_mse),
    }
    if table is not None and table.has_predictions:
        scores = score(table.label, table.prediction, table.classes)
        entry |= {name: getattr(scores, name) for name in (*SCORE_NAMES, *_BY_CLASS)}
        entry["fold_acc"] = _mean_over_folds(table)
        entry["confusion_matrix"] = scores.confusion_matrix.tolist()
        entry["classes_without_clips"] = list(scores.classes_without_clips)
    return entry


def _mean_over_folds(table: PredictionTable) -> float:
    """Returns the mean of the accuracies of the folds, each with the same weight."""
    by_fold = defaultdict(list)
    for fold, correct in zip(table.fold, table.correct, strict=True):
        by_fold[fold].append(correct)
    return float(np.mean([np.mean(of_fold) for of_fold in by_fold.values()]))


def _finite_mean(values: Sequence[float]) -> float | None:
    return None if np.isnan(values).any() else float(np.mean(values))


def _tables_by_corpus(run: Run) -> dict[str, PredictionTable]:
    rows = {corpus: [] for corpus in run.corpora}
    for row, corpus in enumerate(run.table.dataset):
        rows[corpus].append(row)
    return {corpus: run.table.take(found) for corpus, found in rows.items() if found}


def _per_dataset(run: Run) -> list[dict]:
    """Returns the scores of each tested corpus, in the protocol's order."""
    kept = ("n_clips", "n_subjects", *_SCORES, "classes_without_clips", "dic_mse")
    entries = []
    for corpus, table in _tables_by_corpus(run).items():
        scores = _table_scores(table)
        fold = table.fold[0] if run.split == "corpora" else None
        entries.append({"dataset": corpus, "fold": fold, **{name: scores[name] for name in kept}})
    return entries


def _mean_per_dataset(heads: list[dict], corpora: list[str]) -> list[dict]:
    """Returns the means over the seeds that tested a corpus."""
    means = []
    for corpus in corpora:
        same = [e for head in heads for e in head["per_dataset"] if e["dataset"] == corpus]
        if same:
            means.append(same[0] | _mean_scores(same) | {"dic_mse": _mean(same, "dic_mse")})
    return means


def _mean(entries: list[dict], name: str) -> float | None:
    values = [entry[name] for entry in entries if entry[name] is not None]
    return float(np.mean(values)) if values else None


def _mean_scores(entries: list[dict]) -> dict[str, float | None]:
    return {name: _mean(entries, name) for name in _SCORES}


def _mean_by_class(heads: list[dict]) -> dict:
    """Returns recall and F1 by class, averaged over the seeds, and the summed confusion matrix."""
    if heads[0]["confusion_matrix"] is None:
        return dict.fromkeys((*_BY_CLASS, "confusion_matrix"))
    matrix = np.sum([head["confusion_matrix"] for head in heads], axis=0).tolist()
    by_class = {
        kind: {name: _mean([head[kind] for head in heads], name) for name in heads[0][kind]}
        for kind in _BY_CLASS
    }
    return {**by_class, "confusion_matrix": matrix}


def _spread(heads: list[dict]) -> dict | None:
    """Returns the sample standard deviation over the seeds; None for a single seed."""
    if len(heads) < 2:
        return None
    values = {name: [head[name] for head in heads] for name in (*_SCORES, "dic_mse")}
    return {
        name: None if None in seeds else float(np.std(seeds, ddof=1))
        for name, seeds in values.items()
    }


def _largest_class_acc(run: Run) -> float | None:
    """Returns the accuracy of always predicting the largest class, as the protocol averages it."""
    if not run.table.has_predictions:
        return None
    tables = _tables_by_corpus(run).values() if run.split == "corpora" else [run.table]
    return float(np.mean([max(Counter(t.label).values()) / len(t) for t in tables]))


def _per_subject(tables: list[PredictionTable], several_corpora: bool) -> list[dict]:
    """Returns clips, accuracy and image error of each subject, averaged over the seeds."""
    rows = defaultdict(list)
    clips = [Counter(zip(table.dataset, table.subject, strict=True)) for table in tables]
    for table in tables:
        columns = (table.dataset, table.subject, table.fold, table.correct, table.dic_mse)
        for corpus, subject, *row in zip(*columns, strict=True):
            rows[corpus, subject].append(row)
    entries = []
    for (corpus, subject), of_subject in sorted(rows.items()):
        folds, correct, errors = zip(*of_subject, strict=True)
        entries.append(
            {
                "subject": f"{corpus} {subject}" if several_corpora else subject,
                "fold": folds[0],
                "n_clips": max(count[corpus, subject] for count in clips),
                "acc": float(np.mean(correct)) if tables[0].has_predictions else None,
                "dic_mse": _finite_mean(errors),
            }
        )
    return entries


def _selection(entries: dict[Run, dict]) -> dict | None:
    """Returns the selection rules side by side; None with a single rule other than test-best."""
    rules = {}
    level = None
    for name in dict.fromkeys(run.select for run in entries):
        chosen = headline_runs([run for run in entries if run.select == name])
        if not chosen:
            continue
        heads = [entries[run] for run in chosen]
        rules[name] = {
            "select": name,
            "evaluations": chosen[0].evaluations,
            "seeds": [run.seed for run in chosen],
            **_mean_scores(heads),
            "spread": _spread(heads),
        }
        if name == "test-best":
            level = test_best_chance_level(chosen[0])
    best = rules.get("test-best")
    if len(rules) < 2 and not best:
        return None
    gaps = [
        {"minus": name, **{score: best[score] - rule[score] for score in SCORE_NAMES}}
        for name, rule in rules.items()
        if best and name != "test-best"
    ]
    return {
        "rules": list(rules.values()),
        "test_best_gaps": gaps,
        "test_best_chance_level": level,
    }


def test_best_chance_level(run: Run) -> dict | None:
    """Returns the chance level of a run's folds; None if its number of evaluations is unknown."""
    if run.evaluations is None:
        return None
    labels = {fold.name: fold.table.label for fold in run.folds}
    return chance_level(labels, run.info["classes"], run.evaluations, split=run.split)


def _auxiliary(chosen: list[Run]) -> dict:
    """Returns the levels of both auxiliary tasks, averaged over the seeds; None if ablated."""
    images, ranks = [], []
    for run in chosen:
        outputs, mse = run.outputs, run.table.dic_mse
        if outputs.dynamic_image is not None and not np.isnan(mse).any():
            images.append(
                auxiliary_tasks.dynamic_image_levels(outputs.target, outputs.dynamic_image, mse)
            )
        if outputs.rank_scores is not None:
            ranks.append(auxiliary_tasks.rank_levels(outputs.rank_scores, run.rank_slope))
    image = {name: _mean(images, name) for name in images[0]} if images else None
    rank = {name: _mean(ranks, name) for name in ranks[0]} if ranks else None
    if image:
        image["verdict"] = auxiliary_tasks.dynamic_image_verdict(image)
    if rank:
        rank["n_constant"] = sum(levels["n_constant"] for levels in ranks)
        rank["verdict"] = auxiliary_tasks.rank_verdict(rank)
    return {"dynamic_image": image, "rank": rank}


def _means_over_folds(chosen: list[Run], part: str, names: tuple[str, ...]) -> dict:
    """Returns means of numbers in every fold's `done.json`; None if no fold has one."""
    of_folds = [fold.done.get(part) or {} for run in chosen for fold in run.folds]
    numbers = [
        {name: fold.get(name) if _is_number(fold.get(name)) else None for name in names}
        for fold in of_folds
    ]
    return {name: _mean(numbers, name) for name in names}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)

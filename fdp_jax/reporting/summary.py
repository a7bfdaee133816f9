"""Computes the content of `report.json` from the runs of a work directory.

One seed: the scores of its pooled table; if whole corpora are left out, the mean of the scores of
each direction. Several seeds: the mean over the complete ones, with the sample standard deviation
under `spread` and every seed under `runs`. Incomplete seeds enter the mean only if no seed is
complete. Only runs of one selection rule are averaged. Without the recognition module, everything
that needs predictions is None.
"""

from collections import Counter
from dataclasses import asdict

import numpy as np

from fdp_jax.metrics import auxiliary_tasks
from fdp_jax.metrics.predictions import PredictionTable, pool, rows_by
from fdp_jax.metrics.scores import SCORE_NAMES, score
from fdp_jax.metrics.statistics import DRAWS, bootstrap_intervals, chance_level
from fdp_jax.paper_numbers import published_scores
from fdp_jax.reporting.results import LOSSES, TRAIN_SET_METRICS, Run, headline_runs

# Of run.json.
_COPIED = (
    "dataset", "protocol", "split", "classes", "parameters", "steps", "group_folds",
    "label_version", "corrections", "warnings", "device", "versions", "rank_slope", "command",
    "init",
)  # fmt: skip
_SCORES = (*SCORE_NAMES, "fold_acc")  # the last is the mean of the accuracies of the folds
_BY_CLASS = ("per_class_recall", "per_class_f1")
_NO_SCORES = {
    "n_clips": 0,
    "n_subjects": 0,
    **dict.fromkeys((*_SCORES, *_BY_CLASS, "confusion_matrix")),
    "classes_without_clips": [],
    "dic_mse": None,
}


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
    has_predictions = first.table.has_predictions
    entries = {run: _run_entry(run) for run in runs}
    heads = [entries[run] for run in chosen]
    same_rule = [run for run in runs if run.select == first.select]
    missing = [asdict(fold) for run in same_rule for fold in run.missing]
    intervals = bootstrap_intervals(tables, info["split"]) if has_predictions else None
    report = {
        **{name: info.get(name) for name in _COPIED},
        **_over_seeds(heads),
        **_mean_by_class(heads),
        "n_clips": heads[0]["n_clips"],
        "n_subjects": heads[0]["n_subjects"],
        "intervals": {"draws": DRAWS, **intervals} if intervals else None,
        "selection": _selection(entries),
        "classes_without_clips": heads[0]["classes_without_clips"],
        "dic_mse": _mean(heads, "dic_mse"),
        "chance": 1 / len(info["classes"]) if has_predictions else None,
        "largest_class_acc": _largest_class_acc(first) if has_predictions else None,
        "published": published_entry(info, config) if has_predictions else None,
        "complete": not missing,
        "missing_folds": missing,
        "n_folds": len(info["folds"]),
        "folds_expected": sum(len(run.info["folds"]) for run in same_rule),
        "folds_finished": sum(len(run.folds) for run in same_rule),
        "seeds_left_out": [run.seed for run in same_rule if run not in chosen],
        "auxiliary": _auxiliary(chosen),
        "training_losses": _means_over_folds(chosen, "final_losses", LOSSES),
        "train_set_metrics": _means_over_folds(chosen, "train_set_metrics", TRAIN_SET_METRICS),
        "per_subject": _per_subject(tables, len(first.corpora) > 1),
        "seconds": float(sum(head["seconds"] for head in heads)),
        "peak_memory_bytes": max(head["peak_memory_bytes"] or 0 for head in heads) or None,
        "preset": config.get("preset"),
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
        "seconds": float(sum(fold.done["seconds"] for fold in run.folds)),
        "peak_memory_bytes": max(peaks, default=0) or None,
        **(_table_scores(run.table) if run.folds else _NO_SCORES),
    }
    if run.folds and len(run.corpora) > 1:
        entry["per_dataset"] = _per_dataset(run)
        if run.info["split"] == "corpora":
            entry |= _mean_scores(entry["per_dataset"])
    return entry


def _table_scores(table: PredictionTable) -> dict:
    """Returns everything that is computed from a table alone."""
    entry = _NO_SCORES | {
        "n_clips": len(table),
        "n_subjects": len(table.subjects),
        "dic_mse": _finite_mean(table.dic_mse),
    }
    if table.has_predictions:
        scores, correct = score(table.label, table.prediction, table.classes), table.correct
        of_folds = [np.mean(correct[rows]) for rows in rows_by(table.fold).values()]
        entry |= asdict(scores) | {
            "fold_acc": float(np.mean(of_folds)),
            "confusion_matrix": scores.confusion_matrix.tolist(),
            "classes_without_clips": list(scores.classes_without_clips),
        }
    return entry


def _finite_mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).any() else float(np.mean(values))


def _tables_by_corpus(run: Run) -> dict[str, PredictionTable]:
    """Returns the predictions of each tested corpus, in the protocol's order."""
    rows = rows_by(run.table.dataset)
    return {corpus: run.table.take(rows[corpus]) for corpus in run.corpora if corpus in rows}


def _per_dataset(run: Run) -> list[dict]:
    kept = ("n_clips", "n_subjects", *_SCORES, "classes_without_clips", "dic_mse")
    entries = []
    for corpus, table in _tables_by_corpus(run).items():
        scores = _table_scores(table)
        fold = table.fold[0] if run.info["split"] == "corpora" else None
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


def _over_seeds(heads: list[dict]) -> dict:
    """Returns the means over the seeds of one selection rule, and their standard deviation."""
    spread = None
    if len(heads) > 1:
        values = {name: [head[name] for head in heads] for name in (*_SCORES, "dic_mse")}
        spread = {
            name: None if None in seeds else float(np.std(seeds, ddof=1))
            for name, seeds in values.items()
        }
    return {
        "select": heads[0]["select"],
        "evaluations": heads[0]["evaluations"],
        "seeds": [head["seed"] for head in heads],
        **_mean_scores(heads),
        "spread": spread,
    }


def _mean(entries: list[dict], name: str) -> float | None:
    values = [entry[name] for entry in entries if entry.get(name) is not None]
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


def _largest_class_acc(run: Run) -> float:
    """Returns the accuracy of always predicting the largest class, as the protocol averages it."""
    by_corpus = run.info["split"] == "corpora"
    tables = _tables_by_corpus(run).values() if by_corpus else [run.table]
    return float(np.mean([max(Counter(t.label).values()) / len(t) for t in tables]))


def published_entry(info: dict, config: dict) -> dict | None:
    """Returns what `report.json` has under `published`: scores as fractions.

    None if the paper has no number for the protocol, or the network is not the whole FDP.

    Args:
      info: content of `run.json`.
      config: content of `config.json`.
    """
    found = published_scores(info["dataset"], info["protocol"])
    if found is None or config.get("ablate") or config.get("backbone") not in (None, "fdp"):
        return None
    scores = {name: round(value / 100, 6) for name, value in found.scores.items()}
    # The paper does not state its selection rule.
    return {"table": found.table, "select": None, "scores": scores, "notes": list(found.notes)}


def _per_subject(tables: list[PredictionTable], several_corpora: bool) -> list[dict]:
    """Returns clips, accuracy and image error of each subject, averaged over the seeds."""
    pooled = pool(tables)
    correct = pooled.correct
    entries = []
    people = rows_by(zip(pooled.dataset, pooled.subject, strict=True))
    for (corpus, subject), rows in sorted(people.items()):
        entries.append(
            {
                "subject": f"{corpus} {subject}" if several_corpora else subject,
                "fold": pooled.fold[rows[0]],
                "n_clips": max(Counter(pooled.seed[rows].tolist()).values()),
                "acc": float(np.mean(correct[rows])) if pooled.has_predictions else None,
                "dic_mse": _finite_mean(pooled.dic_mse[rows]),
            }
        )
    return entries


def _selection(entries: dict[Run, dict]) -> dict | None:
    """Returns the selection rules side by side; None with a single rule other than test-best."""
    rules = {}
    level = None
    for name in dict.fromkeys(run.select for run in entries):
        chosen = headline_runs([run for run in entries if run.select == name])
        rules[name] = _over_seeds([entries[run] for run in chosen])
        if name == "test-best":
            run = chosen[0]
            labels = {fold.name: fold.table.label for fold in run.folds}
            classes, split = run.info["classes"], run.info["split"]
            level = chance_level(labels, classes, run.evaluations, split=split)
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
            ranks.append(auxiliary_tasks.rank_levels(outputs.rank_scores, run.info["rank_slope"]))
    image = {name: _mean(images, name) for name in images[0]} if images else None
    rank = {name: _mean(ranks, name) for name in ranks[0]} if ranks else None
    if image:
        best_constant, own_mean = image["best_constant_image"], image["own_mean"]
        image["verdict"] = auxiliary_tasks.verdict(image["mse"], best_constant, own_mean)
    if rank:
        rank["n_constant"] = sum(levels["n_constant"] for levels in ranks)
        rank["verdict"] = auxiliary_tasks.verdict(rank["loss"], rank["best_constant"])
    return {"dynamic_image": image, "rank": rank}


def _means_over_folds(chosen: list[Run], part: str, names: tuple[str, ...]) -> dict:
    """Returns means of numbers in every fold's `done.json`; None if no fold has one."""
    of_folds = [fold.done.get(part) or {} for run in chosen for fold in run.folds]
    return {name: _mean(of_folds, name) for name in names}

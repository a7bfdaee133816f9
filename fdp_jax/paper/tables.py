"""Results beside the paper's numbers, a sheet for each kind of table. No jax."""

from collections.abc import Mapping

import numpy as np

from fdp_jax.paper import notes
from fdp_jax.paper.catalogue import Experiment
from fdp_jax.paper.catalogue import experiment as paper_experiment
from fdp_jax.paper.numbers import paper_table
from fdp_jax.paper.recomputed import printed, rank_sum_notes, recompute
from fdp_jax.paper.running import Result
from fdp_jax.paper.sheets import Cell, Sheet, number
from fdp_jax.reporting.formatting import rule_name

_TITLES = {"acc": "Acc", "uf1": "UF1", "weighted_f1": "wF1", "uar": "UAR"}
_AUXILIARY = ("MSE e-3", "rank loss", "tau", "tau seen")


def methods(experiment: Experiment, results: list[Result]) -> Sheet:
    """Tables 4 to 8: the paper's methods, and FDP as trained here with both readings of F1."""
    paper = paper_table(experiment.name)
    theirs = {(run.dataset, run.protocol) for run in paper_experiment(experiment.name).runs}
    if not {(result.run.dataset, result.run.protocol) for result in results} <= theirs:
        return _scores_only(experiment, results)
    scores = paper.columns[4:]
    rows = [(row[0], *row[2:]) for row in paper.rows]
    of_f1 = any(column.endswith(".f1") for column in scores)
    rules = dict.fromkeys(rule for r in notes.trained(results) for rule, _ in _readings(r.report))
    for reading in ("uf1", "weighted_f1") if of_f1 else ("uf1",):
        what = {"uf1": " (macro F1)", "weighted_f1": " (weighted F1)"}[reading] if of_f1 else ""
        for rule in rules:
            cells = [_method_cell(column, results, rule, reading) for column in scores]
            rows.append((f"FDP, trained here{what}{rule}", "", "DL+RI", *cells))
    return _sheet(experiment, ("method", "published in", "type", *scores), rows, results)


def _method_cell(column: str, results: list[Result], rule: str, reading: str) -> Cell:
    """Our number for a column of the paper, as `samm.f1` or `casme2_to_samm.war`."""
    where, score = column.split(".")
    score = reading if score == "f1" else score
    for result in results:
        scores = dict(_readings(result.report)).get(rule)
        if scores is None:
            continue
        if where in (result.run.row, "average"):
            return number(scores, score)
        if result.report["split"] == "corpora":
            return number(_direction(result.report, scores, where, score), score)
    return None


def _direction(report: dict, scores: Mapping, where: str, score: str) -> dict:
    """A score of the fold `where`: mean and spread over the seeds that `scores` is of."""
    runs = [
        run
        for run in report.get("runs") or [report | {"seed": report["seeds"][0]}]
        if run["select"] == scores["select"] and run["seed"] in scores["seeds"]
    ]
    entries = [entry for run in runs for entry in run["per_dataset"] if entry["fold"] == where]
    values = [entry[score] for entry in entries]
    spread = {score: float(np.std(values, ddof=1))} if len(values) > 1 else None
    return {score: float(np.mean(values)) if values else None, "spread": spread}


def _scores_only(experiment: Experiment, results: list[Result]) -> Sheet:
    """A corpus or protocol that the paper's table does not have."""
    rows = [
        (r.run.dataset + rule, r.run.protocol, *_scores(scores))
        for r in results
        for rule, scores in _readings(r.report)
    ]
    none = [
        f"The paper's {experiment.name} has no number of {r.run.dataset} {r.run.protocol}: this "
        "table has ours alone."
        for r in results
    ]
    columns = ("corpus", "protocol", *_TITLES.values())
    return _sheet(experiment, columns, rows, results, [*none, notes.SCORES])


def ablations(experiment: Experiment, results: list[Result]) -> Sheet:
    """Tables 9 and 14, Figure 4: scores, error of the constructions, order of the rank scores."""
    of_images = experiment.name != "table9"
    name = "table14" if of_images else "table9"
    printed = ("mse_thousandths",) if of_images else ("acc", "f1")
    titles = ("paper MSE e-3",) if of_images else ("paper Acc", "paper F1")
    paper = paper_table(name)
    rows = []
    for result in results:
        theirs = [paper.number(column, ablate=result.run.row) for column in printed]
        rows += _rows(result, theirs)
    told = [
        *notes.not_from_paper(name, results),
        notes.SCORES,
        notes.AUXILIARY,
        *paper.notes,
        *notes.levels(results),
        *notes.paired(results, of_images),
    ]
    columns = ("variant", *titles, *_TITLES.values(), *_AUXILIARY)
    return Sheet(
        experiment.name, experiment.title, columns, tuple(rows), (*told, *notes.origin(results))
    )


def backbones(experiment: Experiment, results: list[Result], counts: dict[str, int]) -> Sheet:
    """Table 10: parameters as the table counts them, and scores.

    Args:
      experiment, results: of table 10.
      counts: backbone -> parameters at the paper's sizes.
    """
    paper = paper_table("table10")
    types = dict(zip(paper.column("backbone"), paper.column("type"), strict=True))
    rows = []
    for result in results:
        name = result.run.row
        theirs = [paper.number(c, backbone=name) for c in ("parameters_millions", "acc", "f1")]
        rows += _rows(result, [types[name], counts[name], *theirs])
    columns = (
        "backbone", "type", "parameters", "paper, 1e6", "paper Acc", "paper F1",
        *_TITLES.values(), *_AUXILIARY,
    )  # fmt: skip
    told = [
        "Parameters are those of the paper's sizes, whatever --preset trains.",
        "The paper has 28.71M beside a plain convolution (C) and 27.14M beside convolution, BN, "
        "ReLU and pointwise convolution (C'); with the structure that gives 14.82M the two counts "
        "come out the other way round, as here. Its prose (4.3.4: adding the pointwise convolution "
        "slightly decreases the number of parameters) argues for its own order. Its scores of the "
        "two rows may stand under the other label as well.",
        "The counts of vit_base and resnet18 hold the projection to F_k, those of the others do "
        "not: so they agree with the paper.",
        *notes.not_from_paper("table10", results),
        notes.SCORES,
        notes.AUXILIARY,
        *notes.levels(results),
        *notes.paired(results, of_images=False),
    ]
    return _sheet(experiment, columns, rows, results, told)


def weights(experiment: Experiment, results: list[Result]) -> Sheet:
    """Table 11: the grid of loss weights."""
    paper = paper_table("table11")
    rows = []
    for result in results:
        theirs = [paper.number(column, weights=result.run.row) for column in ("acc", "f1")]
        rows += _rows(result, theirs)
    columns = (
        "lambda_d, lambda_r", "paper Acc", "paper F1", *_TITLES.values(), *_AUXILIARY,
    )  # fmt: skip
    told = [
        *notes.not_from_paper("table11", results),
        notes.SCORES,
        notes.AUXILIARY,
        *notes.levels(results),
        *notes.paired(results, of_images=False),
    ]
    return _sheet(experiment, columns, rows, results, told)


def significance(experiment: Experiment) -> Sheet:
    """Tables 12 and 13 recomputed from the paper's own scores."""
    found = recompute(experiment.name)
    rows = []
    for row in found:
        pairs = zip(printed(row.paper), printed(row.ours), strict=True)
        rows.append((row.benchmark, len(row.rivals), *(cell for pair in pairs for cell in pair)))
    columns = (
        "benchmark", "rivals", "statistic, paper", "statistic, here", "P-value, paper",
        "P-value, here",
    )  # fmt: skip
    return _sheet(experiment, columns, rows, [], [*rank_sum_notes(found), notes.how_to_compare()])


def clips(experiment: Experiment, rows: list[tuple[str, ...]], results: list[Result]) -> Sheet:
    """Table 15: which clips the picture shows, and the paper's."""
    paper = paper_table("table15")
    theirs = ", ".join(
        f"{clip} ({label} as {prediction})"
        for clip, label, prediction in zip(
            paper.column("clip"), paper.column("label"), paper.column("prediction"), strict=True
        )
    )
    columns = ("corpus", "person", "clip", "label", "prediction", "outcome")
    return _sheet(experiment, columns, rows, results, [f"The paper shows {theirs}."])


def shown(experiment: Experiment, rows: list[list[str]]) -> Sheet:
    """Which clips a picture shows."""
    columns = ("person", "clip", "label")
    return Sheet(experiment.name, experiment.title, columns, tuple(map(tuple, rows)))


def _sheet(
    experiment: Experiment, columns: tuple[str, ...], rows: list, results: list[Result],
    told: list[str] | tuple[str, ...] = (),
) -> Sheet:  # fmt: skip
    """A table with its own notes, the paper's, and what was trained."""
    below = (*told, *paper_table(experiment.name).notes, *notes.origin(results))
    return Sheet(experiment.name, experiment.title, columns, tuple(rows), below)


def _readings(report: dict | None) -> list[tuple[str, Mapping | None]]:
    """(what to add to a row's name, its scores) for each selection rule; the headline's first.

    Nothing is added where there is but one rule, unless it is one that has to be warned of.
    """
    if report is None or not report["selection"]:
        return [("", report)]
    return [(f", {rule_name(rule['select'])}", rule) for rule in report["selection"]["rules"]]


def _rows(result: Result, theirs: list[Cell]) -> list[tuple[Cell, ...]]:
    """A run's rows, one for each selection rule: name, the paper's, scores, auxiliary tasks.

    What the auxiliary tasks reached is known under the headline's rule.
    """
    rows = []
    for rule, scores in _readings(result.report):
        is_headline = scores is not None and scores["select"] == result.report["select"]
        auxiliary = _auxiliary(result.report if is_headline else None)
        rows.append((result.run.name + rule, *theirs, *_scores(scores), *auxiliary))
    return rows


def _scores(scores: Mapping | None) -> list[Cell]:
    return [number(scores, name) for name in _TITLES]


def _auxiliary(report: dict | None) -> list[Cell]:
    """MSE in thousandths, rank loss, and Kendall's tau on people left out and trained on."""
    if report is None:
        return [None] * len(_AUXILIARY)
    rank = report["auxiliary"]["rank"]
    return [
        number(report, "dic_mse", 1000, 3),
        number(rank, "loss", 1, 3),
        number(rank, "kendall_tau", 1, 3),
        number(report["train_set_metrics"], "kendall_tau", 1, 3) if rank else None,
    ]

"""Tables of results beside the paper's numbers."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fdp_jax.config import preset
from fdp_jax.files import write_atomically
from fdp_jax.metrics.statistics import RankSum, rank_sum
from fdp_jax.paper import notes
from fdp_jax.paper.pictures import Panel
from fdp_jax.paper.registry import Experiment, RunResult
from fdp_jax.paper_numbers import Cell, paper_table
from fdp_jax.reporting import formatting

_SCORES = {"acc": "Acc", "uf1": "UF1", "weighted_f1": "wF1", "uar": "UAR"}
_SCORES_AND_FOLDS = _SCORES | {"fold_acc": "mean fold Acc"}
_SAME = {name: name for name in ("acc", "uar", "war")}
_AUXILIARY = ("MSE e-3", "rank loss", "tau", "tau seen")
_DECIMALS = dict.fromkeys(_AUXILIARY, 3)  # of all other columns: 2
# Table -> title of the first column, and title -> column of the paper's table; `parameters` is
# computed here.
_PAPER_SCORES = {"paper Acc": "acc", "paper F1": "f1"}
_VARIANT_COLUMNS = {
    "table9": ("variant", _PAPER_SCORES),
    "table10": (
        "backbone",
        {"type": "type", "parameters": "parameters", "paper, 1e6": "parameters_millions"}
        | _PAPER_SCORES,
    ),
    "table11": ("lambda_d, lambda_r", _PAPER_SCORES),
    "table14": ("variant", {"paper MSE e-3": "mse_thousandths"}),
}
_INTERVAL = "Acc, 95 %"
_INTERVAL_NOTE = f"{_INTERVAL}: bootstrap interval of the accuracy over people."


@dataclass(frozen=True)
class ResultTable:
    """A finished table; with several seeds, a cell is the text of mean and standard deviation."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]  # in the order of the columns; scores in percent
    notes: tuple[str, ...] = ()  # sentences below the table
    picture: bytes | None = None  # PNG

    def write(self, folder: Path) -> list[str]:
        """Writes NAME.md, NAME.json and, with a picture, NAME.png; returns their paths."""
        files = {"md": self.as_markdown(), "json": self.as_json() + "\n"}
        files |= {"png": self.picture} if self.picture else {}
        paths = {suffix: folder / f"{self.name}.{suffix}" for suffix in files}
        for suffix, path in paths.items():
            write_atomically(path, files[suffix])
        return [str(path) for path in paths.values()]

    def as_json(self) -> str:
        """Returns the table as JSON, each row as column -> cell."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        content = {"name": self.name, "title": self.title, "columns": self.columns}
        content |= {"rows": rows, "notes": self.notes}
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)

    def as_text(self) -> str:
        """Returns the table with aligned columns, and the notes."""
        rows = self._texts()
        first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
        aligned = [[row[0].ljust(first), *map(str.rjust, row[1:], others)] for row in rows]
        lines = ["  ".join(cells).rstrip() for cells in aligned]
        return "\n".join([f"{self.name}: {self.title}", "", *lines, "", *self.notes])

    def as_markdown(self) -> str:
        """Returns the same as a Markdown document, with the picture."""
        parts = [f"# {self.name}: {self.title}", formatting.table(self._texts())]
        parts += [formatting.bullets(self.notes)] if self.notes else []
        parts += [f"![{self.title}]({self.name}.png)"] if self.picture else []
        return "\n\n".join(parts) + "\n"

    def _texts(self) -> list[tuple[str, ...]]:
        return [self.columns, *(tuple(map(_text, self.columns, row)) for row in self.rows)]


def _text(column: str, cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.{_DECIMALS.get(column, 2)}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def methods_table(experiment: Experiment, results: Sequence[RunResult]) -> ResultTable:
    """Returns Tables 4 to 8: the paper's methods, and FDP as trained here."""
    if not {(r.run.dataset, r.run.protocol) for r in results} <= set(experiment.published):
        return _own_scores_table(experiment, results)
    paper = paper_table(experiment.name)
    columns = paper.columns[4:]
    rows = [tuple(row[c] for c in ("method", "paper", "type", *columns)) for row in paper.rows]
    printed = {column.partition(".")[2] for column in columns}
    readings = {"": _SAME}  # row's name -> score of the paper -> ours
    if "f1" in printed:  # the paper does not say which
        readings = {
            " (macro F1)": _SAME | {"f1": "uf1"},
            " (weighted F1)": _SAME | {"f1": "weighted_f1"},
        }
    if "acc" in printed:
        readings[" (mean over folds)"] = {"acc": "fold_acc"}
    rules = dict.fromkeys(rule for r in results for rule in _by_rule(r.report) if r.report)
    for reading, score_of in readings.items():
        for rule in rules:
            cells = [_method_cell(column, results, rule, score_of) for column in columns]
            rows.append((f"FDP, trained here{reading}{rule}", "", "DL+RI", *cells))
    columns = ("method", "published in", "type", *columns)
    below = [*paper.notes, *paper.counts.values(), *([notes.FOLDS] if "acc" in printed else [])]
    return _table(experiment, columns, rows, results, below)


def _method_cell(
    column: str, results: Sequence[RunResult], rule: str, score_of: Mapping[str, str]
) -> Cell:
    """Returns the result for a column of the paper, such as `samm.f1` or `casme2_to_samm.war`."""
    where, printed = column.split(".")
    score = score_of.get(printed)
    if score is None:
        return None
    for result in results:
        scores = _by_rule(result.report).get(rule)
        if scores and where in (result.run.name, "average"):
            return _cell(scores, score)
        if scores and result.report["split"] == "corpora":
            return _direction(result.report, scores, where, score)
    return None


def _direction(report: Mapping, scores: Mapping, where: str, score: str) -> Cell:
    """Returns a score of one direction, over the seeds that `scores` is the mean of."""
    runs = report.get("runs") or [{**report, "seed": report["seeds"][0]}]
    values = [
        entry[score]
        for run in runs
        if run["select"] == scores["select"] and run["seed"] in scores["seeds"]
        for entry in run["per_dataset"]
        if entry["fold"] == where
    ]
    if not values:
        return None
    spread = {score: statistics.stdev(values)} if len(values) > 1 else None
    return _cell({score: statistics.mean(values), "spread": spread}, score)


def _own_scores_table(experiment: Experiment, results: Sequence[RunResult]) -> ResultTable:
    """Returns the scores on a corpus or protocol that the paper's table lacks."""
    rows = [
        (result.run.dataset + rule, result.run.protocol, *_scores(scores, _SCORES_AND_FOLDS))
        for result in results
        for rule, scores in _by_rule(result.report).items()
    ]
    missing = [
        f"The paper's {experiment.name} has no numbers for {r.run.dataset} {r.run.protocol}, so"
        " this table has only those computed here."
        for r in results
    ]
    columns = ("corpus", "protocol", *_SCORES_AND_FOLDS.values())
    return _table(experiment, columns, rows, results, [*missing, notes.SCORES, notes.FOLDS])


def variants_table(experiment: Experiment, results: Sequence[RunResult]) -> ResultTable:
    """Returns Tables 9, 10, 11 and 14, and that with Figure 4."""
    name = "table14" if experiment.name == "figure4" else experiment.name
    paper = paper_table(name)
    first, from_paper = _VARIANT_COLUMNS[name]
    rows = []
    for result in results:
        row = paper.rows[experiment.runs.index(result.run)]
        if name == "table10":
            from fdp_jax.models.fdp import count_backbone_params  # late, with jax

            row = row | {"parameters": count_backbone_params(result.run.config(preset("paper")))}
        theirs = [row[column] for column in from_paper.values()]
        for rule, scores in _by_rule(result.report).items():
            ours = (*_scores(scores, _SCORES_AND_FOLDS), *_auxiliary(result.report, scores))
            rows.append((result.run.name + rule, *theirs, *ours))
    below = [
        *notes.other_protocols(experiment, results),
        notes.SCORES,
        notes.FOLDS,
        notes.AUXILIARY,
        *paper.notes,
        *paper.counts.values(),
        *notes.baselines(results),
        *notes.differences(results, of_images=name == "table14"),
    ]
    columns = (first, *from_paper, *_SCORES_AND_FOLDS.values(), *_AUXILIARY)
    return _table(experiment, columns, rows, results, below)


def starts_table(
    experiment: Experiment, results: Sequence[RunResult], untrained: Mapping | None
) -> ResultTable:
    """Returns the scores by start; `untrained` are those of the pretrained network as it is."""
    rows = (
        [("pretrained, without training", *_scores(untrained), _interval(untrained), 0)]
        if untrained
        else []
    )
    for result in results:
        steps = result.report["steps"] if result.report else None
        for rule, scores in _by_rule(result.report).items():
            rows.append((result.run.name + rule, *_scores(scores), _interval(scores), steps))
    columns = ("start", *_SCORES.values(), _INTERVAL, "steps")
    return _table(experiment, columns, rows, results, [notes.SCORES, _INTERVAL_NOTE])


def significance_table(experiment: Experiment) -> ResultTable:
    """Returns Tables 12 and 13, the paper's significance tests, recomputed from its own scores.

    The paper compares printed scores: the F1 of FDP, repeated once per rival, against the F1 of the
    rivals, by a one-sided rank-sum test. Copies of one number are not a sample, and if FDP is above
    every rival, the result depends on the number of rivals alone. Valid tests compare predictions
    of the same clips; see `fdp_jax.metrics.statistics`.
    """
    rows, below, is_above_all = [], [], True
    for row in paper_table(experiment.name).rows:
        table = paper_table(row["of_table"])
        methods, scores = table.column(table.columns[0]), table.column(row["of_column"])
        f1 = dict(zip(methods, scores, strict=True))
        fdp = f1.pop("FDP" if "FDP" in f1 else "fdp")
        rivals = [score for score in f1.values() if score is not None]
        n = len(rivals)
        is_above_all &= fdp > max(rivals)
        printed = _printed(RankSum(row["statistic"], row["p_value"]))
        by_repeats = {k: _printed(rank_sum(fdp, rivals, k)) for k in range(1, n + 1)}
        here = by_repeats[n]
        rows.append((row["benchmark"], n, printed[0], here[0], printed[1], here[1]))
        if here == printed:
            continue
        text = (
            f"{row['benchmark']}: {n} repetitions against {n} rivals, as in the other rows, give"
            f" {' / '.join(here)}, but the paper prints {' / '.join(printed)}"
        )
        if same := [k for k, found in by_repeats.items() if found[0] == printed[0]]:
            text += f"; {same[-1]} against {n} would give {' / '.join(by_repeats[same[-1]])}"
        below.append(f"{text}.")
    reproduced = len(rows) - len(below)
    below.append(f"{reproduced} of {len(rows)} rows are reproduced to every printed digit.")
    if is_above_all:
        below.append(
            "FDP is above every rival in all of them, so each result depends on the number of"
            " rivals alone, not on the size of the improvement or the number of clips."
        )
    below.append(notes.VALID_TESTS)
    titles = ("statistic, paper", "statistic, here", "P-value, paper", "P-value, here")
    return _table(experiment, ("benchmark", "rivals", *titles), rows, (), below)


def _printed(result: RankSum) -> tuple[str, str]:
    """Returns statistic and P-value with four significant digits, as the paper prints them."""
    return f"{result.statistic:.3f}", f"{result.p_value:.3e}"


def clips_table(
    experiment: Experiment, panels: Sequence[Panel], results: Sequence[RunResult]
) -> ResultTable:
    """Returns the clips of Table 15 or Figure 1."""
    theirs = [
        f"{row['clip']} ({row['label']} as {row['prediction']})"
        for row in paper_table("table15").rows
    ]
    below = [f"The paper shows {', '.join(theirs)}."] if experiment.kind == "clips" else []
    rows = [tuple(panel.cells.values()) for panel in panels]
    return _table(experiment, tuple(panels[0].cells), rows, results, below)


def _table(
    experiment: Experiment,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Cell, ...]],
    results: Sequence[RunResult],
    below: Sequence[str],
) -> ResultTable:
    all_notes = (*below, *notes.training(results))
    return ResultTable(experiment.name, experiment.title, columns, tuple(rows), all_notes)


def _by_rule(report: Mapping | None) -> dict[str, Mapping | None]:
    """Returns suffix of the row's name -> scores by selection rule, that of the headline first."""
    if report is None or not report["selection"]:
        return {"": report}
    rules = report["selection"]["rules"]
    return {f", {formatting.rule_name(rule['select'])}": rule for rule in rules}


def _scores(scores: Mapping | None, names: Iterable[str] = _SCORES) -> list[Cell]:
    return [_cell(scores, name) for name in names]


def _interval(scores: Mapping | None) -> str | None:
    intervals = scores and scores.get("intervals")
    return formatting.bracket(intervals["acc"]).strip() if intervals else None


def _auxiliary(report: Mapping | None, scores: Mapping | None) -> list[Cell]:
    """Returns the results of the auxiliary tasks, which are known for the headline's rule only."""
    if report is None or scores["select"] != report["select"]:
        return [None] * len(_AUXILIARY)
    rank, train = report["auxiliary"]["rank"], report["train_set_metrics"]
    return [
        _cell(report, "dic_mse", 1000, 3),
        _cell(rank, "loss", 1, 3),
        _cell(rank, "kendall_tau", 1, 3),
        _cell(train if rank else None, "kendall_tau", 1, 3),
    ]


def _cell(entry: Mapping | None, name: str, factor: float = 100, decimals: int = 2) -> Cell:
    """Returns factor times a number of a report, with its deviation if there are several seeds."""
    value = entry[name] if entry else None
    if value is None:
        return None
    spread = (entry.get("spread") or {}).get(name)
    if spread is None:
        return round(factor * value, decimals)
    return f"{factor * value:.{decimals}f} ± {factor * spread:.{decimals}f}"

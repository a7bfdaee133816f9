"""Results beside the paper's numbers: rows, notes, and how they are printed. No jax."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from fdp_jax.experiments.catalogue import ABLATIONS, Experiment
from fdp_jax.experiments.running import Result
from fdp_jax.paper_numbers import paper_table
from fdp_jax.significance import rank_sum_notes, recompute

Cell = str | float | int | None
_SCORES = ("acc", "uf1", "weighted_f1", "uar")
_TITLES = {"acc": "Acc", "uf1": "UF1", "weighted_f1": "weighted F1", "uar": "UAR"}


@dataclass(frozen=True)
class Sheet:
    """A finished table.

    Attributes:
      name, title: of the experiment.
      columns: names.
      rows: cells in the order of the columns; scores in percent.
      notes: sentences below it.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict:
        """For JSON; each row as column -> cell."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return asdict(self) | {"rows": rows}


def methods(experiment: Experiment, results: list[Result]) -> Sheet:
    """Tables 4 to 8: the paper's methods, and FDP as trained here with both readings of F1."""
    paper = paper_table(experiment.name)
    scores = paper.columns[4:]
    known = {column.partition(".")[0] for column in scores} | {"cross"}
    if not {result.run.row for result in results} <= known:
        return _scores_only(experiment, results)
    rows = [(row[0], *row[2:]) for row in paper.rows]
    for reading, title in (("uf1", "macro"), ("weighted_f1", "weighted")):
        if not any(column.endswith(".f1") for column in scores) and reading != "uf1":
            break
        what = f" ({title} F1)" if any(column.endswith(".f1") for column in scores) else ""
        cells = [_method_cell(column, results, reading) for column in scores]
        rows.append((f"FDP, trained here{what}", "", "DL+RI", *cells))
    columns = ("method", "published in", "type", *scores)
    return Sheet(experiment.name, experiment.title, columns, tuple(rows), tuple(_notes(results)))


def _method_cell(column: str, results: list[Result], reading: str) -> float | None:
    """Our number for a column of the paper, as `samm.f1` or `casme2_to_samm.war`."""
    where, score = column.split(".")
    score = reading if score == "f1" else score
    for result in results:
        if result.report is None:
            continue
        if result.run.row == where or where == "average":
            return _percent(result.report[score])
        for entry in result.report.get("per_dataset") or []:
            if entry.get("fold") == where:
                return _percent(entry[score])
    return None


def _scores_only(experiment: Experiment, results: list[Result]) -> Sheet:
    """A corpus that the paper's table does not have."""
    rows = [(r.run.row, r.run.protocol, *_own_scores(r.report)) for r in results]
    columns = ("corpus", "protocol", *_TITLES.values())
    notes = ["The paper has no number for this corpus.", *_notes(results)]
    return Sheet(experiment.name, experiment.title, columns, tuple(rows), tuple(notes))


def ablations(experiment: Experiment, results: list[Result]) -> Sheet:
    """Tables 9 and 14, Figure 4: scores, error of the constructions, order of the rank scores."""
    of_images = experiment.name != "table9"
    paper = paper_table("table14" if of_images else "table9")
    printed = ("paper MSE e-3",) if of_images else ("paper Acc", "paper F1")
    from_paper = ("mse_thousandths",) if of_images else ("acc", "f1")
    rows = []
    for result in results:
        known = result.run.row in paper.column("ablate")
        theirs = [
            paper.number(column, ablate=result.run.row) if known else None for column in from_paper
        ]
        mse, tau, own_tau = _auxiliary(result.report)
        rows.append(
            (ABLATIONS[result.run.row], *theirs, *_own_scores(result.report), mse, tau, own_tau)
        )
    columns = ("variant", *printed, *_TITLES.values(), "MSE e-3", "tau", "tau on training people")
    notes = [*_not_from_paper(results), *_levels(results), *_order(rows, columns, of_images)]
    return Sheet(
        experiment.name, experiment.title, columns, tuple(rows), (*notes, *_notes(results))
    )


def backbones(experiment: Experiment, results: list[Result], counts: dict[str, int]) -> Sheet:
    """Table 10: parameters as the table counts them, and scores.

    Args:
      experiment, results: of table 10.
      counts: backbone -> parameters at the paper's sizes.
    """
    paper = paper_table("table10")
    rows = []
    for result in results:
        name = result.run.row
        theirs = [paper.number(c, backbone=name) for c in ("parameters_millions", "acc", "f1")]
        rows.append((name, counts[name], *theirs, *_own_scores(result.report)))
    columns = (
        "backbone", "parameters", "paper, millions", "paper Acc", "paper F1", *_TITLES.values(),
    )  # fmt: skip
    notes = (
        "Parameters are those of the paper's sizes, whatever --preset trains.",
        "The paper has 28.71M beside a plain convolution and 27.14M beside convolution, BN, ReLU "
        "and pointwise convolution; with the structure that gives 14.82M the two counts come out "
        "the other way round, as here.",
        "The counts of vit_base and resnet18 hold the projection to F_k, those of the others do "
        "not: so they agree with the paper.",
        *paper.notes,
        *_not_from_paper(results),
        *_notes(results),
    )
    return Sheet(experiment.name, experiment.title, columns, tuple(rows), notes)


def weights(experiment: Experiment, results: list[Result]) -> Sheet:
    """Table 11: the grid of loss weights."""
    paper = paper_table("table11")
    rows = []
    for result in results:
        theirs = [paper.number(column, weights=result.run.row) for column in ("acc", "f1")]
        mse, tau, _ = _auxiliary(result.report)
        rows.append((result.run.row, *theirs, *_own_scores(result.report), mse, tau))
    columns = (
        "lambda_d, lambda_r", "paper Acc", "paper F1", *_TITLES.values(), "MSE e-3", "tau",
    )  # fmt: skip
    notes = (*_not_from_paper(results), *_notes(results))
    return Sheet(experiment.name, experiment.title, columns, tuple(rows), notes)


def significance(experiment: Experiment) -> Sheet:
    """Tables 12 and 13 recomputed from the paper's own scores."""
    rows = recompute(experiment.name)
    cells = []
    for row in rows:
        pairs = zip(row.paper.printed, row.ours.printed, strict=True)
        cells.append((row.benchmark, len(row.rivals), *(cell for pair in pairs for cell in pair)))
    columns = (
        "benchmark", "rivals", "statistic, paper", "statistic, here", "P-value, paper",
        "P-value, here",
    )  # fmt: skip
    notes = tuple(rank_sum_notes(rows))
    return Sheet(experiment.name, experiment.title, columns, tuple(cells), notes)


def clips(experiment: Experiment, rows: list[tuple[str, ...]], results: list[Result]) -> Sheet:
    """Table 15: which clips the picture shows, and the paper's."""
    paper = paper_table("table15")
    theirs = ", ".join(
        f"{clip} ({label} as {prediction})"
        for clip, label, prediction in zip(
            paper.column("clip"), paper.column("label"), paper.column("prediction"), strict=True
        )
    )
    columns = ("person", "clip", "label", "prediction", "")
    notes = (f"The paper shows {theirs}.", *_notes(results))
    return Sheet(experiment.name, experiment.title, columns, tuple(rows), notes)


def shown(experiment: Experiment, rows: list[list[str]]) -> Sheet:
    """Which clips a picture shows."""
    columns = ("person", "clip", "label")
    return Sheet(experiment.name, experiment.title, columns, tuple(map(tuple, rows)))


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)


def _own_scores(report: dict | None) -> list[Cell]:
    """Our scores, with their standard deviation where there are several seeds."""
    if report is None:
        return [None] * len(_SCORES)
    cells: list[Cell] = []
    for name in _SCORES:
        value, spread = _percent(report[name]), (report.get("spread") or {}).get(name)
        with_spread = value is not None and spread is not None
        cells.append(f"{value:.2f} (sd {100 * spread:.2f})" if with_spread else value)
    return cells


def _auxiliary(report: dict | None) -> tuple[float | None, float | None, float | None]:
    """MSE in thousandths, and Kendall's tau on unseen and on training people."""
    if report is None:
        return None, None, None
    mse, rank = report["dic_mse"], report["auxiliary"]["rank"]
    own = (report.get("training_people") or {}).get("kendall_tau")
    return (
        None if mse is None else round(1000 * mse, 3),
        None if rank is None else round(rank["kendall_tau"], 3),
        None if own is None else round(own, 3),
    )


def _levels(results: Iterable[Result]) -> list[str]:
    """What needs no learning, and what the auxiliary tasks of each variant learnt."""
    notes = []
    for result in results:
        if result.report is None:
            continue
        image, rank = (result.report["auxiliary"][part] for part in ("dynamic_image", "rank"))
        if image and not any("best constant image" in note for note in notes):
            notes.append(
                f"MSE without learning, in thousandths: best constant image "
                f"{1000 * image['best_constant_image']:.2f}, each clip's own mean "
                f"{1000 * image['own_mean']:.2f}; the paper's FDP has 1.44."
            )
        if rank and not any("best constant score" in note for note in notes):
            notes.append(
                f"Rank loss of the best constant score: {rank['best_constant']:.2f}; its tau is 0."
            )
        told = [part["words"] for part in (image, rank) if part and part["verdict"] != "learnt"]
        name = ABLATIONS.get(result.run.row, result.run.row)
        notes += [f"{name}: {words}" for words in told]
    return notes


def _order(rows: list[tuple], columns: tuple[str, ...], of_images: bool) -> list[str]:
    """The order found, best first."""
    what = "MSE e-3" if of_images else "UF1"
    place = columns.index(what)
    found = [(row[place], row[0]) for row in rows if row[place] is not None]
    found = [(float(str(value).partition(" ")[0]), name) for value, name in found]
    if len(found) < 2:
        return []
    names = [name for _, name in sorted(found, reverse=not of_images)]
    return [f"Order found by {what.removesuffix(' e-3')}, best first: {', '.join(names)}."]


def _not_from_paper(results: Iterable[Result]) -> list[str]:
    others = {r.run.dataset for r in results} - {"samm"}
    return (
        [f"The paper's numbers are of SAMM, ours of {', '.join(sorted(others))}."] if others else []
    )


def _notes(results: Iterable[Result]) -> list[str]:
    """Protocol, label version, seeds and rule of what was trained, and what was not."""
    notes = []
    for result in results:
        name = ABLATIONS.get(result.run.row, result.run.row)
        report = result.report
        if report is None:
            notes.append(f"{name}: not trained; {result.reason}")
            continue
        seeds = ", ".join(map(str, report["seeds"]))
        folds = f"{report['group_folds']} groups of people" if report["group_folds"] else "LOSO"
        whole = "" if report["complete"] else " (folds are missing)"
        notes.append(
            f"{name}: {report['dataset']} {report['protocol']}, {folds}{whole}, labels "
            f"{report['label_version']}, {report['n_clips']} clips, seeds {seeds}, rule "
            f"{report['select']}, {report['steps']} steps of {report['preset']}; "
            f"{result.workdir}/report.html"
        )
    return notes


def as_text(sheet: Sheet) -> str:
    """For the terminal."""
    rows = [sheet.columns, *([_shown(cell) for cell in row] for row in sheet.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{sheet.name}: {sheet.title}", ""]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", *sheet.notes])


def as_markdown(sheet: Sheet) -> str:
    """For a file."""
    rows = [sheet.columns, ("---",) * len(sheet.columns)]
    rows += [tuple(_shown(cell) for cell in row) for row in sheet.rows]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    notes = "\n".join(f"- {note}" for note in sheet.notes)
    return f"# {sheet.name}: {sheet.title}\n\n{table}\n\n{notes}\n"


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.2f}" if isinstance(cell, float) and cell >= 1 else str(cell)

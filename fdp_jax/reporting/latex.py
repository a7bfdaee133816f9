r"""`tables.tex`: the scores of a report as a LaTeX table, and as one row for a table of one's own.

The table needs the package booktabs. Every text is escaped; `\input{tables.tex}` is a valid
document part.
"""

from collections.abc import Iterator

from fdp_jax.reporting import formatting

_SIGNS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "`": r"\textasciigrave{}", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip


def escape(text: object) -> str:
    """Returns text on one line in which no sign is a command of LaTeX."""
    return "".join(_SIGNS.get(sign, sign) for sign in " ".join(str(text).split()))


def tables(report: dict) -> str:
    """Returns the content of `tables.tex`.

    Args:
      report: content of `report.json`.
    """
    titles = list(formatting.score_titles(report).values())
    parts = [report["config"].get(name) for name in ("backbone", "ablate")]
    variant = ", ".join(part for part in parts if part not in (None, "", "fdp"))
    method = f"FDP ({variant})" if variant else "FDP"
    ours = _rows(f"{method}, {formatting.rule_name(report['select'])}", report)
    rows = [*_published(report), *ours]
    for corpus in report.get("per_dataset", []):
        rows += _rows(f"-- {corpus['fold'] or corpus['dataset']} only", corpus)
    for rule in (report["selection"] or {}).get("rules", []):
        if rule["select"] != report["select"]:
            rows += _rows(f"{method}, {formatting.rule_name(rule['select'])}", rule)
    lines = [
        *_comments(report),
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(_caption(report))}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(titles)}}}",
        r"    \toprule",
        rf"    {' & '.join(['Method', *map(escape, titles)])} \\",
        r"    \midrule",
        *(rf"    {row} \\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        f"% One row for a table of your own, with the columns {', '.join(titles)}:",
        rf"% {ours[0]} \\",
    ]
    return "\n".join(lines) + "\n"


def _comments(report: dict) -> Iterator[str]:
    facts = [
        f"FDP on {report['dataset']}, {report['protocol']}. {formatting.about(report)}",
        "After $\\pm$: sample standard deviation over the seeds." if report["spread"] else "",
        *formatting.alerts(report),
        *formatting.notes(report),
        *(f"{key}: {formatting.configuration(report).get(key)}" for key in ("Versions", "Command")),
        "Needs \\usepackage{booktabs}.",
    ]
    yield from (f"% {' '.join(fact.split())}" for fact in facts if fact)


def _caption(report: dict) -> str:
    text = "Scores in percent" if formatting.has_scores(report) else "Scores"
    text += (
        f" on {report['dataset']}, {report['protocol']}: {report['n_clips']} clips of"
        f" {report['n_subjects']} subjects, selection rule {report['select']},"
        f" {formatting.seeds_text(report)}"
    )
    if report["spread"]:
        text += " with standard deviation"
    if report["intervals"]:
        text += "; in brackets the 95 % bootstrap interval over subjects"
    return f"{text}."


def _rows(name: str, entry: dict) -> list[str]:
    """Returns the row of means, and that of intervals if there are any, without line ends."""
    keys = ["dic_mse"] if entry["acc"] is None else list(formatting.SCORE_TITLES)
    rows = [" & ".join([escape(name), *(_value(entry, key) for key in keys)])]
    if intervals := entry.get("intervals"):
        # In braces: after a line end, LaTeX would take a bracket for an argument.
        cells = [f"{{{formatting.bracket(intervals.get(key)).strip()}}}" for key in keys]
        rows.append(" & ".join(["", *cells]).strip())
    return rows


def _value(entry: dict, key: str) -> str:
    value, spread = entry[key], (entry.get("spread") or {}).get(key)
    if value is None:
        return "--"
    form = "{:.2e}" if key == "dic_mse" else "{:.2f}"
    factor = 1 if key == "dic_mse" else 100
    deviation = "" if spread is None else rf" $\pm$ {form.format(factor * spread)}"
    return form.format(factor * value) + deviation


def _published(report: dict) -> Iterator[str]:
    """Yields the row of the paper, whose F1 may be any of the two."""
    if report["published"] is None:
        return
    scores = report["published"]["scores"]
    printed = (scores.get("acc", scores.get("war")), scores.get("f1"), scores.get("uar"))
    acc, f1, uar = ("--" if value is None else f"{100 * value:.2f}" for value in printed)
    yield (
        "FDP, as published (selection rule unknown)"
        rf" & {acc} & \multicolumn{{2}}{{c}}{{{f1} (F1)}} & {uar}"
    )

"""`report.md` and the summary that the terminal shows."""

from pathlib import Path

from fdp_jax.reporting import selection, words

# Figure file -> (title, what it shows); those that could not be drawn are passed over.
FIGURES = {
    "confusion_matrix.png": ("Confusion matrix", "Rows are true classes; colour is the row share."),
    "subject_accuracy.png": ("Accuracy by person", "Each person was left out of training."),
    "training_curves.png": (
        "Training curves",
        "Losses on training clips, each fold thin and their mean thick, beside the level that a"
        " network which learnt nothing would reach on the test clips.",
    ),
    "dynamic_images.png": (
        "Dynamic images",
        "For some test clips: the eight input frames, the ground truth and the construction. The"
        " classes and people take turns, and right and wrong clips where something was predicted.",
    ),
    "rank_scores.png": (
        "Rank scores",
        "Scores of the test clips' frames; a scorer that tells early from late frames rises.",
    ),
}


def terminal(report: dict, workdir: Path) -> str:
    """The summary for the terminal, without a line feed at its end."""
    lines = [
        f"{report['dataset']} {report['protocol']}, selection rule"
        f" {words.rule_name(report['select'])},"
        f" {words.seeds_text(report)}{words.variant_text(report)}",
        words.counts_text(report),
        "",
    ]
    headline = _headline(report)
    width = max(len(title) for title, _ in headline)
    for title, told in headline:
        value, bracket, further = told.partition(" [")
        lines.append(f"  {title:<{width}}  {value:>8}{bracket}{further}")
    if rows := words.dataset_rows(report):
        lines += ["", words.dataset_text(report), *_columns(rows)]
    if rows := selection.table(report):
        lines += ["", *_columns(rows), *selection.sentences(report)]
    lines += ["", words.scores_text(report), words.labels_text(report)]
    lines += [text for text in [words.intervals_text(report), words.chance_text(report)] if text]
    lines += [text for text in [words.absent_text(report)] if text]
    lines += words.auxiliary_sentences(report)
    if missing := words.missing_text(report):
        lines += ["", missing, *(f"  {line}" for line in words.missing_lines(report))]
    lines += ["", _where(workdir)]
    return "\n".join(lines)


def _where(workdir: Path) -> str:
    """Which file to open."""
    page = workdir / "report.html"
    if page.exists():
        return f"Report: {page}"
    return (
        f"Report: {workdir / 'report.md'} (there is no report.html, as jinja2 is not installed:"
        " pip install jinja2)"
    )


def _headline(report: dict) -> list[tuple[str, str]]:
    """Title and value, with its spread where several seeds were averaged, and its interval."""
    rows = words.headline_rows(report)
    spreads = [words.spread_text(report, name) if name else "" for name, _, _ in rows]
    return [
        (title, value + (f" ({spread})" if spread else "") + words.interval_text(report, name))
        for (name, title, value), spread in zip(rows, spreads, strict=True)
    ]


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows as lines, the first column flush left and the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(["", first.ljust(widths[0]), *map(str.rjust, others, widths[1:])])
        for first, *others in rows
    ]


def markdown(report: dict, figures: list[str]) -> str:
    """`report.md`; `figures` are the names of the files in `figures/` that exist."""
    parts = [
        f"# FDP on {_cell(report['dataset'])}, {_cell(report['protocol'])}",
        f"Selection rule `{_cell(report['select'])}`: {words.selection_text(report)}."
        f" {words.seeds_text(report).capitalize()}{words.variant_text(report)}."
        f" {words.counts_text(report)}.",
    ]
    parts += [text for text in [words.corpus_text(report)] if text]
    if missing := words.missing_text(report):
        parts += [f"**{missing}**", _bullets(words.missing_lines(report))]
    parts += [_table([(f"Score, {words.scores_title(report)}", ""), *_headline(report)])]
    parts += [words.scores_text(report)]
    parts += [text for text in [words.intervals_text(report), words.chance_text(report)] if text]
    if rows := selection.table(report):
        parts += ["## By selection rule", _table(rows), *selection.sentences(report)]
    if rows := words.dataset_rows(report):
        parts += ["## By corpus", words.dataset_text(report), _table(rows)]
    if absent := words.absent_text(report):
        parts.append(_cell(absent))
    if words.recognises(report):
        parts += _by_class(report)
    parts += ["## What the auxiliary tasks learnt"]
    rows = words.auxiliary_rows(report)
    if rows:
        cells = [(f"**{what}**" if own else what, value) for what, value, own in rows]
        parts.append(_table([("", "Value"), *cells], raw=True))
    parts.append(_bullets(words.auxiliary_sentences(report)))
    parts += ["## By person", _table(words.person_rows(report))]
    if "runs" in report:
        parts += ["## Every run", _table(words.run_rows(report))]
    for name in figures:
        title, caption = FIGURES[name]
        parts += [f"## Figure: {title}", caption, f"![{title}](figures/{name})"]
    parts += ["## What was run", _table([("", ""), *words.fact_rows(report)])]
    for title in ("corrections", "warnings"):
        if report[title]:
            parts += [f"## {title.capitalize()}", _bullets(report[title])]
    return "\n\n".join(parts) + "\n"


def _by_class(report: dict) -> list[str]:
    """Recall, F1 and confusion matrix."""
    of_classes = [
        (name, words.percent(recall), words.percent(report["per_class_f1"][name]))
        for name, recall in report["per_class_recall"].items()
    ]
    matrix = zip(report["classes"], report["confusion_matrix"], strict=True)
    return [
        "## Recall and F1 by class",
        _table([("Class", "Recall", "F1"), *of_classes]),
        "## Confusion matrix",
        "Rows are true classes, columns are predictions."
        + (" Counts are summed over the seeds." if report["spread"] else ""),
        _table([("", *report["classes"]), *((name, *row) for name, row in matrix)]),
    ]


def _table(rows: list[tuple], raw: bool = False) -> str:
    """A table whose head is its first row."""
    cell = str if raw else _cell
    lines = [" | ".join(cell(value) for value in row) for row in rows]
    lines.insert(1, " | ".join(["---"] * len(rows[0])))
    return "\n".join(f"| {line} |" for line in lines)


def _bullets(lines: list) -> str:
    return "\n".join(f"- {_cell(line)}" for line in lines)


def _cell(value: object) -> str:
    """Text that Markdown leaves alone: no tag, no cell border, no line end."""
    text = " ".join(str(value).split())
    for sign, safe in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "\\`")):
        text = text.replace(sign, safe)
    return text

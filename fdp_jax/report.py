"""Writes the report of a work directory, from its files alone: `python -m fdp_jax.report WORKDIR`.

The report is `predictions.csv` (all folds pooled), `report.json`, `report.md`, `report.html`,
`tables.tex` and `figures/*.png` in WORKDIR, or in the folder of --out; with --for_paper, the
figures also as PDF and SVG. Neither jax nor any file outside WORKDIR is needed. Without jinja2,
`report.html` is left out.

`report compare WORKDIR WORKDIR` compares two trainings, and `report chance` computes the scores of
random guessing.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

# Everything heavy is imported late, so that --help and wrong options are answered at once.
from datasets.command_line import run_command


def write_report(
    workdir: str | Path, out: str | Path | None = None, for_paper: bool = False
) -> dict:
    """Writes all files of the report and returns the content of `report.json`.

    Missing or damaged folds are named in every file and never averaged over.

    Args:
      workdir: read only, unless it is `out`.
      out: folder of the report; `workdir` by default.
      for_paper: writes the figures as PDF and SVG, too; it takes as long as all the rest. Such
        figures of an earlier report are removed otherwise.

    Raises:
      UserError: `workdir` is not a work directory, has no finished fold or has a clip twice, or
        `out` cannot be written to.
    """
    from fdp_jax.files import write_atomically
    from fdp_jax.metrics.predictions import pool
    from fdp_jax.reporting import figures, latex, page
    from fdp_jax.reporting.formatting import to_json
    from fdp_jax.reporting.results import headline_runs, read_workdir
    from fdp_jax.reporting.summary import summarise

    workdir, out = Path(workdir), Path(out or workdir)
    config, runs = read_workdir(workdir)
    report = summarise(config, runs)
    formats = ("png", *(figures.PAPER_FORMATS if for_paper else ()))
    drawn = figures.draw_all(report, headline_runs(runs), formats)
    html = page.html(report, drawn, runs)

    names = [Path(name) for name in page.FIGURES]
    names += [name.with_suffix(f".{kind}") for name in names for kind in figures.PAPER_FORMATS]
    files = {f"figures/{name}": drawn.get(str(name)) for name in names}
    files["report.md"] = page.markdown(report, [name for name in page.FIGURES if name in drawn])
    files["report.html"] = html
    files["tables.tex"] = latex.tables(report)
    # Last, so that its existence implies the other files.
    files["report.json"] = to_json(report) + "\n"
    pool(run.table for run in runs if run.folds).write(out / "predictions.csv")
    for name, content in files.items():
        if content is None:  # of an earlier report
            (out / name).unlink(missing_ok=True)
        else:
            write_atomically(out / name, content)
    return report


def summary_text(report: dict, folder: str | Path) -> str:
    """Returns what `print_summary` prints."""
    from fdp_jax.reporting.page import summary

    html = Path(folder) / "report.html"
    where = f"Report: {html}"
    if not html.exists():
        where = (
            f"Report: {html.with_suffix('.md')} (there is no report.html because jinja2 is not"
            " installed: pip install jinja2)"
        )
    figures = "figures as PDF and SVG: python -m fdp_jax.report WORKDIR --for_paper"
    if any((Path(folder) / "figures").glob("*.pdf")):
        figures = "figures as PDF and SVG: figures/"
    return f"{summary(report)}\n\nFor a paper: tables.tex; {figures}\n{where}"


def print_summary(report: dict, folder: str | Path) -> None:
    """Prints the headline, what it is based on, and the path of the report in its folder."""
    print(summary_text(report, folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    from fdp_jax.reporting import commands
    from fdp_jax.reporting.formatting import to_json
    from fdp_jax.workdir import check_writable

    arguments = sys.argv[1:] if arguments is None else arguments
    first = arguments[0] if arguments else ""
    if first == "compare":
        commands.compare_command(arguments[1:])
    elif first == "chance":
        commands.chance_command(arguments[1:])
    else:
        options = commands.parse_report_options(arguments)
        workdir = options.workdir.expanduser()
        out = options.out.expanduser() if options.out else workdir
        if workdir.is_dir():  # a wrong one has a sentence of its own
            check_writable(out, "folder", "out")
        report = write_report(workdir, out, options.for_paper)
        if options.json:
            print(to_json(report))
        else:
            print_summary(report, out)


if __name__ == "__main__":
    run_command(main)

"""Writes the report of a work directory, from its files alone: `python -m fdp_jax.report WORKDIR`.

The report is `predictions.csv` (all folds pooled), `report.json`, `report.md`, `report.html` and
`figures/*.png` in WORKDIR. Neither jax nor any file outside WORKDIR is needed. Without jinja2,
`report.html` is left out.

`report compare WORKDIR WORKDIR` compares two trainings, and `report chance` computes the scores of
random guessing.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

# Everything heavy is imported late, so that --help and wrong options are answered at once.
from datasets.command_line import run_command


def write_report(workdir: str | Path) -> dict:
    """Writes all files of the report and returns the content of `report.json`.

    Missing or damaged folds are named in every file and never averaged over.

    Raises:
      UserError: `workdir` is not a work directory, has no finished fold, has a clip twice, or
        cannot be written to.
    """
    from fdp_jax.files import write_atomically
    from fdp_jax.metrics.predictions import pool
    from fdp_jax.reporting import figures, page
    from fdp_jax.reporting.results import headline_runs, read_workdir
    from fdp_jax.reporting.summary import summarise

    workdir = Path(workdir)
    config, runs = read_workdir(workdir)
    report = summarise(config, runs)
    drawn = figures.draw_all(report, headline_runs(runs))
    html = page.html(report, drawn, runs)

    files = {f"figures/{name}": drawn.get(name) for name in page.FIGURES}
    files["report.md"] = page.markdown(report, drawn)
    files["report.html"] = html
    # Last, so that its existence implies the other files.
    as_json = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    files["report.json"] = as_json + "\n"
    pool(run.table for run in runs if run.folds).write(workdir / "predictions.csv")
    for name, content in files.items():
        if content is None:  # of an earlier report
            (workdir / name).unlink(missing_ok=True)
        else:
            write_atomically(workdir / name, content)
    return report


def summary_text(report: dict, workdir: str | Path) -> str:
    """Returns what `print_summary` prints."""
    from fdp_jax.reporting.page import summary

    html = Path(workdir) / "report.html"
    where = f"Report: {html}"
    if not html.exists():
        where = (
            f"Report: {html.with_suffix('.md')} (there is no report.html because jinja2 is not"
            " installed: pip install jinja2)"
        )
    return f"{summary(report)}\n\n{where}"


def print_summary(report: dict, workdir: str | Path) -> None:
    """Prints the headline, what it is based on, and the path of the report."""
    print(summary_text(report, workdir))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    from fdp_jax.reporting import commands

    arguments = sys.argv[1:] if arguments is None else arguments
    # Names of subjects and clips may have letters that the terminal's encoding lacks.
    sys.stdout.reconfigure(errors="replace")
    sys.stderr.reconfigure(errors="replace")
    first = arguments[0] if arguments else ""
    if first == "compare":
        commands.compare_command(arguments[1:])
    elif first == "chance":
        commands.chance_command(arguments[1:])
    else:
        options = commands.parse_report_options(arguments)
        report = write_report(options.workdir)
        if options.json:
            print(commands.to_json(report))
        else:
            print_summary(report, options.workdir)


if __name__ == "__main__":
    run_command(main)

"""The report of a work directory, made from its files alone: `python -m fdp_jax.report WORKDIR`.

Writes `predictions.csv` (all folds pooled), `report.json`, `report.md`, `report.html` and
`figures/*.png` into WORKDIR. No jax is needed, and nothing outside WORKDIR is read, so it works on
any machine that the folder was copied to. Without jinja2 there is everything but `report.html`.

`... report compare WORKDIR WORKDIR` compares two trainings, and `... report chance` tells what
guessing reaches where the best of several looks at the test clips is kept.
"""

import argparse
import json
import sys
from pathlib import Path

# Only what is light: wrong arguments and --help are answered before anything heavy is loaded.
from datasets.command_line import main_with_clear_errors


def write_report(workdir: str | Path) -> dict:
    """Makes all files of the report afresh and returns the content of `report.json`.

    Folds that are missing or torn are named in every file and never averaged over.

    Raises:
      UserError: `workdir` is no work directory, has no finished fold, holds a clip twice, or cannot
        be written to.
    """
    from fdp_jax.files import write_atomically
    from fdp_jax.metrics.predictions import pool
    from fdp_jax.reporting import page, summary, text
    from fdp_jax.reporting import workdir as reading

    workdir = Path(workdir)
    config, runs = reading.read_workdir(workdir)
    report = summary.summarise(config, runs)
    figures = _draw(report, summary.headline_runs(runs))

    pool(run.table for run in runs if run.folds).write(workdir / "predictions.csv")
    for name in text.FIGURES:
        if name in figures:
            write_atomically(workdir / "figures" / name, figures[name])
        else:  # left from an earlier report that had something to draw
            (workdir / "figures" / name).unlink(missing_ok=True)
    write_atomically(workdir / "report.md", text.markdown(report, list(figures)))
    whole_page = page.html(report, figures, runs)
    if whole_page is None:  # nor may the page of an earlier report stay
        (workdir / "report.html").unlink(missing_ok=True)
    else:
        write_atomically(workdir / "report.html", whole_page)
    # Last, so that whoever waits for it finds the rest.
    as_json = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(workdir / "report.json", as_json + "\n")
    return report


def summary_text(report: dict, workdir: str | Path) -> str:
    """What `print_summary` prints."""
    from fdp_jax.reporting import text

    return text.terminal(report, Path(workdir))


def print_summary(report: dict, workdir: str | Path) -> None:
    """Prints the pooled scores, what they rest on, and where the report lies."""
    print(summary_text(report, workdir))


def _draw(report: dict, runs: list) -> dict[str, bytes]:
    """All figures by file name.

    Pictures of single clips come from the first seed; the rest from all seeds of the headline.
    """
    from fdp_jax.reporting import figures, words

    outputs, table = runs[0].outputs, runs[0].table
    drawn = {}
    if words.recognises(report):
        drawn["confusion_matrix.png"] = figures.confusion_matrix(
            report["confusion_matrix"], report["classes"]
        )
        drawn["subject_accuracy.png"] = figures.subject_accuracy(
            report["per_subject"], report["acc"], words.scores_title(report)
        )
    drawn["training_curves.png"] = figures.training_curves(runs, words.loss_levels(report))
    if report["auxiliary"]["dynamic_image"]:
        drawn["dynamic_images.png"] = figures.dynamic_images(figures.choose_clips(table, outputs))
    rank = report["auxiliary"]["rank"]
    if rank:
        drawn["rank_scores.png"] = figures.rank_curves(outputs.rank_scores, rank["slope"])
    return drawn


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["compare"]:
        from fdp_jax.reporting.compare_command import main as compare

        return compare(arguments[1:])
    if arguments[:1] == ["chance"]:
        from fdp_jax.reporting.chance_command import main as chance

        return chance(arguments[1:])
    parser = argparse.ArgumentParser(
        prog="python -m fdp_jax.report",
        description="Makes the report of a training again from the files in its work directory.",
        epilog="Also: report compare WORKDIR WORKDIR, two trainings on the same clips; report"
        " chance, what guessing reaches under a selection rule. Each has its own --help.",
        allow_abbrev=False,
    )
    parser.add_argument("workdir", metavar="WORKDIR", help="the --workdir of a training")
    parser.add_argument("--json", action="store_true", help="print report.json instead of words")
    options = parser.parse_args(arguments)
    # Names of people and clips may have letters that an old terminal cannot show.
    sys.stdout.reconfigure(errors="replace")
    sys.stderr.reconfigure(errors="replace")
    report = write_report(options.workdir)
    if options.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print_summary(report, options.workdir)


if __name__ == "__main__":
    main_with_clear_errors(main, goes_on=False)

"""`report.html`: one self-contained page, drawn by jinja2 from `page.html.j2` beside this file.

Style sheet, script and images stand inside the file; nothing is fetched, and the page's own policy
forbids it. Every text goes through jinja2's autoescaping, since names of clips, people and classes
come from other people's sheets.
"""

import base64
from pathlib import Path

from fdp_jax.reporting import gallery, selection, words
from fdp_jax.reporting.figures import PIXELS_PER_INCH
from fdp_jax.reporting.summary import headline_runs
from fdp_jax.reporting.text import FIGURES
from fdp_jax.reporting.workdir import Run
from fdp_jax.templates import environment_of

_CHARTS = ("training_curves.png", "rank_scores.png")  # what the page does not draw itself


def html(report: dict, figures: dict[str, bytes], runs: list[Run]) -> str | None:
    """The whole page; None where jinja2 is not installed.

    Args:
      report: the content of `report.json`.
      figures: file name -> PNG bytes, keys as in `text.FIGURES`.
      runs: all runs of the work directory; their predictions are the rows that numbers link to.
        Pictures are those of the first run of the headline.
    """
    environment = environment_of(Path(__file__).parent)
    if environment is None:
        return None
    environment.filters |= {"percent": words.percent, "small": words.small}
    finished = [run for run in runs if run.folds]
    pictured = headline_runs(finished)[0] if finished else None
    return environment.get_template("page.html.j2").render(
        report=report,
        words=words,
        selection=selection,
        charts={
            name.removesuffix(".png"): _chart(name, figures) for name in _CHARTS if name in figures
        },
        rows=[row for run in finished for row in gallery.prediction_rows(report, run)],
        cards=gallery.cards(report, pictured) if pictured else [],
        pictured=pictured,
        run_choices=gallery.run_choices(report, runs),
        links=_links(report),
    )


def _links(report: dict) -> dict[str, list[dict | None]]:
    """Of each table with numbers: the filter that each row's numbers link to, None for none."""
    chosen = report["selection"] or {"rules": []}
    behind = {"run": gallery.HEADLINE}
    return {
        "rules": [{"run": _rule_choice(rule)} for rule in chosen["rules"]],
        "corpora": [behind | {"corpus": e["dataset"]} for e in report.get("per_dataset", [])],
        "runs": [
            {"run": gallery.run_id(run["select"], run["seed"])} if run["n_clips"] else None
            for run in report.get("runs", [])
        ],
        "people": [behind | {"person": person["subject"]} for person in report["per_subject"]],
    }


def _rule_choice(rule: dict) -> str:
    """The value of the `gallery.RunChoice` with the runs of a selection rule."""
    select, seeds = rule["select"], rule["seeds"]
    return select if len(seeds) > 1 else gallery.run_id(select, seeds[0])


def _chart(name: str, figures: dict[str, bytes]) -> dict:
    """Title, caption, data URI and width of a chart."""
    title, caption = FIGURES[name]
    uri = "data:image/png;base64," + base64.b64encode(figures[name]).decode("ascii")
    return {"title": title, "caption": caption, "uri": uri, "width": _natural_width(figures[name])}


def _natural_width(png: bytes) -> int:
    """CSS pixels at which a chart's letters have the size of the page's small print."""
    width = int.from_bytes(png[16:20], "big")  # the first field of a PNG's header chunk
    return round(width / PIXELS_PER_INCH * 92)

"""The files of a prediction: pages, tables, JSON and pictures."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fdp_jax.files import write_atomically

COLUMNS = ("video", "onset", "apex", "offset", "category", "confidence", "problem")


def write_prediction(
    content: dict, pictures: dict[str, bytes] | None, out: Path, index: str | None = None
) -> None:
    """Writes the files of one video, `prediction.json` last, and removes those of an earlier run.

    Args:
      content: of `prediction.json`.
      pictures: file name -> PNG bytes; None writes neither pictures nor a page.
      out: the folder.
      index: address of the page that lists several videos, relative to this one.

    Raises:
      UserError: a file cannot be written.
    """
    from fdp_jax.inference.page import PICTURES, render_page

    files = dict.fromkeys(PICTURES) | (pictures or {})
    files["windows.csv"] = windows_table(content)
    files["prediction.html"] = None if pictures is None else render_page(content, pictures, index)
    files["prediction.json"] = as_json(content)
    for name, written in files.items():
        if written is None:
            (out / name).unlink(missing_ok=True)
        else:
            write_atomically(out / name, written)


def as_json(content: dict) -> str:
    """Returns the text of a JSON file."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def windows_table(content: dict) -> str:
    """Returns `windows.csv`, a row for each window, from the content of `prediction.json`."""
    lead = ["start", "end", "first_frame", "last_frame", "prediction"]
    rows = ([*(row[k] for k in lead), *row["probabilities"].values()] for row in content["windows"])
    return _csv([*lead, *(f"p_{name}" for name in content["classes"])], rows)


def expressions_table(entries: Iterable[dict]) -> str:
    """Returns `videos.csv` from entries of `videos.json`: the rows of `expression_rows`."""
    rows = (row for entry in entries for row in expression_rows(entry))
    return _csv(COLUMNS, ([row.get(name) for name in COLUMNS] for row in rows))


def expression_rows(entry: dict) -> Iterator[dict]:
    """Yields what was found in a video, as names of `COLUMNS` -> values that are known.

    These are its intervals, or one row with the category `none`. A network that does not report
    intervals gives its most confident window, with the probability of the category as confidence.
    A video that failed has a problem instead.

    Args:
      entry: of `videos.json`.
    """
    lead = {"video": entry["video"]}
    if entry["problem"]:
        yield lead | {"problem": entry["problem"]}
    elif entry["intervals"] is None:
        window = entry["window"]
        yield lead | {
            "onset": window["start"],
            "offset": window["end"],
            "category": window["prediction"],
            "confidence": window["probabilities"][window["prediction"]],
        }
    else:
        found = entry["intervals"] or [{"category": "none"}]
        yield from ({k: v for k, v in (lead | row).items() if k in COLUMNS} for row in found)


def short_names(videos: Sequence[str]) -> dict[str, str]:
    """Returns video -> its path below the folder that all of them share."""
    if not videos:
        return {}
    shared = os.path.commonpath([os.path.dirname(os.path.abspath(video)) for video in videos])
    return {video: os.path.relpath(video, shared) for video in videos}


def summary_of(content: dict) -> dict:
    """Returns the entry of `videos.json` from the content of `prediction.json`."""
    kept = ("video", "frames_per_second", "frames_read", "notices", "intervals")
    window = content["windows"][content["shown"]["window"]]
    return {name: content[name] for name in kept} | {"window": window, "problem": None}


def _csv(names: Sequence[str], rows: Iterable[Iterable]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return table.getvalue()

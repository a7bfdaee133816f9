"""Predictions for several videos: a table over all, an index page, and a page for each.

`videos.json` is written after every video. It states what each result depends on, so that the same
command keeps the videos that an earlier run has finished.
"""

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path

import cv2

from datasets.errors import UserError
from fdp_jax import json_files
from fdp_jax.files import write_atomically
from fdp_jax.inference.predictor import MEANING, MEANING_OF_SPOTTING, Predictor, WindowPrediction
from fdp_jax.inference.results import (
    as_json,
    expression_rows,
    expressions_table,
    render_index,
    short_names,
    summary_of,
    write_prediction,
)

INDEX, TABLE, RECORD = "index.html", "videos.csv", "videos.json"
_FAILURES_NAMED = 5
_ENTRY = {
    "video": str, "fingerprint": str, "page?": str, "problem?": str, "intervals?": [dict],
    "window?": dict,
}  # fmt: skip


def predict_videos(
    predictor: Predictor,
    videos: Sequence[Path],
    read: Callable[[Path, str], tuple[dict, WindowPrediction]],
    settings: Sequence,
    out: Path,
    has_pages: bool,
    say: Callable[[str], object],
) -> dict:
    """Predicts videos one after the other; one that fails is reported, and the rest continue.

    Args:
      predictor: the networks.
      videos: files and folders of frames.
      read: (video, label of its progress bar) -> as of `Predictor.read`.
      settings: the options that results depend on; numbers, texts or None.
      out: folder for the results.
      has_pages: whether each video gets a page.
      say: takes one line for each finished video.

    Returns:
      The content of `videos.json`.

    Raises:
      UserError: a file cannot be written.
    """
    settings = [predictor.fingerprint, *settings]
    prints = {path: _fingerprint(path, settings) for path in videos}
    names = short_names([*map(str, videos)])
    entries = dict(_earlier(out, prints, has_pages))
    if entries:
        say(f"{len(entries)} of {len(videos)} videos are kept from an earlier run")
    content = _write(predictor, videos, entries, out, has_pages)
    for number, path in enumerate(videos, start=1):
        if path in entries:
            continue
        label = f"[{number}/{len(videos)}] {names[str(path)]}"
        page = None
        try:
            of_video, best = read(path, label)
        except UserError as error:
            entry = _failed(path, str(error))
        except (OSError, cv2.error) as error:
            entry = _failed(path, f"{path} cannot be read ({' '.join(str(error).split())})")
        else:
            entry = summary_of(of_video)
            if has_pages:
                free = _free_page(path, {str(e["page"]).casefold() for e in entries.values()})
                write_prediction(of_video, best, (out / free).parent, index=f"../../{INDEX}")
                page = free if (out / free).exists() else None  # without jinja2 there is none
        entries[path] = entry | {"page": page, "fingerprint": prints[path]}
        say(f"{label}: {describe(entry)}")
        content = _write(predictor, videos, entries, out, has_pages)
    return content


def _failed(path: Path, problem: str) -> dict:
    return {"video": str(path), "intervals": None, "problem": problem}


def describe(entry: dict) -> str:
    """Returns what was found in a video as one line."""
    if entry["problem"]:
        return f"problem: {entry['problem']}"
    parts = []
    for row in expression_rows(entry):
        if "confidence" not in row:
            parts.append("no expression")
        else:
            times = row["onset"], row["offset"]
            when = "" if None in times else "{:.2f} to {:.2f} s, ".format(*times)
            parts.append(f"{when}{row['category']} ({100 * row['confidence']:.0f} %)")
    return "; ".join(parts)


def counts_of(content: dict) -> str:
    """Returns how many videos have an expression, none, or a problem, from `videos.json`."""
    found = Counter(map(_kind, content["videos"]))
    total = len(content["videos"])
    parts = [f"{n} {kind}" for kind, n in sorted(found.items())]
    return f"{total} video{'s' * (total != 1)}: {', '.join(parts)}"


def _kind(entry: dict) -> str:
    if entry["problem"]:
        return "with a problem"
    if entry["intervals"] is None:
        return "classified"
    return "with an expression" if entry["intervals"] else "without an expression"


def check_all_succeeded(content: dict, out: Path) -> None:
    """Raises UserError where a video failed."""
    failed = [entry["video"] for entry in content["videos"] if entry["problem"]]
    if failed:
        named = ", ".join(failed[:_FAILURES_NAMED]) + ", ..." * (len(failed) > _FAILURES_NAMED)
        raise UserError(
            f"{len(failed)} of {len(content['videos'])} videos could not be predicted ({named}); "
            f"the column `problem` of {out / TABLE} says why"
        )


def _write(
    predictor: Predictor,
    videos: Sequence[Path],
    entries: Mapping[Path, dict],
    out: Path,
    has_pages: bool,
) -> dict:
    """Writes the table, the index page and the record; returns the content of the record."""
    done = [entries[path] for path in videos if path in entries]
    spots = any(entry["intervals"] is not None for entry in done)
    content = {
        "meaning": MEANING_OF_SPOTTING if spots else MEANING,
        **predictor.description,
        "asked": len(videos),
        "videos": done,
    }
    write_atomically(out / TABLE, expressions_table(done))
    page = render_index(content, counts_of(content)) if has_pages else None
    if page is None:
        (out / INDEX).unlink(missing_ok=True)
    else:
        write_atomically(out / INDEX, page)
    write_atomically(out / RECORD, as_json(content))
    return content


def _earlier(out: Path, prints: Mapping[Path, str], has_pages: bool) -> Iterator[tuple[Path, dict]]:
    """Yields the videos that an earlier run has predicted in the same way, with their entries."""
    try:
        content = json_files.read(out / RECORD)
    except (OSError, ValueError):
        return
    if json_files.wrong_in(content, {"videos": [_ENTRY]}):
        return
    found = {entry["fingerprint"]: entry for entry in content["videos"] if not entry["problem"]}
    for path, fingerprint in prints.items():
        entry = found.get(fingerprint)
        if entry and (not has_pages or (entry["page"] and (out / entry["page"]).exists())):
            yield path, entry


def _fingerprint(path: Path, settings: Sequence) -> str:
    """Returns a digest of what the result of a video depends on; empty where it is unknown."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError:
        return ""
    return hashlib.sha256(json.dumps([str(path), state, *settings]).encode()).hexdigest()


def _free_page(path: Path, taken: Container[str]) -> str:
    """Returns the path of a video's page in the output folder; `taken` in lower case."""
    name = Path(os.path.abspath(path)).stem
    names = itertools.chain([name], (f"{name}_{k}" for k in itertools.count(2)))
    pages = (f"pages/{name}/prediction.html" for name in names)
    return next(page for page in pages if page.casefold() not in taken)

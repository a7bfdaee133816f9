"""Predictions for several videos: a table over all, an index page, and a page for each.

`videos.json` is written after every video. It states what each result depends on, so that the same
command keeps the videos that an earlier run has finished.
"""

import functools
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from datasets.errors import UserError
from fdp_jax import json_files
from fdp_jax.files import write_atomically
from fdp_jax.inference.page import draw_pictures, render_index
from fdp_jax.inference.predictor import MEANING, MEANING_OF_SPOTTING, Predictor
from fdp_jax.inference.results import (
    as_json,
    expression_rows,
    expressions_table,
    short_names,
    summary_of,
    write_prediction,
)

if TYPE_CHECKING:
    from datasets.video import Video
    from fdp_jax.inference.windows import Interval

INDEX, TABLE, RECORD = "index.html", "videos.csv", "videos.json"
_PAGE = "prediction.html"
_FAILURES_NAMED = 5
_ENTRY = {
    "video": str, "fingerprint": str, "page?": str, "problem?": str, "intervals?": [dict],
    "window?": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """Several videos, and what is asked of them.

    Attributes:
      videos: files and folders of frames.
      open_one: opens one of them; raises UserError.
      interval: taken as the only window of every video; None slides windows over them.
      settings: the options that results depend on; numbers, texts or None.
      out: folder for the results.
      has_pages: whether each video gets a page.
    """

    videos: Sequence[Path]
    open_one: Callable[[Path], "Video"]
    interval: "Interval | None"
    settings: Sequence
    out: Path
    has_pages: bool


def predict_videos(
    predictor: Predictor,
    request: Request,
    say: Callable[[str], object],
    progress: Callable[..., Callable],
) -> dict:
    """Predicts videos one after the other; one that fails is reported, and the rest continue.

    Args:
      predictor: the networks.
      request: the videos.
      say: takes one line for each finished video.
      progress: (video, label=) -> as `progress` of `Predictor.predict`.

    Returns:
      The content of `videos.json`.

    Raises:
      UserError: a file cannot be written.
    """
    videos = request.videos
    settings = [predictor.fingerprint, *request.settings]
    prints = {path: _fingerprint(path, settings) for path in videos}
    names = short_names([*map(str, videos)])
    entries = dict(_earlier(request, prints))
    if entries:
        say(f"{len(entries)} of {len(videos)} videos are kept from an earlier run")
    content = _write(predictor, request, entries)
    for number, path in enumerate(videos, start=1):
        if path in entries:
            continue
        label = f"[{number}/{len(videos)}] {names[str(path)]}"
        page = _free_page(path, {str(entry["page"]).casefold() for entry in entries.values()})
        entry = _predict(predictor, request, path, page, functools.partial(progress, label=label))
        entries[path] = entry | {"fingerprint": prints[path]}
        say(f"{label}: {describe(entry)}")
        content = _write(predictor, request, entries)
    return content


def describe(entry: dict) -> str:
    """Returns what was found in a video as one line."""
    parts = []
    for row in expression_rows(entry):
        if entry["problem"]:
            parts.append(f"problem: {row['problem']}")
        elif "confidence" not in row:
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


def _predict(
    predictor: Predictor, request: Request, path: Path, page: str, progress: Callable
) -> dict:
    try:
        video = request.open_one(path)
        content, best = predictor.read(video, request.interval, progress(video))
    except UserError as error:
        return _failed(path, str(error))
    except (OSError, cv2.error) as error:
        return _failed(path, f"{path} cannot be read ({' '.join(str(error).split())})")
    if not request.has_pages:
        return summary_of(content) | {"page": None}
    pictures = draw_pictures(best, content["windows"], content["intervals"])
    write_prediction(content, pictures, (request.out / page).parent, index=f"../../{INDEX}")
    return summary_of(content) | {"page": page if (request.out / page).exists() else None}


def _failed(path: Path, problem: str) -> dict:
    return {"video": str(path), "intervals": None, "problem": problem, "page": None}


def _write(predictor: Predictor, request: Request, entries: dict[Path, dict]) -> dict:
    """Writes the table, the index page and the record; returns the content of the record."""
    done = [entries[path] for path in request.videos if path in entries]
    spots = any(entry["intervals"] is not None for entry in done)
    content = {
        "meaning": MEANING_OF_SPOTTING if spots else MEANING,
        **predictor.description,
        "asked": len(request.videos),
        "videos": done,
    }
    page = render_index(content, counts_of(content)) if request.has_pages else None
    write_atomically(request.out / TABLE, expressions_table(done))
    if page is None:
        (request.out / INDEX).unlink(missing_ok=True)
    else:
        write_atomically(request.out / INDEX, page)
    write_atomically(request.out / RECORD, as_json(content))
    return content


def _earlier(request: Request, prints: dict[Path, str]) -> Iterator[tuple[Path, dict]]:
    """Yields the videos that an earlier run has predicted in the same way, with their entries."""
    try:
        content = json_files.read(request.out / RECORD)
    except (OSError, ValueError):
        return
    if json_files.wrong_in(content, {"videos": [_ENTRY]}):
        return
    found = {entry["fingerprint"]: entry for entry in content["videos"] if not entry["problem"]}
    for path in request.videos:
        entry = found.get(prints[path])
        if entry and (not request.has_pages or _has_page(entry, request.out)):
            yield path, entry


def _has_page(entry: dict, out: Path) -> bool:
    return bool(entry["page"]) and (out / entry["page"]).exists()


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
    pages = (f"pages/{name}/{_PAGE}" for name in names)
    return next(page for page in pages if page.casefold() not in taken)

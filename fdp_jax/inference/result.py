"""The content of `prediction.json` and `windows.csv`."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from fdp_jax.inference import windows
from fdp_jax.inference.aligning import SlidingWindows, Window
from fdp_jax.inference.faces import CountingLandmarker
from fdp_jax.inference.reading import Seen, Source

MEANING = (
    "This says which category fits best a clip that holds a micro-expression. It does not find out "
    "whether there is one, and it is no detector of lies."
)


@dataclass(frozen=True)
class Model:
    """Which networks spoke.

    Attributes:
      checkpoint: as the user named it.
      folds: folders of the folds whose networks spoke, within the work directory.
      dataset, protocol, preset, label_version: of the training.
      faces: options of the build that cuts faces out as those of the training were.
      classes: categories, in the order of the probabilities.
      steps: of the training.
      select: rule of its report; here the last step's weights speak, whatever it is.
    """

    checkpoint: str
    folds: tuple[str, ...]
    dataset: str
    protocol: str
    preset: str
    label_version: str
    faces: str
    classes: tuple[str, ...]
    steps: int
    select: str

    @property
    def told(self) -> str:
        """A sentence: which network, trained on what."""
        is_fold = self.checkpoint.rstrip("/").endswith(self.folds[0])
        where = self.checkpoint if is_fold else f"{', '.join(self.folds)} of {self.checkpoint}"
        lead = f"Mean of {len(self.folds)} networks" if len(self.folds) > 1 else "One network"
        note = ""
        if self.select != "last":
            note = f" Its last step speaks; --select={self.select} is heeded by the report alone."
        return (
            f"{lead} ({where}), {self.preset} preset, {self.steps} steps on "
            f"{self.dataset}, {self.protocol}.{note}"
        )

    @property
    def worth(self) -> str:
        """A sentence or two: what its answers are worth on another video."""
        if self.dataset == "synthetic":
            return (
                "It was trained on drawn faces (the synthetic corpus). What it says of a real face "
                "shows that everything runs, and is worth no more than a guess."
            )
        return (
            f"It was trained on {self.dataset}: few people, filmed in a laboratory. On other "
            "people, cameras and light it may be right far less often than its report says."
        )


def shorter_than_a_window(seen: Seen) -> bool:
    """Whether a source read to its end has no room for a window."""
    period = 1 / seen.rate if seen.rate else 0.0
    return seen.is_whole and not windows.is_over(windows.SECONDS, seen.last + period)


def notices(
    source: Source,
    seen: Seen,
    landmarker: CountingLandmarker,
    sliding: SlidingWindows | None,
    interval: tuple[float | None, float | None] | None,
) -> list[str]:
    """What a reader must know of the video, a sentence each.

    Args:
      source, seen: what was read.
      landmarker: that found the faces.
      sliding: the windows, where they slid.
      interval: onset and offset where one was given.
    """
    told = [*_of_rate(source, seen)]
    if source.turned:
        told.append(f"The file asks to be turned by {source.turned} degrees, which was done.")
    if seen.is_whole and seen.frames < source.told_frames:
        told.append(
            f"The file tells of {source.told_frames} frames, of which {seen.frames} could be read."
        )
    if landmarker.most_faces > 1:
        told.append(
            f"There are up to {landmarker.most_faces} faces in a frame; the largest was taken."
        )
    if sliding is not None and sliding.without_face:
        told.append(_left_out(sliding.without_face))
    if sliding is None and interval is None and source.has_times and shorter_than_a_window(seen):
        told.append(
            f"{source.name} is shorter than a window of {windows.SECONDS:g} s and was taken as one."
        )
    return told


def of_one_window(
    source: Source,
    seen: Seen,
    interval: tuple[float | None, float | None] | None,
    frames: int,
    taken: int,
) -> list[str]:
    """What a reader must know of a window that did not slide, a sentence each.

    Args:
      source, seen: what was read.
      interval: onset and offset where one was given.
      frames: how many lie in the window.
      taken: t, how many the network takes.
    """
    told = []
    if frames < taken:
        told.append(
            f"The window holds {frames} frames; the network takes {taken}, so that some were given "
            "to it more than once."
        )
    if interval is None:
        return told
    onset, offset = interval
    if offset is not None and seen.is_whole and offset > seen.last + (1 / (seen.rate or math.inf)):
        told.append(f"{source.name} ends at {seen.last:.2f} s, before the offset at {offset:g} s.")
    length = (seen.last if offset is None else min(offset, seen.last)) - (onset or 0.0)
    if length > 2 * windows.SECONDS:
        told.append(
            f"The interval lasts {length:.1f} s. A micro-expression lasts under half a second; "
            "of a long interval the network sees only a few frames."
        )
    return told


def of_many_windows(rows: list[dict], shown: int) -> list[str]:
    """What a reader must know of the window that is shown among all of them."""
    others = sum(row["prediction"] != rows[shown]["prediction"] for row in rows)
    if len(rows) == 1 or not others:
        return []
    return [
        f"Shown is the surest of {len(rows)} windows, of which {others} "
        f"name{'s' * (others == 1)} another category. The highest of many numbers is high by "
        "chance, too, and a head that moves makes one; look at all windows."
    ]


def _of_rate(source: Source, seen: Seen) -> list[str]:
    if not source.has_times:
        return [
            "The frame rate of a folder is unknown, so that all of it was taken as one window; "
            "--fps=RATE tells it."
        ]
    told = []
    rate = shown_rate(source, seen)
    if rate is not None and rate < windows.LOWEST_RATE - 0.01:
        told.append(
            f"{rate:.4g} frames a second are few: a micro-expression lasts under half a second, "
            f"and under {windows.LOWEST_RATE:g} frames a second most of its movement is missed."
        )
    if seen.varies:
        shortest, longest = (1000 * gap for gap in seen.gaps)
        told.append(
            f"The frame rate varies: {shortest:.0f} to {longest:.0f} ms lie between two frames. "
            "Windows go by time."
        )
    return told


def _left_out(starts: list[float]) -> str:
    count = "One window was" if len(starts) == 1 else f"{len(starts)} windows were"
    where = f"starting at {starts[0]:.1f} s"
    if len(starts) > 1:
        where = f"starting between {min(starts):.1f} and {max(starts):.1f} s"
    return f"{count} left out ({where}), for want of a face that is seen at once and stays."


def shown_rate(source: Source, seen: Seen) -> float | None:
    """Frames a second: by the times of the frames read, else as told."""
    return seen.rate if source.has_times and seen.rate else source.told_rate


def window_row(window: Window, classes: Sequence[str], probabilities: Sequence[float]) -> dict:
    """One window as `prediction.json` holds it; times in seconds, null where unknown."""
    named = {
        name: round(float(value), 6) for name, value in zip(classes, probabilities, strict=True)
    }
    return {
        "start": None if window.start is None else round(window.start, 4),
        "end": None if window.end is None else round(window.end, 4),
        "first_frame": window.first_frame,
        "last_frame": window.last_frame,
        "prediction": max(named, key=named.get),
        "probabilities": named,
    }


def windows_csv(rows: Sequence[dict]) -> str:
    """`windows.csv`: a line a window, the probabilities as `p_<class>`."""
    classes = list(rows[0]["probabilities"])
    lead = ["start", "end", "first_frame", "last_frame", "prediction"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*lead, *(f"p_{name}" for name in classes)])
    for row in rows:
        writer.writerow([*(row[name] for name in lead), *row["probabilities"].values()])
    return text.getvalue()


def assemble(
    source: Source, seen: Seen, model: Model, told: list[str], all_windows: list[dict], shown: dict
) -> dict:
    """The content of `prediction.json`, JSON types only.

    Args:
      source, seen: what was read.
      model: that spoke.
      told: `notices`.
      all_windows: rows as `window_row` gives them.
      shown: of the window that is shown: its number among the rows, frame times, rank scores.
    """
    rate = shown_rate(source, seen)
    return {
        "video": source.name,
        "frames_per_second": None if rate is None else round(rate, 4),
        "width": seen.size[0],
        "height": seen.size[1],
        "frames_read": seen.frames,
        "meaning": MEANING,
        "model": model.told,
        "worth": model.worth,
        "trained_on": model.dataset,
        "protocol": model.protocol,
        "label_version": model.label_version,
        "faces": model.faces,
        "folds": list(model.folds),
        "classes": list(model.classes),
        "notices": told,
        "windows": all_windows,
        "shown": shown,
    }

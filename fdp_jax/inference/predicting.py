"""From a source and trained folds to the prediction and its pictures."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.errors import UserError
from datasets.face_models import get_face_models
from datasets.faces import FaceLandmarker
from fdp_jax.inference import pictures, result, windows
from fdp_jax.inference.aligning import Face, SlidingWindows, WindowClip, one_window
from fdp_jax.inference.classifying import Said, say_of_many, say_of_one
from fdp_jax.inference.faces import CountingLandmarker
from fdp_jax.inference.reading import Seen, Source
from fdp_jax.inference.trained_fold import TrainedFold, find_folds, load_fold

Interval = tuple[float | None, float | None]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is said of a video.

    Attributes:
      content: of `prediction.json`.
      pictures: file name -> PNG bytes.
    """

    content: dict
    pictures: dict[str, bytes]


def load_networks(checkpoint: Path, all_folds: bool) -> list[TrainedFold]:
    """The network of the first finished fold, or those of all.

    Raises:
      UserError: there is no finished fold, a file is torn, or nothing was trained to classify.
    """
    found = find_folds(checkpoint)
    if all_folds and found[0].path == checkpoint.resolve():
        raise UserError(f"{checkpoint} is one fold; for --ensemble name its work directory")
    folds = [load_fold(directory) for directory in (found if all_folds else found[:1])]
    if len({(fold.classes, fold.crop, fold.is_grey) for fold in folds}) > 1:
        raise UserError(
            f"the folds of {checkpoint} were not trained on the same categories and faces, so that "
            "they cannot speak together; leave out --ensemble, or train again"
        )
    if folds[0].config.ablate == "no_mer":
        raise UserError(
            f"the network in {checkpoint} was trained without recognition (--ablate=no_mer), so "
            "that it has no categories; name another work directory"
        )
    return folds


def predict(
    source: Source,
    folds: Sequence[TrainedFold],
    checkpoint: Path,
    interval: Interval | None,
    face_models: Path | None = None,
    progress: Callable[[Iterable[WindowClip]], Iterable[WindowClip]] = lambda clips: clips,
) -> Prediction:
    """Aligns, classifies and draws.

    Args:
      source: the video or folder.
      folds: networks of one work directory, whose probabilities are averaged.
      checkpoint: where they are from, as the user named it.
      interval: onset and offset in seconds; None slides a window.
      face_models: folder of the face models; None takes the cache.
      progress: shows how far it has come, window by window.

    Raises:
      UserError: frames cannot be read, none shows a face, or there are fewer than two.
    """
    finder = FaceLandmarker(get_face_models(face_models))
    landmarker = CountingLandmarker(finder)
    face, seen = Face(folds[0].crop, folds[0].is_grey), Seen()
    sliding, rows, surest = None, [], (0, None)
    if interval is None and source.has_times:
        sliding = SlidingWindows(source, landmarker, face, seen)
        rows, surest = _keep_surest(say_of_many(progress(sliding), folds), folds[0].classes)
    if sliding is None or (not rows and result.shorter_than_a_window(seen)):
        sliding, seen, landmarker = None, Seen(), CountingLandmarker(finder)
        clip = one_window(source, *(interval or (None, None)), landmarker, face, seen)
        said = [] if clip is None else [say_of_one(clip, folds)]
        frames = 0 if clip is None else len(clip.frames)
        rows, surest = _keep_surest(said, folds[0].classes)
    if not rows:
        raise _nothing(source, landmarker, seen, sliding)
    number, said = surest
    told = result.notices(source, seen, landmarker, sliding, interval)
    if sliding is None:
        told += result.of_one_window(source, seen, interval, frames, folds[0].config.clip.frames)
    else:
        told += result.of_many_windows(rows, number)
    model = model_of(folds, checkpoint)
    content = result.assemble(source, seen, model, told, rows, _shown(number, said))
    return Prediction(content, _draw(said, rows, folds[0].classes))


def model_of(folds: Sequence[TrainedFold], checkpoint: Path) -> result.Model:
    """Which networks speak."""
    first = folds[0]
    return result.Model(
        checkpoint=str(checkpoint),
        folds=tuple(f"seed_{fold.seed}/folds/{fold.fold}" for fold in folds),
        dataset=first.dataset,
        protocol=first.protocol,
        preset=first.preset,
        label_version=first.label_version,
        faces=first.crop.as_options,
        classes=first.classes,
        steps=first.config.steps,
        select=first.config.select,
    )


def _keep_surest(
    said_of_all: Iterable[Said], classes: Sequence[str]
) -> tuple[list[dict], tuple[int, Said | None]]:
    """A row for each window, and number and pictures of the one with the highest probability."""
    rows: list[dict] = []
    surest: tuple[int, Said | None] = (0, None)
    for said in said_of_all:
        if surest[1] is None or said.probabilities.max() > surest[1].probabilities.max():
            surest = len(rows), said
        rows.append(result.window_row(said.window, classes, said.probabilities))
    return rows, surest


def _nothing(
    source: Source, landmarker: CountingLandmarker, seen: Seen, sliding: SlidingWindows | None
) -> UserError:
    if sliding is not None and sliding.with_one_frame:
        return UserError(
            f"{source.name} has {seen.rate:.3g} frames a second, so that a window of "
            f"{windows.SECONDS:g} s holds a single one; a movement takes at least two"
        )
    seldom = landmarker.looks - landmarker.without
    what = f"no face {'that stays ' * bool(seldom)}was found in {source.name}"
    return UserError(
        f"{what} ({seen.frames} frames read, a face seen in {seldom} of {landmarker.looks} looks); "
        "it must be seen from the front and not be too small"
    )


def _shown(number: int, said: Said) -> dict:
    scores = said.rank_scores
    return {
        "window": number,
        "frame_seconds": [round(value, 4) for value in said.seconds],
        "rank_scores": None if scores is None else [round(float(score), 4) for score in scores],
    }


def _draw(said: Said, rows: list[dict], classes: Sequence[str]) -> dict[str, bytes]:
    """The pictures of the window that is shown, and of all of them."""
    captions = [f"{value:.3f} s" for value in said.seconds]
    captions = captions or [f"frame {k + 1}" for k in range(len(said.frames))]
    drawn = {
        "filmstrip.png": pictures.filmstrip(said.frames, captions),
        "dynamic_image.png": pictures.dynamic_images(said.target, said.dynamic_image),
    }
    if said.rank_scores is not None:
        drawn["rank_scores.png"] = pictures.rank_curve(said.rank_scores, captions)
    if len(rows) > 1:
        middles = [(row["start"] + row["end"]) / 2 for row in rows]
        shares = np.array([list(row["probabilities"].values()) for row in rows])
        drawn["probabilities.png"] = pictures.probabilities(middles, shares, classes)
    return drawn

"""Predictions of trained networks for the windows of a video.

Axes: t frames that a network takes, m categories.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from datasets.errors import UserError
from datasets.face_models import get_face_models
from datasets.faces import FaceLandmarker
from datasets.video import Video
from fdp_jax.animation.action_units import DATASET as ANIMATED
from fdp_jax.animation.action_units import NEUTRAL
from fdp_jax.inference import spotting
from fdp_jax.inference.trained_network import TrainedNetwork, find_folds, load_fold, load_weights
from fdp_jax.inference.windows import WINDOW_SECONDS, FaceAligner, Interval, VideoWindows, Window
from fdp_jax.weights import BUNDLED_NAME

MEANING = (
    "The prediction is the category that best fits a clip containing a micro-expression. It does "
    "not detect whether there is one, and it is not a lie detector."
)
MEANING_OF_SPOTTING = (
    "An interval is where the network sees an expression, with the category that fits best. The "
    "network may miss expressions and see some where there are none, and it is not a lie detector."
)
# Name of the corpus -> what a prediction is worth.
_WORTH = {
    "synthetic": (
        "The network was trained on drawn faces (the synthetic corpus). Its prediction for a real "
        "face only shows that the program works, and is no better than a guess."
    ),
    ANIMATED: (
        "The network was pretrained on animated faces: it has never seen a real micro-expression, "
        "and nobody has measured how often it is right about one."
    ),
}
_WORTH_OF_FILMED = (
    "The network was trained on {}: few people, filmed in a laboratory. For other people, cameras "
    "and lighting it may be right far less often than its report says."
)
_BATCH = 12  # windows; always as many, so that one compiled program serves every video
_LOW_RATE = 25.0  # frames per second; below it, half a second has too few frames
_TIMESTAMP_ROUNDING = 1.5  # ms, by which gaps differ where timestamps are in milliseconds


@dataclass(frozen=True, eq=False)
class WindowPrediction:
    """Outputs of the networks for one window.

    Attributes:
      index: number of the window, from 0.
      window: with the t frames that the networks take.
      outputs: without the axis b: `probabilities`, float32 [m], are the mean over the networks, and
        the others those of the first network, as of `TrainedNetwork.predict`.
    """

    index: int
    window: Window
    outputs: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Predictor:
    """Trained networks and a face detector.

    Attributes:
      folds: networks of one work directory, whose probabilities are averaged.
      checkpoint: their folder or file, as given by the user; None for the bundled network.
      landmarker: the face detector.
    """

    folds: list[TrainedNetwork]
    checkpoint: Path | None
    landmarker: FaceLandmarker

    @classmethod
    def load(
        cls, checkpoint: Path | None, all_folds: bool, face_models: Path | None
    ) -> "Predictor":
        """Loads networks and the face detector.

        Args:
          checkpoint: a work directory, one fold in it, or a file of weights; None takes the bundled
            network.
          all_folds: all finished folds of a work directory, instead of the first.
          face_models: their folder; None downloads them once.

        Raises:
          UserError: no fold is finished, a file is damaged, or the network predicts no category.
        """
        landmarker = FaceLandmarker(get_face_models(face_models))
        if checkpoint is None or checkpoint.is_file():
            if all_folds:
                raise UserError("--ensemble is for a work directory; give one with --checkpoint")
            weights = BUNDLED_NAME if checkpoint is None else str(checkpoint)
            return cls([load_weights(weights)], checkpoint, landmarker)
        found = find_folds(checkpoint)
        if all_folds and found[0].path == checkpoint.resolve():
            raise UserError(f"{checkpoint} is one fold; with --ensemble give its work directory")
        folds = [load_fold(directory) for directory in (found if all_folds else found[:1])]
        if len({(fold.classes, fold.crop, fold.is_grey) for fold in folds}) > 1:
            raise UserError(
                f"the folds of {checkpoint} were trained on different categories or faces, so "
                "their probabilities cannot be averaged; leave out --ensemble, or train again"
            )
        if folds[0].config.ablate == "no_mer":
            raise UserError(
                f"the network in {checkpoint} was trained without recognition (--ablate=no_mer) "
                "and predicts no categories; give another work directory"
            )
        return cls(folds, checkpoint, landmarker)

    def read(
        self,
        video: Video,
        interval: Interval | None = None,
        progress: Callable[[Iterable[Window]], Iterable[Window]] = iter,
    ) -> tuple[dict, WindowPrediction]:
        """Predicts the windows of a video.

        Args:
          video: to read.
          interval: taken as the only window; None slides windows over the video.
          progress: wraps the windows to show a progress bar.

        Returns:
          The content of `prediction.json`, and the most confident window.

        Raises:
          UserError: a frame cannot be read, no window shows a face, or there are too few frames.
        """
        first = self.folds[0]
        aligner = FaceAligner(self.landmarker, first.crop, first.is_grey)
        windows = VideoWindows(video, interval, aligner)
        rows, best = self._predict_windows(progress(windows))
        if best is None:
            raise _no_window_error(windows)
        intervals = None
        if NEUTRAL in first.classes and not windows.is_single:
            spotted = list(self._spot(video, aligner, rows))
            intervals = [entry for entry, _, _ in spotted]
            if spotted:  # windows at the edges of an event may be as confident, of the reverse
                _, index, window = max(spotted, key=lambda found: found[0]["confidence"])
                window = window.sample(first.config.clip.frames)
                (best,) = self._predict_batch([window], index)
        scores = best.outputs.get("rank_scores")
        content = {
            "video": str(video.path),
            "frames_per_second": None if video.rate is None else round(video.rate, 4),
            "width": video.size[0],
            "height": video.size[1],
            "frames_read": video.frames_read,
            "meaning": MEANING if intervals is None else MEANING_OF_SPOTTING,
            **self.description,
            "notices": list(_notices(windows, rows, best, intervals is not None)),
            "intervals": intervals,
            "windows": rows,
            "shown": {
                "window": best.index,
                "frame_seconds": [round(seconds, 4) for seconds in best.window.seconds],
                "rank_scores": None if scores is None else [round(float(s), 4) for s in scores],
            },
        }
        return content, best

    def _spot(
        self, video: Video, aligner: FaceAligner, rows: list[dict]
    ) -> Iterator[tuple[dict, int, Window]]:
        """Yields the entries of `intervals`: where windows show an expression, and which.

        With each come the number of the window whose middle is nearest to its own, and that window.
        """
        first, middles = self.folds[0], [(row["start"] + row["end"]) / 2 for row in rows]
        events = spotting.find_events(middles, spotting.expressive(rows))
        previous = -math.inf
        for event, around in zip(events, spotting.read_around(video, events, aligner), strict=True):
            if len(around.frames) < 2:
                continue
            frames, seconds = np.stack(around.frames), np.array(around.seconds)
            extent = spotting.find_extent(frames, seconds, event.centre)
            if extent.apex <= previous:  # the same movement again
                continue
            previous = extent.offset
            clips = spotting.cut(frames, seconds, extent, first.config.clip.frames)
            shares = self._named(self._predict_faces(clips)["probabilities"].mean(axis=0))
            if 1.0 - shares[NEUTRAL] < spotting.THRESHOLD:  # windows at its edges were mistaken
                continue
            of_expressions = {name: p for name, p in shares.items() if name != NEUTRAL}
            nearest = int(np.abs(np.array(middles) - (extent.onset + extent.offset) / 2).argmin())
            entry = {
                "onset": round(extent.onset, 4),
                "apex": round(extent.apex, 4),
                "offset": round(extent.offset, 4),
                "category": max(of_expressions, key=of_expressions.get),
                "confidence": round(event.confidence, 4),
                "probabilities": {name: round(p, 6) for name, p in shares.items()},
            }
            yield entry, nearest, around.part(rows[nearest]["start"], rows[nearest]["end"])

    @property
    def description(self) -> dict:
        """The entries of `prediction.json` that describe the networks."""
        first, names = self.folds[0], [fold.source for fold in self.folds]
        where = ", ".join(names)
        if self.checkpoint is not None and not self.checkpoint.as_posix().endswith(where):
            where += f" of {self.checkpoint}"
        lead = "One network" if len(names) == 1 else f"Mean of {len(names)} networks"
        model = (
            f"{lead} ({where}), {first.preset} preset, {first.config.steps} steps on "
            f"{first.dataset}, {first.protocol}."
        )
        if (rule := first.config.select) != "last":
            model += f" These are the weights of the last step; --select={rule} is for the report."
        worth = _WORTH.get(first.dataset, _WORTH_OF_FILMED.format(first.dataset))
        return {
            "model": model,
            "worth": f"{first.accuracy()} {worth}",
            "trained_on": first.dataset,
            "protocol": first.protocol,
            "label_version": first.label_version,
            "faces": first.crop.as_options,
            "folds": names,
            "classes": list(first.classes),
        }

    @property
    def fingerprint(self) -> str:
        """Digest of the networks: what a prediction depends on apart from the video."""
        digest = hashlib.sha256(json.dumps(self.description, sort_keys=True).encode())
        for leaf in jax.tree.leaves([fold.variables for fold in self.folds]):
            digest.update(np.asarray(leaf))
        return digest.hexdigest()

    def _predict_windows(
        self, windows: Iterable[Window]
    ) -> tuple[list[dict], WindowPrediction | None]:
        """Returns the entries of `windows`, and the most confident prediction."""
        rows: list[dict] = []
        best = None
        sampled = (window.sample(self.folds[0].config.clip.frames) for window in windows)
        while batch := list(itertools.islice(sampled, _BATCH)):
            for prediction in self._predict_batch(batch, len(rows)):
                rows.append(self._row(prediction))
                if best is None or self._confidence(prediction) > self._confidence(best):
                    best = prediction
        return rows, best

    def _predict_batch(self, windows: list[Window], first: int) -> list[WindowPrediction]:
        """Predicts sampled windows, the first of which has the number `first`."""
        outputs = self._predict_faces(np.stack([window.frames for window in windows]))
        return [
            WindowPrediction(first + k, window, {name: array[k] for name, array in outputs.items()})
            for k, window in enumerate(windows)
        ]

    def _predict_faces(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs for aligned faces uint8 [n, t, s, s, c]; see `WindowPrediction`."""
        parts = []
        for start in range(0, len(faces), _BATCH):
            some = faces[start : start + _BATCH]
            full = np.resize(some, (_BATCH, *some.shape[1:]))
            outputs = [fold.predict(full) for fold in self.folds]
            mean = np.mean([output["probabilities"] for output in outputs], axis=0)
            part = outputs[0] | {"probabilities": mean}
            parts.append({name: array[: len(some)] for name, array in part.items()})
        together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if not np.isfinite(together["probabilities"]).all():
            raise UserError("the network's probabilities are not finite; its training failed")
        return together

    def _row(self, prediction: WindowPrediction) -> dict:
        """Returns the entry of a window in `prediction.json`."""
        window, shares = prediction.window, self._named(prediction.outputs["probabilities"])
        shares = {name: round(share, 6) for name, share in shares.items()}
        return {
            "start": None if window.start is None else round(window.start, 4),
            "end": None if window.end is None else round(window.end, 4),
            "first_frame": window.numbers[0],
            "last_frame": window.numbers[-1],
            "prediction": max(shares, key=shares.get),
            "probabilities": shares,
        }

    def _confidence(self, prediction: WindowPrediction) -> float:
        """Returns the largest probability of an expression."""
        shares = self._named(prediction.outputs["probabilities"])
        return max(share for name, share in shares.items() if name != NEUTRAL)

    def _named(self, probabilities: np.ndarray) -> dict[str, float]:
        """Returns category -> probability, from float [m]."""
        return dict(zip(self.folds[0].classes, probabilities.tolist(), strict=True))


def _no_window_error(windows: VideoWindows) -> UserError:
    video = windows.video
    if windows.with_one_frame:
        return UserError(
            f"{video.path} has {video.rate:.3g} frames per second, so a window of "
            f"{WINDOW_SECONDS:g} s has a single frame; a movement takes at least two"
        )
    what = "no face that stays in its place" if windows.aligner.max_faces else "no face"
    return UserError(
        f"{what} was found in {video.path} ({video.frames_read} frames read); the face must be "
        "frontal and not too small"
    )


def _notices(
    windows: VideoWindows, rows: list[dict], best: WindowPrediction, spots: bool
) -> Iterator[str]:
    """Yields what a reader of the result should know; `spots`: whether intervals are reported."""
    video, faces = windows.video, windows.aligner.max_faces
    shortest, longest = (1000 * gap for gap in video.gaps)
    if not video.has_times:
        yield "The frame rate of the folder is unknown, so it is one window; give --fps=RATE."
    elif video.rate is not None and video.rate < _LOW_RATE - 0.01:
        yield (
            f"{video.rate:.4g} frames per second are few: a micro-expression lasts under half a "
            f"second, and below {_LOW_RATE:g} frames per second most of its movement is missed."
        )
    if longest > 1.5 * shortest and longest - shortest > _TIMESTAMP_ROUNDING:
        yield (
            f"The frame rate varies: frames are {shortest:.0f} to {longest:.0f} ms apart. Windows "
            "are cut by time."
        )
    if video.rotation:
        yield f"The frames are rotated by {video.rotation} degrees, as the file asks."
    if video.pixel_aspect != 1:
        width, height = video.size
        yield (
            f"The pixels of the file are {video.pixel_aspect:.3g} times as wide as high; frames "
            f"are stretched to {width}x{height} pixels."
        )
    if video.file_rate is not None:
        stated = f"{video.file_rate:.4g} frames per second" if video.file_rate else "no frame rate"
        yield f"The file states {stated}; times are those of --fps={video.stated_rate:g}."
    if video.white is not None:
        yield (
            "The pictures have grey values of more than 8 bits; all were scaled alike, with "
            f"{video.white:g} as white."
        )
    if video.is_complete and video.frames_read < video.stated_frames:
        yield f"The file states {video.stated_frames} frames; {video.frames_read} could be read."
    if faces > 1:
        yield f"Up to {faces} faces are in a frame; the largest is used."
    if starts := windows.without_face:
        yield (
            f"Windows skipped: {len(starts)}, starting between {min(starts):.1f} and "
            f"{max(starts):.1f} s, where no face is found at once or it does not stay in its place."
        )
    others = sum(row["prediction"] != rows[best.index]["prediction"] for row in rows)
    if others and not spots:
        yield (
            f"The most confident of {len(rows)} windows; {others} of the {len(rows)} "
            f"predict{'s' * (others == 1)} another category. The highest of many probabilities is "
            "high by chance too, and head movement also raises it; check all windows."
        )
    if not windows.is_single:
        return
    frames, taken = len(best.window.numbers), len(best.window.frames)
    if frames < taken:
        yield f"The window has {frames} frames and the network takes {taken}; some are repeated."
    if windows.interval is None:
        if video.has_times:
            yield f"{video.path} is shorter than {WINDOW_SECONDS:g} s, so it is one window."
        return
    onset, offset = windows.interval
    if video.is_complete and video.duration < offset < math.inf:
        yield f"{video.path} ends at {video.last:.2f} s, before the offset at {offset:g} s."
    length = min(offset, video.last) - onset
    if length > 2 * WINDOW_SECONDS:
        yield (
            f"The interval lasts {length:.1f} s, but a micro-expression lasts under half a second; "
            f"the network sees only {taken} frames of the interval."
        )

"""What trained networks say of windows, a few at a time.

Axes: t frames that the network takes, h w pixels, m categories.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from datasets.errors import UserError
from fdp_jax.inference.aligning import Window, WindowClip
from fdp_jax.inference.trained_fold import TrainedFold
from fdp_jax.input_pipeline import frame_numbers

_AT_ONCE = 12  # windows; always as many, so that one compiled program serves every video


@dataclass(frozen=True, eq=False)
class Said:
    """What is said of one window.

    Attributes:
      window: the stretch.
      probabilities: float32 [m], the mean over the networks.
      frames: uint8 [t, h, w], as the networks see them, in grey.
      seconds: [t], time of each; empty where the rate is unknown.
      target: float32 [h, w] in [0, 1], the dynamic image that the frames pool to.
      dynamic_image: float32 [h, w], as the first network constructs it; None of one without.
      rank_scores: float32 [t], of the first network; None of one without.
    """

    window: Window
    probabilities: np.ndarray
    frames: np.ndarray
    seconds: tuple[float, ...]
    target: np.ndarray
    dynamic_image: np.ndarray | None
    rank_scores: np.ndarray | None


def say_of_one(clip: WindowClip, folds: Sequence[TrainedFold]) -> Said:
    """What the networks say of a single window."""
    return _say([_thinned(clip, folds[0].config.clip.frames)], folds, at_once=1)[0]


def say_of_many(clips: Iterable[WindowClip], folds: Sequence[TrainedFold]) -> Iterator[Said]:
    """What the networks say of each window, in order; a handful of them is in memory.

    Raises:
      UserError: a network says no number.
    """
    waiting = (_thinned(clip, folds[0].config.clip.frames) for clip in clips)
    while some := list(itertools.islice(waiting, _AT_ONCE)):
        yield from _say(some, folds, _AT_ONCE)


def _say(clips: list[WindowClip], folds: Sequence[TrainedFold], at_once: int) -> list[Said]:
    t = len(clips[0].frames)
    parts = [clip.frames for clip in clips]
    parts += [parts[-1]] * (at_once - len(parts))
    starts = np.arange(at_once, dtype=np.int32) * t
    lengths = np.full(at_once, t, np.int32)
    answers = [fold.predict(np.concatenate(parts), starts, lengths) for fold in folds]
    probabilities = np.mean([answer["probabilities"] for answer in answers], axis=0)
    if not np.isfinite(probabilities).all():
        raise UserError("the network's probabilities are no numbers; its training has failed")
    first = answers[0]
    return [
        Said(
            window=clip.window,
            probabilities=probabilities[k],
            frames=first["frames"][k],
            seconds=clip.seconds,
            target=first["target"][k],
            dynamic_image=first["dynamic_image"][k] if "dynamic_image" in first else None,
            rank_scores=first["rank_scores"][k] if "rank_scores" in first else None,
        )
        for k, clip in enumerate(clips)
    ]


def _thinned(clip: WindowClip, frames: int) -> WindowClip:
    """A clip with only the t frames that the network takes when it evaluates.

    So its length changes neither the compiled program nor what is in memory.
    """
    length = jnp.array([len(clip.frames)])
    chosen = np.asarray(frame_numbers(length, jnp.array([0.5]), frames)[0])
    seconds = tuple(clip.seconds[number] for number in chosen if clip.seconds)
    return WindowClip(clip.window, clip.frames[chosen], seconds)

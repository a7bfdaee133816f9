"""Videos of drawn people, longer than a clip: a resting face, and in most of them one expression.

Person, pose, light and expression are those of a clip of the synthetic corpus; twitches, drift and
flicker go on for the whole video.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from datasets.synthetic import motion
from datasets.synthetic.clips import Clip, ClipSpec, drift_curves, flicker, prepare_clip

_VIDEO_STREAM = 5  # of random numbers
_MARGIN = 0.4  # seconds without expression at either end, at least
_TWITCHES_PER_SECOND = 1.0  # of each kind that the clip has
_SMALLEST_TWITCH = 0.004  # eye distances


@dataclasses.dataclass(frozen=True)
class DrawnVideo:
    """A video, drawn frame by frame.

    Attributes:
      clip: fields and strengths over the whole video.
      category: of the expression; None without one.
      interval: onset, apex and offset in seconds; None without an expression.
    """

    clip: Clip
    category: str | None
    interval: tuple[float, float, float] | None

    def frames(self, step: int = 1) -> Iterator[np.ndarray]:
        """Yields each `step`-th frame, uint8 [h, w] grey, of `motion.FPS` per second."""
        clip = dataclasses.replace(
            self.clip,
            strengths=self.clip.strengths[::step],
            brightness=self.clip.brightness[::step],
        )
        return clip.frames()


def draw_video(seed: int, person: int, category: str | None, seconds: float) -> DrawnVideo:
    """Returns the video of a person; the same arguments give the same frames.

    Args:
      seed: of people and motion.
      person: from 0.
      category: of `motion.CATEGORIES`; None for a video without an expression.
      seconds: length.
    """
    spec = ClipSpec(seed, person, 0, category or next(iter(motion.CATEGORIES)))
    clip, rng = prepare_clip(spec), np.random.default_rng([seed, _VIDEO_STREAM, person])
    frames = round(seconds * motion.FPS)
    curve, interval = np.zeros(frames), None
    duration = len(clip.strengths)
    margin = round(_MARGIN * motion.FPS)
    start = int(rng.integers(margin, frames - duration - margin))
    if category is not None:
        curve[start : start + duration] = clip.strengths[:, 0]
        # Nobody jumps back to rest: what is left at the offset fades.
        tail = np.exp(-np.arange(frames - start - duration) / (0.1 * motion.FPS))
        curve[start + duration :] = clip.strengths[-1, 0] * tail
        ends = (0, clip.apex - clip.onset, duration - 1)
        interval = tuple((start + end) / motion.FPS for end in ends)
    return DrawnVideo(_prolonged(clip, curve, rng), category, interval)


def _prolonged(clip: Clip, expression: np.ndarray, rng: np.random.Generator) -> Clip:
    """Returns the clip with other strengths: the expression's, and distractors all the time."""
    frames, head = len(expression), drift_curves(len(expression), rng)
    time = np.arange(frames)
    twitches = []
    for own in clip.strengths[:, 1 : -len(head)].T:  # the same movements, but others in time
        count = rng.poisson(_TWITCHES_PER_SECOND * frames / motion.FPS)
        middles, widths = rng.uniform(0, frames, count), rng.uniform(6, 14, count)
        bumps = np.exp(-0.5 * ((time[:, None] - middles) / widths) ** 2)
        twitches.append(max(own.max(), _SMALLEST_TWITCH) * bumps.max(axis=1, initial=0.0))
    return dataclasses.replace(
        clip,
        strengths=np.stack([expression, *twitches, *head], axis=1).astype(np.float32),
        brightness=flicker(frames, rng),
    )

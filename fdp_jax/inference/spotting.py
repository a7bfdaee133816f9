"""Spotting: the intervals of a video in which an expression occurs, from windows and frames.

A network with the category `none` gives each sliding window a probability that its frames show an
expression. Neighbouring windows above one half are one event. Its onset, apex and offset come from
the frames: how much each differs from rest in the direction of the event's own change.

Axes: n windows or frames, h w pixels of an aligned face.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from datasets.video import Video
from fdp_jax.animation.action_units import NEUTRAL
from fdp_jax.exported_model import sample_indices
from fdp_jax.inference.windows import FaceAligner, Window

THRESHOLD = 0.5  # of the probability that a window shows an expression
REACH = 0.75  # seconds before and after an event that are compared with it
LONGEST_SIDE = 0.4  # seconds from onset to apex, and from apex to offset
_SPLIT = 0.6  # seconds: peaks of the curve further apart are events of their own
_EDGE = 0.15  # of the apex' strength, at which onset and offset lie
_MARGINS = (0.05, 0.15, 0.25)  # of the duration, around a clip
_ROUNDS = 3  # of refining the direction of the change


class Event(NamedTuple):
    """Consecutive windows that show an expression.

    Attributes:
      centre: seconds, mean of the windows' middles by their probability.
      confidence: largest probability of an expression.
    """

    centre: float
    confidence: float


class Extent(NamedTuple):
    """Onset, apex and offset of an event in seconds."""

    onset: float
    apex: float
    offset: float


def find_events(middles: Sequence[float], expressive: Sequence[float]) -> list[Event]:
    """Returns the events in order of time.

    Args:
      middles: seconds, ascending, of each window.
      expressive: [n], the probability that a window shows an expression.
    """
    middles, left = np.asarray(middles), np.array(expressive, float)
    events = []
    while left.size and left.max() >= THRESHOLD:
        best = int(left.argmax())
        near = np.abs(middles - middles[best]) <= _SPLIT / 2
        weights = np.where(near, np.clip(left - THRESHOLD, 0, None) ** 2, 0.0)
        weights[best] += 1e-9
        centre = float((weights * middles).sum() / weights.sum())
        events.append(Event(centre, float(left[best])))
        left[np.abs(middles - centre) < _SPLIT] = 0.0
    return sorted(events)


def read_around(video: Video, events: Sequence[Event], aligner: FaceAligner) -> list[Window]:
    """Reads the video again and returns the aligned frames around every event."""
    windows = [Window(aligner, e.centre - REACH, e.centre + REACH) for e in events]
    # Without the statistics of `read`, which are those of the whole video.
    for frame in video.frames() if windows else ():
        if frame.seconds > windows[-1].end:
            break
        around = [window for window in windows if window.start <= frame.seconds <= window.end]
        face = None
        for window in around:
            if window.face is None:
                face = face or aligner.find(frame.pixels)
                window.update(face)
            if window.face is not None:
                window.add(frame)
    return windows


def find_extent(frames: np.ndarray, seconds: np.ndarray, centre: float) -> Extent:
    """Returns onset, apex and offset of an event.

    Args:
      frames: uint8 [n, h, w, c], aligned faces around the event.
      seconds: [n], their times.
      centre: seconds, about where the event is.
    """
    strength = strength_curve(frames, seconds, centre)
    inside = np.abs(seconds - centre) <= LONGEST_SIDE
    apex = int(np.where(inside, strength, -np.inf).argmax())
    level = _EDGE * strength[apex]
    before = np.flatnonzero(strength[:apex] < level)
    after = np.flatnonzero(strength[apex:] < level)
    onset = float(seconds[before[-1]] if before.size else seconds[0])
    offset = float(seconds[apex + after[0]] if after.size else seconds[-1])
    peak = float(seconds[apex])
    return Extent(max(onset, peak - LONGEST_SIDE), peak, min(offset, peak + LONGEST_SIDE))


def strength_curve(frames: np.ndarray, seconds: np.ndarray, centre: float) -> np.ndarray:
    """Returns how much of the event's change each frame shows, float [n], from 0 to 1.

    The change is the mean of the frames near the apex minus that of those at rest, found in a few
    rounds, from the middle of the event outwards. A slow drift of the head is taken off as a line.
    """
    faces = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in frames])
    flat = faces.reshape(len(faces), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)  # flickering light
    time = seconds - centre
    shown, rest = np.exp(-0.5 * (time / 0.1) ** 2), (np.abs(time) > 0.35).astype(float)
    strength = shown
    for _ in range(_ROUNDS):
        if not rest.any() or not shown.any():
            break
        at_rest = np.average(flat, axis=0, weights=rest)
        change = np.average(flat, axis=0, weights=shown) - at_rest
        strength = (flat - at_rest) @ change / max(float(change @ change), 1e-6)
        strength = _smoothed(_without_line(strength, time, rest), seconds)
        near = np.where(np.abs(time) <= LONGEST_SIDE, strength, 0.0)
        strength = strength / max(near.max(), 1e-6)
        shown = np.clip(near / max(near.max(), 1e-6) - 0.5, 0, None)
        rest = (np.abs(strength) < _EDGE).astype(float) * (np.abs(time) > 0.1)
    return strength


def _without_line(strength: np.ndarray, time: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Takes off the line through the frames at rest."""
    line = np.polynomial.polynomial.polyfit(time, strength, 1, w=np.sqrt(rest) + 1e-6)
    return strength - np.polynomial.polynomial.polyval(time, line)


def _smoothed(strength: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Smooths over about 20 ms, which takes off the noise of fast cameras."""
    rate = (len(seconds) - 1) / max(float(seconds[-1] - seconds[0]), 1e-6)
    width = int(0.02 * rate) | 1
    padded = np.pad(strength, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def cut(frames: np.ndarray, seconds: np.ndarray, extent: Extent, t: int) -> np.ndarray:
    """Returns clips of an event for the network, uint8 [k, t, h, w, c].

    They begin a little before the onset, end a little after the offset, in several ways, and are
    mirrored or not: the mean of their probabilities is steadier than those of one clip.
    """
    clips, duration = [], extent.offset - extent.onset
    for before, after in itertools.product(_MARGINS, repeat=2):
        start, end = extent.onset - before * duration, extent.offset + after * duration
        inside = np.flatnonzero((seconds >= start) & (seconds <= end))
        clip = frames[inside[sample_indices(len(inside), t)]]
        clips += [clip, clip[:, :, ::-1]]
    return np.stack(clips)


def expressive(rows: Sequence[dict]) -> np.ndarray:
    """Returns the probability of an expression in each entry of `windows`, float [n]."""
    return np.array([1.0 - row["probabilities"][NEUTRAL] for row in rows])

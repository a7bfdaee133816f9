"""HTML that plays a video in the browser, with what was found marked on a timeline.

Where the browser cannot play the format it shows single frames instead.
"""

import base64
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from datasets.errors import UserError
from datasets.video import Video
from fdp_jax.inference.results import expression_rows
from fdp_jax.templates import environment_of

_HEIGHT = 240  # pixels of a frame
_EVENLY, _MOST_IN_MARKS = 24, 90  # frames over the video, and in all marks together
_OF_A_MARK = (3, 9)  # least and most frames in one mark
_TOLERANCE = 1e-4  # seconds, rounding of times

HEAD = Path(__file__).with_name("player_head.html.j2")


def render_player(address: str, video: Video, entry: dict | None = None) -> str:
    """Returns the player of a video.

    Args:
      address: of the file, for the browser.
      video: the same file, to read frames from.
      entry: of `videos.json`, what is marked; None before a prediction.

    Raises:
      UserError: the file cannot be read.
    """
    rows = [] if entry is None else [row for row in expression_rows(entry) if "onset" in row]
    marks = [row | {"text": _text(row)} for row in rows]
    moments = [0.0] if entry is None else _moments(_duration(video), marks)
    if not (frames := list(_frames_at(video, moments))):
        raise UserError(f"{video.path} has no frame that can be read; give another video")
    width, height = frames[0]["size"]
    caption = f"{video.path.name}: {width} x {height} pixels"
    if video.stated_rate:
        caption += f", {video.stated_rate:.4g} frames per second"
    template = environment_of(Path(__file__).parents[1]).get_template("inference/player.html.j2")
    return template.render(
        address=address,
        name=video.path.name,
        frames=frames,
        marks=marks,
        duration=_duration(video),
        caption=caption,
    )


def _text(row: dict) -> str:
    times = f"{row['onset']:.2f} to {row['offset']:.2f} s"
    return f"{times}: {row['category']} ({100 * row['confidence']:.0f}\u00a0%)"


def _duration(video: Video) -> float:
    """Returns the length in seconds: as read, or as stated where only a part was read."""
    stated = video.stated_frames / video.stated_rate if video.stated_rate else 0.0
    return video.duration if video.is_complete else max(stated, video.duration)


def _moments(duration: float, marks: Sequence[dict]) -> np.ndarray:
    """Returns the seconds of the frames to show: over the video, and more in each mark."""
    least, most = _OF_A_MARK
    each = max(least, min(most, _MOST_IN_MARKS // max(1, len(marks))))
    parts = [np.linspace(mark["onset"], mark["offset"], each) for mark in marks]
    return np.sort(np.concatenate([np.linspace(0, duration, _EVENLY, endpoint=False), *parts]))


def _frames_at(video: Video, moments: Iterable[float]) -> Iterator[dict]:
    """Yields the first frame at or after each moment, once: its seconds, size and JPEG."""
    waiting = iter(moments)
    moment = next(waiting)
    for frame in video.frames():
        if frame.seconds < moment - _TOLERANCE:
            continue
        height, width = frame.pixels.shape[:2]
        small = (max(1, round(width * _HEIGHT / height)), _HEIGHT)
        _, jpeg = cv2.imencode(
            ".jpg", cv2.resize(frame.pixels, small, interpolation=cv2.INTER_AREA)
        )
        jpeg = base64.b64encode(jpeg).decode("ascii")
        yield {"seconds": round(frame.seconds, 4), "size": (width, height), "jpeg": jpeg}
        moment = next((m for m in waiting if m > frame.seconds + _TOLERANCE), math.inf)
        if moment == math.inf:
            return

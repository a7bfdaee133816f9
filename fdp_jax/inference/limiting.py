"""A video that may not be longer than someone allows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import UserError
from fdp_jax.inference.reading import Frame, VideoFile, open_source


@dataclass(frozen=True)
class LimitedVideo(VideoFile):
    """A video whose frames end in an error where it is too long.

    Attributes:
      max_seconds: time of the last frame that may be read.
    """

    max_seconds: float

    def frames(self) -> Iterator[Frame]:
        """All frames, from the first.

        Raises:
          UserError: one is later than `max_seconds`, whatever length the file told.
        """
        for frame in super().frames():
            if frame.seconds > self.max_seconds:
                raise _too_long(self.path, self.max_seconds)
            yield frame


def open_limited(path: Path, max_seconds: float) -> LimitedVideo:
    """The video at `path`, a file.

    Raises:
      UserError: it is no video, or tells that it is longer than `max_seconds`.
    """
    video = open_source(path, None)
    if video.told_rate and video.told_frames > video.told_rate * max_seconds + 1:
        raise _too_long(path, max_seconds)
    return LimitedVideo(video.path, video.told_rate, video.told_frames, video.turned, max_seconds)


def _too_long(path: Path, max_seconds: float) -> UserError:
    return UserError(f"{path} is longer than {max_seconds:g} s; cut out what you want to know of")

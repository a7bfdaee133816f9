"""A table of one's own with a few drawn clips: three people, most clips as folders, one as a video.

The template of `python -m datasets.build own`. One clip has no class and is left out; one folder
holds more frames than its clip.
"""

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from datasets.examples.writing import DrawnClip, draw_clips, write_frames, write_workbook

LAYOUTS = {"csv": {"table": "clips.csv"}, "xlsx": {"table": "clips.xlsx"}}

_FIRST_FACE = 60
_FRAMES = 12  # of every clip
_FPS = 100
_HEADER = (
    "subject", "clip", "path", "emotion", "onset", "apex", "offset", "fps", "action_units", "class",
)  # fmt: skip


class _Clip(NamedTuple):
    subject: str
    emotion: str
    action_units: str
    category: str  # "" leaves the clip out
    path: str
    first: int = 1
    states_numbers: bool = False  # whether the table has onset, apex and offset

    @property
    def last(self) -> int:
        return self.first + _FRAMES - 1


_CLIPS = (
    _Clip("p01", "happiness", "6+12", "positive", "frames/p01/happiness_1"),
    _Clip("p01", "disgust", "9", "negative", "frames/p01/disgust_1", 21, True),
    _Clip("p01", "other", "", "", "frames/p01/other_1"),
    _Clip("p02", "happiness", "12", "positive", "videos/p02_happiness_1.avi"),
    _Clip("p02", "sadness", "1+15", "negative", "frames/p02/sadness_1"),
    _Clip("p03", "happiness", "6+12", "positive", "frames/p03/happiness_1", 5, True),
    _Clip("p03", "anger", "4", "negative", "frames/p03/anger_1"),
)


def write(out: Path, table: str) -> None:
    """Writes the clips, and the table under the name `table`, into `out`."""
    rows: list[list[Any]] = [list(_HEADER)]
    for clip, drawn in draw_clips(_CLIPS, _FIRST_FACE):
        path = out / clip.path
        if path.suffix:
            _write_video(path, drawn)
        else:
            numbers = drawn.around(4) if clip.states_numbers else drawn.numbers
            write_frames(path, drawn, numbers, "img{:03d}.jpg")
        span = (clip.first, clip.first + _FRAMES // 2, clip.last)
        stated: list[Any] = [number if clip.states_numbers else "" for number in span]
        rows.append([
            clip.subject, f"{clip.emotion}_1", clip.path, clip.emotion, *stated, _FPS,
            clip.action_units, clip.category,
        ])  # fmt: skip
    if table.endswith(".csv"):
        lines = (",".join(map(str, row)) + "\n" for row in rows)
        (out / table).write_text("".join(lines), encoding="utf-8")
    else:
        write_workbook(out / table, {"clips": rows})


def _write_video(path: Path, clip: DrawnClip) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    jpegs = (np.frombuffer(clip.frame(number), np.uint8) for number in clip.numbers)
    frames = [cv2.imdecode(jpeg, cv2.IMREAD_COLOR) for jpeg in jpegs]
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, code, _FPS, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()

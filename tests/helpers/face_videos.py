"""Videos and folders of drawn faces, and edits of .mp4 files that OpenCV cannot write."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from datasets.synthetic.clips import ClipSpec, prepare_clip


def face_frames(count: int, person: int = 0) -> list[np.ndarray]:
    """Returns `count` frames uint8 [208, 192, 3] of a drawn face that smiles again and again."""
    clip = [*prepare_clip(ClipSpec(3, person, 0, "happiness")).frames()]
    cycle = [*clip, *clip[::-1]]
    return [cv2.cvtColor(cycle[k % len(cycle)], cv2.COLOR_GRAY2BGR) for k in range(count)]


def empty_frames(count: int) -> list[np.ndarray]:
    """Returns `count` frames of the same size without a face."""
    ramp = np.linspace(60, 190, 192, dtype=np.uint8)
    return [np.dstack([np.tile(ramp, (208, 1))] * 3)] * count


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float = 30.0) -> Path:
    """Writes a video: MPEG-4 in .mp4, motion JPEG in .avi, VP8, which browsers play, in .webm."""
    frames = list(frames)
    height, width = frames[0].shape[:2]
    backend, code = cv2.CAP_FFMPEG, "mp4v"
    if path.suffix == ".avi":
        backend, code = cv2.CAP_OPENCV_MJPEG, "MJPG"  # keeps odd sizes
    elif path.suffix == ".webm":
        code = "VP80"
    codec = cv2.VideoWriter.fourcc(*code)
    writer = cv2.VideoWriter(str(path), backend, codec, fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def write_folder(path: Path, frames: Iterable[np.ndarray]) -> Path:
    """Writes a folder of img1.png, img2.png, ..."""
    path.mkdir()
    for number, frame in enumerate(frames, start=1):
        cv2.imwrite(str(path / f"img{number}.png"), frame)
    return path


def turn_by_a_quarter(path: Path, width: int) -> None:
    """Marks an .mp4 to be shown a quarter turn further, as a phone held upright does.

    `width` is the width of the rotated picture in pixels.
    """
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # the matrix, in a box of version 0
    one = 0x10000
    struct.pack_into(">9i", content, place, 0, one, 0, -one, 0, 0, width * one, 0, 0x40000000)
    path.write_bytes(content)


def widen_pixels(path: Path) -> None:
    """Marks an .mp4 as one whose pixels are 16:11, as camcorders record."""
    content = bytearray(path.read_bytes())
    place = content.index(b"\0\0\1\x20") + 4  # of the header of MPEG-4 video
    (header,) = struct.unpack_from(">I", content, place)
    struct.pack_into(">I", content, place, header & ~(0b1111 << 11) | 0b0100 << 11)
    path.write_bytes(content)


def hurry_after(path: Path, first: int, times: int) -> None:
    """Divides the time between frames of an .mp4, after the `first` ones, by `times`."""
    content = path.read_bytes()
    place = content.index(b"stts") - 4
    size, _, _, entries, count, delta = struct.unpack(">I4sIIII", content[place : place + 24])
    assert (size, entries) == (24, 1)
    table = struct.pack(
        ">I4sIIIIII", 32, b"stts", 0, 2, first, delta, count - first, delta // times
    )  # fmt: skip
    grown = bytearray(content[:place] + table + content[place + 24 :])
    for parent in _parents(grown, place, 0, len(content)):
        (old,) = struct.unpack_from(">I", grown, parent)
        struct.pack_into(">I", grown, parent, old + 8)
    path.write_bytes(grown)


def _parents(content: bytes, place: int, start: int, end: int) -> Iterator[int]:
    """Yields the starts of the boxes around the box at `place`, outermost first."""
    while start < end:
        (size,) = struct.unpack_from(">I", content, start)
        if start < place < start + size:
            yield start
            yield from _parents(content, place, start + 8, start + size)
            return
        start += size

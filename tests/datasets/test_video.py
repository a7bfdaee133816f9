"""Videos and folders of frames as they are read: times, sizes, rotation, and other files."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets import video as module
from datasets.errors import UserError
from datasets.video import Video, open_video
from tests.helpers.face_videos import (
    face_frames,
    hurry_after,
    turn_by_a_quarter,
    widen_pixels,
    write_folder,
    write_video,
)


def read(path, **options):
    """The video and its frames."""
    video = open_video(path, **options)
    return video, list(video.read())


def test_frames_of_a_video_have_numbers_and_times(tmp_path):
    video, frames = read(write_video(tmp_path / "a.mp4", face_frames(7), fps=50))
    assert video.stated_rate == pytest.approx(50) and video.rotation == 0
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5, 6, 7]
    assert [frame.seconds for frame in frames] == pytest.approx([0.02 * k for k in range(7)])
    assert frames[0].pixels.shape == (208, 192, 3)
    assert (video.frames_read, video.size, video.is_complete) == (7, (192, 208), True)
    assert (video.rate, video.duration) == pytest.approx((50, 0.14))
    assert video.gaps == pytest.approx((0.02, 0.02))
    assert len(list(video.read(until=0.0401))) == 3
    assert (video.frames_read, video.is_complete) == (3, False)


def test_a_name_may_have_a_colon_and_other_letters(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", face_frames(2)).rename(tmp_path / "take:1 é%02d.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(read(Path("take:1 é%02d.mp4"))[1]) == 2


def test_odd_sizes_are_read(tmp_path):
    odd = [frame[:207, :191] for frame in face_frames(3)]
    _, frames = read(write_video(tmp_path / "odd.avi", odd))
    assert [frame.pixels.shape for frame in frames] == [(207, 191, 3)] * 3


def test_a_video_that_a_phone_marks_as_rotated_is_rotated(tmp_path):
    upright = face_frames(3)
    lying = [np.rot90(frame) for frame in upright]  # a quarter turn counter-clockwise
    path = write_video(tmp_path / "phone.mp4", lying)
    turn_by_a_quarter(path, width=192)
    video, frames = read(path)
    assert video.rotation == 90
    assert frames[0].pixels.shape == (208, 192, 3)
    assert np.abs(frames[0].pixels.astype(int) - upright[0]).mean() < 5


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    upright = [frame[:192] for frame in face_frames(3)]
    squeezed = [cv2.resize(frame, (132, 192)) for frame in upright]
    path = write_video(tmp_path / "camcorder.mp4", squeezed)
    widen_pixels(path)
    video, frames = read(path)
    assert (video.pixel_aspect, video.size) == (pytest.approx(16 / 11), (192, 192))
    assert np.abs(frames[0].pixels.astype(int) - upright[0]).mean() < 5
    # A quarter turn later the stored width is the height.
    lying = [cv2.resize(np.rot90(frame), (132, 192)) for frame in upright]
    path = write_video(tmp_path / "turned.mp4", lying)
    widen_pixels(path)
    turn_by_a_quarter(path, width=192)
    video, frames = read(path)
    assert (video.rotation, video.size) == (90, (192, 192))
    assert np.abs(frames[0].pixels.astype(int) - upright[0]).mean() < 5


def test_an_impossible_shape_of_pixels_is_ignored(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", face_frames(2))
    monkeypatch.setattr(module, "_MAX_ASPECT", 1.2)
    widen_pixels(path)
    assert read(path)[0].size == (192, 208)


@pytest.mark.parametrize(
    ("deepen", "white"),
    [
        (lambda frame: frame * 257, 65535),
        (lambda frame: frame * 256, 65280),
        (lambda frame: frame * 1, 255),
        (lambda frame: frame * 4095 / 255, 4095),
        (lambda frame: frame * 1023 / 255, 1023),
        (lambda frame: np.rint(frame * 4095 / 255) * 16, 65535),
    ],
)
def test_pictures_of_more_than_8_bits_are_scaled_by_their_range(tmp_path, deepen, white):
    shallow = [frame // 8 for frame in face_frames(3)] + face_frames(1)  # first three are dark
    deep = [np.rint(deepen(frame.astype(np.int64))).astype(np.uint16) for frame in shallow]
    video, frames = read(write_folder(tmp_path / "deep", deep))
    assert video.white == white
    for frame, expected in zip(frames, shallow, strict=True):
        assert frame.pixels.dtype == np.uint8
        np.testing.assert_array_equal(frame.pixels, expected)


def test_pictures_of_floats_are_scaled(tmp_path):
    (tmp_path / "floats").mkdir()
    for number, frame in enumerate(shallow := face_frames(2)):
        picture = cv2.imencode(".tiff", (frame / 255).astype(np.float32))[1]
        (tmp_path / "floats" / f"img{number}.png").write_bytes(picture)
    video, frames = read(tmp_path / "floats")
    assert video.white == 1
    np.testing.assert_array_equal(frames[0].pixels, shallow[0])


def test_times_of_a_variable_rate_are_those_of_the_file(tmp_path):
    path = write_video(tmp_path / "varying.mp4", face_frames(9), fps=25)
    hurry_after(path, first=3, times=4)
    video, frames = read(path)
    steps = np.diff([frame.seconds for frame in frames])
    np.testing.assert_allclose(steps, [0.04] * 3 + [0.01] * 5, atol=1e-3)
    assert video.gaps == pytest.approx((0.01, 0.04), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing.mp4", b"", r"nothing\.mp4 is empty \(0 bytes\)"),
        ("text.mp4", b"A text, and no video at all.\n" * 40, r"text\.mp4 is not a readable video"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "not a readable video"),
    ],
)
def test_other_files_are_refused(tmp_path, capfd, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        open_video(path)
    assert capfd.readouterr() == ("", "")  # ffmpeg prints nothing either


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile {}\n"),
    ],
)
def test_a_playlist_does_not_open_other_files(tmp_path, name, content):
    secret = write_video(tmp_path / "secret.ts", face_frames(5))
    path = tmp_path / name
    path.write_text(content.format(secret.name))
    assert len(read(secret)[1]) == 5  # may be read when it is named itself
    with pytest.raises(UserError, match="is not a readable video"):
        open_video(path)


def test_a_name_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    write_video(tmp_path / "a.mp4", face_frames(2)).rename(path)
    with pytest.raises(UserError, match="UTF-8"):
        open_video(path)


@pytest.mark.parametrize(
    ("timestamps", "unreadable", "seconds"),
    [
        ([10.0, 10.03, 10.06], (), [0.0, 0.03, 0.06]),
        ([10.0, 10.03, 0.0, 10.09], (), [0.0, 0.03, 0.07, 0.09]),  # back: one frame later
        ([5.0, 5.0, 5.1], (), [0.0, 0.04, 0.1]),
        ([0.0, 0.5, 0.53], (0,), [0.0, 0.03]),  # from the first frame that can be decoded
    ],
)
def test_times_of_frames(monkeypatch, timestamps, unreadable, seconds):
    class Capture:
        index = -1

        def grab(self):
            self.index += 1
            return self.index < len(timestamps)

        def get(self, what):
            return 1000 * timestamps[self.index]

        def retrieve(self):
            is_readable = self.index not in unreadable
            return is_readable, np.zeros((2, 2), np.uint8) if is_readable else None

        def release(self):
            pass

    monkeypatch.setattr(module, "_open_capture", lambda path: Capture())
    frames = Video(Path("a.mp4"), 25.0, 0).read()
    assert [frame.seconds for frame in frames] == pytest.approx(seconds)
    if timestamps[1] == timestamps[0]:
        with pytest.raises(UserError, match="neither a frame rate nor frame times"):
            list(Video(Path("a.mp4"), None, 0).read())


def test_a_cut_video_gives_what_is_left_or_a_sentence(tmp_path):
    whole = write_video(tmp_path / "whole.avi", face_frames(20)).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    assert 2 <= len(read(cut)[1]) < 20
    headless = tmp_path / "cut.mp4"
    headless.write_bytes(write_video(tmp_path / "whole.mp4", face_frames(20)).read_bytes()[:900])
    with pytest.raises(UserError, match="is not a readable video"):
        open_video(headless)


def test_a_video_may_not_be_longer_than_allowed(tmp_path):
    path = write_video(tmp_path / "a.mp4", face_frames(25))  # 30 frames per second
    assert len(read(path, max_seconds=0.84)[1]) == 25
    with pytest.raises(UserError, match=r"is longer than 0\.7 s"):
        open_video(path, max_seconds=0.7)
    # A file that states no length is read up to the limit.
    with pytest.raises(UserError, match=r"is longer than 0\.41 s"):
        list(Video(path, 30.0, 0, max_seconds=0.41).read())


def test_frames_of_a_folder_are_in_order_and_have_times_where_the_rate_is_given(tmp_path):
    folder = write_folder(tmp_path / "frames", face_frames(11))
    (folder / "notes.txt").write_text("not a frame 5")
    video, frames = read(folder)
    assert [frame.number for frame in frames] == list(range(1, 12))  # img2 before img10
    assert {frame.seconds for frame in frames} == {None} and video.rate is None
    assert not video.has_times
    video, frames = read(folder, fps=200)
    assert [frame.seconds for frame in frames] == pytest.approx([0.005 * k for k in range(11)])
    assert video.rate == pytest.approx(200) and video.has_times


def test_a_folder_of_mixed_sizes_is_refused(tmp_path):
    frames = face_frames(4)
    folder = write_folder(tmp_path / "mixed", [*frames[:2], frames[2][:100, :90]])
    with pytest.raises(UserError, match=r"frame 3 of .*mixed has 90x100 pixels, .* have 192x208"):
        read(folder)


def test_a_folder_that_is_not_a_clip_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no numbered frames"):
        open_video(tmp_path)
    with pytest.raises(UserError, match="there is no video or folder"):
        open_video(tmp_path / "nowhere.mp4")
    folder = write_folder(tmp_path / "torn", face_frames(2))
    (folder / "img2.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"img2\.png is damaged or not a picture"):
        read(folder)


def test_the_rate_of_the_user_overrides_that_of_a_file(tmp_path):
    path = write_video(tmp_path / "slow_motion.mp4", face_frames(4), fps=30)
    hurry_after(path, first=2, times=3)
    video, frames = read(path, fps=240)
    assert (video.stated_rate, video.file_rate) == (240, pytest.approx(45, abs=10))
    assert [frame.seconds for frame in frames] == pytest.approx([k / 240 for k in range(4)])
    with pytest.raises(UserError, match="longer than 1 s"):
        open_video(path, fps=0.5, max_seconds=1)

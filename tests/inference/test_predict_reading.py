"""A person's own video or folder as it is read: times, sizes, turns, and what is no video."""

import dataclasses
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.inference import reading, windows
from fdp_jax.inference.reading import Frame, Seen, VideoFile, open_source
from fdp_jax.inference.result import notices, of_many_windows, of_one_window
from tests.helpers.face_videos import (
    empty_frames,
    face_frames,
    hurry_after,
    turn_by_a_quarter,
    write_folder,
    write_video,
)


def read(path, fps=None):
    """The source, its frames, and what was seen of them."""
    source, seen, frames = open_source(path, fps), Seen(), []
    for frame in source.frames():
        seen.add(frame, source.name)
        frames.append(frame)
    return source, frames, seen


def test_windows_start_every_tenth_and_last_half_a_second():
    assert [windows.span(number) for number in (0, 1, 3, 12)] == [
        (0.0, 0.5), (0.1, 0.6), (0.3, 0.8), (1.2, 1.7),
    ]  # fmt: skip


def test_each_window_is_opened_by_the_first_frame_at_or_after_its_start():
    opened, newest = {}, -1
    for frame in range(13):  # at 25 frames a second, 0.04 s apart
        number = windows.opened_by(frame * 0.04, newest)
        if number is not None:
            opened[number] = frame
            newest = number
    assert opened == {0: 0, 1: 3, 2: 5, 3: 8, 4: 10}
    assert windows.opened_by(3 * 0.1, 2) == 3  # 0.30000000000000004
    assert windows.opened_by(0.95, 2) == 9  # a gap in time: those between start nowhere


@pytest.mark.parametrize(
    ("length", "count"), [(0.0, 0), (0.49, 0), (0.5, 1), (0.6, 2), (25 / 30, 4), (600.0, 5996)]
)
def test_windows_of_a_length_are_counted(length, count):
    assert windows.count_within(length) == count


def test_a_window_ends_before_its_end_and_an_interval_with_it():
    assert windows.is_over(0.5, 0.5) and not windows.is_over(0.5, 0.49)
    assert windows.is_within(0.2, 0.4, 0.2) and windows.is_within(0.2, 0.4, 0.4)
    assert not windows.is_within(0.2, 0.4, 0.44) and not windows.is_within(0.2, None, 0.1)
    assert windows.is_within(None, None, 99.0)


def test_frames_of_a_video_have_numbers_and_times(tmp_path):
    source, frames, seen = read(write_video(tmp_path / "a.mp4", face_frames(7), fps=50))
    assert source.told_rate == pytest.approx(50) and source.turned == 0
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5, 6, 7]
    assert [frame.seconds for frame in frames] == pytest.approx([0.02 * k for k in range(7)])
    assert frames[0].pixels.shape == (208, 192, 3)
    assert (seen.frames, seen.size, seen.varies) == (7, (192, 208), False)
    assert seen.rate == pytest.approx(50)


def test_a_name_may_have_a_colon_and_other_letters(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", face_frames(2)).rename(tmp_path / "take:1 é%02d.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(read(Path("take:1 é%02d.mp4"))[1]) == 2


def test_odd_sizes_are_read(tmp_path):
    odd = [frame[:207, :191] for frame in face_frames(3)]
    _, frames, _ = read(write_video(tmp_path / "odd.avi", odd))
    assert [frame.pixels.shape for frame in frames] == [(207, 191, 3)] * 3


def test_a_video_that_a_phone_marks_as_rotated_is_turned(tmp_path):
    upright = face_frames(3)
    lying = [np.rot90(frame) for frame in upright]  # a quarter against the clock
    path = write_video(tmp_path / "phone.mp4", lying)
    turn_by_a_quarter(path, width=192)
    source, frames, _ = read(path)
    assert source.turned == 90
    assert frames[0].pixels.shape == (208, 192, 3)
    assert np.abs(frames[0].pixels.astype(int) - upright[0]).mean() < 5


def test_times_of_a_varying_rate_are_those_of_the_file(tmp_path):
    path = write_video(tmp_path / "varying.mp4", face_frames(9), fps=25)
    hurry_after(path, first=3, times=4)
    _, frames, seen = read(path)
    steps = np.diff([frame.seconds for frame in frames])
    np.testing.assert_allclose(steps, [0.04] * 3 + [0.01] * 5, atol=1e-3)
    assert seen.varies and seen.gaps == pytest.approx((0.01, 0.04), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("nothing.mp4", b"", r"nothing\.mp4 is empty \(0 bytes\)"),
        ("text.mp4", b"A text, and no video at all.\n" * 40, r"text\.mp4 is no video"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "is no video"),
    ],
)
def test_what_is_no_video_is_said(tmp_path, capfd, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        open_source(path, None)
    assert capfd.readouterr() == ("", "")  # nor does ffmpeg say anything


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile {}\n"),
    ],
)
def test_a_playlist_does_not_lead_to_other_files(tmp_path, name, content):
    secret = write_video(tmp_path / "secret.ts", face_frames(5))
    path = tmp_path / name
    path.write_text(content.format(secret.name))
    assert len(read(secret)[1]) == 5  # may be read when it is named itself
    with pytest.raises(UserError, match="is no video"):
        open_source(path, None)


def test_a_name_that_is_no_text_is_said(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    write_video(tmp_path / "a.mp4", face_frames(2)).rename(path)
    with pytest.raises(UserError, match="is no UTF-8 text; rename it"):
        open_source(path, None)


@pytest.mark.parametrize(
    ("told", "unreadable", "seconds"),
    [
        ([10.0, 10.03, 10.06], (), [0.0, 0.03, 0.06]),
        ([10.0, 10.03, 0.0, 10.09], (), [0.0, 0.03, 0.07, 0.09]),  # back: a frame's length on
        ([5.0, 5.0, 5.1], (), [0.0, 0.04, 0.1]),
        ([0.0, 0.5, 0.53], (0,), [0.0, 0.03]),  # the first that can be read is the start
    ],
)
def test_times_of_frames(monkeypatch, told, unreadable, seconds):
    class Capture:
        place = -1

        def grab(self):
            self.place += 1
            return self.place < len(told)

        def get(self, what):
            return 1000 * told[self.place]

        def retrieve(self):
            readable = self.place not in unreadable
            return readable, np.zeros((2, 2), np.uint8) if readable else None

        def release(self):
            pass

    monkeypatch.setattr(reading, "_open", lambda path: Capture())
    frames = list(VideoFile(Path("a.mp4"), 25.0, 0, 0).frames())
    assert [frame.seconds for frame in frames] == pytest.approx(seconds)


def test_whole_milliseconds_are_no_varying_rate():
    def seen(times):
        seen = Seen()
        for k, seconds in enumerate(times):
            seen.add(Frame(k + 1, seconds, np.zeros((2, 2), np.uint8)), "a")
        return seen

    assert not seen([round(k / 400, 3) for k in range(9)]).varies  # gaps of 2 and 3 ms
    assert seen([0.0, 0.002, 0.006]).varies


def test_a_cut_video_gives_what_is_left_or_a_sentence(tmp_path):
    whole = write_video(tmp_path / "whole.avi", face_frames(20)).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    _, frames, _ = read(cut)
    assert 2 <= len(frames) < 20
    headless = tmp_path / "cut.mp4"
    headless.write_bytes(write_video(tmp_path / "whole.mp4", face_frames(20)).read_bytes()[:900])
    with pytest.raises(UserError, match="is no video"):
        open_source(headless, None)


def test_frames_of_a_folder_come_by_number_and_have_times_where_the_rate_is_told(tmp_path):
    folder = write_folder(tmp_path / "frames", face_frames(11))
    (folder / "notes.txt").write_text("not a frame 5")
    _, frames, seen = read(folder)
    assert [frame.number for frame in frames] == list(range(1, 12))  # img2 before img10
    assert {frame.seconds for frame in frames} == {None} and seen.rate is None
    _, frames, seen = read(folder, fps=200)
    assert [frame.seconds for frame in frames] == pytest.approx([0.005 * k for k in range(11)])
    assert seen.rate == pytest.approx(200)


def test_a_folder_of_mixed_sizes_names_the_frame(tmp_path):
    frames = face_frames(4)
    folder = write_folder(tmp_path / "mixed", [*frames[:2], frames[2][:100, :90]])
    with pytest.raises(UserError, match=r"frame 3 of .*mixed is 90x100 pixels, .* are 192x208"):
        read(folder)


def test_a_folder_that_is_no_clip_is_said(tmp_path):
    with pytest.raises(UserError, match="holds no numbered frames"):
        open_source(tmp_path, None)
    with pytest.raises(UserError, match="there is no video and no folder"):
        open_source(tmp_path / "nowhere.mp4", None)
    folder = write_folder(tmp_path / "torn", face_frames(2))
    (folder / "img2.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"img2\.png is torn or no picture"):
        read(folder)
    with pytest.raises(UserError, match="--fps is for a folder"):
        open_source(write_video(tmp_path / "a.mp4", empty_frames(2)), 25.0)


def test_frames_may_be_read_again(tmp_path):
    source = open_source(write_video(tmp_path / "a.mp4", face_frames(5)), None)
    first = list(source.frames())
    again = list(itertools.islice(source.frames(), 3))
    for one, other in zip(first, again, strict=False):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_what_a_reader_must_know_is_said(tmp_path):
    path = write_video(tmp_path / "a.mp4", face_frames(6), fps=50)
    source, _, seen = read(path)

    class Looked:
        most_faces = 1

    class Slid:
        without_face = ()

    assert notices(source, seen, Looked, Slid, None) == []
    Looked.most_faces, Slid.without_face = 3, [0.2, 0.0, 0.1]
    marked = dataclasses.replace(source, turned=90, told_frames=9)
    seen.is_whole = True
    assert notices(marked, seen, Looked, Slid, None) == [
        "The file asks to be turned by 90 degrees, which was done.",
        "The file tells of 9 frames, of which 6 could be read.",
        "There are up to 3 faces in a frame; the largest was taken.",
        "3 windows were left out (starting between 0.0 and 0.2 s), for want of a face that is seen "
        "at once and stays.",
    ]


def test_what_a_reader_must_know_of_a_single_window_is_said(tmp_path):
    path = write_video(tmp_path / "a.mp4", face_frames(6), fps=50)
    source, _, seen = read(path)
    seen.last, seen.is_whole = 3.0, True
    assert of_one_window(source, seen, None, 8, 8) == []
    assert of_one_window(source, seen, (0.5, 1.0), 25, 8) == []
    (few,) = of_one_window(source, seen, None, 2, 8)
    assert few.startswith("The window holds 2 frames; the network takes 8")
    (long,) = of_one_window(source, seen, (0.5, None), 100, 8)
    assert long.startswith("The interval lasts 2.5 s.")
    (late,) = of_one_window(source, seen, (2.5, 99.0), 25, 8)
    assert late == f"{path} ends at 3.00 s, before the offset at 99 s."


def test_the_surest_of_many_windows_is_shown_for_what_it_is():
    rows = [{"prediction": name} for name in ("anger", "fear", "fear", "anger")]
    assert of_many_windows(rows[:1], 0) == of_many_windows(rows[1:3], 0) == []
    (told,) = of_many_windows(rows[:3], 1)
    assert told.startswith("Shown is the surest of 3 windows, of which 1 names another category.")

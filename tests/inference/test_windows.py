"""Windows of videos with drawn faces: their times, and the same alignment as that of a corpus."""

import weakref

import cv2
import numpy as np
import pytest

from datasets.clip_tasks import Annotation, build_clip
from datasets.crop import Crop
from datasets.errors import UserError
from datasets.face_models import get_face_models
from datasets.faces import FaceLandmarker
from datasets.video import Frame, Video, open_video
from fdp_jax.inference import windows
from fdp_jax.inference.windows import Face, FaceAligner, VideoWindows, Window, count_windows
from tests.helpers.face_videos import empty_frames, face_frames, write_folder

CROP = Crop(per_frame=False, side=72, margin=2.5)
# 17 x 4 points, a face of 16 pixels.
POINTS = np.stack(np.meshgrid(np.arange(17), np.arange(4)), axis=-1).reshape(68, 2) * 1.0


@pytest.fixture(scope="module")
def landmarker():
    return FaceLandmarker(get_face_models())


class Film(Video):
    """A video whose frames are made as they are read."""

    def __init__(self, frames, rate=30.0, times=None):
        super().__init__("a film", rate, len(frames))
        self._made, self._times = frames, times or [k / rate for k in range(len(frames))]

    def frames(self):
        for k, pixels in enumerate(self._made):
            yield Frame(k + 1, self._times[k], pixels.copy())


class SeesEverywhere:
    """A face detector that finds the same face in every frame that is not black."""

    def find_each(self, pixels):
        return [POINTS] if pixels.any() else []


class Task:
    """The same frames as a clip of a corpus."""

    subject, clip, where = "s", "c", "here"

    def __init__(self, frames):
        self._frames = frames

    def annotation(self):
        return Annotation("s", "c", "", "", "", 1, -1, 1, 30.0)

    def frames(self):
        return iter(self._frames)


def built(frames, landmarker, crop=CROP):
    return build_clip(Task(frames), landmarker, crop).frames


def of_film(film, landmarker, interval=None, crop=CROP, is_grey=False):
    """All windows, and what iterated over them."""
    found = VideoWindows(film, interval, FaceAligner(landmarker, crop, is_grey))
    return list(found), found


def spans(found):
    return [(window.start, window.numbers[0], window.numbers[-1]) for window in found]


def grey(count):
    return [np.full((20, 20), 100, np.uint8)] * count


def test_windows_start_at_the_first_frame_after_every_tenth_of_a_second():
    found, _ = of_film(Film(grey(20), rate=25.0), SeesEverywhere())  # 0.04 s apart, 0.8 s
    assert spans(found) == [(0.0, 1, 13), (0.1, 4, 15), (0.2, 6, 18), (0.3, 9, 20)]
    assert [(window.start, window.end) for window in found[:2]] == [(0.0, 0.5), (0.1, 0.6)]
    # 0.3 as 3 * 0.1 is 0.30000000000000004.
    found, _ = of_film(Film(grey(9), times=[k * 0.1 for k in range(9)]), SeesEverywhere())
    assert spans(found) == [(k / 10, k + 1, k + 5) for k in range(5)]


def test_no_window_starts_in_a_gap_between_frames():
    times = [0.0, 0.1, 0.2, 0.95, 1.0, 1.1, 1.3, 1.5]
    found, _ = of_film(Film(grey(8), times=times), SeesEverywhere())
    # The window from 0.2 s has a single frame.
    assert [window.start for window in found] == [0.0, 0.1, 0.9, 1.0, 1.1]


@pytest.mark.parametrize(
    ("length", "count"), [(0.0, 0), (0.49, 0), (0.5, 1), (0.6, 2), (25 / 30, 4), (600.0, 5996)]
)
def test_windows_of_a_length_are_counted(length, count):
    assert count_windows(length) == count


@pytest.mark.parametrize(
    ("interval", "numbers"),
    [((0.2, 0.4), (3, 5)), ((0.2, 0.44), (3, 5)), ((0.0, 99.0), (1, 9)), ((0.15, 0.6), (3, 7))],
)
def test_an_interval_includes_its_ends(interval, numbers):
    film = Film(grey(9), times=[k * 0.1 for k in range(9)])
    (window,), _ = of_film(film, SeesEverywhere(), interval)
    assert (window.numbers[0], window.numbers[-1]) == numbers


def test_sliding_windows_are_aligned_like_clips_of_a_corpus(landmarker):
    frames = face_frames(25)
    film = Film(frames)
    found, of_video = of_film(film, landmarker)
    # 25 frames last 0.833 s: windows from 0, 0.1, 0.2 and 0.3 s, of 15 frames each.
    assert spans(found) == [(0.0, 1, 15), (0.1, 4, 18), (0.2, 7, 21), (0.3, 10, 24)]
    for window in found:
        first = window.numbers[0]
        expected = built(frames[first - 1 : first + 14], landmarker)
        np.testing.assert_array_equal(window.frames, expected)
        assert window.seconds == pytest.approx([(first - 1 + k) / 30 for k in range(15)])
    assert (film.frames_read, film.is_complete, of_video.aligner.max_faces) == (25, True, 1)


def test_an_interval_is_aligned_like_a_clip_of_a_corpus(landmarker):
    frames = [*empty_frames(2), *face_frames(18)]
    (window,), _ = of_film(Film(frames), landmarker, (0.0, 0.4))
    assert spans([window]) == [(0.0, 1, 13)] and window.end == 0.4
    np.testing.assert_array_equal(window.frames, built(frames[:13], landmarker))


@pytest.mark.parametrize(
    "crop", [Crop(per_frame=False, side=72, margin=1.7), Crop(per_frame=True, side=72, margin=2.5)]
)
def test_faces_are_cropped_like_those_of_the_training(landmarker, crop):
    frames = [np.roll(frame, 2 * k, axis=1) for k, frame in enumerate(face_frames(25))]
    frames[8] = empty_frames(1)[0]
    found, _ = of_film(Film(frames), landmarker, crop=crop)
    assert [window.numbers[0] for window in found] == [1, 4, 7, 10]
    for window in found:
        first = window.numbers[0]
        shown = frames[first - 1 : first + 14]
        np.testing.assert_array_equal(window.frames, built(shown, landmarker, crop))
        assert (np.stack(window.frames) != built(shown, landmarker)).any()
    (window,), _ = of_film(Film(frames), landmarker, (0.0, 0.4), crop)
    np.testing.assert_array_equal(window.frames, built(frames[:13], landmarker, crop))


def test_faces_are_grey_for_a_network_trained_on_grey_faces(landmarker):
    crop = Crop(per_frame=False, side=48, margin=2.5)
    (window,), _ = of_film(Film(face_frames(4)), landmarker, crop=crop, is_grey=True)
    assert np.shape(window.frames) == (4, 48, 48, 1)
    (sliding,), _ = of_film(Film(face_frames(16)), landmarker, crop=crop, is_grey=True)
    assert np.shape(sliding.frames) == (15, 48, 48, 1)
    np.testing.assert_array_equal(sliding.frames[:4], window.frames)


@pytest.mark.parametrize(
    ("face_times", "starts", "skipped"),
    [
        ((9, 30), [0.3, 0.4, 0.5], [0.0, 0.1, 0.2]),  # comes at 0.3 s
        ((0, 20), [0.0, 0.1], [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),  # gone after 0.633 s
        ((0, 2), [], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # flashes up
    ],
)
def test_windows_without_a_face_that_stays_are_skipped(face_times, starts, skipped):
    first, end = face_times
    count = 40 if face_times == (0, 20) else 30
    frames = [frame * (first <= k < end) for k, frame in enumerate(grey(count))]
    found, of_video = of_film(Film(frames), SeesEverywhere())
    assert [window.start for window in found] == starts
    assert sorted(of_video.without_face) == skipped


def test_an_interval_without_a_face_that_stays_is_no_window():
    frames = [*grey(2), *np.zeros((28, 20, 20), np.uint8)]
    assert of_film(Film(frames), SeesEverywhere(), (0.0, 9.0))[0] == []


def test_a_frame_without_a_face_inside_a_window_stays_in_it():
    frames = grey(15)
    frames[6:8] = np.zeros((2, 20, 20), np.uint8)  # frame 7, at 0.2 s, is searched
    assert [len(window.frames) for window in of_film(Film(frames), SeesEverywhere())[0]] == [15]


def test_a_face_is_steady_when_half_of_the_searches_find_it_in_its_place():
    def face(shift):
        return Face(POINTS + np.array([shift, 0]), np.eye(2, 3))

    window = Window(FaceAligner(None, CROP, is_grey=True))
    states = []
    for found in (face(0), None, face(20), face(5)):  # 20 is more than half of the face
        window.update(found)
        states.append((window.is_steady, window.found[-1]))
    assert states == [(True, True), (True, False), (False, False), (True, True)]


def test_the_largest_of_several_faces_is_used(landmarker):
    face = face_frames(1)[0]
    both = np.full((208, 420, 3), 128, np.uint8)
    both[:, 220:412] = face
    both[60:164, 20:116] = cv2.resize(face, (96, 104), interpolation=cv2.INTER_AREA)
    aligner = FaceAligner(landmarker, CROP, is_grey=False)
    assert aligner.find(both).landmarks[:, 0].min() > 200
    assert aligner.max_faces == 2
    assert aligner.find(empty_frames(1)[0]) is None
    assert aligner.max_faces == 2


def test_windows_of_a_single_frame_are_counted():
    found, of_video = of_film(Film(grey(4), rate=1.0), SeesEverywhere())
    assert found == [] and of_video.with_one_frame == 4


@pytest.mark.parametrize("interval", [None, (0.0, 0.2)])
def test_too_many_frames_in_a_window_are_an_error(monkeypatch, interval):
    monkeypatch.setattr(windows, "MAX_FRAMES", 9)
    with pytest.raises(UserError, match=r"one window has more than 9 frames; give .* --onset"):
        of_film(Film(grey(99), rate=100.0), SeesEverywhere(), interval)


@pytest.mark.parametrize(
    ("count", "interval", "message"),
    [
        (6, (0.05, 0.08), "the interval has a single frame; a movement takes at least two"),
        (6, (3.0, 4.0), r"the interval has no frame; .* \(a film ends at 0.17 s\)"),
        (1, None, "a film has a single frame; a movement takes at least two"),
    ],
)
def test_fewer_than_two_frames_are_an_error(count, interval, message):
    with pytest.raises(UserError, match=message):
        of_film(Film(grey(count)), SeesEverywhere(), interval)


@pytest.mark.parametrize("interval", [None, (0.1, 0.7)])
def test_at_most_two_decoded_frames_are_in_memory(interval):
    alive: list[weakref.ref] = []

    class Watched(Film):
        def frames(self):
            for frame in super().frames():
                alive.append(weakref.ref(frame.pixels))
                assert sum(one() is not None for one in alive) <= 2
                yield frame

    assert len(of_film(Watched(grey(25)), SeesEverywhere(), interval)[0]) == (1 if interval else 4)


def test_a_folder_without_a_rate_is_one_window(tmp_path, landmarker):
    folder = write_folder(tmp_path / "clip", face_frames(22))
    (window,), _ = of_film(open_video(folder), landmarker)
    assert spans([window]) == [(None, 1, 22)]
    assert window.seconds == [] and len(window.frames) == 22


def test_a_window_keeps_the_frames_that_the_network_takes():
    (window,), _ = of_film(Film(grey(15)), SeesEverywhere())
    assert window.sample(4) is window and len(window.frames) == 4
    assert window.seconds == pytest.approx([k / 30 for k in (1, 5, 9, 13)])
    assert len(window.numbers) == 15

"""Windows of a video with drawn faces: the network sees what a corpus' clip would show it."""

import weakref

import cv2
import numpy as np
import pytest

from datasets.clip_tasks import Annotation, build_clip
from datasets.crop import Crop
from datasets.errors import UserError
from datasets.face_models import get_face_models
from datasets.faces import FaceLandmarker
from fdp_jax.inference import aligning
from fdp_jax.inference.aligning import MOST_FRAMES, Face, SlidingWindows, one_window
from fdp_jax.inference.faces import CountingLandmarker, Sightings
from fdp_jax.inference.reading import Frame, Seen, open_source
from tests.helpers.face_videos import empty_frames, face_frames, write_folder

FACE = Face(Crop(per_frame=False, side=72, margin=2.5), is_grey=False)


@pytest.fixture(scope="module")
def plain():
    return FaceLandmarker(get_face_models())


@pytest.fixture
def landmarker(plain):
    return CountingLandmarker(plain)


class Film:
    """A source whose frames are made as they are asked for."""

    name, turned, has_times = "a film", 0, True

    def __init__(self, frames, rate=30.0):
        self._frames, self.told_rate, self.told_frames = frames, rate, len(frames)

    def frames(self):
        for k, pixels in enumerate(self._frames):
            yield Frame(k + 1, k / self.told_rate, pixels.copy())


class Task:
    """The same pictures as a clip of a corpus."""

    subject, clip, where = "s", "c", "here"

    def __init__(self, frames):
        self._frames = frames

    def annotation(self):
        return Annotation("s", "c", "", "", "", 1, -1, 1, 30.0)

    def frames(self):
        return iter(self._frames)


def built(frames, landmarker, crop=FACE.crop):
    return build_clip(Task(frames), landmarker, crop).frames


def test_sliding_windows_show_what_the_corpora_would(landmarker, plain):
    frames = face_frames(25)
    clips = list(SlidingWindows(Film(frames), landmarker, FACE, seen := Seen()))
    # 25 frames last 0.833 s: windows from 0, 0.1, 0.2 and 0.3 s, of 15 frames each.
    spans = [(c.window.start, c.window.first_frame, c.window.last_frame) for c in clips]
    assert spans == [(0.0, 1, 15), (0.1, 4, 18), (0.2, 7, 21), (0.3, 10, 24)]
    for clip in clips:
        first = clip.window.first_frame
        np.testing.assert_array_equal(clip.frames, built(frames[first - 1 : first + 14], plain))
        assert clip.seconds == pytest.approx([(first - 1 + k) / 30 for k in range(15)])
    assert (seen.frames, seen.is_whole) == (25, True)
    assert landmarker.most_faces == 1


def test_an_interval_shows_what_the_corpora_would(landmarker, plain):
    frames = [*empty_frames(2), *face_frames(18)]
    clip = one_window(Film(frames), 0.0, 0.4, landmarker, FACE, Seen())
    assert (clip.window.first_frame, clip.window.last_frame) == (1, 13)
    np.testing.assert_array_equal(clip.frames, built(frames[:13], plain))


@pytest.mark.parametrize(
    "crop", [Crop(per_frame=False, side=72, margin=1.7), Crop(per_frame=True, side=72, margin=2.5)]
)
def test_faces_are_cut_out_as_those_of_the_training_were(landmarker, plain, crop):
    face = Face(crop, is_grey=False)
    frames = [np.roll(frame, 2 * k, axis=1) for k, frame in enumerate(face_frames(25))]
    frames[8] = empty_frames(1)[0]
    clips = list(SlidingWindows(Film(frames), landmarker, face, Seen()))
    assert [clip.window.first_frame for clip in clips] == [1, 4, 7, 10]
    for clip in clips:
        first = clip.window.first_frame
        shown = frames[first - 1 : first + 14]
        np.testing.assert_array_equal(clip.frames, built(shown, plain, crop))
        assert (clip.frames != built(shown, plain)).any()
    interval = one_window(Film(frames), 0.0, 0.4, landmarker, face, Seen())
    np.testing.assert_array_equal(interval.frames, built(frames[:13], plain, crop))


def test_grey_networks_are_given_grey(landmarker, plain):
    frames = face_frames(4)
    grey = Face(Crop(per_frame=False, side=48, margin=2.5), is_grey=True)
    clip = one_window(Film(frames), None, None, landmarker, grey, Seen())
    assert clip.frames.shape == (4, 48, 48, 1)
    sliding = next(iter(SlidingWindows(Film(face_frames(16)), landmarker, grey, Seen())))
    assert sliding.frames.shape == (15, 48, 48, 1)
    np.testing.assert_array_equal(sliding.frames[:4], clip.frames)


def test_windows_before_a_late_face_are_left_out(landmarker):
    frames = [*empty_frames(9), *face_frames(21)]  # the face comes at 0.3 s
    sliding = SlidingWindows(Film(frames), landmarker, FACE, Seen())
    assert [clip.window.start for clip in sliding] == [0.3, 0.4, 0.5]
    assert sliding.without_face == [0.0, 0.1, 0.2]


def test_a_window_over_which_the_face_goes_is_left_out(landmarker):
    frames = [*face_frames(20), *empty_frames(20)]  # it goes after 0.633 s
    sliding = SlidingWindows(Film(frames), landmarker, FACE, Seen())
    assert [clip.window.start for clip in sliding] == [0.0, 0.1]
    assert sorted(sliding.without_face) == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


def test_windows_of_a_single_frame_are_counted(landmarker):
    sliding = SlidingWindows(Film(face_frames(4), rate=1.0), landmarker, FACE, Seen())
    assert list(sliding) == [] and sliding.with_one_frame == 4


def test_a_file_with_thousands_of_frames_in_half_a_second_is_said(landmarker, monkeypatch):
    monkeypatch.setattr(aligning, "MOST_FRAMES", 20)
    film = Film(face_frames(30), rate=100.0)
    with pytest.raises(UserError, match=r"more than 20 frames lie within half a second from 0 s"):
        list(SlidingWindows(film, landmarker, FACE, Seen()))


def test_a_face_that_flashes_up_is_left_out(landmarker):
    frames = [*face_frames(2), *empty_frames(28)]
    sliding = SlidingWindows(Film(frames), landmarker, FACE, Seen())
    assert list(sliding) == []
    assert sorted(sliding.without_face) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert one_window(Film(frames), None, None, landmarker, FACE, Seen()) is None


def test_a_frame_without_a_face_within_a_window_stays_in_it(landmarker):
    frames = face_frames(15)
    frames[6:8] = empty_frames(2)  # looked at: frame 7, at 0.2 s
    clips = list(SlidingWindows(Film(frames), landmarker, FACE, Seen()))
    assert [len(clip.frames) for clip in clips] == [15]


def test_two_looks_at_one_frame_are_one(landmarker):
    frame = face_frames(1)[0]
    assert landmarker.find(frame) is landmarker.find(frame)
    assert landmarker.looks == 1
    landmarker.find(frame.copy())
    assert landmarker.looks == 2


def test_several_faces_are_counted_and_the_largest_taken(landmarker, plain):
    face = face_frames(1)[0]
    both = np.full((208, 420, 3), 128, np.uint8)
    both[:, 220:412] = face
    both[60:164, 20:116] = cv2.resize(face, (96, 104), interpolation=cv2.INTER_AREA)
    assert landmarker.find(both)[:, 0].min() > 200
    assert (landmarker.most_faces, landmarker.looks, landmarker.without) == (2, 1, 0)
    assert landmarker.find(empty_frames(1)[0]) is None
    assert (landmarker.most_faces, landmarker.looks, landmarker.without) == (2, 2, 1)


def test_a_face_is_steady_when_half_of_the_looks_see_it_in_its_place():
    here = np.stack(np.meshgrid(np.arange(17), np.arange(4)), axis=-1).reshape(68, 2) * 1.0
    aside = np.array([20, 0])  # more than half of its 16 pixels
    face = Sightings(here)
    assert face.is_steady
    face.add(None)
    assert face.is_steady and not face.is_there
    face.add(here + aside)
    assert not face.is_steady and not face.is_there
    face.add(here + aside / 4)
    assert face.is_steady and face.is_there


def test_no_more_than_two_frames_are_held_at_full_size(landmarker):
    alive: list[weakref.ref] = []

    class Watched(Film):
        def frames(self):
            for frame in super().frames():
                alive.append(weakref.ref(frame.pixels))
                assert sum(one() is not None for one in alive) <= 2
                yield frame

    assert len(list(SlidingWindows(Watched(face_frames(25)), landmarker, FACE, Seen()))) == 4
    alive.clear()
    assert one_window(Watched(face_frames(25)), 0.1, 0.7, landmarker, FACE, Seen()) is not None


def test_an_interval_without_a_movement_is_said(landmarker):
    film = Film(face_frames(6))
    for interval, told in [
        ((0.05, 0.08), "the interval holds a single frame"),
        ((3.0, 4.0), r"the interval holds no frame; .* \(a film lasts 0.17 s\)"),
    ]:
        with pytest.raises(UserError, match=told):
            one_window(film, *interval, landmarker, FACE, Seen())
    with pytest.raises(UserError, match="a film holds a single frame"):
        one_window(Film(face_frames(1)), None, None, landmarker, FACE, Seen())
    endless = Film(empty_frames(MOST_FRAMES + 1), rate=1e4)
    with pytest.raises(UserError, match=f"more than {MOST_FRAMES} frames"):
        one_window(endless, None, None, _Blind(), FACE, Seen())


class _Blind:
    def find(self, frame):
        return None


def test_a_folder_without_a_rate_is_one_window(tmp_path, landmarker):
    folder = write_folder(tmp_path / "clip", face_frames(22))
    clip = one_window(open_source(folder, None), None, None, landmarker, FACE, Seen())
    assert (clip.window.start, clip.window.first_frame, clip.window.last_frame) == (None, 1, 22)
    assert clip.seconds == () and len(clip.frames) == 22

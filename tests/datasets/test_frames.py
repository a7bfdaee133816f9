"""The numbers of a clip's pictures by their names, and pictures that are cut short."""

import cv2
import numpy as np
import pytest

from datasets.errors import UserError
from datasets.frames import index_frames, read_frame


def _numbers(folder, *names):
    for name in names:
        (folder / name).touch()
    return {number: path.name for number, path in index_frames(folder).items()}


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("img46.jpg", "img047.jpg"), [46, 47]),
        (("s1_ne_01_9.bmp", "s1_ne_01_10.bmp"), [9, 10]),
        (("clip_0001_1080p.png", "clip_0002_1080p.png"), [1, 2]),
        (("1_of_3.png", "2_of_3.png", "3_of_3.png"), [1, 2, 3]),
        (("1_t0050_60p.png", "2_t0100_60p.png", "3_t0150_60p.png"), [1, 2, 3]),
        (("img4_jpg.rf.1a2.jpg", "img5_jpg.rf.c2.jpg", "img6_jpg.rf.2.jpg"), [4, 5, 6]),
        (("a (1).jpg", "a (2).jpg", "a (10).jpg"), [1, 2, 10]),
        (("img46 (2).jpg", "img47 (2).jpg"), [46, 47]),
        (("5.jfif", "6.webp", "7.tif"), [5, 6, 7]),
        (("5.jpg", "6.jpg", "6.tif", "7.avi", ".8.jpg", "cover.jpg"), [5, 6]),
        ((), []),
    ],
)
def test_the_number_is_what_tells_the_files_apart(tmp_path, names, numbers):
    assert list(_numbers(tmp_path, *names)) == numbers


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("a_5.jpg", "b_5.jpg", "a_6.jpg"), "a_5.jpg and b_5.jpg in .* are both frame 5; move"),
        (("5.jpg", "5.png"), "5.jpg and 5.png in .* are both frame 5; move the one that does not"),
        (("img5.jpg", "img5 (2).jpg"), r"img5 \(2\).jpg in .* seems to be a copy .*; move it else"),
    ],
)
def test_no_picture_is_dropped_on_a_guess(tmp_path, names, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        _numbers(tmp_path, *names)
    assert "delete" not in str(raised.value) and "keep one" not in str(raised.value)


@pytest.mark.parametrize("name", ["img1.jpg", "img1.jfif", "img1.png"])
def test_a_truncated_jpeg_is_refused_whatever_it_is_called(tmp_path, name):
    path = tmp_path / name
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    content = cv2.imencode(".jpg", picture)[1].tobytes()
    path.write_bytes(content)
    assert read_frame(path).shape == (64, 64)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="is corrupt or not a picture"):
        read_frame(path)

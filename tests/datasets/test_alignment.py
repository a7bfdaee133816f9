"""The alignment's geometry, by hand."""

import cv2
import numpy as np
import pytest

from datasets.alignment import align_to_rgb, five_points, similarity_of_face
from datasets.crop import Crop

SIDE, MARGIN = 72, 2.5
CROP = Crop(per_frame=False, side=SIDE, margin=MARGIN)


def _landmarks(left=(40.0, 50.0), right=(80.0, 50.0), nose=(60, 75), mouth=((45, 95), (75, 95))):
    points = np.full((68, 2), 60.0)
    ring = np.array([(-6, 0), (-3, -3), (3, -3), (6, 0), (3, 3), (-3, 3)])
    points[36:42], points[42:48] = np.array(left) + ring, np.array(right) + ring
    points[30], points[48], points[54] = nose, mouth[0], mouth[1]
    return points


def _moved(points, matrix):
    return points @ matrix[:, :2].T + matrix[:, 2]


def test_five_points_are_eye_centres_nose_tip_and_mouth_corners():
    assert five_points(_landmarks()).tolist() == [[40, 50], [80, 50], [60, 75], [45, 95], [75, 95]]


def test_upright_face_lands_where_computed_by_hand():
    # Bounding box 40..80 x 50..95: centre (60, 72.5), longer side 45, half side 56.25, so the
    # square's corners (3.75, 16.25) and (116.25, 128.75) land on pixels 0 and 71.
    matrix = similarity_of_face(_landmarks(), CROP)
    np.testing.assert_allclose(_moved(np.array([[3.75, 16.25], [116.25, 128.75]]), matrix),
                               [[0, 0], [71, 71]], atol=1e-9)  # fmt: skip
    scale = 71 / 112.5
    np.testing.assert_allclose(_moved(np.array([40.0, 50.0]), matrix),
                               [(40 - 3.75) * scale, (50 - 16.25) * scale])  # fmt: skip


def test_side_and_margin_of_the_crop_are_obeyed():
    # As above, with half side 1.2 * 45 / 2 = 27: the square's corners (33, 45.5) and (87, 99.5).
    matrix = similarity_of_face(_landmarks(), Crop(False, 41, 1.2))
    np.testing.assert_allclose(_moved(np.array([[33, 45.5], [87, 99.5]]), matrix),
                               [[0, 0], [40, 40]], atol=1e-9)  # fmt: skip
    aligned = align_to_rgb(np.zeros((100, 100), np.uint8), matrix, Crop(False, 41, 1.2))
    assert aligned.shape == (41, 41, 3)


def test_eyes_come_out_level_and_shape_is_kept():
    angle, scale = 0.4, 1.7
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = _landmarks() @ turn.T + (13, -7)
    np.testing.assert_allclose(
        _moved(moved, similarity_of_face(moved, CROP)),
        _moved(_landmarks(), similarity_of_face(_landmarks(), CROP)),
        atol=1e-9,
    )


def test_rotated_and_scaled_picture_gives_the_same_frame():
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 255, (150, 150)).astype(np.float32)
    picture = cv2.GaussianBlur(noise, (0, 0), 5)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    turn = cv2.getRotationMatrix2D((75, 75), 20, 1.6)
    turn[:, 2] += 100
    other = cv2.warpAffine(picture, turn, (420, 420), flags=cv2.INTER_CUBIC, borderValue=128)
    first = align_to_rgb(picture, similarity_of_face(_landmarks(), CROP), CROP)
    second = align_to_rgb(other, similarity_of_face(_moved(_landmarks(), turn), CROP), CROP)
    assert first.shape == (72, 72, 3)
    assert np.abs(first.astype(int) - second)[2:-2, 2:-2].mean() < 1.5


def test_outside_of_the_frame_is_128_in_every_channel():
    frame = np.zeros((100, 100, 3), np.uint8)
    aligned = align_to_rgb(frame, similarity_of_face(_landmarks(), CROP), CROP)
    assert aligned.shape == (72, 72, 3)
    assert (aligned[-1, -1] == 128).all()
    assert (aligned[30, 30] == 0).all()


def test_aligned_pixel_is_the_mean_of_those_it_covers_or_with_linear_one_of_them():
    # Reduced threefold and shifted by (3, 6): pixel (i, j) covers columns 3 i + 3 to 3 i + 5.
    matrix = np.array([[1 / 3, 0, -4 / 3], [0, 1 / 3, -7 / 3]])
    frame = np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8)
    corner = frame[6:66, 3:63].astype(float)
    mean = corner.reshape(20, 3, 20, 3).mean(axis=(1, 3))
    area = align_to_rgb(frame, matrix, Crop(False, 20, MARGIN))[..., 0]
    assert np.abs(area - mean).max() <= 0.51  # rounding to a byte
    linear = align_to_rgb(frame, matrix, Crop(False, 20, MARGIN, "linear"))[..., 0]
    np.testing.assert_array_equal(linear, corner[1::3, 1::3])
    # An enlarged face is the same both ways.
    matrix = np.array([[2.0, 0, 0], [0, 2.0, 0]])
    np.testing.assert_array_equal(
        align_to_rgb(frame, matrix, Crop(False, 20, MARGIN)),
        align_to_rgb(frame, matrix, Crop(False, 20, MARGIN, "linear")),
    )


@pytest.mark.parametrize("landmarks", [None, np.full((68, 2), np.nan), np.zeros((68, 2))])
def test_landmarks_that_are_no_face_have_no_similarity(landmarks):
    assert similarity_of_face(landmarks, CROP) is None

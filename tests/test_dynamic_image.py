"""The ground-truth dynamic image against worked numbers and an independent statement."""

import numpy as np
import pytest

from fdp_jax.dynamic_image import dynamic_image, rank_pooling_weights


def test_weights_of_three_frames_by_hand():
    # alpha_1 = (2-4)/1 + (4-4)/2 + (6-4)/3, alpha_2 = 0/2 + 2/3, alpha_3 = 2/3
    np.testing.assert_allclose(rank_pooling_weights(3), [-4 / 3, 2 / 3, 2 / 3], rtol=1e-6)


@pytest.mark.parametrize("frames", [2, 5, 8])
def test_weights_are_the_double_sum_and_cancel(frames):
    expected = [
        sum((2 * i - frames - 1) / i for i in range(n, frames + 1)) for n in range(1, frames + 1)
    ]
    weights = rank_pooling_weights(frames)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert abs(weights.sum()) < 1e-5  # what does not move leaves no trace


def test_three_pixels_by_hand():
    # One row of three pixels over three frames: falling, still, rising.
    clip = np.array([[1.0, 0.5, 0.0], [0.5, 0.5, 0.5], [0.0, 0.5, 1.0]], np.float32)
    image = dynamic_image(clip[None, :, None, :])
    # Weighted sums: -4/3 + 1/3, 0, 1/3 + 2/3 = -1, 0, 1.
    np.testing.assert_allclose(image[0, 0], [0.0, 0.5, 1.0], atol=1e-6)


def test_each_clip_is_stretched_by_itself():
    clips = np.random.default_rng(0).random((3, 8, 6, 5), np.float32)
    image = np.asarray(dynamic_image(clips))
    np.testing.assert_array_equal(image.min(axis=(1, 2)), 0.0)
    np.testing.assert_allclose(image.max(axis=(1, 2)), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(image[1], dynamic_image(clips[1:2])[0])


def test_clip_that_does_not_move_gives_zeros():
    still = np.repeat(np.random.default_rng(0).random((1, 1, 9, 9), np.float32), 8, axis=1)
    np.testing.assert_array_equal(dynamic_image(still), 0.0)


def test_one_grey_level_in_one_frame_is_movement():
    for frame in range(8):
        clip = np.full((1, 8, 4, 4), 100 / 255, np.float32)
        clip[0, frame, 2, 1] += 1 / 255
        assert np.asarray(dynamic_image(clip)).max() == pytest.approx(1.0)

"""Input pipeline: sampling, crop, flip and dynamic image, against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import ClipConfig
from fdp_jax.input_pipeline import (
    PackedClips,
    dynamic_image,
    evaluation_batch,
    frame_numbers,
    rank_pooling_weights,
    training_batch,
)


def telltale_corpus(lengths, side=72, channels=1) -> PackedClips:
    """Frames whose pixels say where they are: clip and frame number in the value, a ramp over x."""
    frames = []
    for clip, length in enumerate(lengths):
        for frame in range(length):
            image = np.tile(np.arange(side, dtype=np.uint8), (side, 1))
            image = image + np.uint8(10 * clip + frame) + np.arange(side, dtype=np.uint8)[:, None]
            frames.append(np.repeat(image[..., None], channels, axis=-1))
    lengths = np.array(lengths, np.int32)
    starts = (np.cumsum(lengths) - lengths).astype(np.int32)
    labels = np.arange(len(lengths), dtype=np.int32) % 3
    return PackedClips(
        jnp.array(np.stack(frames)), jnp.array(starts), jnp.array(lengths), jnp.array(labels)
    )


def test_frame_numbers_by_hand():
    # n = 16: k * 2 + 2 u; n = 10: floor((k + 0.5) * 1.25)
    lengths = jnp.array([16, 16, 10])
    offset = jnp.array([0.0, 0.5, 0.5])
    np.testing.assert_array_equal(
        frame_numbers(lengths, offset, 8),
        [[0, 2, 4, 6, 8, 10, 12, 14], [1, 3, 5, 7, 9, 11, 13, 15], [0, 1, 3, 4, 5, 6, 8, 9]],
    )


@pytest.mark.parametrize("length", [1, 3, 7, 8, 9, 64, 101])
def test_frame_numbers_stay_inside_never_fall_and_reach_the_end(length):
    offset = np.linspace(0, np.nextafter(np.float32(1), 0), 50, dtype=np.float32)
    chosen = np.asarray(frame_numbers(jnp.full(50, length), jnp.array(offset), 8))
    assert chosen.min() >= 0 and chosen.max() == length - 1
    assert (np.diff(chosen, axis=1) >= 0).all()
    if length >= 8:
        assert (np.diff(chosen, axis=1) > 0).all()  # no frame twice where there are enough


def test_evaluation_takes_the_central_crop_and_no_flip():
    corpus = telltale_corpus([20, 9])
    batch = evaluation_batch(corpus, jnp.array([1]), ClipConfig())
    pixels = np.round((np.asarray(batch.clips[0, :, :, :, 0]) + 1) * 127.5)
    chosen = np.asarray(frame_numbers(jnp.array([9]), jnp.array([0.5]), 8))[0]
    # Clip 1, frame f, row and column 4 of the stored frame: 10 + f + 4 + 4.
    np.testing.assert_array_equal(pixels[:, 0, 0], 18 + chosen)
    np.testing.assert_array_equal(np.diff(pixels, axis=2), 1)
    assert batch.labels.tolist() == [1]


def test_training_draws_one_crop_and_one_flip_for_all_frames_of_a_clip():
    corpus = telltale_corpus([40] * 3)
    corners, flips = set(), set()
    for step in range(30):
        batch = training_batch(corpus, jnp.array([0, 2]), jax.random.key(step), ClipConfig())
        pixels = np.round((np.asarray(batch.clips[..., 0]) + 1) * 127.5)
        slope = np.diff(pixels, axis=3)
        assert np.isin(slope, (1, -1)).all()
        for clip in range(2):
            assert len(np.unique(slope[clip])) == 1
            flips.add(int(slope[clip, 0, 0, 0]))
            # Row + column of the corner, once the frame's own offset is taken away.
            by_frame = pixels[clip].min(axis=(1, 2))
            assert (np.diff(by_frame) > 0).all()
        corners.add(tuple(pixels[0, 0, 0]))
    assert flips == {1, -1}
    assert len(corners) > 10


@pytest.mark.parametrize(("probability", "slopes"), [(0.0, {1}), (1.0, {-1})])
def test_flip_probability_is_obeyed(probability, slopes):
    corpus = telltale_corpus([10] * 8)
    config = ClipConfig(flip_probability=probability)
    batch = training_batch(corpus, jnp.arange(8), jax.random.key(0), config)
    slope = np.sign(np.diff(np.asarray(batch.clips[..., 0]), axis=3))
    assert set(np.unique(slope)) == slopes


def test_frames_and_crop_are_obeyed():
    batch = evaluation_batch(telltale_corpus([30]), jnp.array([0]), ClipConfig(frames=5, crop=32))
    assert batch.clips.shape == (1, 5, 32, 32, 3)
    assert batch.target.shape == (1, 32, 32)


def test_target_is_pooled_from_the_very_frames_the_network_sees():
    noise = np.random.default_rng(0).integers(0, 256, (50, 72, 72, 3), np.uint8)
    corpus = PackedClips(
        jnp.array(noise), jnp.array([0, 20]), jnp.array([20, 30]), jnp.array([0, 1])
    )
    batch = training_batch(corpus, jnp.array([1, 0, 1]), jax.random.key(3), ClipConfig())
    colour = (np.asarray(batch.clips) + 1) / 2
    grey = colour @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(batch.target, dynamic_image(grey), atol=2e-5)
    assert batch.clips.min() >= -1 and batch.clips.max() <= 1


def test_grey_corpus_stored_once_gives_what_three_equal_channels_give():
    grey, colour = telltale_corpus([12, 30], channels=1), telltale_corpus([12, 30], channels=3)
    one = training_batch(grey, jnp.array([0, 1]), jax.random.key(1), ClipConfig())
    three = training_batch(colour, jnp.array([0, 1]), jax.random.key(1), ClipConfig())
    np.testing.assert_array_equal(one.clips, three.clips)
    np.testing.assert_allclose(one.target, three.target, atol=1e-4)


# Dynamic image.


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

"""Animated faces: what moves, by how much, where, and when."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.animation.action_units import ACTION_UNITS, CATEGORIES, EXPRESSIONS, PLACES
from fdp_jax.animation.animation import (
    UNITS,
    AnimatedClips,
    AnimationConfig,
    Stills,
    animate,
    animation_of,
    displacement,
    draw_labels,
    draw_motion,
    skin_fields,
)
from fdp_jax.config import ClipConfig
from fdp_jax.input_pipeline import dynamic_image

SIDE, EYE_DISTANCE, EYES = 72, 26.0, np.array([36.0, 22.5])
# Inter-ocular distances from the middle of the eyes, on the right of the picture.
FACE = {
    "inner brow": (0.26, -0.36), "middle brow": (0.5, -0.42), "outer brow": (0.78, -0.36),
    "eye": (0.5, 0.0), "inner eye": (0.3, 0.0), "outer eye": (0.72, 0.0),
    "upper lid": (0.5, -0.08), "lower lid": (0.5, 0.08), "nostril": (0.17, 0.6),
    "upper lip": (0.18, 0.95), "lower lip": (0.15, 1.12), "mouth corner": (0.4, 1.02),
    "chin": (0.06, 1.65),
}  # fmt: skip
STILL = AnimationConfig(
    twitches=0.0, blink_share=0.0, drift=0.0, roll=0.0, zoom=0.0, flicker=0.0, noise=(0.0, 0.0),
    rest=0.0, push_jitter=0.0, radius=(1.0, 1.0),
)  # fmt: skip
PIXEL = jnp.stack(jnp.meshgrid(jnp.arange(72.0), jnp.arange(72.0)), axis=-1)


def face(n: int = 1, channels: int = 1, seed: int = 0) -> Stills:
    """Smooth noise with the places of an average face."""
    right = np.array([FACE[name] for name in PLACES])
    places = EYES + EYE_DISTANCE * np.stack([right * (-1, 1), right], axis=1)
    coarse = np.random.default_rng(seed).uniform(40, 215, (n, 18, 18, channels))
    pixels = np.kron(coarse, np.ones((1, 4, 4, 1))).astype(np.uint8)
    return Stills(jnp.array(pixels), jnp.array(np.repeat(places[None], n, axis=0), jnp.float32))


def draw(labels, key=0, config=STILL, channels=1) -> np.ndarray:
    labels = jnp.array(labels)
    corners = jnp.zeros((len(labels), 2), jnp.int32)
    stills, flip = face(len(labels), channels), jnp.zeros(len(labels), bool)
    key = jax.random.key(key)
    return np.asarray(animate(stills, labels, corners, flip, key, 8, SIDE, config))


def displacements(motion) -> np.ndarray:
    fields = skin_fields(motion, PIXEL)
    return np.stack([displacement(motion, fields, PIXEL, k) for k in range(8)])


def motion_of(category: str, key=0, config=STILL):
    label = jnp.int32(CATEGORIES.index(category))
    return draw_motion(face().places[0], label, jax.random.key(key), 8, config)


@pytest.mark.parametrize("category", [name for name in CATEGORIES if name != "none"])
def test_the_largest_displacement_is_the_peak_in_eye_distances(category):
    config = dataclasses.replace(STILL, peak=(0.06, 0.06), rising_share=1.0)
    moved = displacements(motion_of(category, config=config))
    longest = np.linalg.norm(moved, axis=-1).max(axis=(1, 2))
    time = (np.arange(8) + 0.5) / 8  # the clip ends at its apex
    np.testing.assert_allclose(
        longest, 0.06 * EYE_DISTANCE * time**2 * (3 - 2 * time), rtol=1e-4, atol=1e-5
    )


def test_without_an_expression_only_the_distractors_move():
    label = CATEGORIES.index("none")
    frames = draw([label, label])
    assert (frames == frames[:, :1]).all()
    twitching = dataclasses.replace(STILL, twitches=float(len(UNITS)), twitch=0.012)
    moved = displacements(motion_of("none", config=twitching))
    longest = np.linalg.norm(moved, axis=-1).max()
    assert 0 < longest <= 0.012 * EYE_DISTANCE * 1.001


def test_distractors_are_the_same_for_every_category():
    config = dataclasses.replace(AnimationConfig(), peak=(0.0, 0.0))
    motions = [motion_of(category, 3, config) for category in ("none", "fear", "contempt")]
    fields = [np.asarray(displacements(motion)) for motion in motions]
    np.testing.assert_array_equal(fields[0], fields[1])
    np.testing.assert_array_equal(fields[0], fields[2])
    assert np.abs(fields[0]).max() > 0


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_moves_the_skin_where_its_muscles_are(unit):
    motion = motion_of("none")
    layers = np.zeros_like(motion.layers)
    pushes = [number for number, one in ACTION_UNITS.items() for _ in one.pushes]
    layers[0, np.array(pushes) == unit] = 1.0
    motion = motion.replace(
        layers=jnp.array(layers), peaks=jnp.array([0.05, 0.0, 0.0]), strengths=jnp.ones((3, 8))
    )
    energy = np.square(displacements(motion)[0]).sum(axis=-1)
    place = (np.asarray(PIXEL) - EYES) / EYE_DISTANCE
    centres = [np.add(FACE[push.place], push.shift) for push in ACTION_UNITS[unit].pushes]
    distances = [
        np.linalg.norm(place - centre * (side, 1), axis=-1)
        for centre in centres
        for side in (-1, 1)
    ]
    beside = np.minimum.reduce(distances)
    assert energy[beside < 0.4].sum() > 0.85 * energy.sum()
    # Left and right mirror each other.
    np.testing.assert_allclose(energy[:, 1:], energy[:, :0:-1], rtol=1e-3, atol=1e-4)


def test_contempt_is_on_one_side():
    field = displacements(motion_of("contempt"))[4]
    energy = np.square(field).sum(axis=-1)
    left, right = energy[:, :36].sum(), energy[:, 37:].sum()
    assert max(left, right) > 20 * min(left, right)


def test_the_same_key_gives_the_same_bits_and_another_key_others():
    config = AnimationConfig()
    labels = list(range(len(CATEGORIES)))
    first, again, other = (draw(labels, key, config) for key in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert all((a != b).any() for a, b in zip(first, other, strict=True))


def test_a_clip_rises_to_its_apex_and_falls():
    rises, falls = 0, 0
    for key in range(40):
        strength = np.asarray(motion_of("anger", key, AnimationConfig()).strengths[0])
        apex = strength.argmax()
        assert (np.diff(strength[: apex + 1]) >= 0).all()
        assert (np.diff(strength[apex:]) <= 1e-6).all()
        assert strength.min() >= 0 and 0.5 < strength.max() <= 1
        rises += apex == 7
        falls += strength[-1] < 0.6
    assert 1 <= rises <= 15 and falls > 15


def test_clips_that_end_at_the_apex_are_strongest_in_their_last_frame():
    config = animation_of(ClipConfig(last_frame="apex"))
    for key in range(20):
        strength = np.asarray(motion_of("anger", key, config).strengths[0])
        assert (np.diff(strength) >= 0).all() and strength[-1] > 0.9


def test_grey_and_colour_clips():
    grey = dataclasses.replace(AnimationConfig(), colour_share=0.0)
    for channels in (1, 3):
        frames = draw([0, 5], 0, grey, channels)
        assert (frames == frames[..., :1]).all()
    colour = dataclasses.replace(STILL, colour_share=1.0, blur=0.0, slope=0.0, contrast=(1.0, 1.0))
    frames = draw([5, 5], 0, colour, 3)  # `none`
    np.testing.assert_array_equal(frames[:, 0], face(2, 3).pixels)
    frames = draw([5, 5], 0, colour, 1)
    assert (frames[..., 0] > frames[..., 2]).mean() > 0.9  # like skin


def test_labels_have_the_share_without_an_expression():
    labels = np.asarray(draw_labels(jax.random.key(0), 8000))
    shares = np.bincount(labels, minlength=len(CATEGORIES)) / 8000
    wanted = np.where(np.array(CATEGORIES) == "none", 0.2, 0.8 / 7)
    np.testing.assert_allclose(shares, wanted, atol=0.02)


def test_a_training_batch_has_the_target_of_its_own_frames():
    stills = face(6)
    nothing = jnp.zeros(6, jnp.int32)
    corpus = AnimatedClips(
        jnp.zeros((6, SIDE, SIDE, 3), jnp.uint8), nothing, nothing + 1, nothing, stills
    )
    config = ClipConfig(frames=4, crop=64)
    batch = corpus.training_batch(jnp.array([4, 1, 1]), jax.random.key(0), config)
    assert batch.clips.shape == (3, 4, 64, 64, 3)
    assert batch.clips.min() >= -1 and batch.clips.max() <= 1
    grey = (batch.clips + 1) / 2 @ jnp.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(batch.target, dynamic_image(grey), atol=1e-4)
    assert (np.asarray(batch.clips[1]) != np.asarray(batch.clips[2])).any()  # one still, two draws


def test_expressions_are_made_of_known_units_at_known_places():
    for shown in EXPRESSIONS.values():
        assert set(shown.always + shown.sometimes) <= set(ACTION_UNITS)
    for unit in ACTION_UNITS.values():
        assert {push.place for push in unit.pushes} <= set(PLACES)
    sides = [side for pair in PLACES.values() for side in pair]
    assert all(0 <= index < 68 for side in sides for index in side)

"""Spotting: events from probabilities, and their extent from frames."""

import cv2
import numpy as np
import pytest

from fdp_jax.inference.spotting import find_events, find_extent, strength_curve

RATE = 200.0
ONSET, APEX, OFFSET = 0.62, 0.80, 0.95


def test_neighbouring_windows_are_one_event():
    middles = np.arange(20) * 0.1
    shown = np.zeros(20)
    shown[4:8] = (0.6, 0.9, 0.9, 0.6)  # around 0.55 s
    shown[15] = 0.51
    first, second = find_events(middles, shown)
    assert first.centre == pytest.approx(0.55) and first.confidence == 0.9
    assert second.centre == pytest.approx(1.5) and second.confidence == 0.51


def test_nothing_above_one_half_is_no_event():
    assert find_events(np.arange(5) * 0.1, np.full(5, 0.49)) == []
    assert find_events([], []) == []


def faces(amount: float, noise: float, drift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A blob that moves by `amount` pixels and back, uint8 [300, 72, 72, 1], and the times."""
    seconds = np.arange(300) / RATE
    rise = np.clip((seconds - ONSET) / (APEX - ONSET), 0, 1)
    fall = np.clip((OFFSET - seconds) / (OFFSET - APEX), 0, 1)
    rng = np.random.default_rng(0)
    texture = (
        cv2.GaussianBlur(rng.uniform(0, 255, (72, 72)).astype(np.float32), (0, 0), 2) * 4 - 380
    )
    y, x = np.mgrid[0:72, 0:72].astype(np.float32)
    weight = np.exp(-((x - 30) ** 2 + (y - 50) ** 2) / 50)
    frames = []
    for strength, time in zip(np.minimum(rise, fall), seconds, strict=True):
        moved = x - (amount * strength * weight + drift * time)
        frame = cv2.remap(texture, moved.astype(np.float32), y, cv2.INTER_LINEAR)
        frames.append(frame + rng.normal(0, noise, (72, 72)))
    return np.clip(np.round(frames), 0, 255).astype(np.uint8)[..., None], seconds


@pytest.mark.parametrize(
    "amount, noise, drift", [(1.0, 0.0, 0.0), (1.5, 2.0, 0.0), (1.5, 1.0, 0.2)]
)
@pytest.mark.parametrize("centre", [0.70, 0.86])
def test_onset_apex_and_offset_are_found(amount, noise, drift, centre):
    extent = find_extent(*faces(amount, noise, drift), centre)
    # At 15 % of the strength.
    assert extent.onset == pytest.approx(ONSET + 0.15 * (APEX - ONSET), abs=0.03)
    assert extent.apex == pytest.approx(APEX, abs=0.03)
    assert extent.offset == pytest.approx(OFFSET - 0.15 * (OFFSET - APEX), abs=0.03)


def test_the_curve_is_zero_at_rest_and_one_at_the_apex():
    strength = strength_curve(*faces(1.5, 1.0), APEX)
    assert abs(strength[:100]).max() < 0.15 and strength.max() == pytest.approx(1.0, abs=0.05)
    assert strength.argmax() / RATE == pytest.approx(APEX, abs=0.02)


def test_frames_that_do_not_change_give_an_interval_all_the_same():
    frames = np.full((50, 72, 72, 1), 90, np.uint8)
    extent = find_extent(frames, np.arange(50) / 50, 0.5)
    assert extent.onset <= extent.apex <= extent.offset

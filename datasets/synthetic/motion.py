"""Motion of the drawn faces: action units as smooth displacement fields, and distractors.

An action unit is a few soft pushes, each a Gaussian round one place of the face. A category is an
emotion with the action units that FACS usually gives it. Whatever else moves or changes (resting
expression, blinks and twitches, head drift, flicker, noise) is independent of the category.

Lengths are in eye distances; x right, y down; the unit of time is one frame.
"""

import dataclasses

import numpy as np

from datasets.synthetic.drawing import Person, brow_line

FPS = 200.0
FRAMES = (30, 100)  # shortest and longest clip: 0.15 to 0.5 s
PEAK = (0.02, 0.08)  # displacement at the apex, uniformly drawn, eye distances

# Largest amount of the resting face: of every category (by person, by clip), of every action unit,
# and of the shape as a whole, eye distances.
RESTING_PERSON, RESTING_CLIP, RESTING_UNIT, RESTING_SHAPE = 0.08, 0.08, 0.02, 0.055
RESTING_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 23, 25, 26)

# Category -> action units that are always present, and those present half of the time.
CATEGORIES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "anger": ((4, 7), (23,)),
    "disgust": ((9, 10), ()),
    "happiness": ((6, 12), ()),
    "sadness": ((1, 15), (17,)),
    "surprise": ((1, 2, 5), (26,)),
}


@dataclasses.dataclass(frozen=True)
class Push:
    """A soft push: centre, direction (its length is the strength) and radius (sigma)."""

    x: float
    y: float
    dx: float
    dy: float
    radius: float


def field(pushes: list[Push], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the displacement [h, w, 2] float32 of the points (`x`, `y`), both [h, w]."""
    total = np.zeros((*x.shape, 2), np.float32)
    for push in pushes:
        squared = (x - push.x) ** 2 + (y - push.y) ** 2
        weight = np.exp(squared * np.float32(-0.5 / push.radius**2))
        total[..., 0] += np.float32(push.dx) * weight
        total[..., 1] += np.float32(push.dy) * weight
    return total


def action_unit(person: Person, number: int, left: float, right: float) -> list[Push]:
    """Returns the pushes of an action unit, scaled on the two sides of the face."""
    return [
        Push(sign * x, y, sign * dx * strength, dy * strength, radius)
        for sign, strength in ((-1, left), (1, right))
        for x, y, dx, dy, radius in _one_side(person)[number]
    ]


def _one_side(p: Person) -> dict[int, list[tuple[float, float, float, float, float]]]:
    """Action unit -> pushes on the right of the picture: x, y, outwards, down, radius."""
    inner_brow, middle_brow, outer_brow = (float(brow_line(p, x)) for x in (0.26, 0.5, 0.8))
    upper_lip, lower_lip = p.mouth_y - 0.7 * p.lip_upper, p.mouth_y + 0.6 * p.lip_lower
    lid, corner, mouth, chin = -p.eye_upper, p.mouth_half_width, p.mouth_y, p.chin_y
    wing, tip, outer_eye = 0.8 * p.nose_half_width, p.nose_tip_y, 0.5 + p.eye_half_width
    return {
        1: [(0.26, inner_brow, -0.1, -1.0, 0.17)],  # inner brow raiser
        2: [(0.75, outer_brow, 0.1, -0.9, 0.18), (0.5, middle_brow, 0.0, -0.4, 0.16)],  # outer
        4: [(0.28, inner_brow, -0.55, 0.85, 0.18), (0.6, middle_brow, -0.1, 0.45, 0.18)],  # lowerer
        5: [(0.5, lid, 0.0, -0.6, 0.11)],  # upper lid raiser
        6: [(0.62, 0.36, -0.1, -0.6, 0.20), (outer_eye, 0.1, -0.3, -0.3, 0.12)],  # cheek raiser
        7: [(0.5, p.eye_lower + 0.03, 0.0, -0.5, 0.11), (0.5, lid, 0.0, 0.3, 0.10)],  # tight lids
        9: [(wing, tip + 0.02, 0.1, -1.0, 0.17), (0.16, 0.15, -0.3, 0.35, 0.12)],  # nose wrinkler
        10: [(0.2, upper_lip, 0.1, -0.9, 0.15)],  # upper lip raiser
        12: [(corner, mouth, 0.55, -0.85, 0.18)],  # lip corner puller
        14: [(corner, mouth, 0.7, 0.0, 0.13)],  # dimpler
        15: [(corner, mouth, 0.1, 1.0, 0.17)],  # lip corner depressor
        # Chin raiser: both sides push the same place, so half each.
        17: [(0.06, chin - 0.25, 0.0, -0.4, 0.18), (0.12, lower_lip, 0.0, -0.2, 0.12)],
        # Lip tightener
        23: [(0.15, upper_lip, 0.0, 0.3, 0.10), (0.15, lower_lip, 0.0, -0.35, 0.10),
             (corner, mouth, -0.45, 0.0, 0.13)],
        25: [(0.12, lower_lip, 0.0, 0.4, 0.12)],  # lips part
        # Jaw drop
        26: [(0.12, lower_lip + 0.05, 0.0, 0.45, 0.18), (0.12, chin - 0.2, 0.0, 0.45, 0.25)],
        45: [(0.5, 0.8 * lid, 0.0, 1.0, 0.10)],  # blink
    }  # fmt: skip


def expression(
    person: Person, category: str, rng: np.random.Generator
) -> tuple[list[Push], tuple[int, ...]]:
    """Returns the pushes of an expression, of arbitrary size, and its action units."""
    always, sometimes = CATEGORIES[category]
    # Every category draws the same random numbers, so that the stream is independent of it.
    strengths, side, chance = rng.uniform(0.8, 1.2, 4), rng.uniform(0.8, 1.2), rng.uniform()
    units = always + (sometimes if chance < 0.5 else ())
    pushes = []
    for unit, strength in zip(units, strengths, strict=False):
        pushes += action_unit(person, unit, strength * side, strength * (2 - side))
    return pushes, units


def resting_expression(
    person: Person, habit: np.random.Generator, rng: np.random.Generator
) -> list[Push]:
    """Returns a clip's resting face: a little of every expression and action unit.

    Without it a single frame at the apex would reveal the category.

    Args:
      habit: the person's random numbers.
      rng: the clip's.
    """
    pushes = []
    groups = [
        (always + sometimes, RESTING_PERSON, RESTING_CLIP)
        for always, sometimes in CATEGORIES.values()
    ]
    groups += [((unit,), 0.0, RESTING_UNIT) for unit in RESTING_UNITS]
    for units, of_person, of_clip in groups:
        amount = habit.uniform(-1, 1) * of_person + rng.uniform(-1, 1) * of_clip
        for unit in units:
            lopsided = rng.uniform(-0.2, 0.2)
            pushes += action_unit(person, unit, amount * (1 + lopsided), amount * (1 - lopsided))
    for x, y, dx, dy in rng.uniform((-1, -0.6, -1, -1), (1, 1.6, 1, 1), (8, 4)):
        pushes.append(Push(x, y, RESTING_SHAPE * dx, RESTING_SHAPE * dy, 0.35))
    return pushes


def turn(yaw: float, pitch: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the displacement [h, w, 2] float32 of the points when the head turns, radians.

    To first order a point moves by the angle times its depth on an ellipsoid with a nose.
    """
    inside = 1 - (x / 1.35) ** 2 - ((y - 0.1) / 1.9) ** 2
    depth = np.sqrt(np.maximum(inside, 0)) * 1.1
    depth += 0.35 * np.exp(-((x / 0.22) ** 2) - ((y - 0.55) / 0.3) ** 2)
    return np.stack([yaw * depth, pitch * depth], axis=-1).astype(np.float32)


def expression_curve(frames: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Returns the strength over time and the position of the apex.

    The strength, [frames] float64, is 0 at the onset, 1 at the apex and near 0 at the offset.
    """
    apex = round((frames - 1) * rng.uniform(0.35, 0.6))
    left = rng.uniform(0.0, 0.1)  # of the expression, at the offset
    time = np.arange(frames)
    rise = _smooth_step(time / apex)
    fall = 1 - (1 - left) * _smooth_step((time - apex) / (frames - 1 - apex))
    return np.where(time <= apex, rise, fall), apex


def _smooth_step(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def distractors(
    person: Person, frames: int, rng: np.random.Generator
) -> list[tuple[list[Push], np.ndarray]]:
    """Returns one to three blinks or twitches without meaning: pushes and strength over time.

    The largest displacement of each is 0.004 to 0.010 eye distances.
    """
    found = []
    for _ in range(rng.integers(1, 4)):
        unit = int(rng.choice((45, 45, 1, 2, 4, 12, 14, 15, 25)))
        sides = (1.0, 1.0) if unit in (25, 45) else ((1.0, 0.0), (0.0, 1.0))[rng.integers(2)]
        size, middle = rng.uniform(0.004, 0.010), rng.uniform(0, frames)
        width = rng.uniform(6, 14)  # frames: 30 to 70 ms
        curve = size * np.exp(-0.5 * ((np.arange(frames) - middle) / width) ** 2)
        found.append((action_unit(person, unit, *sides), curve))
    return found


def drift(frames: int, size: float, rng: np.random.Generator) -> np.ndarray:
    """Returns a slow random path from 0, [frames] float64: a slope and a swing within +-`size`."""
    time = np.linspace(0, 1, frames)
    slope, swing, phase = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi)
    path = 0.7 * slope * time + 0.15 * swing * np.sin(2 * np.pi * time + phase)
    return size * (path - path[0])

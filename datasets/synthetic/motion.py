"""How drawn faces move: action units as smooth displacement fields, and the nuisance beside them.

An action unit is a handful of soft pushes: each moves the skin round one place of the face, most
at its centre and fading out as a Gaussian. Categories are named as emotions and made of action
units in the usual reading of FACS. Everything else that moves or changes (resting expression,
blinks and twitches, head drift, flicker, noise) is drawn without knowing the category.

Lengths are in eye distances; x right, y down; the unit of time is one frame.
"""

import dataclasses

import numpy as np

from datasets.synthetic.people import Person, brow_line

FPS = 200.0
FRAMES = (30, 100)  # shortest and longest clip: 0.15 to 0.5 s
PEAK = (0.02, 0.08)  # displacement at the apex, uniformly drawn, eye distances

# How much there is in the resting face of every category (by person, by clip) and of every action
# unit, and how far the whole shape is off: up to so much either way, eye distances.
RESTING_PERSON, RESTING_CLIP, RESTING_UNIT, RESTING_SHAPE = 0.08, 0.08, 0.02, 0.055

# Category -> action units that are always there, and those that are there half of the time.
CATEGORIES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "anger": ((4, 7), (23,)),
    "disgust": ((9, 10), ()),
    "happiness": ((6, 12), ()),
    "sadness": ((1, 15), (17,)),
    "surprise": ((1, 2, 5), (26,)),
}


@dataclasses.dataclass(frozen=True)
class Push:
    """One soft push: centre, direction (its length is the strength) and radius (sigma)."""

    x: float
    y: float
    dx: float
    dy: float
    radius: float


def field(pushes: list[Push], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Displacement [h, w, 2] float32 of the points (`x`, `y`), both [h, w], by all pushes."""
    total = np.zeros((*x.shape, 2), np.float32)
    for push in pushes:
        squared = (x - push.x) ** 2 + (y - push.y) ** 2
        weight = np.exp(squared * np.float32(-0.5 / push.radius**2))
        total[..., 0] += np.float32(push.dx) * weight
        total[..., 1] += np.float32(push.dy) * weight
    return total


def action_unit(person: Person, number: int, left: float = 1.0, right: float = 1.0) -> list[Push]:
    """The pushes of one action unit on this person's face, scaled on its two sides."""
    pushes = []
    for sign, strength in ((-1, left), (1, right)):
        for x, y, dx, dy, radius in _one_side(person, number):
            pushes.append(Push(sign * x, y, sign * dx * strength, dy * strength, radius))
    return pushes


def _one_side(p: Person, number: int) -> list[tuple[float, float, float, float, float]]:
    """Pushes of an action unit on the right side of the picture: x, y, outwards, down, radius."""
    inner_brow, middle_brow, outer_brow = (float(brow_line(p, x)) for x in (0.26, 0.5, 0.8))
    outer_eye = 0.5 + p.eye_half_width
    upper_lip, lower_lip = p.mouth_y - 0.7 * p.lip_upper, p.mouth_y + 0.6 * p.lip_lower
    corner = p.mouth_half_width
    match number:
        case 1:  # inner brow raiser
            return [(0.26, inner_brow, -0.1, -1.0, 0.17)]
        case 2:  # outer brow raiser
            return [(0.75, outer_brow, 0.1, -0.9, 0.18), (0.5, middle_brow, 0.0, -0.4, 0.16)]
        case 4:  # brow lowerer: down and together
            return [(0.28, inner_brow, -0.55, 0.85, 0.18), (0.6, middle_brow, -0.1, 0.45, 0.18)]
        case 5:  # upper lid raiser
            return [(0.5, -p.eye_upper, 0.0, -0.6, 0.11)]
        case 6:  # cheek raiser
            return [(0.62, 0.36, -0.1, -0.6, 0.20), (outer_eye, 0.1, -0.3, -0.3, 0.12)]
        case 7:  # lid tightener
            return [(0.5, p.eye_lower + 0.03, 0.0, -0.5, 0.11),
                    (0.5, -p.eye_upper, 0.0, 0.3, 0.10)]  # fmt: skip
        case 9:  # nose wrinkler
            return [(0.8 * p.nose_half_width, p.nose_tip_y + 0.02, 0.1, -1.0, 0.17),
                    (0.16, 0.15, -0.3, 0.35, 0.12)]  # fmt: skip
        case 10:  # upper lip raiser
            return [(0.2, upper_lip, 0.1, -0.9, 0.15)]
        case 12:  # lip corner puller
            return [(corner, p.mouth_y, 0.55, -0.85, 0.18)]
        case 14:  # dimpler
            return [(corner, p.mouth_y, 0.7, 0.0, 0.13)]
        case 15:  # lip corner depressor
            return [(corner, p.mouth_y, 0.1, 1.0, 0.17)]
        case 17:  # chin raiser (both sides push the same place, so half each)
            return [(0.06, p.chin_y - 0.25, 0.0, -0.4, 0.18), (0.12, lower_lip, 0.0, -0.2, 0.12)]
        case 23:  # lip tightener
            return [(0.15, upper_lip, 0.0, 0.3, 0.10), (0.15, lower_lip, 0.0, -0.35, 0.10),
                    (corner, p.mouth_y, -0.45, 0.0, 0.13)]  # fmt: skip
        case 25:  # lips part
            return [(0.12, lower_lip, 0.0, 0.4, 0.12)]
        case 26:  # jaw drop
            return [(0.12, lower_lip + 0.05, 0.0, 0.45, 0.18),
                    (0.12, p.chin_y - 0.2, 0.0, 0.45, 0.25)]  # fmt: skip
        case 45:  # blink
            return [(0.5, -0.8 * p.eye_upper, 0.0, 1.0, 0.10)]
    raise ValueError(f"no action unit {number} here")


ALL_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 23, 25, 26)


def expression(
    person: Person, category: str, rng: np.random.Generator
) -> tuple[list[Push], tuple[int, ...]]:
    """The pushes of one expression of `category`, of no particular size yet, and its units."""
    always, sometimes = CATEGORIES[category]
    # Drawn for every category alike, so that the random stream never tells which it was.
    strengths, side, chance = rng.uniform(0.8, 1.2, 4), rng.uniform(0.8, 1.2), rng.uniform()
    units = always + (sometimes if chance < 0.5 else ())
    pushes = []
    for unit, strength in zip(units, strengths, strict=False):
        pushes += action_unit(person, unit, strength * side, strength * (2 - side))
    return pushes, units


def resting_expression(
    person: Person, habit: np.random.Generator, rng: np.random.Generator
) -> list[Push]:
    """A clip's resting face: a trace of every expression and action unit, for the whole clip.

    People do not all rest with one face, nor one person always: some look cross or pleased at
    rest. Without this a still picture of the apex would give away the category. `habit` is the
    person's own stream, `rng` the clip's.
    """
    pushes = []
    groups = [always + sometimes for always, sometimes in CATEGORIES.values()]
    sizes = [(RESTING_PERSON, RESTING_CLIP)] * len(groups)
    groups += [(unit,) for unit in ALL_UNITS]
    sizes += [(0.0, RESTING_UNIT)] * len(ALL_UNITS)
    for units, (of_person, of_clip) in zip(groups, sizes, strict=True):
        amount = habit.uniform(-1, 1) * of_person + rng.uniform(-1, 1) * of_clip
        for unit in units:
            lopsided = rng.uniform(-0.2, 0.2)
            pushes += action_unit(person, unit, amount * (1 + lopsided), amount * (1 - lopsided))
    for x, y, dx, dy in rng.uniform((-1, -0.6, -1, -1), (1, 1.6, 1, 1), (8, 4)):
        dx, dy = RESTING_SHAPE * dx, RESTING_SHAPE * dy
        pushes.append(Push(x, y, dx, dy, 0.35))
    return pushes


def turn(yaw: float, pitch: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Displacement [h, w, 2] of the points when the head turns a little, radians.

    To first order a point moves by the angle times its depth; the depth is that of an
    ellipsoid with a nose.
    """
    inside = 1 - (x / 1.35) ** 2 - ((y - 0.1) / 1.9) ** 2
    depth = np.sqrt(np.maximum(inside, 0)) * 1.1
    depth += 0.35 * np.exp(-((x / 0.22) ** 2) - ((y - 0.55) / 0.3) ** 2)
    return np.stack([yaw * depth, pitch * depth], axis=-1).astype(np.float32)


def expression_curve(frames: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Strength over time, [frames] float64: 0 at the onset, 1 at the apex, near 0 at the offset.

    Returns:
      The curve and the position of the apex.
    """
    apex = round((frames - 1) * rng.uniform(0.35, 0.6))
    left = rng.uniform(0.0, 0.1)  # of the expression that is still there at the offset
    time = np.arange(frames)
    rise = _smooth(time / apex)
    fall = 1 - (1 - left) * _smooth((time - apex) / (frames - 1 - apex))
    return np.where(time <= apex, rise, fall), apex


def _smooth(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def distractors(
    person: Person, frames: int, rng: np.random.Generator
) -> list[tuple[list[Push], np.ndarray]]:
    """Faint movement that means nothing: up to three blinks and twitches, fields and curves.

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


def wander(frames: int, size: float, rng: np.random.Generator) -> np.ndarray:
    """A slow random path from 0, [frames] float64: a slope and a swing within +-`size`."""
    time = np.linspace(0, 1, frames)
    slope, swing, phase = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi)
    path = 0.7 * slope * time + 0.15 * swing * np.sin(2 * np.pi * time + phase)
    return size * (path - path[0])

"""The people of the synthetic corpus: what differs from face to face, and where things lie.

A person is a handful of numbers drawn once from (seed, person): proportions, shading, hair,
glasses, texture. Lengths are in eye distances (the distance of the two eye centres); the origin
lies midway between the eyes, x to the right and y down as in pictures. Nothing here knows of
categories, so nothing here can tell one.
"""

import dataclasses

import numpy as np
from scipy.interpolate import CubicSpline

_STREAM = 1  # of the random numbers of people; clips use another


@dataclasses.dataclass(frozen=True)
class Person:
    """One face. Lengths in eye distances, tones in grey levels, amounts from 0 to 1."""

    # Proportions
    eye_half_width: float
    eye_upper: float  # height of the upper lid over the eye's centre
    eye_lower: float
    eye_tilt: float  # how far the outer corner lies above the inner one
    brow_y: float
    brow_arch: float
    brow_slope: float
    brow_thickness: float
    nose_tip_y: float
    nose_half_width: float
    mouth_y: float
    mouth_half_width: float
    mouth_curve: float  # resting corners: positive is upwards
    lip_upper: float
    lip_lower: float
    head_half_width: float
    jaw_half_width: float
    chin_y: float
    skull_y: float
    hairline_y: float
    # Looks
    skin: float
    hair_tone: float
    hair_style: str
    brow_tone: float
    lip_darkness: float
    iris: float
    background: float
    clothes: float
    glasses: str
    beard: str
    texture: float
    freckles: int
    folds: float  # depth of the lines beside the mouth and on the forehead
    light: tuple[float, float]  # direction the light comes from, x and y
    ambient: float
    roughness: tuple[float, float, float]  # heights of cheeks, brow ridge, chin
    texture_seed: int


HAIR_STYLES = ("short", "fringe", "long", "parted", "bald", "curly")


def draw_person(seed: int, index: int) -> Person:
    """Person number `index` of the corpus of `seed`: always the same one."""
    rng = np.random.default_rng([seed, _STREAM, index])
    u = rng.uniform
    skin = u(105, 195)
    hair_tone = u(15, 0.62 * skin) if u() < 0.8 else u(150, 225)
    return Person(
        eye_half_width=u(0.20, 0.25),
        eye_upper=u(0.075, 0.115),
        eye_lower=u(0.045, 0.07),
        eye_tilt=u(-0.03, 0.06),
        brow_y=u(-0.44, -0.33),
        brow_arch=u(0.03, 0.11),
        brow_slope=u(-0.04, 0.06),
        brow_thickness=u(0.05, 0.11),
        nose_tip_y=u(0.55, 0.68),
        nose_half_width=u(0.25, 0.33),
        mouth_y=u(1.0, 1.14),
        mouth_half_width=u(0.36, 0.47),
        mouth_curve=u(-0.03, 0.05),
        lip_upper=u(0.07, 0.12),
        lip_lower=u(0.10, 0.17),
        head_half_width=u(1.08, 1.26),
        jaw_half_width=u(0.86, 1.03),
        chin_y=u(1.62, 1.85),
        skull_y=u(-1.7, -1.45),
        hairline_y=u(-1.15, -0.85),
        skin=skin,
        hair_tone=hair_tone,
        # In turn rather than at random, so that a small corpus has every kind.
        hair_style=HAIR_STYLES[index % len(HAIR_STYLES)],
        brow_tone=min(hair_tone * u(0.6, 1.0), skin - 35),
        lip_darkness=u(0.2, 0.42),
        iris=u(30, 110),
        background=u(30, 225),
        clothes=u(20, 220),
        glasses=("none", "none", "round", "none", "none", "square", "none")[index % 7],
        beard=("none", "none", "none", "stubble", "none", "moustache", "none", "full")[index % 8],
        texture=u(0.012, 0.04),
        freckles=int(rng.integers(0, 40)) if u() < 0.4 else 0,
        folds=u(0.0, 0.16),
        light=(u(-0.7, 0.7), u(-0.7, -0.05)),
        ambient=u(0.48, 0.68),
        roughness=(u(0.03, 0.10), u(0.02, 0.07), u(0.03, 0.09)),
        texture_seed=int(rng.integers(2**31)),
    )


def head_outline(person: Person, points: int = 240) -> np.ndarray:
    """The outline of the head, [points, 2] eye distances, closed, clockwise from the top."""
    w, jaw, chin, top = (
        person.head_half_width, person.jaw_half_width, person.chin_y, person.skull_y
    )  # fmt: skip
    right = np.array([
        (0.0, top), (0.62 * w, top + 0.16), (0.95 * w, top + 0.72), (w, 0.05), (0.96 * w, 0.55),
        (jaw, 1.08), (0.66 * jaw, chin - 0.16), (0.3 * jaw, chin - 0.015), (0.0, chin),
    ])  # fmt: skip
    left = right[-2:0:-1] * (-1, 1)
    knots = np.concatenate([right, left, right[:1]])
    steps = np.linspace(0, len(knots) - 1, points, endpoint=False)
    return CubicSpline(np.arange(len(knots)), knots, bc_type="periodic")(steps)


def brow_line(person: Person, x: np.ndarray) -> np.ndarray:
    """Height of the middle of a brow at distance `x` (0.2 to 0.9) from the face's middle."""
    t = np.clip((x - 0.2) / 0.7, 0, 1)
    return person.brow_y - person.brow_slope * t - person.brow_arch * np.sin(np.pi * t**0.8)


def lid_curves(person: Person, sign: int, points: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower lid of the eye at x = sign / 2, from inner to outer corner, [points, 2]."""
    t = np.linspace(0, 1, points)
    x = sign * (0.5 + person.eye_half_width * (2 * t - 1))
    axis = person.eye_tilt * (0.5 - t)
    bow = np.sin(np.pi * t) ** 0.75
    upper = np.stack([x, axis - person.eye_upper * bow * (1.04 - 0.12 * t)], axis=1)
    lower = np.stack([x, axis + person.eye_lower * bow * (0.92 + 0.12 * t)], axis=1)
    return upper, lower


def mouth_curves(person: Person, points: int = 41) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Top of the upper lip, line between the lips, bottom of the lower lip, [points, 2] each."""
    s = np.linspace(-1, 1, points)
    x = s * person.mouth_half_width
    corners = person.mouth_y - person.mouth_curve * s**2
    bow = (1 - s**2) ** 0.8
    dip = 0.22 * np.exp(-((s / 0.16) ** 2))  # the dent below the nose
    top = corners - person.lip_upper * bow * (1 - dip)
    line = corners + 0.016 * np.cos(3 * np.pi * s) * (1 - s**2)
    bottom = corners + person.lip_lower * (1 - s**2) ** 0.65
    return tuple(np.stack([x, y], axis=1) for y in (top, line, bottom))


def landmarks(person: Person) -> np.ndarray:
    """Where the drawn face has the 68 landmarks, [68, 2] float64 eye distances."""
    outline = head_outline(person, 720)
    angles = np.arctan2(outline[:, 1] - 0.2, outline[:, 0])
    wanted = np.linspace(np.pi, 0, 17)
    turned = np.abs(np.angle(np.exp(1j * (angles[None] - wanted[:, None]))))
    jaw = outline[turned.argmin(axis=1)]

    brow_x = np.linspace(0.88, 0.22, 5)
    brow_y = brow_line(person, brow_x)
    left_brow = np.stack([-brow_x, brow_y], axis=1)
    right_brow = left_brow[::-1] * (-1, 1)

    tip, wing = person.nose_tip_y, person.nose_half_width
    bridge = np.stack([np.zeros(4), np.linspace(0.02, tip, 4)], axis=1)
    base_x = np.array([-0.62, -0.3, 0, 0.3, 0.62]) * wing
    base_y = tip + np.array([0.13, 0.15, 0.17, 0.15, 0.13])
    nose = np.concatenate([bridge, np.stack([base_x, base_y], axis=1)])

    upper, lower = lid_curves(person, 1)
    right_eye = np.concatenate([upper[[0, 8, 16, 24]], lower[[16, 8]]])
    left_eye = (right_eye * (-1, 1))[[3, 2, 1, 0, 5, 4]]

    top, line, bottom = mouth_curves(person)
    outer = np.concatenate(
        [line[:1], top[[8, 15, 20, 25, 32]], line[-1:], bottom[[32, 25, 20, 15, 8]]]
    )
    inner = np.concatenate([line[[2, 14, 20, 26, 38]], line[[26, 20, 14]]])
    return np.concatenate([jaw, left_brow, right_brow, nose, left_eye, right_eye, outer, inner])

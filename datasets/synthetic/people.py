"""The people of the synthetic corpus: proportions and looks, and the outlines that follow.

A person is a set of numbers drawn from (seed, person), independent of any category. Points are xy
in eye distances (the distance between the eye centres), with the origin midway between the eyes, x
to the right and y down.
"""

import dataclasses

import numpy as np
from scipy.interpolate import CubicSpline

_RANDOM_STREAM = 1  # clips use others
_HAIR_STYLES = ("short", "fringe", "long", "parted", "bald", "curly")
_GLASSES = ("none", "none", "round", "none", "none", "square", "none")
_BEARDS = ("none", "none", "none", "stubble", "none", "moustache", "none", "full")


def _uniform(low: float, high: float) -> float:
    return dataclasses.field(metadata={"range": (low, high)})


@dataclasses.dataclass(frozen=True)
class Person:
    """One face: lengths in eye distances, tones in grey levels, amounts from 0 to 1.

    `draw_person` draws the fields in this order.
    """

    skin: float = _uniform(105, 195)
    hair_tone: float
    eye_half_width: float = _uniform(0.20, 0.25)
    eye_upper: float = _uniform(0.075, 0.115)  # height of the upper lid over the eye's centre
    eye_lower: float = _uniform(0.045, 0.07)
    eye_tilt: float = _uniform(-0.03, 0.06)  # outer corner above the inner one
    brow_y: float = _uniform(-0.44, -0.33)
    brow_arch: float = _uniform(0.03, 0.11)
    brow_slope: float = _uniform(-0.04, 0.06)
    brow_thickness: float = _uniform(0.05, 0.11)
    nose_tip_y: float = _uniform(0.55, 0.68)
    nose_half_width: float = _uniform(0.25, 0.33)
    mouth_y: float = _uniform(1.0, 1.14)
    mouth_half_width: float = _uniform(0.36, 0.47)
    mouth_curve: float = _uniform(-0.03, 0.05)  # resting corners: positive is upwards
    lip_upper: float = _uniform(0.07, 0.12)
    lip_lower: float = _uniform(0.10, 0.17)
    head_half_width: float = _uniform(1.08, 1.26)
    jaw_half_width: float = _uniform(0.86, 1.03)
    chin_y: float = _uniform(1.62, 1.85)
    skull_y: float = _uniform(-1.7, -1.45)
    hairline_y: float = _uniform(-1.15, -0.85)
    brow_shade: float = _uniform(0.6, 1.0)  # brows over hair
    lip_darkness: float = _uniform(0.2, 0.42)
    iris: float = _uniform(30, 110)
    background: float = _uniform(30, 225)
    clothes: float = _uniform(20, 220)
    texture: float = _uniform(0.012, 0.04)
    freckles: int
    folds: float = _uniform(0.0, 0.16)  # depth of the lines beside the mouth and on the forehead
    light_x: float = _uniform(-0.7, 0.7)  # direction that the light comes from
    light_y: float = _uniform(-0.7, -0.05)
    ambient: float = _uniform(0.48, 0.68)
    cheek_height: float = _uniform(0.03, 0.10)
    brow_ridge_height: float = _uniform(0.02, 0.07)
    chin_height: float = _uniform(0.03, 0.09)
    texture_seed: int
    hair_style: str
    glasses: str
    beard: str


def draw_person(seed: int, index: int) -> Person:
    """Returns person `index` of the corpus of `seed`."""
    rng = np.random.default_rng([seed, _RANDOM_STREAM, index])
    u, drawn = rng.uniform, {}
    for field in dataclasses.fields(Person):
        if field.metadata:
            drawn[field.name] = u(*field.metadata["range"])
        elif field.name == "hair_tone":
            drawn["hair_tone"] = u(15, 0.62 * drawn["skin"]) if u() < 0.8 else u(150, 225)
        elif field.name == "freckles":
            drawn["freckles"] = int(rng.integers(0, 40)) if u() < 0.4 else 0
    return Person(
        **drawn,
        texture_seed=int(rng.integers(2**31)),
        # In turn rather than at random, so that a small corpus has every kind.
        hair_style=_HAIR_STYLES[index % len(_HAIR_STYLES)],
        glasses=_GLASSES[index % len(_GLASSES)],
        beard=_BEARDS[index % len(_BEARDS)],
    )


def head_outline(person: Person, points: int = 240) -> np.ndarray:
    """Returns the closed outline of the head, [points, 2], clockwise from the top."""
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
    """Returns y of the middle of a brow at the distances `x`, 0.2 to 0.9, from the face's axis."""
    t = np.clip((x - 0.2) / 0.7, 0, 1)
    return person.brow_y - person.brow_slope * t - person.brow_arch * np.sin(np.pi * t**0.8)


def lid_curves(person: Person, sign: int, points: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Returns upper and lower lid of the eye at x = sign / 2, inner to outer, [points, 2] each."""
    t = np.linspace(0, 1, points)
    x = sign * (0.5 + person.eye_half_width * (2 * t - 1))
    axis = person.eye_tilt * (0.5 - t)
    bow = np.sin(np.pi * t) ** 0.75
    upper = axis - person.eye_upper * bow * (1.04 - 0.12 * t)
    lower = axis + person.eye_lower * bow * (0.92 + 0.12 * t)
    return np.stack([x, upper], axis=1), np.stack([x, lower], axis=1)


def mouth_curves(person: Person, points: int = 41) -> tuple[np.ndarray, ...]:
    """Returns top of the upper lip, line between the lips, bottom of the lower, [points, 2]."""
    s = np.linspace(-1, 1, points)
    x = s * person.mouth_half_width
    corners = person.mouth_y - person.mouth_curve * s**2
    bow = (1 - s**2) ** 0.8
    dip = 0.22 * np.exp(-((s / 0.16) ** 2))  # below the nose
    top = corners - person.lip_upper * bow * (1 - dip)
    line = corners + 0.016 * np.cos(3 * np.pi * s) * (1 - s**2)
    bottom = corners + person.lip_lower * (1 - s**2) ** 0.65
    return tuple(np.stack([x, y], axis=1) for y in (top, line, bottom))

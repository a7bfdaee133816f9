"""The people of the synthetic corpus and the drawing of their neutral faces, from numbers alone.

A person is a set of numbers drawn from (seed, person), independent of any category. The head is a
relief (an ellipsoid with nose, sockets, brow ridge, cheeks, lips and chin) lit from one side. Eyes,
brows, lips, hair and beard are painted on it at twice the size and scaled down.

Axes: h w pixels; points are xy in eye distances (the distance between the eye centres), with the
origin midway between the eyes, x to the right and y down.
"""

import dataclasses

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

SIDE = 256  # pixels, of the picture
EYE_DISTANCE = 68.0  # pixels
ORIGIN = np.array([128.0, 118.0])  # pixel midway between the eyes

_SCALE = 2  # of the canvas over the picture
_FRACTION_BITS = 4  # of OpenCV's fixed-point coordinates
_SIDES = (-1, 1)

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


def lid_curves(person: Person, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns upper and lower lid of the eye at x = sign / 2, inner to outer, [25, 2] each."""
    t = np.linspace(0, 1, 25)
    x = sign * (0.5 + person.eye_half_width * (2 * t - 1))
    axis = person.eye_tilt * (0.5 - t)
    bow = np.sin(np.pi * t) ** 0.75
    upper = axis - person.eye_upper * bow * (1.04 - 0.12 * t)
    lower = axis + person.eye_lower * bow * (0.92 + 0.12 * t)
    return _curve(x, upper), _curve(x, lower)


def mouth_curves(person: Person) -> tuple[np.ndarray, ...]:
    """Returns top of the upper lip, line between the lips, bottom of the lower, [41, 2] each."""
    s = np.linspace(-1, 1, 41)
    x = s * person.mouth_half_width
    corners = person.mouth_y - person.mouth_curve * s**2
    bow = (1 - s**2) ** 0.8
    dip = 0.22 * np.exp(-((s / 0.16) ** 2))  # below the nose
    top = corners - person.lip_upper * bow * (1 - dip)
    line = corners + 0.016 * np.cos(3 * np.pi * s) * (1 - s**2)
    bottom = corners + person.lip_lower * (1 - s**2) ** 0.65
    return tuple(_curve(x, y) for y in (top, line, bottom))


def to_pixels(points: np.ndarray) -> np.ndarray:
    """Converts points [..., 2] from eye distances to pixels of the picture."""
    return np.asarray(points) * EYE_DISTANCE + ORIGIN


class _Canvas:
    """A float32 grey picture at `_SCALE` times the size, painted through soft masks."""

    def __init__(self, person: Person):
        self.size = SIDE * _SCALE
        self.picture = np.empty((self.size, self.size), np.float32)
        self.rng = np.random.default_rng(person.texture_seed)

    def polygon(self, points: np.ndarray, blur: float = 0.0) -> np.ndarray:
        """Mask from 0 to 1 of a filled polygon, blurred by `blur` eye distances."""
        mask = np.zeros((self.size, self.size), np.uint8)
        cv2.fillPoly(mask, [_fixed(points)], 255, cv2.LINE_AA, _FRACTION_BITS)
        return _blurred(mask, blur)

    def line(self, points: np.ndarray, width: float, blur: float, closed=False) -> np.ndarray:
        """Mask from 0 to 1 of a line, `width` eye distances wide."""
        mask = np.zeros((self.size, self.size), np.uint8)
        thickness = max(1, round(width * EYE_DISTANCE * _SCALE))
        cv2.polylines(mask, [_fixed(points)], closed, 255, thickness, cv2.LINE_AA, _FRACTION_BITS)
        return _blurred(mask, blur)

    def paint(self, mask: np.ndarray, tone: float | np.ndarray, strength: float = 1.0) -> None:
        self.picture += (tone - self.picture) * (mask * strength)

    def darken(self, mask: np.ndarray, amount: float) -> None:
        self.picture *= 1 - amount * mask

    def fill(self, points: np.ndarray, blur: float, tone: float | np.ndarray) -> None:
        self.paint(self.polygon(points, blur), tone)

    def shade(self, points: np.ndarray, blur: float, amount: float) -> None:
        self.darken(self.polygon(points, blur), amount)

    def stroke(self, points: np.ndarray, width: float, blur: float, amount: float) -> None:
        self.darken(self.line(points, width, blur), amount)

    def noise(self, sigma_x: float, sigma_y: float) -> np.ndarray:
        """Smooth noise of unit deviation; sigmas in eye distances."""
        # A coarse grid that is enlarged looks like blurred noise and is much faster.
        sigmas = np.array([sigma_y, sigma_x]) * EYE_DISTANCE * _SCALE
        cells = [max(4, round(self.size / max(1.0, sigma))) for sigma in sigmas.tolist()]
        coarse = self.rng.standard_normal(cells, np.float32)
        full = cv2.resize(coarse, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        return full / full.std()


def _fixed(points: np.ndarray) -> np.ndarray:
    """Canvas coordinates of points, in OpenCV's fixed-point format."""
    pixels = (to_pixels(points) + 0.5) * _SCALE - 0.5
    return np.round(pixels * 2**_FRACTION_BITS).astype(np.int32)


def _blurred(mask: np.ndarray, blur: float) -> np.ndarray:
    sigma = blur * EYE_DISTANCE * _SCALE
    if sigma > 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), sigma)
    return mask.astype(np.float32) / 255


def _scaled_down(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.round(cv2.GaussianBlur(small, (0, 0), 0.6)).astype(np.uint8)


def _down(points: np.ndarray, by: float) -> np.ndarray:
    return points + np.array([0, by])


def _curve(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x, y], axis=1)


def _between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Polygon between two curves that run in the same direction."""
    return np.concatenate([one, other[::-1]])


def _ellipse(x: float, y: float, rx: float, ry: float, points: int = 48) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return _curve(x + rx * np.cos(angle), y + ry * np.sin(angle))


def _shading(person: Person) -> np.ndarray:
    """Light on the head's relief, [SIDE, SIDE] float32, about 0.4 to 1.2."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    x, y = (x - ORIGIN[0]) / EYE_DISTANCE, (y - ORIGIN[1]) / EYE_DISTANCE

    def bump(cx, cy, rx, ry, height):
        return height * np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)

    def pair(cx, cy, rx, ry, height):
        return bump(cx, cy, rx, ry, height) + bump(-cx, cy, rx, ry, height)

    middle = (person.chin_y + person.skull_y) / 2
    half = (person.chin_y - person.skull_y) / 2
    inside = 1 - (x / (1.12 * person.head_half_width)) ** 2 - ((y - middle) / (1.1 * half)) ** 2
    z = 1.15 * np.sqrt(np.maximum(inside, 0.02))
    tip, wing, mouth = person.nose_tip_y, person.nose_half_width, person.mouth_y
    z += bump(0, 0.55 * tip, 0.13, 0.45, 0.16) + bump(0, tip, 0.15, 0.13, 0.17)
    z += pair(0.72 * wing, tip + 0.07, 0.09, 0.09, 0.08)
    z += pair(0.5, -0.02, 0.26, 0.17, -0.11) + pair(0.5, -0.01, 0.17, 0.11, 0.05)
    ridge = pair(0.45, person.brow_y, 0.4, 0.11, person.brow_ridge_height)
    z += ridge + pair(0.72, 0.45, 0.3, 0.25, person.cheek_height)
    z += bump(0, mouth, 0.4, 0.2, 0.07) + bump(0, mouth + 0.26, 0.28, 0.07, -0.05)
    z += bump(0, person.chin_y - 0.22, 0.25, 0.16, person.chin_height)
    z = cv2.GaussianBlur(z.astype(np.float32), (0, 0), 1.2)
    dx = cv2.Sobel(z, cv2.CV_32F, 1, 0, scale=EYE_DISTANCE / 8)
    dy = cv2.Sobel(z, cv2.CV_32F, 0, 1, scale=EYE_DISTANCE / 8)
    lx, ly = person.light_x, person.light_y
    lit = (1 - dx * lx - dy * ly) / np.sqrt(1 + dx**2 + dy**2) / np.sqrt(1 + lx**2 + ly**2)
    return person.ambient + (1.12 - person.ambient) * np.maximum(lit, 0)


def draw_face(person: Person) -> np.ndarray:
    """Draws the neutral face, uint8 [SIDE, SIDE]; `to_pixels` converts its points."""
    canvas = _Canvas(person)
    _paint_surroundings(canvas, person)
    _paint_skin(canvas, person)
    for sign in _SIDES:
        _paint_eye(canvas, person, sign)
        _paint_brow(canvas, person, sign)
    _paint_nose(canvas, person)
    _paint_mouth(canvas, person)
    if person.beard != "none":
        _paint_beard(canvas, person)
    if person.hair_style != "bald":
        _paint_hair(canvas, person)
    return _scaled_down(np.clip(canvas.picture, 4, 250))


def _paint_surroundings(canvas: _Canvas, person: Person) -> None:
    canvas.picture[:] = person.background
    canvas.picture += 8 * canvas.noise(0.6, 0.6)
    w, top = person.head_half_width, person.skull_y
    if person.hair_style in ("long", "curly"):
        bottom = person.chin_y - 0.1 if person.hair_style == "long" else 0.5
        back = _ellipse(0, (top + bottom) / 2 - 0.1, w + 0.22, (bottom - top) / 2 + 0.3)
        canvas.fill(back, 0.03, 0.8 * person.hair_tone)
    neck = np.array([(-0.62, 1.0), (0.62, 1.0), (0.7, 2.1), (1.9, 2.6), (-1.9, 2.6), (-0.7, 2.1)])
    canvas.fill(neck, 0.04, 0.62 * person.skin)
    collar = np.array([(-2.4, 2.5), (-0.75, 1.92), (0, 2.25), (0.75, 1.92), (2.4, 2.5)])
    canvas.fill(collar, 0.02, person.clothes)
    for sign in _SIDES:
        canvas.fill(_ellipse(sign * (w + 0.03), 0.22, 0.13, 0.3), 0.02, 0.75 * person.skin)


def _paint_skin(canvas: _Canvas, person: Person) -> None:
    shading = cv2.resize(_shading(person), (canvas.size, canvas.size))
    grain = 0.5 * canvas.noise(0.012, 0.012) + 0.5 * canvas.noise(0.05, 0.05)
    grain += 0.8 * canvas.noise(0.25, 0.25)
    skin = person.skin * shading * (1 + person.texture * grain)
    canvas.fill(head_outline(person), 0.015, skin)
    for _ in range(person.freckles):
        x, y, size = canvas.rng.uniform((-0.8, 0.1, 0.008), (0.8, 0.8, 0.02))
        canvas.shade(_ellipse(x, y, size, size, 10), 0.0, 0.25)
    if canvas.rng.uniform() < 0.5:  # a mole
        x, y = canvas.rng.uniform((-0.8, 0.2), (0.8, 1.3))
        canvas.shade(_ellipse(x, y, 0.025, 0.025, 12), 0.006, 0.5)
    tip, mouth = person.nose_tip_y, person.mouth_half_width + 0.12
    for sign in _SIDES:
        x = np.array([0.95 * person.nose_half_width, 0.47, mouth])
        fold = _curve(sign * x, np.array([tip + 0.05, tip + 0.22, person.mouth_y - 0.02]))
        canvas.stroke(fold, 0.03, 0.03, 1.4 * person.folds)
    for row in (-0.62, -0.76):
        wrinkle = _curve(np.linspace(-0.5, 0.5, 9), row - 0.03 * np.cos(np.linspace(-2, 2, 9)))
        canvas.stroke(wrinkle, 0.015, 0.02, 0.7 * person.folds)


def _paint_eye(canvas: _Canvas, person: Person, sign: int) -> None:
    upper, lower = lid_curves(person, sign)
    opening = _between(upper, lower)
    canvas.shade(_down(opening * (1, 1.5), -0.02), 0.07, 0.22)  # socket
    mask = canvas.polygon(opening)
    canvas.paint(mask, min(235.0, 0.72 * person.skin + 75) * (0.75 + 0.25 * person.ambient))
    iris_y, radius = 0.2 * (person.eye_lower - person.eye_upper), 0.115
    for r, tone in ((radius, 0.6 * person.iris), (0.85 * radius, person.iris), (0.45 * radius, 8)):
        canvas.paint(canvas.polygon(_ellipse(sign * 0.5, iris_y, r, r), 0.006) * mask, tone)
    shine_x = sign * 0.5 + 0.05 * np.sign(person.light_x)
    canvas.paint(canvas.polygon(_ellipse(shine_x, iris_y - 0.04, 0.022, 0.022, 12)) * mask, 245)
    canvas.darken(canvas.line(upper, 0.06, 0.025) * mask, 0.5)  # shadow of the lid
    canvas.stroke(upper, 0.028, 0.008, 0.75)  # lashes
    canvas.stroke(lower, 0.012, 0.01, 0.3)
    canvas.stroke(_down(upper[2:-1], -0.06), 0.015, 0.012, 0.3)  # crease
    canvas.stroke(_down(lower[3:-3], 0.09), 0.02, 0.03, 0.2)


def _paint_brow(canvas: _Canvas, person: Person, sign: int) -> None:
    x = np.linspace(0.2, 0.9, 21)
    t = (x - 0.2) / 0.7
    half = 0.5 * person.brow_thickness * np.minimum(1, 2.2 * (1.02 - t)) * (0.7 + 0.3 * (t > 0.1))
    middle = brow_line(person, x)
    shape = _between(_curve(sign * x, middle - half), _curve(sign * x, middle + half))
    mask = canvas.polygon(shape, 0.012)
    hairs = np.clip(0.85 + 0.25 * canvas.noise(0.02, 0.006), 0, 1)
    tone = min(person.hair_tone * person.brow_shade, person.skin - 35)
    canvas.paint(mask * hairs, tone, 0.9)


def _paint_nose(canvas: _Canvas, person: Person) -> None:
    tip, wing = person.nose_tip_y, person.nose_half_width
    canvas.shade(_ellipse(0, tip + 0.2, 0.7 * wing, 0.05), 0.035, 0.25)
    angle = np.linspace(-1.2, 1.3, 15)
    crease_x = 0.66 * wing + 0.34 * wing * np.cos(angle)
    crease_y = tip + 0.06 + 0.11 * np.sin(angle)
    for sign in _SIDES:
        canvas.shade(_ellipse(sign * 0.45 * wing, tip + 0.12, 0.27 * wing, 0.035), 0.012, 0.7)
        canvas.stroke(_curve(sign * crease_x, crease_y), 0.018, 0.014, 0.42)


def _paint_mouth(canvas: _Canvas, person: Person) -> None:
    top, line, bottom = mouth_curves(person)
    canvas.shade(_between(top, line), 0.012, person.lip_darkness + 0.08)
    canvas.shade(_between(line, bottom), 0.015, 0.75 * person.lip_darkness)
    width, height = person.mouth_half_width, person.lip_lower
    shine = _ellipse(0, person.mouth_y + 0.55 * height, 0.4 * width, 0.2 * height)
    canvas.paint(canvas.polygon(shine, 0.03), person.skin, 0.25)
    canvas.stroke(line, 0.022, 0.008, 0.68)
    canvas.stroke(_down(bottom[10:-10], 0.05), 0.04, 0.035, 0.3)
    for corner in (line[0], line[-1]):
        canvas.shade(_ellipse(*corner, 0.03, 0.025, 12), 0.015, 0.45)


def _paint_beard(canvas: _Canvas, person: Person) -> None:
    top, _, bottom = mouth_curves(person)
    hairs = np.clip(0.8 + 0.3 * canvas.noise(0.008, 0.03), 0, 1)
    x = top[:, 0] * 1.12
    below_nose = _curve(x, np.full(len(x), person.nose_tip_y + 0.25)) * (0.8, 1)
    masks = [canvas.polygon(_between(top * (1.12, 1), below_nose), 0.02)]
    if person.beard != "moustache":
        jaw = head_outline(person)
        jaw = jaw[(jaw[:, 1] > person.mouth_y - 0.45)]
        area = canvas.polygon(jaw * (0.98, 1), 0.06)
        face = canvas.polygon(_ellipse(0, 0.45, 0.72, 0.78), 0.08)
        lips = canvas.polygon(_between(top, bottom), 0.01)
        masks.append(area * (1 - face) * (1 - lips))
        masks.append(canvas.polygon(_ellipse(0, person.chin_y - 0.2, 0.4, 0.24), 0.05) * (1 - lips))
    strength = 0.35 if person.beard == "stubble" else 0.8
    tone = min(person.hair_tone, person.skin - 40)
    canvas.paint(np.maximum.reduce(masks) * hairs, tone, strength)


def _paint_hair(canvas: _Canvas, person: Person) -> None:
    style, w = person.hair_style, person.head_half_width
    outline = head_outline(person) * (1.06, 1.06)
    cap = outline[outline[:, 1] < 0.1]
    cap = cap[np.argsort(np.arctan2(cap[:, 0], -cap[:, 1]))]  # left to right over the top
    side = {"short": -0.25, "fringe": 0.1, "long": 0.5, "parted": -0.1, "curly": 0.15}[style]
    x = np.linspace(0.93 * w, -0.93 * w, 31)
    line = person.hairline_y + 0.06 * canvas.rng.uniform(-1, 1) + 0.75 * np.abs(x / w) ** 4
    if style == "fringe":
        line += 0.22 + 0.04 * np.sin(9 * x)
    if style == "parted":
        line += 0.22 * np.abs(x / w + 0.35) - 0.05
    if style == "curly":
        line += 0.05 * np.sin(14 * x)
    front = _curve(x, np.minimum(line, side))
    shape = np.concatenate([cap, [(1.05 * w, side)], front, [(-1.05 * w, side)]])
    streaks = canvas.noise(0.05, 0.05) if style == "curly" else canvas.noise(0.012, 0.2)
    broad = canvas.noise(0.3, 0.3)
    canvas.fill(shape, 0.025, person.hair_tone * (1 + 0.13 * streaks + 0.10 * broad) + 5)


def draw_glasses(person: Person) -> np.ndarray | None:
    """Returns the cover of each pixel, uint8 [SIDE, SIDE], 255 = all; None without glasses.

    Glasses are drawn apart from the face, since they do not follow the skin.
    """
    if person.glasses == "none":
        return None
    canvas = _Canvas(person)
    exponent = 1.0 if person.glasses == "round" else 0.4  # of a superellipse
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    cos, sin = (np.sign(wave) * np.abs(wave) ** exponent for wave in (np.cos(angle), np.sin(angle)))
    ring = _curve(0.37 * cos, 0.29 * sin)
    masks = [canvas.line(np.array([(-0.13, 0.0), (0, -0.03), (0.13, 0.0)]), 0.03, 0.004)]
    for sign in _SIDES:
        masks.append(canvas.line(ring + np.array([sign * 0.5, 0.05]), 0.03, 0.004, closed=True))
        arm = np.array([(sign * 0.87, 0.0), (sign * (person.head_half_width + 0.05), -0.05)])
        masks.append(canvas.line(arm, 0.03, 0.006))
    return _scaled_down(255 * np.maximum.reduce(masks))


def glasses_tone(person: Person) -> float:
    """Returns the grey level of the glasses' frame."""
    return 25.0 if person.skin > 90 else 215.0

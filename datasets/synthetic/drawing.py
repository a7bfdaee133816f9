"""A drawn neutral face: one grey picture per person, from numbers alone.

The head is a relief (an ellipsoid with nose, sockets, brow ridge, cheeks, lips and chin on it)
lit from one side; eyes, brows, lips, hair and beard are painted on it at twice the size
and brought down, so that edges are smooth. Neither TFDS nor any file is needed.

Axes: h w pixels; points are xy in eye distances (see `people`).
"""

import functools

import cv2
import numpy as np

from datasets.synthetic import people
from datasets.synthetic.people import Person

SIDE = 256  # pixels, of the picture
EYE_DISTANCE = 68.0  # pixels
ORIGIN = np.array([128.0, 118.0])  # pixel midway between the eyes

_FINE = 2  # the picture is painted this many times larger
_SUBPIXEL = 4  # bits of the fixed-point coordinates that OpenCV draws with


def to_pixels(points: np.ndarray) -> np.ndarray:
    """Points [..., 2] in eye distances as pixels of the picture."""
    return np.asarray(points) * EYE_DISTANCE + ORIGIN


class _Canvas:
    """A grey picture in float32 at `_FINE` times the size, painted through soft masks."""

    def __init__(self, person: Person):
        self.size = SIDE * _FINE
        self.picture = np.empty((self.size, self.size), np.float32)
        self.rng = np.random.default_rng(person.texture_seed)

    def fixed(self, points: np.ndarray) -> np.ndarray:
        pixels = (to_pixels(points) + 0.5) * _FINE - 0.5
        return np.round(pixels * 2**_SUBPIXEL).astype(np.int32)

    def polygon(self, points: np.ndarray, soft: float = 0.0) -> np.ndarray:
        mask = np.zeros((self.size, self.size), np.uint8)
        cv2.fillPoly(mask, [self.fixed(points)], 255, cv2.LINE_AA, _SUBPIXEL)
        return self.soften(mask, soft)

    def line(self, points: np.ndarray, width: float, soft: float = 0.0, closed=False):
        mask = np.zeros((self.size, self.size), np.uint8)
        thickness = max(1, round(width * EYE_DISTANCE * _FINE))
        cv2.polylines(mask, [self.fixed(points)], closed, 255, thickness, cv2.LINE_AA, _SUBPIXEL)
        return self.soften(mask, soft)

    def soften(self, mask: np.ndarray, soft: float) -> np.ndarray:
        """A mask from 0 to 1, blurred by `soft` eye distances."""
        sigma = soft * EYE_DISTANCE * _FINE
        if sigma > 0.3:
            mask = cv2.GaussianBlur(mask, (0, 0), sigma)
        return mask.astype(np.float32) / 255

    def paint(self, mask: np.ndarray, tone: float | np.ndarray, strength: float = 1.0) -> None:
        self.picture += (tone - self.picture) * (mask * strength)

    def darken(self, mask: np.ndarray, amount: float) -> None:
        self.picture *= 1 - amount * mask

    def noise(self, sigma_x: float, sigma_y: float) -> np.ndarray:
        """Blurred noise of unit deviation; sigmas in eye distances."""
        # Drawn on a grid where the blur is about one cell wide, then enlarged: the same look as
        # blurring at full size, and quick.
        cells = [
            max(4, round(self.size / max(1.0, sigma * EYE_DISTANCE * _FINE)))
            for sigma in (sigma_y, sigma_x)
        ]
        coarse = self.rng.standard_normal(cells, np.float32)
        full = cv2.resize(coarse, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        return full / full.std()


def _down(points: np.ndarray, by: float) -> np.ndarray:
    return points + np.array([0, by])


def _ellipse(x: float, y: float, rx: float, ry: float, points: int = 48) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


@functools.lru_cache(maxsize=1)
def _relief_grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    return (x - ORIGIN[0]) / EYE_DISTANCE, (y - ORIGIN[1]) / EYE_DISTANCE


def _shading(person: Person) -> np.ndarray:
    """Light on the head's relief, [SIDE, SIDE] float32, about 0.4 to 1.2."""
    x, y = _relief_grid()

    def bump(cx, cy, rx, ry, height):
        return height * np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)

    def pair(cx, cy, rx, ry, height):
        return bump(cx, cy, rx, ry, height) + bump(-cx, cy, rx, ry, height)

    middle = (person.chin_y + person.skull_y) / 2
    half = (person.chin_y - person.skull_y) / 2
    inside = 1 - (x / (1.12 * person.head_half_width)) ** 2 - ((y - middle) / (1.1 * half)) ** 2
    z = 1.15 * np.sqrt(np.maximum(inside, 0.02))
    cheek, ridge, chin = person.roughness
    tip, wing, mouth = person.nose_tip_y, person.nose_half_width, person.mouth_y
    z += bump(0, 0.55 * tip, 0.13, 0.45, 0.16) + bump(0, tip, 0.15, 0.13, 0.17)
    z += pair(0.72 * wing, tip + 0.07, 0.09, 0.09, 0.08)
    z += pair(0.5, -0.02, 0.26, 0.17, -0.11) + pair(0.5, -0.01, 0.17, 0.11, 0.05)
    z += pair(0.45, person.brow_y, 0.4, 0.11, ridge) + pair(0.72, 0.45, 0.3, 0.25, cheek)
    z += bump(0, mouth, 0.4, 0.2, 0.07) + bump(0, mouth + 0.26, 0.28, 0.07, -0.05)
    z += bump(0, person.chin_y - 0.22, 0.25, 0.16, chin)
    z = cv2.GaussianBlur(z.astype(np.float32), (0, 0), 1.2)
    dx = cv2.Sobel(z, cv2.CV_32F, 1, 0, scale=EYE_DISTANCE / 8)
    dy = cv2.Sobel(z, cv2.CV_32F, 0, 1, scale=EYE_DISTANCE / 8)
    lx, ly = person.light
    lit = (1 - dx * lx - dy * ly) / np.sqrt(1 + dx**2 + dy**2) / np.sqrt(1 + lx**2 + ly**2)
    return person.ambient + (1.12 - person.ambient) * np.maximum(lit, 0)


def draw_face(person: Person) -> np.ndarray:
    """The neutral face, uint8 [SIDE, SIDE], grey; see `to_pixels` for where things lie."""
    canvas = _Canvas(person)
    _paint_surroundings(canvas, person)
    _paint_skin(canvas, person)
    for sign in (-1, 1):
        _paint_eye(canvas, person, sign)
        _paint_brow(canvas, person, sign)
    _paint_nose(canvas, person)
    _paint_mouth(canvas, person)
    _paint_beard(canvas, person)
    _paint_hair(canvas, person)
    return _brought_down(np.clip(canvas.picture, 4, 250))


def _brought_down(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.round(cv2.GaussianBlur(small, (0, 0), 0.6)).astype(np.uint8)


def _paint_surroundings(canvas: _Canvas, person: Person) -> None:
    canvas.picture[:] = person.background
    canvas.picture += 8 * canvas.noise(0.6, 0.6)
    w, chin = person.head_half_width, person.chin_y
    if person.hair_style in ("long", "curly"):
        bottom = chin - 0.1 if person.hair_style == "long" else 0.5
        back = _ellipse(
            0, (person.skull_y + bottom) / 2 - 0.1, w + 0.22, (bottom - person.skull_y) / 2 + 0.3
        )
        canvas.paint(canvas.polygon(back, 0.03), 0.8 * person.hair_tone)
    neck = np.array([(-0.62, 1.0), (0.62, 1.0), (0.7, 2.1), (1.9, 2.6), (-1.9, 2.6), (-0.7, 2.1)])
    canvas.paint(canvas.polygon(neck, 0.04), 0.62 * person.skin)
    collar = np.array([(-2.4, 2.5), (-0.75, 1.92), (0, 2.25), (0.75, 1.92), (2.4, 2.5)])
    canvas.paint(canvas.polygon(collar, 0.02), person.clothes)
    for sign in (-1, 1):
        canvas.paint(
            canvas.polygon(_ellipse(sign * (w + 0.03), 0.22, 0.13, 0.3), 0.02), 0.75 * person.skin
        )


def _paint_skin(canvas: _Canvas, person: Person) -> None:
    shading = cv2.resize(_shading(person), (canvas.size, canvas.size))
    grain = 0.5 * canvas.noise(0.012, 0.012) + 0.5 * canvas.noise(0.05, 0.05)
    grain += 0.8 * canvas.noise(0.25, 0.25)
    skin = person.skin * shading * (1 + person.texture * grain)
    canvas.paint(canvas.polygon(people.head_outline(person), 0.015), skin)
    for _ in range(person.freckles):
        x, y, size = canvas.rng.uniform((-0.8, 0.1, 0.008), (0.8, 0.8, 0.02))
        canvas.darken(canvas.polygon(_ellipse(x, y, size, size, 10)), 0.25)
    if canvas.rng.uniform() < 0.5:
        x, y = canvas.rng.uniform((-0.8, 0.2), (0.8, 1.3))
        canvas.darken(canvas.polygon(_ellipse(x, y, 0.025, 0.025, 12), 0.006), 0.5)
    for sign in (-1, 1):
        fold = np.array([
            (sign * 0.95 * person.nose_half_width, person.nose_tip_y + 0.05),
            (sign * 0.47, person.nose_tip_y + 0.22),
            (sign * (person.mouth_half_width + 0.12), person.mouth_y - 0.02),
        ])  # fmt: skip
        canvas.darken(canvas.line(fold, 0.03, 0.03), 1.4 * person.folds)
    for row in (-0.62, -0.76):
        wrinkle = np.stack(
            [np.linspace(-0.5, 0.5, 9), row - 0.03 * np.cos(np.linspace(-2, 2, 9))], axis=1
        )
        canvas.darken(canvas.line(wrinkle, 0.015, 0.02), 0.7 * person.folds)


def _paint_eye(canvas: _Canvas, person: Person, sign: int) -> None:
    upper, lower = people.lid_curves(person, sign)
    opening = np.concatenate([upper, lower[::-1]])
    canvas.darken(canvas.polygon(_down(opening * (1, 1.5), -0.02), 0.07), 0.22)  # socket
    mask = canvas.polygon(opening)
    white = min(235.0, 0.72 * person.skin + 75) * (0.75 + 0.25 * person.ambient)
    canvas.paint(mask, white)
    iris_y = 0.2 * (person.eye_lower - person.eye_upper)
    radius = 0.115
    for r, tone in ((radius, 0.6 * person.iris), (0.85 * radius, person.iris), (0.45 * radius, 8)):
        disc = canvas.polygon(_ellipse(sign * 0.5, iris_y, r, r), 0.006)
        canvas.paint(disc * mask, tone)
    shine = canvas.polygon(
        _ellipse(sign * 0.5 + 0.05 * np.sign(person.light[0]), iris_y - 0.04, 0.022, 0.022, 12)
    )
    canvas.paint(shine * mask, 245)
    canvas.darken(canvas.line(upper, 0.06, 0.025) * mask, 0.5)  # shadow of the lid
    canvas.darken(canvas.line(upper, 0.028, 0.008), 0.75)  # lashes
    canvas.darken(canvas.line(lower, 0.012, 0.01), 0.3)
    canvas.darken(canvas.line(_down(upper[2:-1], -0.06), 0.015, 0.012), 0.3)  # crease
    canvas.darken(canvas.line(_down(lower[3:-3], 0.09), 0.02, 0.03), 0.2)


def _paint_brow(canvas: _Canvas, person: Person, sign: int) -> None:
    x = np.linspace(0.2, 0.9, 21)
    t = (x - 0.2) / 0.7
    half = 0.5 * person.brow_thickness * np.minimum(1, 2.2 * (1.02 - t)) * (0.7 + 0.3 * (t > 0.1))
    middle = people.brow_line(person, x)
    shape = np.concatenate(
        [np.stack([sign * x, middle - half], 1), np.stack([sign * x, middle + half], 1)[::-1]]
    )
    mask = canvas.polygon(shape, 0.012)
    hairs = np.clip(0.85 + 0.25 * canvas.noise(0.02, 0.006), 0, 1)
    canvas.paint(mask * hairs, person.brow_tone, 0.9)


def _paint_nose(canvas: _Canvas, person: Person) -> None:
    tip, wing = person.nose_tip_y, person.nose_half_width
    canvas.darken(canvas.polygon(_ellipse(0, tip + 0.2, 0.7 * wing, 0.05), 0.035), 0.25)
    for sign in (-1, 1):
        hole = _ellipse(sign * 0.45 * wing, tip + 0.12, 0.27 * wing, 0.035)
        canvas.darken(canvas.polygon(hole, 0.012), 0.7)
        angle = np.linspace(-1.2, 1.3, 15)
        crease = np.stack(
            [sign * (0.66 * wing + 0.34 * wing * np.cos(angle)), tip + 0.06 + 0.11 * np.sin(angle)],
            axis=1,
        )
        canvas.darken(canvas.line(crease, 0.018, 0.014), 0.42)


def _paint_mouth(canvas: _Canvas, person: Person) -> None:
    top, line, bottom = people.mouth_curves(person)
    canvas.darken(
        canvas.polygon(np.concatenate([top, line[::-1]]), 0.012), person.lip_darkness + 0.08
    )
    canvas.darken(
        canvas.polygon(np.concatenate([line, bottom[::-1]]), 0.015), 0.75 * person.lip_darkness
    )
    shine = _ellipse(
        0,
        person.mouth_y + 0.55 * person.lip_lower,
        0.4 * person.mouth_half_width,
        0.2 * person.lip_lower,
    )
    canvas.paint(canvas.polygon(shine, 0.03), person.skin, 0.25)
    canvas.darken(canvas.line(line, 0.022, 0.008), 0.68)
    canvas.darken(canvas.line(_down(bottom[10:-10], 0.05), 0.04, 0.035), 0.3)
    for corner in (line[0], line[-1]):
        canvas.darken(canvas.polygon(_ellipse(*corner, 0.03, 0.025, 12), 0.015), 0.45)


def _paint_beard(canvas: _Canvas, person: Person) -> None:
    if person.beard == "none":
        return
    top, _, bottom = people.mouth_curves(person)
    tip, mouth = person.nose_tip_y, person.mouth_y
    hairs = np.clip(0.8 + 0.3 * canvas.noise(0.008, 0.03), 0, 1)
    x = top[:, 0] * 1.12
    moustache = np.concatenate(
        [top * (1.12, 1), np.stack([x, np.full(len(x), tip + 0.25)], 1)[::-1] * (0.8, 1)]
    )
    masks = [canvas.polygon(moustache, 0.02)]
    if person.beard != "moustache":
        jaw = people.head_outline(person)
        jaw = jaw[(jaw[:, 1] > mouth - 0.45)]
        area = canvas.polygon(jaw * (0.98, 1), 0.06)
        face = canvas.polygon(_ellipse(0, 0.45, 0.72, 0.78), 0.08)
        lips = canvas.polygon(np.concatenate([top, bottom[::-1]]), 0.01)
        masks.append(area * (1 - face) * (1 - lips))
        masks.append(canvas.polygon(_ellipse(0, person.chin_y - 0.2, 0.4, 0.24), 0.05) * (1 - lips))
    strength = 0.35 if person.beard == "stubble" else 0.8
    canvas.paint(
        np.maximum.reduce(masks) * hairs, min(person.hair_tone, person.skin - 40), strength
    )


def _paint_hair(canvas: _Canvas, person: Person) -> None:
    style, w = person.hair_style, person.head_half_width
    if style == "bald":
        return
    outline = people.head_outline(person) * (1.06, 1.06)
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
    front = np.stack([x, np.minimum(line, side)], axis=1)
    ends = np.array([(1.05 * w, side), (-1.05 * w, side)])
    shape = np.concatenate([cap, ends[:1], front, ends[1:]])
    streaks = canvas.noise(0.012, 0.2) if style != "curly" else canvas.noise(0.05, 0.05)
    broad = canvas.noise(0.3, 0.3)
    tone = person.hair_tone * (1 + 0.13 * streaks + 0.10 * broad) + 5
    canvas.paint(canvas.polygon(shape, 0.025), tone)


def draw_glasses(person: Person) -> np.ndarray | None:
    """How much of each pixel the glasses cover, uint8 [SIDE, SIDE], 255 = all; None without.

    Apart from the face, since they do not follow the skin. See `glasses_tone`.
    """
    if person.glasses == "none":
        return None
    canvas = _Canvas(person)
    power = 2 if person.glasses == "round" else 5  # a superellipse: the higher, the squarer
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    ring = np.stack(
        [
            0.37 * np.sign(cos) * np.abs(cos) ** (2 / power),
            0.29 * np.sign(sin) * np.abs(sin) ** (2 / power),
        ],
        axis=1,
    )
    masks = [canvas.line(np.array([(-0.13, 0.0), (0, -0.03), (0.13, 0.0)]), 0.03, 0.004)]
    for sign in (-1, 1):
        masks.append(canvas.line(ring + np.array([sign * 0.5, 0.05]), 0.03, 0.004, closed=True))
        arm = np.array([(sign * 0.87, 0.0), (sign * (person.head_half_width + 0.05), -0.05)])
        masks.append(canvas.line(arm, 0.03, 0.006))
    return _brought_down(255 * np.maximum.reduce(masks))


def glasses_tone(person: Person) -> float:
    """Grey level of the glasses' frame."""
    return 25.0 if person.skin > 90 else 215.0

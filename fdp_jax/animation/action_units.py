"""Facial action units as displacements of the skin, and expressions as sets of action units.

A unit is a few soft pushes on either side of the face: a Gaussian around a place near a landmark,
with a direction. Lengths are in inter-ocular distances; `outwards` points away from the face's
axis, `down` to the chin. Numbers and names are those of the Facial Action Coding System (FACS). The
sets follow the prototypes that FACS users give for the basic emotions; expressions of real people
vary more.
"""

from typing import NamedTuple

# Landmarks of the 68-point scheme at a place of the left and of the right side of the picture.
PLACES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "inner brow": ((20, 21), (22, 23)),
    "middle brow": ((19,), (24,)),
    "outer brow": ((17, 18), (26, 25)),
    "eye": ((36, 37, 38, 39, 40, 41), (45, 44, 43, 42, 47, 46)),
    "inner eye": ((39,), (42,)),
    "outer eye": ((36,), (45,)),
    "upper lid": ((37, 38), (44, 43)),
    "lower lid": ((40, 41), (47, 46)),
    "nostril": ((31, 32), (35, 34)),
    "upper lip": ((50,), (52,)),
    "lower lip": ((58,), (56,)),
    "mouth corner": ((48,), (54,)),
    "chin": ((7, 8), (9, 8)),
}


class Push(NamedTuple):
    """A soft push: its place, its direction (the length is its strength) and its radius (sigma)."""

    place: str
    outwards: float
    down: float
    radius: float
    shift: tuple[float, float] = (0.0, 0.0)  # of the centre from the place: outwards, down


class ActionUnit(NamedTuple):
    """An action unit of FACS, on one side of the face."""

    name: str
    pushes: tuple[Push, ...]


class Expression(NamedTuple):
    """Action units that are always present, those present half of the time, and the sides."""

    always: tuple[int, ...] = ()
    sometimes: tuple[int, ...] = ()
    one_sided: bool = False


DATASET = "animated"  # name of the corpus of animated faces
BLINK = 45
NEUTRAL = "none"  # a clip without an expression: only its distractors move

ACTION_UNITS: dict[int, ActionUnit] = {
    1: ActionUnit("inner brow raiser", (Push("inner brow", -0.1, -1.0, 0.17),)),
    2: ActionUnit(
        "outer brow raiser",
        (Push("outer brow", 0.1, -0.9, 0.18), Push("middle brow", 0.0, -0.4, 0.16)),
    ),
    4: ActionUnit(
        "brow lowerer",
        (Push("inner brow", -0.55, 0.85, 0.18), Push("middle brow", -0.1, 0.45, 0.18)),
    ),
    5: ActionUnit("upper lid raiser", (Push("upper lid", 0.0, -0.6, 0.11),)),
    6: ActionUnit(
        "cheek raiser",
        (
            Push("eye", -0.1, -0.6, 0.20, shift=(0.12, 0.36)),
            Push("outer eye", -0.3, -0.3, 0.12, shift=(0.05, 0.1)),
        ),
    ),
    7: ActionUnit(
        "lid tightener", (Push("lower lid", 0.0, -0.5, 0.11), Push("upper lid", 0.0, 0.3, 0.10))
    ),
    9: ActionUnit(
        "nose wrinkler",
        (
            Push("nostril", 0.1, -1.0, 0.17),
            Push("inner eye", -0.3, 0.35, 0.12, shift=(-0.1, 0.15)),
        ),
    ),
    10: ActionUnit("upper lip raiser", (Push("upper lip", 0.1, -0.9, 0.15),)),
    12: ActionUnit("lip corner puller", (Push("mouth corner", 0.55, -0.85, 0.18),)),
    14: ActionUnit("dimpler", (Push("mouth corner", 0.7, 0.0, 0.13),)),
    15: ActionUnit("lip corner depressor", (Push("mouth corner", 0.1, 1.0, 0.17),)),
    17: ActionUnit(
        "chin raiser",
        (Push("chin", 0.0, -0.4, 0.18, shift=(0.0, -0.25)), Push("lower lip", 0.0, -0.2, 0.12)),
    ),
    20: ActionUnit("lip stretcher", (Push("mouth corner", 0.9, 0.2, 0.18),)),
    23: ActionUnit(
        "lip tightener",
        (
            Push("upper lip", 0.0, 0.3, 0.10),
            Push("lower lip", 0.0, -0.35, 0.10),
            Push("mouth corner", -0.45, 0.0, 0.13),
        ),
    ),
    25: ActionUnit("lips part", (Push("lower lip", 0.0, 0.4, 0.12),)),
    26: ActionUnit(
        "jaw drop",
        (
            Push("lower lip", 0.0, 0.45, 0.18, shift=(0.0, 0.05)),
            Push("chin", 0.0, 0.45, 0.25, shift=(0.0, -0.2)),
        ),
    ),
    BLINK: ActionUnit("blink", (Push("upper lid", 0.0, 1.0, 0.10),)),
}

EXPRESSIONS: dict[str, Expression] = {
    "anger": Expression((4, 7), (23,)),
    "contempt": Expression((14,), one_sided=True),
    "disgust": Expression((9, 10)),
    "fear": Expression((1, 4, 20), (2, 5)),
    "happiness": Expression((6, 12), (25,)),
    NEUTRAL: Expression(),
    "sadness": Expression((1, 15), (17,)),
    "surprise": Expression((1, 2, 5), (26,)),
}
CATEGORIES = tuple(EXPRESSIONS)

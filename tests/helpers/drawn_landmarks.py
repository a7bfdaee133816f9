"""The 68 landmarks of the drawn faces."""

import numpy as np

from datasets.synthetic.drawing import Person, brow_line, head_outline, lid_curves, mouth_curves


def landmarks(person: Person) -> np.ndarray:
    """Returns the landmarks, [68, 2] float64 eye distances."""
    outline = head_outline(person, 720)
    angles = np.arctan2(outline[:, 1] - 0.2, outline[:, 0])
    wanted = np.linspace(np.pi, 0, 17)
    turned = np.abs(np.angle(np.exp(1j * (angles[None] - wanted[:, None]))))
    jaw = outline[turned.argmin(axis=1)]

    brow_x = np.linspace(0.88, 0.22, 5)
    left_brow = np.stack([-brow_x, brow_line(person, brow_x)], axis=1)
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

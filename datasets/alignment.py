"""Face alignment: a similarity transform from five points of the 68-point scheme.

The paper asks for a similarity transform to 72x72 that keeps the facial shape (section 4.1). The
geometry is that of the authors' released code: five points (the mean of the six landmarks of each
eye, the nose tip, both mouth corners) are rotated until the eyes are level; the crop is the square
around the centre of their bounding box with 2.5 times its longer side, with 128 outside the frame.

The paper leaves the interpolation open. A face of SAMM is reduced about sevenfold: read linearly,
as in the released code, one pixel in seven counts, so sensor noise is not averaged and edges alias.
Therefore each aligned pixel is the mean of those that it covers, unless `Crop.interpolation` is
`linear`.

Axes: p landmarks, xy = (column, row) in pixels, h w pixels, c channels.
"""

import cv2
import numpy as np

from datasets.crop import Crop

BORDER = 128  # grey level outside the frame

_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)  # left and right in the picture
_NOSE_TIP, _LEFT_MOUTH, _RIGHT_MOUTH = 30, 48, 54


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Returns eye centres, nose tip and mouth corners, [5, 2] float64 pixels, of [68, 2]."""
    points = np.asarray(landmarks, np.float64)
    eyes = [points[_LEFT_EYE].mean(axis=0), points[_RIGHT_EYE].mean(axis=0)]
    return np.stack([*eyes, points[_NOSE_TIP], points[_LEFT_MOUTH], points[_RIGHT_MOUTH]])


def similarity_of_face(landmarks: np.ndarray | None, crop: Crop) -> np.ndarray | None:
    """Returns the matrix [2, 3] float64 from frame pixels to pixels of the aligned frame.

    None without landmarks [68, 2] pixels, or with some that are no face: not finite, or with both
    eyes at one point.
    """
    if landmarks is None or not np.isfinite(landmarks).all():
        return None
    points = five_points(landmarks)
    dx, dy = points[1] - points[0]
    norm = np.hypot(dx, dy)
    if norm == 0:
        return None
    # Any centre of rotation will do: the crop is centred on the rotated points afterwards.
    turn = np.array([[dx, dy], [-dy, dx]]) / norm
    turned = points @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    half = 0.5 * crop.margin * (high - low).max()
    scale = (crop.side - 1) / (2 * half)
    corner = (low + high) / 2 - half
    return np.concatenate([scale * turn, -scale * corner[:, None]], axis=1)


def align_to_rgb(frame: np.ndarray, matrix: np.ndarray, crop: Crop) -> np.ndarray:
    """Returns a frame, uint8 [h, w] grey or [h, w, 3] blue-green-red, warped by `matrix` [2, 3].

    The aligned frame is uint8 [side, side, 3] red-green-blue.
    """
    fine = 1
    if crop.interpolation == "area":  # warp to a finer grid, then average `fine` x `fine` pixels
        fine = max(1, round(1 / np.hypot(*matrix[:, 0])))
    centred = fine * matrix + [[0, 0, (fine - 1) / 2]]
    size, border = (fine * crop.side,) * 2, (BORDER,) * 4
    aligned = cv2.warpAffine(frame, centred, size, flags=cv2.INTER_LINEAR, borderValue=border)
    if fine > 1:
        aligned = cv2.resize(aligned, (crop.side,) * 2, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(aligned, cv2.COLOR_GRAY2RGB if aligned.ndim == 2 else cv2.COLOR_BGR2RGB)

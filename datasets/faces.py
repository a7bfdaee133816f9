"""Face landmarks: MediaPipe's detector and 468-point mesh in `cv2.dnn`, as the 68-point scheme.

Neither MediaPipe nor TensorFlow is imported. The detector sees the frame letterboxed to 128x128;
the mesh sees 1.5 times the detected box, rotated upright by the eyes, at 192x192, and also returns
the probability of a face, which removes false detections. A frame where nothing is found is
searched again from further away (padded, for tight crops) and more closely (in tiles, for small
faces in large frames) before it counts as a frame without a face.

Axes: p landmarks, xy = (column, row) in pixels, h w pixels, c channels.
"""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np

from datasets.face_models import FaceModels

_DETECTOR_SIDE, _MESH_SIDE = 128, 192
_MIN_PROBABILITY = 0.5
_NMS_OVERLAP = 0.3
_BOX_GROWTH = 1.5  # side of the mesh's crop over the longer side of the detected box
# A face smaller than this part of its square is detected again in a square of 1 / _CLOSE_UP of its
# size: the detector's 128 pixels locate small faces badly.
_SMALL, _CLOSE_UP = 0.25, 0.4

# Mesh index of each of the 68 points.
# fmt: off
MESH_TO_68 = np.array([
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lips
])
# fmt: on


@dataclasses.dataclass(frozen=True)
class _Box:
    centre: np.ndarray  # [2] pixels
    side: float  # longer side, pixels
    angle: float  # of the line from the left to the right eye, radians


def _anchors() -> np.ndarray:
    """Returns the centres of the detector's anchors, [896, 2] in [0, 1]: 2 on 16x16, 6 on 8x8."""
    anchors = []
    for side, count in ((16, 2), (8, 6)):
        places = (np.arange(side) + 0.5) / side
        grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
        anchors.append(np.repeat(grid, count, axis=0))
    return np.concatenate(anchors).astype(np.float32)


def _probability(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logit, -50, 50)))


class FaceLandmarker:
    """Finds the 68 landmarks of the face in a frame; one object per process."""

    def __init__(self, models: FaceModels):
        self._detector = cv2.dnn.readNetFromTFLite(str(models.detector))
        self._mesh = cv2.dnn.readNetFromTFLite(str(models.mesh))
        self._anchor_centres = _anchors()

    def find(self, frame: np.ndarray) -> np.ndarray | None:
        """Returns landmarks [68, 2] float32 in pixels of the largest face; None if there is none.

        Args:
          frame: uint8, [h, w] grey or [h, w, 3] blue-green-red.
        """
        return next(self.find_each(frame), None)

    def find_each(self, frame: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the landmarks of every face, largest first.

        A face in a large frame may be found more than once, in overlapping squares.
        """
        colour = cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB if frame.ndim == 2 else cv2.COLOR_BGR2RGB)
        for level in _levels(*colour.shape[:2]):
            boxes = [box for square in level for box in self._detect(colour, *square)]
            is_found = False
            for box in sorted(boxes, key=lambda box: box.side, reverse=True):
                landmarks = self._landmarks(colour, self._closer(colour, box, level[0][2]))
                if landmarks is not None:
                    is_found = True
                    yield landmarks
            if is_found:
                return

    def _detect(self, rgb: np.ndarray, left: int, top: int, side: int) -> list[_Box]:
        """Returns the faces in one square, which may reach beyond the frame, in frame pixels."""
        square = _cut_square(rgb, left, top, side)
        small = cv2.resize(square, (_DETECTOR_SIDE,) * 2, interpolation=cv2.INTER_AREA)
        self._detector.setInput(cv2.dnn.blobFromImage(small, 1 / 127.5, mean=(127.5,) * 3))
        raw, logits = self._detector.forward(["regressors", "classificators"])
        raw, scores = raw.reshape(-1, 16) / _DETECTOR_SIDE, _probability(logits.reshape(-1))
        sure = np.flatnonzero(scores >= _MIN_PROBABILITY)
        if not len(sure):
            return []
        centres = raw[sure, :2] + self._anchor_centres[sure]
        corners = np.concatenate([centres - raw[sure, 2:4] / 2, raw[sure, 2:4]], axis=1)
        kept = cv2.dnn.NMSBoxes(
            (corners * side).tolist(), scores[sure].tolist(), _MIN_PROBABILITY, _NMS_OVERLAP
        )
        boxes = []
        for j in np.asarray(kept, int).reshape(-1):
            eyes = raw[sure[j], 4:8].reshape(2, 2)
            dx, dy = eyes[1] - eyes[0]
            centre = centres[j] * side + (left, top)
            longer = float(raw[sure[j], 2:4].max() * side)
            boxes.append(_Box(centre, longer, float(np.arctan2(dy, dx))))
        return boxes

    def _closer(self, rgb: np.ndarray, box: _Box, side: int) -> _Box:
        """Returns the box, located again if it is small in a square of `side`."""
        if box.side >= _SMALL * side:
            return box
        close_up = round(box.side / _CLOSE_UP)
        left, top = (round(value) for value in box.centre - close_up / 2)
        found = self._detect(rgb, left, top, close_up)
        return max(found, key=lambda face: face.side, default=box)

    def _landmarks(self, rgb: np.ndarray, box: _Box) -> np.ndarray | None:
        scale = _MESH_SIDE / (_BOX_GROWTH * box.side)
        cos, sin = scale * np.cos(box.angle), scale * np.sin(box.angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        matrix = np.concatenate([turn, (_MESH_SIDE / 2 - turn @ box.centre)[:, None]], axis=1)
        crop = cv2.warpAffine(rgb, matrix, (_MESH_SIDE,) * 2)
        self._mesh.setInput(cv2.dnn.blobFromImage(crop, 1 / 255.0))
        outputs = self._mesh.forward(self._mesh.getUnconnectedOutLayersNames())
        points = next(output for output in outputs if output.size == 1404)
        presence = next(output for output in outputs if output.size == 1)
        if _probability(presence).item() < _MIN_PROBABILITY:
            return None
        points = points.reshape(468, 3)[MESH_TO_68, :2].astype(np.float64)
        inverse = cv2.invertAffineTransform(matrix)
        return (points @ inverse[:, :2].T + inverse[:, 2]).astype(np.float32)


def _levels(height: int, width: int) -> Iterator[list[tuple[int, int, int]]]:
    """Yields rounds of squares (left, top, side) to search: whole frame, padded frame, tiles."""
    longer, shorter = max(height, width), min(height, width)
    for side in (longer, longer * 3 // 2):
        yield [((width - side) // 2, (height - side) // 2, side)]
    for side in (shorter, shorter // 2):
        if side >= _DETECTOR_SIDE // 2:
            steps = [
                range(0, max(1, length - side + 1), max(1, side // 2)) for length in (width, height)
            ]
            yield [(left, top, side) for top in steps[1] for left in steps[0]]


def _cut_square(rgb: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    square = np.zeros((side, side, 3), np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    square[y0 - top : y1 - top, x0 - left : x1 - left] = rgb[y0:y1, x0:x1]
    return square

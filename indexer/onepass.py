"""YuNet's outputs in, faces out: in a whole picture, and around a known face.

The picture is scaled so that the smallest face sought is the smallest that the network still finds;
so the cost does not depend on how large the picture was.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from indexer import crops, geometry
from indexer.config import DetectSettings
from indexer.nets import mtcnn, yunet
from indexer.nets.yunet import YuNet
from indexer.records import Detections, Float32, Int64, UInt8

_SMALLEST = 14.4
"""Height in pixels of the smallest face that the network finds nearly always."""
_OVERLAP = 0.3
"""Of two boxes that overlap more than this, the surer is the face; OpenCV's default."""
_SAME = 0.3
"""Least overlap of a face found again with where it should be."""
_MOST_ENLARGED = 4.0
"""Largest scale: faces that would need more show nothing that could be found."""
_SURE = 0.7
"""Least score of a face whose landmarks MTCNN's last network places."""


def find(nets: YuNet, images: Sequence[UInt8], settings: DetectSettings) -> list[Detections]:
    """Return the faces of pictures of one size, the surest first, landmarks not yet `placed`.

    Args:
        nets: the network.
        images: RGB uint8 (H, W, 3), all of one size.
        settings: the smallest face and the threshold.
    """
    height, width = images[0].shape[:2]
    scale = min(_SMALLEST / (settings.min_face * height), _MOST_ENLARGED)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    boxes, scores, landmarks, owner = _faces(
        nets.whole(np.stack([_canvas(image, size) for image in images])), settings.min_score
    )
    back = np.array([width / size[0], height / size[1]], np.float32)
    everything = Detections(boxes * np.tile(back, 2), scores, landmarks * back)
    return [_surest(everything.only(np.flatnonzero(owner == i))) for i in range(len(images))]


def find_near(
    nets: YuNet, windows: UInt8, expected: Float32, settings: DetectSettings
) -> tuple[Detections, Int64]:
    """Return the faces found where they are expected, and the index of each one's window, (K,).

    Args:
        nets: the network.
        windows: RGB (N, S, S, 3), S as `yunet.WINDOW`.
        expected: (N, 4), where the face should be in each.
        settings: the threshold.
    """
    boxes, scores, landmarks, owner = _faces(nets.near(windows), settings.again_threshold)
    overlap = geometry.iou(boxes, expected)[np.arange(len(boxes)), owner]
    best = np.lexsort((-overlap, owner))  # each window's best first
    best = best[np.diff(owner[best], prepend=-1) > 0]
    kept = best[overlap[best] >= _SAME]
    return Detections(boxes[kept], scores[kept], landmarks[kept]), owner[kept]


def placed(nets: YuNet, image: UInt8, faces: Detections) -> Detections:
    """Return the faces with the landmarks of MTCNN's last network where that sees a face, too.

    It looks at each face closely, so its landmarks are more accurate; where it sees none, as in a
    profile, YuNet's stay.

    Args:
        nets: the networks.
        image: RGB uint8 (H, W, 3).
        faces: as YuNet found them.
    """
    if len(faces) == 0:
        return faces
    squares = geometry.squared(faces.boxes)
    zoom = mtcnn.LOCATE_SIDE / np.maximum(squares[:, 2] - squares[:, 0], 1)
    turns = np.zeros((len(faces), 2, 3))
    turns[:, 0, 0] = turns[:, 1, 1] = zoom
    # A crop's first pixel is centred half of its width from the square's edge.
    turns[:, :, 2] = zoom[:, None] * (0.5 - squares[:, :2]) - 0.5
    _, points, face = nets.locate(crops.cut(image, turns, mtcnn.LOCATE_SIDE))
    places = (
        points.reshape(-1, 2, 5).transpose(0, 2, 1) * (squares[:, 2:] - squares[:, :2])[:, None]
    )
    sure = (face[:, 1] >= _SURE)[:, None, None]
    landmarks = np.where(sure, squares[:, None, :2] + places, faces.landmarks)
    return Detections(faces.boxes, faces.scores, landmarks)


def _surest(faces: Detections) -> Detections:
    overlap = geometry.iou(faces.boxes, faces.boxes)
    return faces.only(geometry.suppress(overlap, faces.scores, threshold=_OVERLAP))


def _canvas(image: UInt8, size: tuple[int, int]) -> UInt8:
    """Return a picture resized to (width, height), padded with black to whole cells."""
    smaller = size[0] < image.shape[1]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    right, below = (-side % yunet.CELL for side in size)
    return np.pad(small, ((0, below), (0, right), (0, 0)))


def _faces(outputs: Sequence[Float32], threshold: float) -> tuple[Float32, Float32, Float32, Int64]:
    """Return boxes, scores, landmarks and pictures of all cells that are sure enough."""
    boxes, scores, landmarks, owners = [], [], [], []
    for stride, out in zip(yunet.STRIDES, outputs, strict=True):
        owner, row, column = np.nonzero(out[:, 0] >= threshold)
        said = out[owner, :, row, column] * np.float32(stride)  # (K, 15)
        corner = np.stack([column, row], axis=1).astype(np.float32) * stride
        centre, half = corner + said[:, 1:3], np.exp(out[owner, 3:5, row, column]) * (stride / 2)
        boxes.append(np.concatenate([centre - half, centre + half], axis=1, dtype=np.float32))
        scores.append(out[owner, 0, row, column])
        landmarks.append(corner[:, None] + said[:, 5:].reshape(-1, 5, 2))
        owners.append(owner)
    return (
        np.concatenate(boxes),
        np.concatenate(scores),
        np.concatenate(landmarks),
        np.concatenate(owners),
    )

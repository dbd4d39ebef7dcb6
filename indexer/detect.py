"""Pictures in, faces out: by YuNet or MTCNN, in whole frames or around faces known already."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from indexer import cascade, crops, geometry, onepass
from indexer.config import DetectSettings
from indexer.nets import mtcnn, yunet
from indexer.nets.mtcnn import Mtcnn
from indexer.nets.runtime import Device
from indexer.nets.yunet import YuNet
from indexer.records import Detections, Float32, Float64, Int64, UInt8

Detector = YuNet | Mtcnn
_PATCH = 20
"""Side in pixels of the patch that is kept of a face to find it again."""
_ALIKE = 0.5
"""Least correlation of a face with its patch."""
_SEARCHED = 4
"""Side of the square in which a face is sought again, in sides of the face."""
_WINDOW = yunet.WINDOW
"""Side in pixels of that square: twice what patches are compared at."""
_NONE = Detections(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
)


def load(settings: DetectSettings, device: Device) -> Detector:
    """Return the networks that the settings ask for, ready to run on the device."""
    return (yunet if settings.method == "yunet" else mtcnn).load(device, settings.precision)


def detect(nets: Detector, images: Sequence[UInt8], settings: DetectSettings) -> list[Detections]:
    """Return the faces of each picture, largest first.

    Pictures of one size run through the networks together; a picture's faces do not depend on
    the others.

    Args:
        nets: the networks.
        images: RGB uint8 (H, W, 3), of any sizes.
        settings: the smallest face, the pyramid and the thresholds.
    """
    found: list[Detections] = [_NONE] * len(images)
    for size in {image.shape: None for image in images}:
        group = [i for i, image in enumerate(images) if image.shape == size]
        some = [images[i] for i in group]
        for i, faces in zip(group, _find(nets, some, settings), strict=True):
            found[i] = _distinct(faces)
    return found


def _find(nets: Detector, images: Sequence[UInt8], settings: DetectSettings) -> list[Detections]:
    if not isinstance(nets, YuNet):
        return cascade.find(nets, images, settings)
    found = onepass.find(nets, images, settings)
    return [onepass.placed(nets, *both) for both in zip(images, map(_distinct, found), strict=True)]


def _find_near(
    nets: Detector, windows: UInt8, expected: Float32, settings: DetectSettings
) -> tuple[Detections, Int64]:
    if isinstance(nets, YuNet):
        return onepass.find_near(nets, windows, expected, settings)
    return cascade.find_near(nets, windows, expected, settings)


def _distinct(faces: Detections) -> Detections:
    """Return the faces without those that lie mostly in a surer one, largest first."""
    smaller = geometry.overlap_of_smaller(faces.boxes, faces.boxes)
    kept = geometry.suppress(smaller, faces.scores, threshold=0.7)
    return faces.only(kept[np.argsort(-geometry.area(faces.boxes[kept]), kind="stable")])


def find_again(
    nets: Detector, image: UInt8, expected: Float32, patches: UInt8, settings: DetectSettings
) -> Detections:
    """Return faces known from another frame, where they are in this one, largest first.

    Each is sought by its patch (normalised correlation); the network then decides whether what is
    found is a face, and where exactly.

    Args:
        nets: the networks.
        image: RGB uint8 (H, W, 3).
        expected: (N, 4), where each face should be, give or take one and a half of its sides.
        patches: (N, P, P), what each looks like, from `patches`.
        settings: the threshold.
    """
    if len(expected) == 0:
        return _NONE
    windows, turns = _around(image, expected, span=_SEARCHED, size=_WINDOW)
    best = [_place(*both) for both in zip(windows, patches, strict=True)]
    alike = np.flatnonzero([likeness >= _ALIKE for _, likeness in best])
    if len(alike) == 0:
        return _NONE
    places = np.array([place for place, _ in best])[alike]
    boxes = np.concatenate([places, places + _WINDOW / _SEARCHED], axis=1).astype(np.float32)
    seen, owner = _find_near(nets, windows[alike], boxes, settings)
    turns = turns[alike[owner]]
    zoom, corner = turns[:, :1, 0], -turns[:, :, 2] / turns[:, :1, 0]
    moved = (seen.boxes / zoom + np.tile(corner, 2)).astype(np.float32)
    landmarks = (seen.landmarks / zoom[:, None] + corner[:, None]).astype(np.float32)
    found = _distinct(Detections(moved, seen.scores, landmarks))
    return onepass.placed(nets, image, found) if isinstance(nets, YuNet) else found


def patches(image: UInt8, boxes: Float32) -> UInt8:
    """Return the square around each face, small and grey, (N, P, P)."""
    squares, _ = _around(image, boxes, span=1, size=_PATCH)
    grey = [cv2.cvtColor(square, cv2.COLOR_RGB2GRAY) for square in squares]
    return np.array(grey, dtype=np.uint8).reshape(-1, _PATCH, _PATCH)


def _around(image: UInt8, boxes: Float32, *, span: int, size: int) -> tuple[UInt8, Float64]:
    """Return squares of `span` sides around boxes, (N, size, size, 3), and their transforms."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    zoom = size / (span * np.maximum(np.sqrt(geometry.area(boxes)), 1))
    turns = np.zeros((len(boxes), 2, 3))
    turns[:, 0, 0] = turns[:, 1, 1] = zoom
    turns[:, :, 2] = size / 2 - zoom[:, None] * centre
    return crops.cut(image, turns, size), turns


def _place(window: UInt8, patch: UInt8) -> tuple[tuple[float, float], float]:
    """Return the corner (x, y) of a patch's best match in a window, (S, S, 3), and its score."""
    side = patch.shape[0] * _SEARCHED
    small = cv2.resize(window, (side, side), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    _, likeness, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(grey, patch, cv2.TM_CCOEFF_NORMED))
    pixel = _WINDOW / side
    return (x * pixel, y * pixel), likeness

"""Known faces in, where they are in another frame out: a template search, judged by MTCNN.

Each face is sought by its grey patch around where it should be (normalised correlation), and what
is found is given to the cascade's last network, which says whether it is a face and where exactly.
"""

from __future__ import annotations

import cv2
import numpy as np

from indexer import detect, geometry
from indexer.config import DetectSettings
from indexer.nets.mtcnn import Mtcnn
from indexer.records import Detections, Float32, UInt8

PATCH = 20
"""Side of a face's patch in pixels."""
_SPAN = 3
"""How much is searched, in sides of the face."""
_WINDOW = 144
"""Side in pixels of what is searched: the face in it fills what the last network sees."""


def patches(image: UInt8, boxes: Float32) -> UInt8:
    """Return the square around each face, grey and small, (N, PATCH, PATCH)."""
    return _grey(_cut(image, boxes, span=1, side=PATCH))


def find(
    nets: Mtcnn, image: UInt8, expected: Float32, looks: UInt8, settings: DetectSettings
) -> Detections:
    """Return the faces that are found, largest first.

    Args:
        nets: the networks, of which the last is used.
        image: RGB uint8 (H, W, 3).
        expected: (N, 4), where each face should be, within its own side.
        looks: (N, PATCH, PATCH), the patch of each in another frame.
        settings: the threshold.
    """
    windows = _cut(image, expected, span=_SPAN, side=_WINDOW)
    places = np.array([_place(window, look) for window, look in zip(windows, looks)])

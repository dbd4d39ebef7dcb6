"""Stills in, heads out: find the one face of a picture, keep what is around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from indexer import stills
from indexer.errors import ImageError
from indexer.geometry import area
from indexer.records import Detections, Float32, Float64, UInt8

CROP = (0.95, 1.08)
"""Half the width and height of the crop around a face, in face widths and heights."""
_LARGEST = 320
"""Face height in pixels above which a still is shrunk: faces are never shown larger."""
_RIVAL = 0.25
"""Share of the largest face's area from which a second face makes a still ambiguous."""

Detect = Callable[[UInt8], Detections]
"""RGB pixels (H, W, 3) → the faces in them."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head and what is around it, cut from a picture of somebody."""

    label: str
    """``Name/file``."""
    pixels: UInt8
    """(H, W, 3), with the face box in the middle."""
    face: Float64
    """(2,), width and height of the face box in pixels."""
    turn: float = 0.0
    """How far the face is turned to the right of the picture, below 0 to the left: `turned`."""


def turned(landmarks: Float32) -> float:
    """Return how far a face is turned: the nose's offset over the distance of the eyes.

    It is taken along the line of the eyes, from their middle. 0 is a frontal face; at 0.5, about
    45 degrees, the nose is in front of an eye.

    Args:
        landmarks: (5, 2), eyes first, then the nose.
    """
    across = landmarks[1] - landmarks[0]
    away = landmarks[2] - (landmarks[0] + landmarks[1]) / 2
    return float(away @ across / max(float(across @ across), 1e-6))


def locate_face(pixels: UInt8, detect: Detect) -> Float64:
    """Return the box of the one face in a still, (4,), float64.

    The still is given to the detector with a margin, since it would miss tight crops otherwise.

    Raises:
        ValueError: there is no face, or a second one of comparable size.
    """
    return _find(pixels, detect)[0]


def _find(pixels: UInt8, detect: Detect) -> tuple[Float64, Float32]:
    """Return the box of the one face in a still; its landmarks, (5, 2), in the padded still."""
    margin = max(pixels.shape[:2]) // 3
    grey = tuple(float(level) for level in pixels.mean(axis=(0, 1)))
    sides = (margin, margin, margin, margin)
    padded = cv2.copyMakeBorder(pixels, *sides, cv2.BORDER_CONSTANT, value=grey)
    found = detect(padded.astype(np.uint8, copy=False))
    boxes = found.boxes
    if len(boxes) == 0:
        raise ValueError("no face was found")
    areas = area(boxes)
    if np.sum(areas >= _RIVAL * areas.max()) > 1:
        raise ValueError("several faces were found")
    first = int(np.argmax(areas))
    return boxes[first].astype(np.float64) - margin, found.landmarks[first]


def read_head(path: Path, name: str, detect: Detect) -> Head:
    """Return the head in a picture file.

    Raises:
        ImageError: the picture cannot be read, or does not show exactly one face.
    """
    return head_of(stills.read(path), f"{name}/{path.name}", detect)


def head_of(pixels: UInt8, label: str, detect: Detect) -> Head:
    """Return the head in a picture, (H, W, 3).

    Raises:
        ImageError: it does not show exactly one face.
    """
    pixels = shrunk(pixels, min(1.0, 1024 / max(pixels.shape[:2])))
    try:
        box, landmarks = _find(pixels, detect)
    except ValueError as error:
        raise ImageError(label, str(error), "use a picture of one person") from error
    scale = min(1.0, _LARGEST / (box[3] - box[1]))
    pixels, box = shrunk(pixels, scale), box * scale
    face = box[2:] - box[:2]
    half = np.ceil(face * CROP).astype(int)
    shift = half - (box[:2] + box[2:]) / 2
    matrix = np.column_stack([np.eye(2), shift])
    size = (2 * int(half[0]), 2 * int(half[1]))
    cut = cv2.warpAffine(pixels, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
    return Head(label, cut.astype(np.uint8, copy=False), face, turned(landmarks))


def shrunk(pixels: UInt8, scale: float) -> UInt8:
    """Return a picture shrunk by area averaging; the same picture if `scale` is 1 or more."""
    if scale >= 1:
        return pixels
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)

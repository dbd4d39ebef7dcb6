"""A picture and its faces in, the colours worn below each face out.

Within a scene people keep what they wear, so their clothes say who is who in a wide shot whose
faces say little.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from indexer.records import Float32, UInt8

BINS = (8, 8, 8)
"""Histogram bins of CIELAB's lightness and of its two colour axes."""
COLOURS = int(np.prod(BINS))
_LEAST_PX = 4
_BREADTH, _BELOW, _DOWN_TO = 0.9, 0.35, 1.6
"""The torso: half its breadth in face widths, its top and bottom in face heights below the face."""
_DULL = (64, 191)
"""Range of a colour axis that is used: hardly any cloth is as colourful as its outer half."""
_FULL = 255.0


def colours(image: UInt8, boxes: Float32) -> UInt8:
    """Return the colours worn below each face, (N, COLOURS); all 0 where the picture ends there.

    The square roots of a smoothed CIELAB histogram's shares, in steps of 1 / 255, so that the
    dot product of two is their Bhattacharyya coefficient.

    Args:
        image: RGB uint8 (H, W, 3).
        boxes: (N, 4), of the faces.
    """
    worn = np.zeros((len(boxes), COLOURS), np.uint8)
    for row, torso in zip(worn, _torsos(image, boxes), strict=True):
        if min(torso.shape[:2]) >= _LEAST_PX:
            lab = cv2.cvtColor(torso, cv2.COLOR_RGB2LAB)
            lab[..., 1:] = np.clip(lab[..., 1:], *_DULL)
            counts = cv2.calcHist([lab], [0, 1, 2], None, list(BINS), [0, 256, 64, 192, 64, 192])
            smooth = gaussian_filter(counts, 0.5).ravel()
            row[:] = np.round(np.sqrt(smooth / smooth.sum()) * _FULL)
    return worn


def mean(worn: UInt8) -> Float32:
    """Return the mean of (K, COLOURS) from `colours`, (COLOURS,), of length one; 0 if unseen."""
    total = worn.astype(np.float32).sum(axis=0)
    return (total / max(float(np.linalg.norm(total)), 1e-6)).astype(np.float32)


def _torsos(image: UInt8, boxes: Float32) -> list[UInt8]:
    """Return the part of the picture below each face; it may be empty."""
    height, width = image.shape[:2]
    sides = boxes[:, 2:] - boxes[:, :2]
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    left, right = middle - _BREADTH * sides[:, 0], middle + _BREADTH * sides[:, 0]
    top, bottom = (boxes[:, 3] + share * sides[:, 1] for share in (_BELOW, _DOWN_TO))
    spans = np.stack([top, bottom, left, right], axis=1)
    spans = np.clip(spans, 0, [height, height, width, width]).astype(int)
    return [np.ascontiguousarray(image[t:b, x0:x1]) for t, b, x0, x1 in spans.tolist()]

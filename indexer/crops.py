"""Pieces of a picture, turned and scaled: what networks and templates see of a face."""

from __future__ import annotations

import cv2
import numpy as np

from indexer.records import Float64, UInt8


def cut(image: UInt8, turns: Float64, size: int) -> UInt8:
    """Return a square for each transform, (N, size, size, 3).

    Bilinear with a black border. What is much larger in the picture is first averaged down, so
    that no pixel is skipped.

    Args:
        image: RGB uint8 (H, W, 3).
        turns: (N, 2, 3), from pixels of the image to pixels of the square.
        size: of the squares, in pixels.
    """
    squares = np.zeros((len(turns), size, size, 3), dtype=np.uint8)
    for square, turn in zip(squares, turns, strict=True):
        shrink = int(1 / max(float(np.hypot(*turn[:, 0])), 1e-3))
        source, placed = (image, turn) if shrink < 2 else _averaged(image, turn, size, shrink)  # noqa: PLR2004
        cv2.warpAffine(source, placed, (size, size), dst=square, flags=cv2.INTER_LINEAR)
    return squares


def _averaged(image: UInt8, turn: Float64, size: int, shrink: int) -> tuple[UInt8, Float64]:
    """Return the part of an image that a crop needs, `shrink` times smaller, and its transform."""
    back = cv2.invertAffineTransform(turn)
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ back.T
    edge = np.array(image.shape[1::-1])
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2 * shrink, shrink, None)
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2 * shrink, 0, None)
    low = np.clip(np.minimum(low, edge - shrink), 0, None)
    part = image[low[1] : high[1], low[0] : high[0]]
    rows, columns = part.shape[0] // shrink, part.shape[1] // shrink
    if rows == 0 or columns == 0:  # a picture that is smaller than one averaged pixel
        return image, turn
    whole = part[: rows * shrink, : columns * shrink]
    small = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    # Pixel (u, v) of the small picture is centred on shrink * (u, v) + x, y of the large one.
    x, y = low + (shrink - 1) / 2
    placed = turn @ np.array([[shrink, 0, x], [0, shrink, y], [0, 0, 1]])
    return small.astype(np.uint8, copy=False), placed

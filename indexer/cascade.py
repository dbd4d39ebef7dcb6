"""MTCNN's cascade: where its three networks find faces in a picture, and around a known one.

The cascade proposes squares over a pyramid of the picture, refines them, and locates face and
landmarks in what is left (Zhang et al., "Joint face detection and alignment using multitask
cascaded convolutional networks", IEEE SPL 2016, section II). Resizing is cv2's on uint8, which
on a CPU is most of the work; the networks run on the device that they were loaded on.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from indexer import geometry
from indexer.config import DetectSettings
from indexer.nets import mtcnn
from indexer.nets.mtcnn import Mtcnn
from indexer.records import Detections, Float32, Int32, Int64, UInt8

_BAND = 32
"""Rows of a pyramid level made at once, so few that they stay in the processor's cache."""


def find(nets: Mtcnn, images: Sequence[UInt8], settings: DetectSettings) -> list[Detections]:
    """Return the faces of pictures of one size, in no particular order and with duplicates.

    Args:
        nets: the networks.
        images: RGB uint8 (H, W, 3), all of one size.
        settings: the smallest face, the pyramid and the thresholds.
    """
    sums = [cv2.integral(image).astype(np.int32, copy=False) for image in images]
    boxes, owner = _propose(nets, sums, settings)
    boxes, owner = _refine(nets, sums, boxes, owner, settings)
    boxes, scores, landmarks, owner = _locate(
        nets, sums, boxes, owner, threshold=settings.locate_threshold
    )
    masks = [owner == i for i in range(len(images))]
    return [Detections(boxes[mine], scores[mine], landmarks[mine]) for mine in masks]


def find_near(
    nets: Mtcnn, windows: UInt8, expected: Float32, settings: DetectSettings
) -> tuple[Detections, Int64]:
    """Return the faces found where they are expected, and the index of each one's window, (K,).

    Args:
        nets: the networks; only the last is used.
        windows: RGB (N, S, S, 3).
        expected: (N, 4), where the face should be in each.
        settings: the threshold.
    """
    sums = [cv2.integral(window).astype(np.int32, copy=False) for window in windows]
    boxes, scores, landmarks, owner = _locate(
        nets, sums, expected, np.arange(len(windows)), threshold=settings.again_threshold
    )
    return Detections(boxes, scores, landmarks), owner


def pyramid_scales(height: int, width: int, settings: DetectSettings) -> list[float]:
    """Return the scales at which the smallest to the largest face fill the proposing cell."""
    scale = mtcnn.PROPOSE_CELL / (settings.min_face * height)
    scales = []
    while min(height, width) * scale >= mtcnn.PROPOSE_CELL:
        scales.append(scale)
        scale *= settings.pyramid_factor
    return scales


def _propose(nets: Mtcnn, sums: Sequence[Int32], settings: DetectSettings) -> tuple[Float32, Int64]:
    """Return square proposals (N, 4) over all pictures and the picture of each, (N,)."""
    height, width = sums[0].shape[0] - 1, sums[0].shape[1] - 1
    boxes, scores, owner = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.float32)], [_no_int()]
    for scale in pyramid_scales(height, width, settings):
        size = (int(height * scale + 1), int(width * scale + 1))
        levels = np.empty((len(sums), *size, 3), dtype=np.float32)
        for level, corner_sums in zip(levels, sums, strict=True):
            _level(corner_sums, level)
        offsets, face = nets.propose(levels)
        picture, row, column = np.nonzero(face[:, 1] >= settings.propose_threshold)
        score = face[picture, 1, row, column]
        cell = _cells(row, column, scale)
        moved = _moved(cell, offsets[picture, :, row, column], border=0)
        # Overlaps are judged before boxes move, as facenet-pytorch does.
        kept = suppress(cell, score, picture, 0.5)
        boxes.append(np.concatenate([cell[kept], moved[kept]], axis=1))
        scores.append(score[kept])
        owner.append(picture[kept])
    return _merge_levels(boxes[1:], scores, owner, settings.max_overlap)


def _merge_levels(
    boxes: list[Float32], scores: list[Float32], owner: list[Int64], max_overlap: float
) -> tuple[Float32, Int64]:
    if not boxes:
        return np.zeros((0, 4), np.float32), _no_int()
    both, owners = np.concatenate(boxes), np.concatenate(owner)  # (N, 8): cell, moved
    kept = suppress(both[:, :4], np.concatenate(scores), owners, max_overlap)
    return geometry.squared(both[kept, 4:]), owners[kept]


def _refine(
    nets: Mtcnn, sums: Sequence[Int32], boxes: Float32, owner: Int64, settings: DetectSettings
) -> tuple[Float32, Int64]:
    """Return the squares that still look like faces, moved onto them, and their pictures."""
    boxes, owner, crops = _crops(sums, boxes, owner, mtcnn.REFINE_SIDE)
    if len(crops) == 0:
        return boxes, owner
    offsets, face = nets.refine(crops)
    score = face[:, 1]
    sure = np.flatnonzero(score > settings.refine_threshold)
    kept = sure[suppress(boxes[sure], score[sure], owner[sure], settings.max_overlap)]
    return geometry.squared(_moved(boxes[kept], offsets[kept], border=1)), owner[kept]


def _locate(
    nets: Mtcnn, sums: Sequence[Int32], boxes: Float32, owner: Int64, *, threshold: float
) -> tuple[Float32, Float32, Float32, Int64]:
    """Return boxes, scores, landmarks and pictures of the faces, duplicates still among them."""
    boxes, owner, crops = _crops(sums, boxes, owner, mtcnn.LOCATE_SIDE)
    if len(crops) == 0:
        return boxes, np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32), owner
    offsets, points, face = nets.locate(crops)
    score = face[:, 1]
    sure = score > threshold
    moved = _moved(boxes[sure], offsets[sure], border=1)
    sides = (boxes[sure, 2:] - boxes[sure, :2] + 1)[:, None]  # (N, 1, 2)
    places = points[sure].reshape(-1, 2, 5).transpose(0, 2, 1)  # (N, 5, 2)
    landmarks = boxes[sure, None, :2] - 1 + sides * places
    return moved, score[sure], landmarks.astype(np.float32), owner[sure]


def _crops(
    sums: Sequence[Int32], boxes: Float32, owner: Int64, side: int
) -> tuple[Float32, Int64, Float32]:
    """Return the boxes that overlap their picture, the index of that picture, and their crops.

    Boxes and crops are filtered together, so that their rows stay aligned. A box that reaches
    outside is cut at the border and what is left is stretched, as the networks are used to.
    """
    height, width = sums[0].shape[0] - 1, sums[0].shape[1] - 1
    inside = np.trunc(boxes).astype(np.int64)
    low = np.maximum(inside[:, :2] - 1, 0)
    high = np.minimum(inside[:, 2:], [width, height])
    seen = np.all(high > low, axis=1)
    boxes, owner, low, high = boxes[seen], owner[seen], low[seen], high[seen]
    crops = np.zeros((len(boxes), side, side, 3), np.float32)
    for picture in np.unique(owner):
        mine = owner == picture
        crops[mine] = _squares(sums[picture], low[mine], high[mine], side)
    return boxes, owner, crops


def _level(sums: Int32, out: Float32) -> None:
    """Average a whole picture down (or up) into `out`, (rows, columns, 3), levels 0 to 255."""
    (y0, y1), (x0, x1) = (
        _bins(np.zeros(1, np.int64), np.array([length - 1]), count)[:, 0]
        for length, count in zip(sums.shape[:2], out.shape[:2], strict=True)
    )
    share = np.repeat(1 / np.outer(y1 - y0, x1 - x0).astype(np.float32), 3, axis=1)
    # Channels are taken one by one, which is faster than three at a time.
    first, past = ((3 * x[:, None] + np.arange(3)).ravel() for x in (x0, x1))  # (columns * 3,)
    flat, levels = sums.reshape(len(sums), -1), out.reshape(len(out), -1)
    for start in range(0, len(out), _BAND):
        some = slice(start, start + _BAND)
        band = flat[y1[some]] - flat[y0[some]]  # (_BAND, (W + 1) * 3)
        total = np.take(band, past, axis=1)
        total -= np.take(band, first, axis=1)
        np.multiply(total, share[some], out=levels[some])


def _squares(sums: Int32, low: Int64, high: Int64, side: int) -> Float32:
    """Return rectangles of a picture as squares, (N, side, side, 3), levels 0 to 255.

    Args:
        sums: (H + 1, W + 1, 3) from cv2.integral; differences survive an overflow.
        low: (N, 2) first column and row.
        high: (N, 2) the column and row after the last.
        side: pixels of the squares.
    """
    x0, x1 = _bins(low[:, 0], high[:, 0], side)[..., None, :]  # each (N, 1, side)
    y0, y1 = _bins(low[:, 1], high[:, 1], side)[..., :, None]
    flat, width = sums.reshape(-1, 3), sums.shape[1]
    total = np.take(flat, y1 * width + x1, axis=0)  # (N, side, side, 3)
    total -= np.take(flat, y0 * width + x1, axis=0)
    total -= np.take(flat, y1 * width + x0, axis=0)
    total += np.take(flat, y0 * width + x0, axis=0)
    return total.astype(np.float32) / ((y1 - y0) * (x1 - x0))[..., None].astype(np.float32)


def _bins(low: Int64, high: Int64, count: int) -> Int64:
    """Return first and past-the-last source pixel of each target pixel, (2, N, count).

    A target pixel averages whole source pixels, from the floor of its start to the ceiling of
    its end, as torch's ``adaptive_avg_pool2d`` does, with which MTCNN's weights are used: if
    areas are averaged exactly, half of the faces differ by more than 2 %. Sums from the corner
    (Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984) make the cost independent of
    the size of what is averaged.
    """
    steps = np.arange(count)
    length = (high - low)[:, None]
    return np.stack(
        [low[:, None] + steps * length // count, low[:, None] - (-(steps + 1) * length // count)]
    )


def _cells(row: Int64, column: Int64, scale: float) -> Float32:
    """Return the square of the picture that each output of the proposing network saw, (N, 4)."""
    corner = (np.stack([column, row], axis=1) * mtcnn.PROPOSE_STRIDE + 1).astype(np.float32)
    one = np.float32(scale)  # single precision throughout: a floor may fall either way
    return np.floor(np.concatenate([corner, corner + (mtcnn.PROPOSE_CELL - 1)], axis=1) / one)


def _moved(boxes: Float32, offsets: Float32, *, border: int) -> Float32:
    """Return boxes (N, 4) moved by offsets (N, 4) in units of their sides plus `border`."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2] + border, 2)
    return boxes + offsets * sides


def suppress(boxes: Float32, scores: Float32, owner: Int64, threshold: float) -> Int64:
    """Return the indices kept by greedy non-maximum suppression, best score first, (K,).

    Args:
        boxes: (N, 4).
        scores: (N,), over 0; ties keep the earlier box.
        owner: (N,) the picture of each box; those of different pictures do not overlap.
        threshold: a box whose IoU with a kept one is more than this is dropped.
    """
    placed = boxes.astype(np.float64)
    placed[:, 2:] -= placed[:, :2]
    if owner.any():
        apart = boxes.max() - boxes.min() + 1
        placed[:, :2] += owner[:, None] * apart
    kept = cv2.dnn.NMSBoxes(placed.tolist(), scores.tolist(), 0.0, threshold)
    return np.array(kept, dtype=np.int64)


def _no_int() -> Int64:
    return np.zeros(0, dtype=np.int64)

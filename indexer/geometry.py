"""Pure arithmetic on boxes and landmarks; see `records` for the conventions."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from indexer.records import Bool, Float32, Float64, Int64, UInt8

_FORBIDDEN = 1e3
_DEVIATIONS = 3
"""Standard deviations of a Gaussian beyond which nothing counts."""


def area(boxes: Float32) -> Float32:
    """Return the area of each box, (N,) square pixels; 0 where a box is turned inside out."""
    return np.clip(boxes[:, 2] - boxes[:, 0], 0, None) * np.clip(boxes[:, 3] - boxes[:, 1], 0, None)


def intersection(first: Float32, second: Float32) -> Float32:
    """Return the shared area of each pair of boxes, (N, M) square pixels."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])  # (N, M, 2)
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)


def iou(first: Float32, second: Float32) -> Float32:
    """Return intersection over union of each pair, (N, M) in [0, 1]; 0 for two empty boxes."""
    shared = intersection(first, second)
    union = area(first)[:, None] + area(second)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def pairwise_iou(first: Float32, second: Float32) -> Float32:
    """Return intersection over union of each box with the one in its row, (N,) in [0, 1]."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    union = area(first) + area(second) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def overlap_of_smaller(first: Float32, second: Float32) -> Float32:
    """Return intersection over the smaller area of each pair, (N, M) in [0, 1]."""
    shared = intersection(first, second)
    smaller = np.minimum(area(first)[:, None], area(second)[None, :])
    return np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0)


def squared(boxes: Float32) -> Float32:
    """Return the smallest square around each box with the same centre, (N, 4)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def similarity_transform(source: Float32, target: Float32) -> Float64:
    """Return the rotation, scale and shift that bring `source` nearest to `target`, (N, 2, 3).

    Least squares over the points of each face: Umeyama, "Least-squares estimation of
    transformation parameters between two point patterns", TPAMI 1991, eq. 39-42, without
    reflection; in the plane its solution is closed, with points as complex numbers.

    Args:
        source: (N, P, 2) points of each face.
        target: (P, 2) where they should go.
    """
    points = source[..., 0].astype(np.float64) + 1j * source[..., 1]  # (N, P)
    goal = target[:, 0].astype(np.float64) + 1j * target[:, 1]  # (P,)
    points_mean = points.mean(axis=1, keepdims=True)
    centred = points - points_mean
    spread = np.sum(np.abs(centred) ** 2, axis=1)
    turn = np.sum(np.conj(centred) * (goal - goal.mean()), axis=1)
    turn = np.divide(turn, spread, out=np.ones_like(turn), where=spread > 0)  # scale·e^{iθ}, (N,)
    shift = goal.mean() - turn * points_mean[:, 0]
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.moveaxis(np.array(rows), 2, 0)  # (N, 2, 3)


def interpolate(at: Int64, known: Int64, values: Float32) -> Float32:
    """Return `values` at the positions `at`, linearly between the `known` ones, (T, ...).

    Args:
        at: (T,) positions wanted, within the known range.
        known: (K,) ascending positions of `values`.
        values: (K, ...).
    """
    right = np.clip(np.searchsorted(known, at, side="left"), 1, max(len(known) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(known) - 1)
    gap = np.maximum(known[right] - known[left], 1)
    share = ((at - known[left]) / gap).reshape(-1, *[1] * (values.ndim - 1))
    return (values[left] * (1 - share) + values[right] * share).astype(np.float32)


def steadied(boxes: Float32, times: Float64, *, over_s: float) -> Float32:
    """Return the boxes of one face with their sizes smoothed over time, (K, 4); centres stay.

    A detector that looks at a face anew judges its size a little differently each time, while
    faces themselves grow slowly. Logarithms of width and height become means over the boxes
    before and after, weighted by a Gaussian of the time between, to three deviations.

    Args:
        boxes: (K, 4), in order of time.
        times: (K,), seconds.
        over_s: standard deviation of the Gaussian, in seconds.
    """
    sizes = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)).astype(np.float64)
    total, weighed = np.ones((len(boxes), 1)), sizes.copy()
    for step in range(1, len(boxes)):
        apart = ((times[step:] - times[:-step]) / over_s)[:, None]
        weights = np.exp(-np.square(apart) / 2) * (apart <= _DEVIATIONS)
        if not weights.any():
            break
        total[step:] += weights
        total[:-step] += weights
        weighed[step:] += weights * sizes[:-step]
        weighed[:-step] += weights * sizes[step:]
    halves = np.exp(weighed / total) / 2
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)


def suppress(overlap: Float32, scores: Float32, *, threshold: float) -> Int64:
    """Return the indices kept by greedy non-maximum suppression, best score first, (K,).

    Args:
        overlap: (N, N) overlap of each pair, by whatever measure.
        scores: (N,); ties keep the earlier box.
        threshold: a box that overlaps a kept one by more than this is dropped.
    """
    alive = np.ones(len(scores), dtype=bool)
    kept = []
    for best in np.argsort(-scores, kind="stable"):
        if alive[best]:
            kept.append(best)
            alive &= overlap[best] <= threshold
    return np.array(kept, dtype=np.int64)


def pair(likeness: Float32, allowed: Bool) -> tuple[Int64, Int64]:
    """Return rows and columns of one-to-one pairs, (P,) each: as many as may be, the most alike.

    Args:
        likeness: (N, M), at most 1; its sum over the pairs is maximised.
        allowed: (N, M), which pairs may be chosen.
    """
    rows, columns = linear_sum_assignment(np.where(allowed, 1 - likeness, _FORBIDDEN))
    taken = allowed[rows, columns]
    return rows[taken], columns[taken]


def within_leap(before: Float32, after: Float32, *, reach: float, growth: float) -> Bool:
    """Return which boxes could be of one face that leapt, (N, M).

    Args:
        before: (N, 4).
        after: (M, 4).
        reach: how far apart their centres may be, in sides of the smaller one.
        growth: the largest ratio of their sides.
    """
    sides = [np.sqrt(area(boxes)) for boxes in (before, after)]
    centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (before, after)]
    away = np.linalg.norm(centres[0][:, None] - centres[1][None], axis=2)
    larger = np.maximum(sides[0][:, None], sides[1][None])
    smaller = np.minimum(sides[0][:, None], sides[1][None])
    return np.asarray((away <= reach * smaller) & (larger <= growth * smaller))


def correlation(first: UInt8, second: UInt8) -> Float32:
    """Return how alike small grey pictures are, whatever their brightness and contrast.

    Args:
        first: (N, P, P).
        second: (M, P, P).

    Returns:
        (N, M), Pearson's correlation of the pixels in [-1, 1]; 0 where one is of one grey.
    """
    one, other = (_standardised(pictures) for pictures in (first, second))
    return one @ other.T


def _standardised(pictures: UInt8) -> Float32:
    rows = pictures.reshape(len(pictures), int(np.prod(pictures.shape[1:]))).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)

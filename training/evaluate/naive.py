"""Naive baselines: name each face by its nearest still, cluster tracks by a threshold.

Each has one threshold for all. `bench-identity` names by the cosine at which two wide faces are
as likely of one person as of two, by the encoder's calibration; it clusters by the best in
hindsight.
"""

from __future__ import annotations

import numpy as np
from sklearn.cluster import DBSCAN

from indexer.records import Float32, Int64
from training.evaluate.naming import UNNAMED, Names

_ROUNDS = 20
_LEAST_NEIGHBOURS = 3
"""Neighbours, itself included, that make an item a core item of DBSCAN."""


def nearest_names(vectors: Float32, gallery: Float32, names: Names, threshold: float) -> Names:
    """Return the name of each face's nearest still, (M,), `UNNAMED` if that is too far.

    Args:
        vectors: (M, D), unit rows.
        gallery: (G, D), unit rows.
        names: (G,).
        threshold: the least cosine at which a face gets the name.
    """
    if len(gallery) == 0 or len(vectors) == 0:
        return np.full(len(vectors), UNNAMED)
    cosines = vectors @ gallery.T  # (M, G)
    best = cosines.argmax(axis=1)
    near = cosines[np.arange(len(best)), best] >= threshold
    return np.where(near, names[best], UNNAMED).astype(np.str_)


def spread_in_time(
    names: Names, tracks: Int64, frames: Int64, to_tracks: Int64, to_frames: Int64
) -> Names:
    """Return the name of each face, (N,): that of the encoded face of its track nearest in time.

    Args:
        names: (M,), of the encoded faces.
        tracks: (M,), of the encoded faces.
        frames: (M,), of the encoded faces.
        to_tracks: (N,), of all faces.
        to_frames: (N,), of all faces.
    """
    said = np.full(len(to_tracks), UNNAMED, dtype=names.dtype if len(names) else np.str_)
    for track in np.unique(tracks):
        from_, to = np.flatnonzero(tracks == track), np.flatnonzero(to_tracks == track)
        away = np.abs(to_frames[to, None] - frames[from_])  # (n, m)
        said[to] = names[from_[away.argmin(axis=1)]] if len(to) else said[to]
    return said


def most_frequent(names: Names, tracks: Int64, count: int) -> Names:
    """Return the most frequent name of each track's faces, (count,); `UNNAMED` counts as a name."""
    known, of = np.unique(np.append(names, UNNAMED), return_inverse=True)
    votes = np.zeros((count, len(known)), np.int64)
    np.add.at(votes, (tracks, of[:-1]), 1)
    return np.where(votes.any(axis=1), known[votes.argmax(axis=1)], UNNAMED).astype(np.str_)


def chinese_whispers(vectors: Float32, threshold: float, seed: int = 0) -> Int64:
    """Return the cluster of each item, (N,), from 1 on.

    In rounds, in random order, each item takes the most frequent label among the items at least
    as near as the threshold. Biemann, "Chinese whispers", TextGraphs 2006, fig. 1; edges have
    equal weights, as in dlib.

    Args:
        vectors: (N, D), unit rows.
        threshold: the least cosine of an edge.
        seed: of the order.
    """
    count = len(vectors)
    labels = np.arange(count)
    near = vectors @ vectors.T >= threshold
    np.fill_diagonal(near, val=False)
    rng = np.random.default_rng(seed)
    for _ in range(_ROUNDS):
        before = labels.copy()
        for item in rng.permutation(count):
            if near[item].any():
                labels[item] = np.bincount(labels[near[item]]).argmax()
        if np.array_equal(before, labels):
            break
    return np.unique(labels, return_inverse=True)[1].astype(np.int64) + 1


def dbscan(vectors: Float32, threshold: float) -> Int64:
    """Return the cluster of each item, (N,), from 1 on, 0 for what DBSCAN calls noise.

    Args:
        vectors: (N, D), unit rows.
        threshold: the least cosine of a neighbour.
    """
    if len(vectors) == 0:
        return np.zeros(0, np.int64)
    distances = np.clip(1 - vectors @ vectors.T, 0, 2)
    fitted = DBSCAN(eps=1 - threshold, min_samples=_LEAST_NEIGHBOURS, metric="precomputed")
    return np.asarray(fitted.fit_predict(distances), np.int64) + 1

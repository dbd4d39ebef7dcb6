"""Self-supervised pairs of faces: taken for one person or for two, without a label.

Sharma, Tapaswi, Sarfraz and Stiefelhagen, "Self-supervised learning of face representations for
video face clustering", FG 2019: SSiam from distances alone, TSiam from tracks; pseudo-relevance
feedback is a baseline of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.distance import cdist

from indexer.records import Bool, Float32, Float64, Int64


@dataclass(frozen=True, slots=True)
class TrackFaces:
    """Faces of a show, by track."""

    vectors: Float32
    """(M, D), unit rows."""
    track: Int64
    """(M,), rising, of 0 to N - 1; every track has a face."""
    together: Bool
    """(N, N), which tracks are on screen together, so of two people; symmetric."""
    ties: Int64 = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """(P, 2), tracks taken for one person by other evidence than faces."""

    def __post_init__(self) -> None:
        count = len(self.together)
        if self.together.shape != (count, count) or len(self.track) != len(self.vectors):
            raise ValueError(
                f"expected vectors and track (M,), together (N, N), got {self.vectors.shape}, "
                f"{self.track.shape}, {self.together.shape}"
            )
        if not np.array_equal(np.unique(self.track), np.arange(count)):
            raise ValueError(f"track: expected all of 0 to {count - 1}, got {self.track}")
        if np.any(np.diff(self.track) < 0):
            raise ValueError("track: expected numbers that rise")
        if self.ties.shape[1:] != (2,) or np.any((self.ties < 0) | (self.ties >= count)):
            raise ValueError(f"ties: expected pairs of 0 to {count - 1}, got {self.ties}")

    def means(self, vectors: Float32 | None = None) -> Float32:
        """Return the mean vector of each track, (N, D), or that of other rows `vectors` (M, D)."""
        rows = self.vectors if vectors is None else vectors
        sums = np.zeros((len(self.together), rows.shape[1]), np.float64)
        np.add.at(sums, self.track, rows)
        return np.asarray(sums / np.bincount(self.track)[:, None], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of faces, by index."""

    first: Int64
    """(P,)."""
    second: Int64
    """(P,)."""
    same: Bool
    """(P,), whether the two are taken for one person."""

    def __add__(self, other: Pairs) -> Pairs:
        """Return these pairs followed by the others."""
        return Pairs(
            np.concatenate([self.first, other.first]),
            np.concatenate([self.second, other.second]),
            np.concatenate([self.same, other.same]),
        )


def by_ranking(vectors: Float32, subset: int, count: int, rng: np.random.Generator) -> Pairs:
    """Return SSiam's pairs: the farthest of nearest neighbours, and the nearest of farthest ones.

    Sec. III-B: in a random subset, each face's nearest neighbour is taken for the same person and
    its farthest for another; of both kinds of pair, the hardest are kept.

    Args:
        vectors: (M, D), unit rows; M at least 3.
        subset: faces that are ranked, at most (B in the paper).
        count: pairs of each kind, at most (K).
        rng: chooses the subset.
    """
    chosen, apart = _subset(vectors, subset, rng)
    near, far = _extremes(apart)
    rows = np.arange(len(chosen))
    hardest = np.argsort(-apart[rows, near], kind="stable")[:count]
    nearest = np.argsort(apart[rows, far], kind="stable")[:count]
    return _pairs(
        chosen[np.stack([hardest, near[hardest]])], chosen[np.stack([nearest, far[nearest]])]
    )


def by_feedback(vectors: Float32, subset: int, count: int, rng: np.random.Generator) -> Pairs:
    """Return pseudo-relevance feedback's pairs: random anchors with their nearest and farthest.

    Args:
        vectors: (M, D), unit rows; M at least 3.
        subset: random faces among which all are searched, at most.
        count: anchors, at most; each gives a pair of each kind.
        rng: chooses.
    """
    chosen, apart = _subset(vectors, subset, rng)
    near, far = _extremes(apart)
    asking = np.arange(len(chosen))[:count]
    return _pairs(chosen[np.stack([asking, near[asking]])], chosen[np.stack([asking, far[asking]])])


def _subset(vectors: Float32, size: int, rng: np.random.Generator) -> tuple[Int64, Float64]:
    """Return random faces, (B,), and their cosine distances, (B, B), with an infinite diagonal."""
    chosen = rng.permutation(len(vectors))[:size]
    apart = 1.0 - (vectors[chosen] @ vectors[chosen].T).astype(np.float64)
    np.fill_diagonal(apart, np.inf)
    return chosen, apart


def _extremes(apart: Float64) -> tuple[Int64, Int64]:
    """Return the nearest and the farthest other face of each, (B,) each."""
    farthest = np.where(np.isinf(apart), -np.inf, apart)
    return np.argmin(apart, axis=1), np.argmax(farthest, axis=1)


def _pairs(same: Int64, different: Int64) -> Pairs:
    first, second = np.concatenate([same, different], axis=1)
    return Pairs(first, second, np.arange(len(first)) < same.shape[1])


@dataclass(frozen=True, slots=True)
class Others:
    """For each track, the tracks taken for somebody else, its negatives."""

    allowed: Bool
    """(N, N)."""


def others(faces: TrackFaces, farthest: int = 25) -> Others:
    """Return each track's negatives: those on screen with it or, if there are none, the farthest.

    Sec. III-C: a track that is never on screen with another (a singleton) takes its negatives
    from the tracks that are farthest by their mean vectors (F in the paper).
    """
    allowed = faces.together.copy()
    means = faces.means()
    apart = cdist(means, means)
    np.fill_diagonal(apart, -np.inf)
    for lonely in np.flatnonzero(~allowed.any(axis=1)):
        order = np.argsort(-apart[lonely], kind="stable")
        allowed[lonely, order[: min(farthest, len(order) - 1)]] = True
    return Others(allowed)


def by_tracks(faces: TrackFaces, rivals: Others, asking: Int64, rng: np.random.Generator) -> Pairs:
    """Return TSiam's pairs: for each anchor, two within its track and four with negative tracks.

    An anchor that is alone in its track, or has no negative tracks, gives none of that kind.

    Args:
        faces: the show's.
        rivals: from `others`.
        asking: (A,), the anchors, by index.
        rng: chooses the other face of each pair.
    """
    starts = np.searchsorted(faces.track, np.arange(len(faces.together) + 1))
    same: list[tuple[int, int]] = []
    different: list[tuple[int, int]] = []
    for face in asking.tolist():
        own = int(faces.track[face])
        mates = np.setdiff1d(np.arange(starts[own], starts[own + 1]), [face])
        if len(mates):
            same += [(face, int(mate)) for mate in rng.choice(mates, 2)]
        rival_tracks = np.flatnonzero(rivals.allowed[own])
        if len(rival_tracks):
            for track in rng.choice(rival_tracks, 4):
                different.append((face, int(rng.integers(starts[track], starts[track + 1]))))
    return _pairs(*(np.array(one, np.int64).reshape(-1, 2).T for one in (same, different)))


def by_ties(faces: TrackFaces, count: int, rng: np.random.Generator) -> Pairs:
    """Return pairs of random faces of random tied tracks, all taken for one person.

    Args:
        faces: the show's; without ties there are no pairs.
        count: pairs.
        rng: chooses.
    """
    if not len(faces.ties):
        return _pairs(np.zeros((2, 0), np.int64), np.zeros((2, 0), np.int64))
    edges = np.searchsorted(faces.track, np.arange(len(faces.together) + 1))
    tracks = faces.ties[rng.integers(len(faces.ties), size=count)].T
    return _pairs(rng.integers(edges[tracks], edges[tracks + 1]), np.zeros((2, 0), np.int64))

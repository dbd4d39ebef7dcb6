"""Tracks in, who may be one person out: faces, clothes, places, and who is seen beside whom.

A face says who somebody is, the better the clearer it was seen. Within a scene people keep their
clothes, and places before a camera that it cuts back to, so a face that says little is helped by a
clear one a few shots away. Two who are on screen together are two people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit

from indexer.records import Bool, Float32, Float64, Int64, Track, Yardstick
from indexer.scene import clothes_odds, place_odds

NEVER = -1e3
"""Log-odds that two on screen together are one."""
_APART = 0.03
"""Mean cosine of different people, once nothing is common to all."""
_PSEUDO_PAIRS = 4.0
"""How many pairs of a show weigh as much as the prior."""
_STEPS = 21
_FEW_TRACKS = 10.0
"""How many tracks it takes until half of their mean may be taken away."""
_CERTAIN = 8.0
"""Log-odds beyond which a pair of faces says no more."""
_PRIOR = -4.0
"""Log-odds that two tracks are of one person before anything is seen, in a cast of dozens."""
_HALF = 0.5
"""A track is pooled with others that are likelier than this to show the same person."""
MOMENT_S = 0.3
"""Two tracks are of two people if they are on screen together for longer."""
_INSTANT_S = 1e-6
CLEAR_PX = 48.0
"""Width of a face that gives an encoder nearly all it will."""
NEAREST = 10
"""How many of the cohort are the most similar."""
_DIM = 0.02
"""Clarity, as a share, that is told from nothing."""


@dataclass(frozen=True, slots=True)
class Affinity:
    """How N tracks of an episode are related."""

    common: Float32
    """(D,), what all its faces have in common; it is taken away before faces are compared."""
    vectors: Float32
    """(N, D), unit rows: the tracks' faces without it."""
    widths: Float32
    """(N,), how clearly each was seen, as the width in pixels of a face seen as clearly."""
    near: Float32
    """(N,), how near each is to strangers, as `nearness` says."""
    odds: Float32
    """(N, N), log-odds that two show one person by all of it; NEVER for two on screen together."""
    scene: Float32
    """(N, N), those of clothes and places alone."""

    @property
    def clarity(self) -> Clarity:
        """Return how clearly each was seen, (N,)."""
        return Clarity(self.widths, self.near)

    def only(self, some: Int64) -> Affinity:
        """Return the same of some of the tracks, by index."""
        pairs = np.ix_(some, some)
        return Affinity(
            common=self.common,
            vectors=self.vectors[some],
            widths=self.widths[some],
            near=self.near[some],
            odds=self.odds[pairs],
            scene=self.scene[pairs],
        )


@dataclass(frozen=True, slots=True)
class Pooled:
    """Tracks that were helped by others."""

    vectors: Float32
    """(N, D), unit rows."""
    widths: Float32
    """(N,), as of `Affinity`; more was seen of them."""
    weights: Float32
    """(N, N), how much each other track counts for each, 0 to 1; 1 on the diagonal."""


def relate(
    tracks: Sequence[Track],
    together: Bool,
    different: Float32,
    stick: Yardstick,
    *,
    scene: bool = True,
) -> Affinity:
    """Return how the tracks of an episode are related.

    Args:
        tracks: N of them.
        together: (N, N), which of them are on screen together.
        different: (C, D), unit rows of people known to be different: the gallery's centres.
        stick: the encoder's.
        scene: whether what they wear, and where they are, counts.
    """
    vectors = np.array([track.embedding for track in tracks], np.float32)
    vectors = vectors.reshape(len(tracks), different.shape[1])
    widths = clear_px(tracks)
    shared = common(vectors, widths, together, different)
    own = without(vectors, shared)
    clear = Clarity(widths, nearness(own, shared, stick))
    faces = pair_odds(own @ own.T, clear.rows, clear.columns, stick)
    around = np.zeros_like(faces)
    if scene:
        around = (clothes_odds(tracks, together) + place_odds(tracks)).astype(np.float32)
    return Affinity(shared, own, widths, clear.near, _all_odds(faces, around, together), around)


def _all_odds(faces: Float32, around: Float32, never: Bool) -> Float32:
    odds = np.clip(faces, -_CERTAIN, _CERTAIN) + around
    return np.where(never, np.float32(NEVER), odds)


def helped(known: Affinity, stick: Yardstick) -> Float32:
    """Return the log-odds that two tracks show one person, (N, N), now that others helped each.

    Args:
        known: how they are related, each by itself.
        stick: the encoder's; without coefficients of helped tracks nothing changes.
    """
    if not stick.helped:
        return known.odds
    pool = pooled(known)
    clear = Clarity(pool.widths, nearness(pool.vectors, known.common, stick))
    faces = helped_odds(pool.vectors @ pool.vectors.T, clear.rows, clear.columns, stick)
    return _all_odds(faces, known.scene, known.odds <= NEVER)


def helped_odds(cosine: Float32, first: Clarity, second: Clarity, stick: Yardstick) -> Float32:
    """Return what `pair_odds` does, of vectors that several tracks have a part in."""
    return pair_odds(cosine, first, second, replace(stick, pairs=stick.helped or stick.pairs))


@dataclass(frozen=True, slots=True)
class Clarity:
    """What decides how much a cosine to some vectors says, of any shape."""

    px: Float32
    """How clearly each was seen, as the width in pixels of a face seen as clearly."""
    near: Float32
    """How near each is to strangers, as `nearness` says."""

    def __getitem__(self, some: Int64) -> Clarity:
        """Return those of some."""
        return Clarity(self.px[some], self.near[some])

    @property
    def rows(self) -> Clarity:
        """Return N of them as (N, 1)."""
        return Clarity(self.px[:, None], self.near[:, None])

    @property
    def columns(self) -> Clarity:
        """Return N of them as (1, N)."""
        return Clarity(self.px[None], self.near[None])


def pair_odds(cosine: Float32, first: Clarity, second: Clarity, stick: Yardstick) -> Float32:
    """Return the log-odds that two tracks show one person, of the shape of `cosine`.

    Args:
        cosine: of their vectors.
        first: of the one, broadcast against it.
        second: of the other, likewise.
        stick: the encoder's.
    """
    if not stick.pairs:
        return stick.calibration.log_odds(cosine, first.px, second.px)
    one, *weights = stick.pairs
    found = one + np.zeros(cosine.shape)
    for weight, term in zip(weights, pair_terms(cosine, first, second), strict=True):
        found += weight * term
    return found.astype(np.float32)


def pair_terms(cosine: Float32, first: Clarity, second: Clarity) -> Iterator[Float32]:
    """Yield what the log-odds of pairs are linear in, as `Yardstick.pairs` says, one by one.

    Args:
        cosine: as of `pair_odds`, like the others.
        first: likewise.
        second: likewise.
    """
    dim = first.px < second.px
    low, high = np.minimum(first.px, second.px), np.maximum(first.px, second.px)
    low, high = np.log(low / CLEAR_PX + _DIM), np.log(high / CLEAR_PX + _DIM)
    yield from (cosine, low, high)
    yield cosine * low
    yield cosine * high
    yield np.where(dim, first.near, second.near)
    yield np.where(dim, second.near, first.near)


def nearness(vectors: Float32, shared: Float32, stick: Yardstick) -> Float32:
    """Return the mean cosine to the most similar of the cohort, (N,), 0 without a cohort.

    Args:
        vectors: (N, D), unit rows without what is common.
        shared: (D,), what is common.
        stick: the encoder's.
    """
    if not len(stick.cohort):
        return np.zeros(len(vectors), np.float32)
    alike = vectors @ without(stick.cohort, shared).T
    most = min(NEAREST, alike.shape[1])
    return np.partition(alike, -most, axis=1)[:, -most:].mean(axis=1)


def clear_px(tracks: Sequence[Track]) -> Float32:
    """Return how clearly faces were seen, (N,), as the width of one face seen as clearly."""
    total = np.array([track.quality.sum() for track in tracks], dtype=np.float32)
    return CLEAR_PX * total


def common(vectors: Float32, weights: Float32, together: Bool, different: Float32) -> Float32:
    """Return what the faces of a show have in common, (D,).

    It is a share of their mean: the least with which people known to be different are, on
    average, no more alike than people are. Without such people it is nothing.

    Args:
        vectors: (N, D), unit rows of tracks.
        weights: (N,), how much each says.
        together: (N, N), which tracks are on screen together, so are of different people.
        different: (C, D), unit rows of people known to be different.
    """
    if len(vectors) == 0:
        return np.zeros(different.shape[1], np.float32)
    first, second = np.nonzero(np.triu(together))
    pair_weights = np.minimum(np.minimum(weights[first], weights[second]) / CLEAR_PX, 1)
    upper = np.triu_indices(len(different), k=1)
    count = _PSEUDO_PAIRS + pair_weights.sum() + len(upper[0]) / 2
    mean = np.average(vectors, axis=0, weights=np.maximum(weights, 1e-3)).astype(np.float32)
    # The mean of a few tracks is that of the people they happen to show.
    most = len(vectors) / (len(vectors) + _FEW_TRACKS)
    for share in np.linspace(0, most, _STEPS, dtype=np.float32):
        left, known = without(vectors, share * mean), without(different, share * mean)
        alike = pair_weights @ np.sum(left[first] * left[second], axis=1)
        alike += np.sum((known @ known.T)[upper]) / 2 + _PSEUDO_PAIRS * _APART
        if alike / count <= _APART * 1.2:
            break
    return np.asarray(share * mean, dtype=np.float32)


def without(vectors: Float32, shared: Float32) -> Float32:
    """Return unit rows (N, D) with what is common to all taken away."""
    left = vectors - shared
    lengths = np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-6)
    return (left / lengths).astype(np.float32)


def cooccurring(tracks: Sequence[Track]) -> Bool:
    """Return which pairs of an episode's tracks are on screen together, (N, N); none with itself.

    As `together` says.
    """
    start = np.array([track.start_s for track in tracks])
    end = np.array([track.end_s for track in tracks])
    shared = together(start[:, None], end[:, None], start, end)
    return shared & ~np.eye(len(tracks), dtype=bool)


def together(start: Float64, end: Float64, other_start: Float64, other_end: Float64) -> Bool:
    """Return whether tracks are on screen together, so of two people; in seconds, broadcast.

    That is for more than `MOMENT_S`, or for more than half of the time in which either is. Where a
    face is lost and found its tracks may overlap a little: of the pairs that share less, as many
    are of one person as of any two tracks.
    """
    shared = shared_s(start, end, other_start, other_end)
    either = np.maximum(end, other_end) - np.minimum(start, other_start)
    return np.asarray(shared > np.minimum(MOMENT_S, either / 2) + _INSTANT_S, dtype=np.bool_)


def shared_s(start: Float64, end: Float64, other_start: Float64, other_end: Float64) -> Float64:
    """Return how long tracks are on screen together, in seconds, broadcast; below 0 if not."""
    return np.asarray(np.minimum(end, other_end) - np.maximum(start, other_start))


def pooled(known: Affinity, helpful: Bool | None = None) -> Pooled:
    """Return each track helped by those that probably show the same person.

    Others help the more, the likelier all other helpers, the track itself among them, show the same
    person as they do, each counted as clearly as it was seen: who looks like somebody else is alike
    to many of that person's tracks, but more so to those of their own, which are not.

    Args:
        known: how they are related.
        helpful: (N, N), which may help each other; all if not given.
    """
    likely = np.clip((expit(known.odds + _PRIOR) - _HALF) / (1 - _HALF), 0, 1).astype(np.float32)
    np.fill_diagonal(likely, 1.0)
    clear = np.minimum(known.widths, CLEAR_PX)
    weights = likely * _vouched(likely, clear)
    if helpful is not None:
        weights[~helpful] = 0.0
    np.fill_diagonal(weights, 1.0)
    sums = np.asarray((weights * clear) @ known.vectors, dtype=np.float32)
    return Pooled(
        vectors=without(sums, np.zeros(sums.shape[1], np.float32)),
        widths=(weights @ clear).astype(np.float32),
        weights=weights,
    )


def _vouched(likely: Float32, clear: Float32) -> Float32:
    """Return by what share of a track's helpers each other one is vouched for, but for itself."""
    votes = likely * clear
    others = csr_array(votes) @ likely - votes  # few are likely
    return np.clip(others / np.maximum(votes.sum(axis=1, keepdims=True) - votes, 1e-6), 0, 1)

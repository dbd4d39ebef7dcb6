"""Tracks in, log-odds that two show one person out: by face, clothes, place and co-occurrence.

The clearer a face was seen, the more it says about who it is. Within a scene people keep their
clothes, and their places before a camera that the scene cuts back to, so a face that says little
is helped by a clear one a few shots away. Tracks that are on screen together are two people.
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
"""Log-odds that two tracks on screen together show one person."""
_APART = 0.03
"""Mean cosine of different people once the component common to all faces is subtracted."""
_PSEUDO_PAIRS = 4.0
"""How many pairs of a show weigh as much as the prior."""
_STEPS = 21
_FEW_TRACKS = 10.0
"""Number of tracks at which up to half of their mean may be subtracted."""
_CERTAIN = 8.0
"""Most log-odds that a pair of faces may contribute, either way."""
_PRIOR = -4.0
"""Log-odds that two tracks are of one person before anything is seen, in a cast of dozens."""
_HALF = 0.5
"""A track is pooled with others that show the same person with more than this probability."""
MOMENT_S = 0.3
"""Two tracks are of two people if they are on screen together for longer."""
_INSTANT_S = 1e-6
CLEAR_PX = 48.0
"""Width of a face beyond which an encoder gains little."""
NEAREST = 10
"""How many of the most similar people of the cohort `nearness` averages."""
_DIM = 0.02
"""Added to clarity, as a share of CLEAR_PX, so that its logarithm is bounded below."""


@dataclass(frozen=True, slots=True)
class Affinity:
    """How N tracks of an episode are related."""

    common: Float32
    """(D,), the component common to all its faces, subtracted before faces are compared."""
    vectors: Float32
    """(N, D), unit rows: the tracks' embeddings without it."""
    widths: Float32
    """(N,), clarity: the width in pixels of one face seen as clearly as the track."""
    near: Float32
    """(N,), similarity to strangers, from `nearness`."""
    odds: Float32
    """(N, N), log-odds that two show one person by all evidence; NEVER if on screen together."""
    scene: Float32
    """(N, N), the part of the log-odds that clothes and places contribute."""

    @property
    def clarity(self) -> Clarity:
        """Return clarity and similarity to strangers of each track, (N,)."""
        return Clarity(self.widths, self.near)

    def only(self, some: Int64) -> Affinity:
        """Return the same for some of the tracks, by index."""
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
    """Tracks, each pooled with others that probably show the same person."""

    vectors: Float32
    """(N, D), unit rows."""
    widths: Float32
    """(N,), clarity as in `Affinity`, summed over the pool."""
    weights: Float32
    """(N, N), weight of the column's track in the row's pool, in [0, 1]; 1 on the diagonal."""


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
        stick: the encoder's yardstick.
        scene: whether clothes and places count.
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
    """Return the log-odds that two tracks show one person, (N, N), after pooling each.

    Args:
        known: how the tracks are related before pooling.
        stick: the encoder's yardstick; without coefficients for pooled tracks nothing changes.
    """
    if not stick.helped:
        return known.odds
    pool = pooled(known)
    clear = Clarity(pool.widths, nearness(pool.vectors, known.common, stick))
    faces = helped_odds(pool.vectors @ pool.vectors.T, clear.rows, clear.columns, stick)
    return _all_odds(faces, known.scene, known.odds <= NEVER)


def helped_odds(cosine: Float32, first: Clarity, second: Clarity, stick: Yardstick) -> Float32:
    """Return the same as `pair_odds`, for vectors that are pooled from several tracks."""
    return pair_odds(cosine, first, second, replace(stick, pairs=stick.helped or stick.pairs))


@dataclass(frozen=True, slots=True)
class Clarity:
    """What decides how much a cosine to some vectors is worth, in arrays of any shape."""

    px: Float32
    """Clarity: the width in pixels of one face seen as clearly."""
    near: Float32
    """Similarity to strangers, from `nearness`."""

    def __getitem__(self, some: Int64) -> Clarity:
        """Return some of them, by index."""
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
        first: clarity of the one, broadcast against `cosine`.
        second: clarity of the other, likewise.
        stick: the encoder's yardstick.
    """
    if not stick.pairs:
        return stick.calibration.log_odds(cosine, first.px, second.px)
    one, *weights = stick.pairs
    found = one + np.zeros(cosine.shape)
    for weight, term in zip(weights, pair_terms(cosine, first, second), strict=True):
        found += weight * term
    return found.astype(np.float32)


def pair_terms(cosine: Float32, first: Clarity, second: Clarity) -> Iterator[Float32]:
    """Yield the terms in which the log-odds of pairs are linear, as listed at `Yardstick.pairs`.

    Args:
        cosine: as in `pair_odds`.
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
    """Return the mean cosine to the most similar people of the cohort, (N,); 0 without a cohort.

    Args:
        vectors: (N, D), unit rows without the common component.
        shared: (D,), the common component.
        stick: the encoder's yardstick.
    """
    if not len(stick.cohort):
        return np.zeros(len(vectors), np.float32)
    alike = vectors @ without(stick.cohort, shared).T
    most = min(NEAREST, alike.shape[1])
    return np.partition(alike, -most, axis=1)[:, -most:].mean(axis=1)


def clear_px(tracks: Sequence[Track]) -> Float32:
    """Return the clarity of each track, (N,): the width in pixels of one face seen as clearly."""
    total = np.array([track.quality.sum() for track in tracks], dtype=np.float32)
    return CLEAR_PX * total


def common(vectors: Float32, weights: Float32, together: Bool, different: Float32) -> Float32:
    """Return the component that the faces of a show have in common, (D,).

    It is a share of their mean: the smallest at which people known to be different are, on
    average, hardly more similar than any two people. Without such people it is 0.

    Args:
        vectors: (N, D), unit rows of tracks.
        weights: (N,), their clarity in pixels.
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
    """Return the vectors minus the common component, as unit rows, (N, D)."""
    left = vectors - shared
    lengths = np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-6)
    return (left / lengths).astype(np.float32)


def cooccurring(tracks: Sequence[Track]) -> Bool:
    """Return which of an episode's tracks are on screen together, (N, N); none with itself.

    As defined by `together`.
    """
    start = np.array([track.start_s for track in tracks])
    end = np.array([track.end_s for track in tracks])
    shared = together(start[:, None], end[:, None], start, end)
    return shared & ~np.eye(len(tracks), dtype=bool)


def together(start: Float64, end: Float64, other_start: Float64, other_end: Float64) -> Bool:
    """Return whether tracks are on screen together, so of two people; in seconds, broadcast.

    They are if they share more than `MOMENT_S`, or more than half of the time in which either is
    on screen. Tracks of one face that was lost and found again may overlap for less: of the pairs
    that share less, as many are of one person as of any two tracks.
    """
    shared = shared_s(start, end, other_start, other_end)
    either = np.maximum(end, other_end) - np.minimum(start, other_start)
    return np.asarray(shared > np.minimum(MOMENT_S, either / 2) + _INSTANT_S, dtype=np.bool_)


def shared_s(start: Float64, end: Float64, other_start: Float64, other_end: Float64) -> Float64:
    """Return how long tracks are on screen together, in seconds, broadcast; negative if not."""
    return np.asarray(np.minimum(end, other_end) - np.maximum(start, other_start))


def pooled(known: Affinity, helpful: Bool | None = None) -> Pooled:
    """Return each track pooled with its helpers, those that probably show the same person.

    A helper weighs more, the likelier it shows the same person as the track and as the track's
    other helpers, clear ones counting more. So look-alikes are helped by tracks of their own, which
    support one another, rather than by those of the person they resemble.

    Args:
        known: how the tracks are related.
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
    """Return how far each row's helpers support the column's one, (N, N) in [0, 1].

    The weighted mean of `likely` over the row's other helpers, the row's track itself included.
    """
    votes = likely * clear
    others = csr_array(votes) @ likely - votes  # sparse: few pairs are likely
    return np.clip(others / np.maximum(votes.sum(axis=1, keepdims=True) - votes, 1e-6), 0, 1)

"""Tracks in, who may be one person out: faces, clothes, places, and who is seen beside whom.

A face says who somebody is, the better the clearer it was seen. Within a scene people keep their
clothes, and places before a camera that it cuts back to, so a face that says little is helped by a
clear one a few shots away.
Two faces in one frame are two people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from indexer.records import BLANK, Bool, Float32, Float64, Int64, Track, Yardstick

REACH = 12
"""Shots within which a scene is likely to go on."""
NEVER = -1e3
"""Log-odds that two people in one frame are one."""
_APART = 0.03
"""Mean cosine of different people, once nothing is common to all."""
_PSEUDO_PAIRS = 4.0
"""How many pairs of a show weigh as much as the prior."""
_STEPS = 21
_FEW_TRACKS = 10.0
"""How many tracks it takes until half of their mean may be taken away."""
_SLOPE, _MIDDLE, _PULL = 1.6, 1.3, 1.1
"""Of the log-odds over t = -log(1 - similarity) of clothes: slope, midpoint where people in one
frame dress as differently as usual, and how far it moves with what they wear."""
_DRESSED, _PSEUDO_DRESSED = 0.6, 10.0
"""The usual mean of t of two people in one frame, and how many such pairs it weighs as much as."""
_CLOTHES = (-1.5, 3.5)
"""The least and the most that clothes say."""
_ALIKE_BITS, _UNLIKE_BITS = 18.0, 24.0
"""Bits, of 63, in which two pictures differ that one camera has taken for sure, and at least where
it has not: measured on made seasons, like the next."""
_APART_WIDTHS, _PLACES = (1.0, 2.5, 4.0), (4.0, 0.0, -1.4)
"""How far two faces are apart, in their widths, and what that adds to the log-odds."""
_CERTAIN = 8.0
"""Log-odds beyond which a pair of faces says no more."""
_PRIOR = -4.0
"""Log-odds that two tracks are of one person before anything is seen, in a cast of dozens."""
_HALF = 0.5
"""A track is pooled with others that are more likely than this to show the same person."""
CLEAR_PX = 48.0
"""Width of a face that gives an encoder nearly all it will."""
_FULL_PX = 96.0
_DIM = 0.02
"""Clarity, as a share, that is told from nothing."""
_NEAREST = 10
"""How many of the cohort are the most similar."""


@dataclass(frozen=True, slots=True)
class Affinity:
    """How N tracks of an episode are related."""

    common: Float32
    """(D,), what all its faces have in common; it is taken away before faces are compared."""
    vectors: Float32
    """(N, D), unit rows: the tracks' faces without it."""
    widths: Float32
    """(N,), how clearly each was seen, as the width in pixels of a face seen as clearly."""
    odds: Float32
    """(N, N), log-odds that two show one person by faces and clothes; NEVER for two in a frame."""

    def only(self, some: Int64) -> Affinity:
        """Return the same of some of the tracks, by index."""
        pairs = np.ix_(some, some)
        return Affinity(
            common=self.common,
            vectors=self.vectors[some],
            widths=self.widths[some],
            odds=self.odds[pairs],
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
        together: (N, N), which of them share a frame.
        different: (C, D), unit rows of people known to be different: the gallery's centres.
        stick: the encoder's.
        scene: whether what they wear, and where they are, counts.
    """
    vectors = np.array([track.embedding for track in tracks], np.float32)
    vectors = vectors.reshape(len(tracks), different.shape[1])
    widths = clear_px(tracks)
    shared = common(vectors, widths, together, different)
    own = without(vectors, shared)
    faces = pair_odds(own @ own.T, widths[:, None], widths[None, :], stick)
    odds = np.clip(faces, -_CERTAIN, _CERTAIN).astype(np.float64)
    if scene:
        odds = odds + clothes_odds(tracks, together) + place_odds(tracks)
    return Affinity(shared, own, widths, np.where(together, NEVER, odds).astype(np.float32))


def pair_odds(cosine: Float32, first_px: Float32, second_px: Float32, stick: Yardstick) -> Float32:
    """Return the log-odds that two tracks show one person, of the shape of `cosine`.

    Args:
        cosine: of their vectors.
        first_px: how clearly one was seen, broadcast against it.
        second_px: how clearly the other was.
        stick: the encoder's.
    """
    if not stick.pairs:
        return stick.calibration.log_odds(cosine, first_px, second_px)
    low, high = clarity(first_px, second_px)
    one, cos, by_low, by_high, cos_low, cos_high = stick.pairs
    slope = cos + cos_low * low + cos_high * high
    return (one + slope * cosine + by_low * low + by_high * high).astype(np.float32)


def name_odds(
    vectors: Float32, widths: Float32, people: Float32, shared: Float32, stick: Yardstick
) -> Float64:
    """Return the log-odds of each track's being each character and not a stranger, (N, C).

    A track that is near many of the cohort is easily mistaken for somebody (adaptive symmetric
    normalisation: Matějka et al., "Analysis of score normalization in multilingual speaker
    recognition", Interspeech 2017, sec. 3).

    Args:
        vectors: (N, D), unit rows of tracks without what is common.
        widths: (N,), how clearly they were seen.
        people: (C, D), unit rows: the characters' centres, likewise.
        shared: (D,), what is common.
        stick: the encoder's.
    """
    if not stick.names:
        # Stills are taken to be wide: people choose those that show something.
        wide = np.full((1, 1), stick.calibration.widths[-1], np.float32)
        plain = stick.calibration.log_odds(vectors @ people.T, widths[:, None], wide)
        return plain.astype(np.float64)
    terms = name_terms(vectors, widths, people, shared, stick)
    return _weighted(terms, stick)


def _weighted(terms: Sequence[Float64], stick: Yardstick) -> Float64:
    one, *rest = stick.names
    found = one + np.zeros(terms[0].shape)
    for weight, term in zip(rest, terms, strict=True):
        found += weight * term
    return found


def usual_odds(
    cosine: Float64,
    width_px: float,
    person: Float32,
    stick: Yardstick,
    near: float,
) -> Float64:
    """Return the log-odds of a name over the cosine, for a face like most, of `cosine`'s shape.

    Args:
        cosine: to the character's centre.
        width_px: how clearly the face was seen.
        person: (D,), the centre, a unit row.
        stick: the encoder's.
        near: how near the face is to others, as `nearness` says.
    """
    if not stick.names:
        width = np.full(cosine.shape, width_px, np.float32)
        wide = np.full(cosine.shape, stick.calibration.widths[-1], np.float32)
        plain = stick.calibration.log_odds(cosine.astype(np.float32), width, wide)
        return plain.astype(np.float64)
    other = nearness(person[None], 0 * person, stick)[0]
    return _weighted(_terms(cosine, np.array(width_px), np.array(near), other), stick)


def usual_nearness(stick: Yardstick) -> float:
    """Return how near people are to others, on average over the cohort; 0 without one."""
    if len(stick.cohort) <= _NEAREST:
        return 0.0
    alike = stick.cohort @ stick.cohort.T
    np.fill_diagonal(alike, -1)
    return float(np.partition(alike, -_NEAREST, axis=1)[:, -_NEAREST:].mean())


def nearness(vectors: Float32, shared: Float32, stick: Yardstick) -> Float32:
    """Return the mean cosine to the most similar of the cohort, (N,), 0 without a cohort.

    Args:
        vectors: (N, D), unit rows without what is common.
        shared: (D,), what is common.
        stick: the encoder's.
    """
    if not len(stick.cohort):
        return np.zeros(len(vectors), np.float32)
    return _nearest(vectors, without(stick.cohort, shared))


def name_terms(
    vectors: Float32, widths: Float32, people: Float32, shared: Float32, stick: Yardstick
) -> tuple[Float64, ...]:
    """Return what the log-odds of names are linear in, (N, C) each, as `Yardstick.names` says.

    Args:
        vectors: as of `name_odds`, like the others.
        widths: likewise.
        people: likewise.
        shared: likewise.
        stick: with a cohort.
    """
    cosine = (vectors @ people.T).astype(np.float64)
    cohort = without(stick.cohort, shared)
    near, other = _nearest(vectors, cohort)[:, None], _nearest(people, cohort)[None]
    return _terms(cosine, widths[:, None].astype(np.float64), near, other)


def _terms(
    cosine: Float64, width_px: Float64, near: Float64 | Float32, other: Float64 | Float32
) -> tuple[Float64, ...]:
    clear = np.log(np.maximum(width_px, 1e-3) / _FULL_PX) + 0 * cosine
    close, theirs = near + 0 * cosine, other + 0 * cosine
    return cosine, clear, cosine * clear, cosine**2, close, theirs, close * clear


def clarity(first_px: Float32, second_px: Float32) -> tuple[Float32, Float32]:
    """Return the logarithms of the lower and the higher clarity of two tracks."""
    low, high = np.minimum(first_px, second_px), np.maximum(first_px, second_px)
    return np.log(low / CLEAR_PX + _DIM), np.log(high / CLEAR_PX + _DIM)


def _nearest(vectors: Float32, cohort: Float32) -> Float32:
    """Return the mean cosine to the most similar of the cohort, (N,)."""
    alike, most = vectors @ cohort.T, min(_NEAREST, len(cohort))
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
        together: (N, N), which tracks share a frame, so are of different people.
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
    """Return which pairs of an episode's tracks share a frame, (N, N), False on the diagonal."""
    start = np.array([track.start_frame for track in tracks], dtype=np.int64)
    end = np.array([track.end_frame for track in tracks], dtype=np.int64)
    shared = (start[:, None] <= end[None, :]) & (start[None, :] <= end[:, None])
    return shared & ~np.eye(len(tracks), dtype=bool)


def near(tracks: Sequence[Track]) -> Bool:
    """Return which tracks are few enough shots apart for one scene, (N, N)."""
    shots = np.array([track.shot for track in tracks])
    return np.asarray(np.abs(shots[:, None] - shots) <= REACH)


def clothes_odds(tracks: Sequence[Track], together: Bool) -> Float64:
    """Return what clothes add to the log-odds that two tracks show one person, (N, N).

    Nothing where they were not seen, or the shots are too far apart for one scene. Where people
    in one frame dress alike, clothes say less.
    """
    if not tracks:
        return np.zeros((0, 0))
    worn = np.stack([track.clothes for track in tracks])
    seen = np.linalg.norm(worn, axis=1) > _HALF
    far = -np.log(np.clip(1 - worn @ worn.T, 0.01, 1))
    both = seen[:, None] & seen
    known = far[np.triu(together & both)]
    usual = (known.sum() + _PSEUDO_DRESSED * _DRESSED) / (len(known) + _PSEUDO_DRESSED)
    odds = _SLOPE * (far - _MIDDLE - _PULL * (usual - 0.5))
    return np.where(both & near(tracks), np.clip(odds, *_CLOTHES), 0.0)


def place_odds(tracks: Sequence[Track]) -> Float64:
    """Return what places add to the log-odds that two tracks show one person, (N, N).

    Scenes cut between a few cameras: where the picture after a cut looks like one from before
    another cut, whoever is at the same place then is likely the same person, and whoever is far
    from there is not. Nothing where pictures are not alike, or too far apart for one scene.
    """
    if not tracks:
        return np.zeros((0, 0))
    bits, widths, known = placed(tracks)
    alike = np.clip((_UNLIKE_BITS - bits) / (_UNLIKE_BITS - _ALIKE_BITS), 0, 1)
    odds = np.where(known, alike * np.interp(widths, _APART_WIDTHS, _PLACES), 0.0)
    return odds + odds.T


def placed(tracks: Sequence[Track]) -> tuple[Int64, Float64, Bool]:
    """Return how one track's end and another's beginning compare, (N, N) each: earlier, later.

    The bits in which the pictures differ, how far apart the faces are, in their widths, and where
    that says something: of shots near one another, of which the first is before the second.
    """
    shots = np.array([track.shot for track in tracks])
    first, last = (np.array([track.views[n] for track in tracks]) for n in (0, 1))
    start, end = (np.stack([track.ends.reshape(2, 4)[n] for track in tracks]) for n in (0, 1))
    bits = np.bitwise_count(last[:, None] ^ first).astype(np.int64)
    seen = (last != BLANK)[:, None] & (first != BLANK)
    known = seen & (shots[:, None] < shots) & near(tracks)
    return bits, _widths_apart(end, start), np.asarray(known)


def _widths_apart(some: Float32, others: Float32) -> Float64:
    """Return how far the centres of boxes (N, 4) are from those of (M, 4), in boxes, (N, M)."""
    apart = (some[:, None, :2] + some[:, None, 2:] - others[:, :2] - others[:, 2:]) / 2
    sides = (some[:, 2:] - some[:, :2])[:, None] * (others[:, 2:] - others[:, :2])
    return np.linalg.norm(apart / np.sqrt(np.maximum(sides, 1e-8)), axis=2).astype(np.float64)


def pooled(known: Affinity, helpful: Bool | None = None) -> Pooled:
    """Return each track helped by those that probably show the same person.

    Args:
        known: how they are related.
        helpful: (N, N), which may help each other; all if not given.
    """
    likely = expit(known.odds + _PRIOR)
    if helpful is not None:
        likely = np.where(helpful, likely, 0.0)
    weights = np.clip((likely - _HALF) / (1 - _HALF), 0, 1).astype(np.float32)
    np.fill_diagonal(weights, 1.0)
    clear = np.minimum(known.widths, CLEAR_PX)
    sums = (weights * clear) @ known.vectors
    return Pooled(
        vectors=without(sums, np.zeros(sums.shape[1], np.float32)),
        widths=(weights @ clear).astype(np.float32),
        weights=weights,
    )

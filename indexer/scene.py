"""Tracks of an episode in, what clothes and places add to the log-odds of one person out.

Within a scene people keep their clothes, and their places before a camera that it cuts back to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexer.records import BLANK, Bool, Float32, Float64, Int64, Track

REACH = 12
"""Shots within which a scene is likely to go on."""
_SLOPE, _MIDDLE, _PULL = 1.6, 1.3, 1.1
"""Of the log-odds over t = -log(1 - similarity) of clothes: slope, midpoint where people on screen
together dress as differently as usual, and how far it moves with what they wear."""
_DRESSED, _PSEUDO_DRESSED = 0.6, 10.0
"""The prior mean of t over two people on screen together, and how many such pairs it weighs."""
_CLOTHES = (-1.5, 3.5)
"""The least and the most that clothes add to the log-odds."""
_ALIKE_BITS, _UNLIKE_BITS = 18.0, 24.0
"""Bits, of 63, by which two pictures differ: at most, if surely by one camera, and at least, if
surely not. Measured on synthetic seasons, like the next."""
_APART_WIDTHS, _PLACES = (1.0, 2.5, 4.0), (4.0, 0.0, -1.4)
"""How far two faces are apart, in their widths, and what that adds to the log-odds."""
_SEEN = 0.5
"""Length above which a row of clothes counts as seen."""


def near(tracks: Sequence[Track]) -> Bool:
    """Return which tracks are few enough shots apart for one scene, (N, N)."""
    shots = np.array([track.shot for track in tracks])
    return np.asarray(np.abs(shots[:, None] - shots) <= REACH)


def clothes_odds(tracks: Sequence[Track], together: Bool) -> Float64:
    """Return what clothes add to the log-odds that two tracks show one person, (N, N).

    0 where they were not seen, or the shots are too far apart for one scene. Where people on
    screen together dress alike, clothes say less.
    """
    if not tracks:
        return np.zeros((0, 0))
    worn = np.stack([track.clothes for track in tracks])
    seen = np.linalg.norm(worn, axis=1) > _SEEN
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
    from there is not. 0 where pictures are not alike, or too far apart for one scene.
    """
    if not tracks:
        return np.zeros((0, 0))
    bits, widths, known = placed(tracks)
    alike = np.clip((_UNLIKE_BITS - bits) / (_UNLIKE_BITS - _ALIKE_BITS), 0, 1)
    odds = np.where(known, alike * np.interp(widths, _APART_WIDTHS, _PLACES), 0.0)
    return odds + odds.T


def placed(tracks: Sequence[Track]) -> tuple[Int64, Float64, Bool]:
    """Return how a track's end (row) and another's beginning (column) compare, (N, N) each.

    The bits in which the pictures differ; how far apart the faces are, in their sides; and where
    that says something: no picture is blank, and the row's shot is before the column's and near it.
    """
    shots = np.array([track.shot for track in tracks])
    first, last = (np.array([track.views[n] for track in tracks]) for n in (0, 1))
    start, end = (np.stack([track.ends.reshape(2, 4)[n] for track in tracks]) for n in (0, 1))
    bits = np.bitwise_count(last[:, None] ^ first).astype(np.int64)
    seen = (last != BLANK)[:, None] & (first != BLANK)
    known = seen & (shots[:, None] < shots) & near(tracks)
    return bits, _widths_apart(end, start), np.asarray(known)


def _widths_apart(some: Float32, others: Float32) -> Float64:
    """Return how far the centres of boxes (N, 4) and (M, 4) are apart, in their sides, (N, M)."""
    apart = (some[:, None, :2] + some[:, None, 2:] - others[:, :2] - others[:, 2:]) / 2
    sides = (some[:, 2:] - some[:, :2])[:, None] * (others[:, 2:] - others[:, :2])
    return np.linalg.norm(apart / np.sqrt(np.maximum(sides, 1e-8)), axis=2).astype(np.float64)

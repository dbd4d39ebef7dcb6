"""The pictures of earlier episodes by their hashes, and a search for those that look alike.

By multi-index hashing (Norouzi, Punjani and Fleet 2012, section 3): two hashes of 64 bits that
differ in at most 7 have a quarter in which they differ in at most one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.records import BLANK, Bool, Float32, Int64

UNLIKE = 32
"""Bits in which two unrelated pictures differ; also the distance of a blank one to any other."""
_BITS, _QUARTERS = 16, 4
_PROBES = np.array([0, *(1 << bit for bit in range(_BITS))], np.int64)
_SEED = 7
"""Most bits in which two pictures may differ to propose a delay."""
_MOST_DELAYS = 64
"""Most delays that are proposed for a shot: those with the most pictures alike."""
_MOST_PAIRS = 1 << 21
"""Most pairs of pictures that are compared at once, for a shot."""


@dataclass(frozen=True, slots=True)
class Past:
    """The pictures of an earlier episode."""

    episode: str
    hashes: Int64
    """(F,), one for each frame; BLANK for those that cannot be the source of a repeat."""


class Pictures:
    """The pictures of all earlier episodes, one after another, indexed by their hashes."""

    def __init__(self, earlier: Sequence[Past], gap: int) -> None:
        """Build it.

        Args:
            earlier: the episodes.
            gap: blank pictures between two episodes; no shot has more frames.
        """
        blank = np.full(gap, BLANK)
        self._episodes = [one.episode for one in earlier]
        self._starts = np.cumsum([0, *(len(one.hashes) + gap for one in earlier)])
        self.size = int(self._starts[-1])
        self._hashes = np.concatenate([blank[:0], *(x for e in earlier for x in (e.hashes, blank))])
        known = np.flatnonzero(self._hashes != BLANK)
        self._places, self._bounds = [], []
        for quarter in range(_QUARTERS):
            keys = _quarter(self._hashes[known], quarter)
            self._places.append(known[np.argsort(keys.astype(np.uint16), kind="stable")])
            counts = np.bincount(keys, minlength=1 << _BITS)
            self._bounds.append(np.concatenate([[0], np.cumsum(counts)]))

    def delays(self, mine: Int64, step: int) -> Int64:
        """Return the places where a run of pictures may begin, most likely first, (K,).

        A place counts from the first picture of the first episode; it may be negative.

        Args:
            mine: hashes of consecutive pictures, (T,).
            step: only each `step`-th of them is searched for.
        """
        asked = np.flatnonzero(mine != BLANK)[::step]
        starts, counts = self._buckets(mine[asked])
        pairs = int(counts.sum())
        if pairs > _MOST_PAIRS:  # a still picture, shown often: some of its frames suffice
            asked = asked[:: -(-pairs // _MOST_PAIRS)]
            starts, counts = self._buckets(mine[asked])
        votes = []
        for quarter in range(_QUARTERS):
            first, many = starts[quarter], counts[quarter]  # (Q, 17)
            rows = np.repeat(np.arange(len(asked)), many.sum(axis=1))
            flat = many.ravel()
            offsets = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)
            places = self._places[quarter][np.repeat(first.ravel(), flat) + offsets]
            far = np.bitwise_count(self._hashes[places] ^ mine[asked[rows]])
            alike = far <= _SEED
            votes.append(places[alike] - asked[rows[alike]])
        delays, count = np.unique(np.concatenate(votes), return_counts=True)
        return delays[np.argsort(-count, kind="stable")[:_MOST_DELAYS]]

    def _buckets(self, asked: Int64) -> tuple[Int64, Int64]:
        """Return where in `_places` the pictures alike in a quarter begin, and how many there are.

        Both are (4, Q, 17): for each quarter and picture asked for, with no bit or one differing.
        """
        starts, counts = [], []
        for quarter in range(_QUARTERS):
            keys = _quarter(asked, quarter)[:, None] ^ _PROBES
            bounds = self._bounds[quarter]
            starts.append(bounds[keys])
            counts.append(bounds[keys + 1] - starts[-1])
        return np.array(starts), np.array(counts)

    def distances(self, mine: Int64, delay: int) -> Float32:
        """Return in how many bits each picture differs from that at its index + `delay`, (T,)."""
        far = np.full(len(mine), UNLIKE, np.float32)
        first, last = max(0, -delay), min(len(mine), self.size - delay)
        theirs = self._hashes[first + delay : last + delay]
        known: Bool = (mine[first:last] != BLANK) & (theirs != BLANK)
        differ = np.bitwise_count(mine[first:last] ^ theirs)
        far[first:last] = np.where(known, differ, UNLIKE)
        return far

    def where(self, place: int) -> tuple[str, int]:
        """Return the episode of a picture, and its frame there."""
        which = int(np.searchsorted(self._starts, place, side="right")) - 1
        return self._episodes[which], place - int(self._starts[which])


def _quarter(hashes: Int64, number: int) -> Int64:
    return hashes >> _BITS * number & (1 << _BITS) - 1

"""People in, who of them may be one person after all out: what is worth asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from indexer import affinity
from indexer.records import Character, Float64
from indexer.store.appearances import Appearance

_LIKELY = 0.45
"""Cosine of two people from which it is asked whether they are one."""
_MOST_ASKED = 3
_INSTANT_S = 1e-3


def alike(
    people: Sequence[Character], shown: Sequence[Appearance], some: Sequence[int] | None = None
) -> dict[int, list[int]]:
    """Return who each person without a name may be besides, by id: the named, then the likeliest.

    Nobody is two people who are on screen together.

    Args:
        people: everybody who is on screen somewhere.
        shown: where.
        some: ids of those to ask about; all without a name if not given.
    """
    asked = [
        n for n, one in enumerate(people) if not one.named and (some is None or one.id in some)
    ]
    if not asked:
        return {}
    rows = np.stack([one.prototypes.mean(axis=0) for one in people])
    centres = affinity.without(rows, np.zeros(rows.shape[1], np.float32))
    times = _times(shown)
    found = {}
    for n in asked:
        cosines = centres @ centres[n]
        cosines[n] = -1
        near = np.flatnonzero(cosines >= _LIKELY).tolist()
        others = sorted(near, key=lambda m: (not people[m].named, -cosines[m], people[m].id))
        mine = times.get(people[n].id)
        apart = [people[m].id for m in others if not _meet(mine, times.get(people[m].id))]
        found[people[n].id] = apart[:_MOST_ASKED]
    return found


def _times(shown: Sequence[Appearance]) -> Mapping[int, Float64]:
    """Return the episode, start and end of everybody's tracks, (T, 3), by id."""
    found: dict[int, list[tuple[float, float, float]]] = {}
    for one in shown:
        found.setdefault(one.character, []).append((one.track >> 20, one.start_s, one.end_s))
    return {who: np.array(rows, np.float64) for who, rows in found.items()}


def _meet(mine: Float64 | None, theirs: Float64 | None) -> bool:
    """Return whether any track of one is on screen with any of the other."""
    if mine is None or theirs is None:
        return False
    same = mine[:, None, 0] == theirs[:, 0]
    begun = mine[:, None, 1] < theirs[:, 2] - _INSTANT_S
    there = theirs[:, 1] < mine[:, None, 2] - _INSTANT_S
    return bool((same & begun & there).any())

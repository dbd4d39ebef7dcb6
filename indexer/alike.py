"""People in, those who may be one person out: what is worth asking the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from indexer import affinity
from indexer.records import Character, Float64
from indexer.store.appearances import Appearance

_LIKELY = 0.45
"""Least cosine of two people for the user to be asked whether they are one."""
_MOST_ASKED = 3


def alike(
    people: Sequence[Character],
    shown: Callable[[Sequence[int]], Sequence[Appearance]],
    some: Sequence[int] | None = None,
) -> dict[int, list[int]]:
    """Return who else each unnamed person may be, by id: the named first, then the most similar.

    At most three each, and nobody who is ever on screen together with the person.

    Args:
        people: everybody who is on screen somewhere.
        shown: returns the appearances of people, by id; called at most once, for look-alikes.
        some: ids of the unnamed people to ask about; all of them if not given.
    """
    asked = [
        n for n, one in enumerate(people) if not one.named and (some is None or one.id in some)
    ]
    if not asked:
        return {}
    rows = np.stack([one.prototypes.mean(axis=0) for one in people])
    centres = affinity.without(rows, np.zeros(rows.shape[1], np.float32))
    near = {}
    for n in asked:
        cosines = centres @ centres[n]
        cosines[n] = -1
        others = np.flatnonzero(cosines >= _LIKELY).tolist()
        near[n] = sorted(others, key=lambda m: (not people[m].named, -cosines[m], people[m].id))
    involved = sorted({people[m].id for n in near for m in ([n, *near[n]] if near[n] else [])})
    times = _times(shown(involved) if involved else [])
    return {
        people[n].id: [
            people[m].id
            for m in others
            if not _meet(times.get(people[n].id, {}), times.get(people[m].id, {}))
        ][:_MOST_ASKED]
        for n, others in near.items()
    }


def _times(shown: Sequence[Appearance]) -> Mapping[int, Mapping[int, Float64]]:
    """Return start and end of everybody's tracks in each episode, (T, 2), by id and episode."""
    found: dict[int, dict[int, list[tuple[float, float]]]] = {}
    for one in shown:
        mine = found.setdefault(one.character, {})
        mine.setdefault(one.track >> 20, []).append((one.start_s, one.end_s))
    return {
        who: {episode: np.array(rows, np.float64) for episode, rows in inside.items()}
        for who, inside in found.items()
    }


def _meet(mine: Mapping[int, Float64], theirs: Mapping[int, Float64]) -> bool:
    """Return whether any track of one is on screen with any of the other."""
    return any(
        affinity.together(
            mine[episode][:, None, 0],
            mine[episode][:, None, 1],
            theirs[episode][:, 0],
            theirs[episode][:, 1],
        ).any()
        for episode in mine.keys() & theirs.keys()
    )

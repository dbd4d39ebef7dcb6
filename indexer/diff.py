"""What judging changed: who is new, who was seen more, and which names were kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from indexer.records import UNKNOWN, Character


@dataclass(frozen=True, slots=True)
class Seen:
    """A track, and the character that it was taken for."""

    character: int
    """An id, or UNKNOWN."""
    seconds: float
    episode: str
    why: str = ""
    """What that rests on, in words."""


@dataclass(frozen=True, slots=True)
class Change:
    """A track that lost or changed a name."""

    track: int
    episode: str
    seconds: float
    was: str
    now: str
    """A label, or "unknown"."""
    why: str = ""
    """What the new one rests on."""


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed for the people of a library."""

    new: Mapping[str, float]
    """Label → seconds, of those not seen before."""
    grown: Mapping[str, float]
    """Label → seconds added, of those seen before."""
    retention: float
    """Share of the screen time that had a name before and has the same name now, in [0, 1]; 1 if
    none had."""
    changes: Sequence[Change]
    """The tracks that lost or changed their name, for which `retention` is less than 1."""
    proposed: Sequence[tuple[str, Sequence[str]]] = ()
    """Label of each unnamed person seen, and the labels of who else it may be."""
    kept: Sequence[Change] = ()
    """The tracks that would have lost or changed their name; they kept it, as nobody accepted."""
    decided: int = 0
    """How many tracks of a video that was indexed again users had decided about."""
    lost: int = 0
    """How many of these are gone, and the decisions with them."""


NO_DIFF = Diff({}, {}, 1.0, ())


def diff(
    before: Mapping[int, Seen],
    after: Mapping[int, Seen],
    known: Sequence[Character],
    people: Sequence[Character],
    elsewhere: Mapping[int, float] = MappingProxyType({}),
) -> Diff:
    """Return what changed.

    Args:
        before: the tracks of a library, by uid.
        after: the same tracks later, and new ones.
        known: everybody before.
        people: everybody after.
        elsewhere: seconds in all other tracks, by character id; the same before and after.
    """
    names = {one.id: one.label for one in people}
    gone = {one.id: one.label for one in known} | names
    named = {one.id for one in known if one.named}
    was, now = (Counter(elsewhere) + Counter(seconds_of(x)) for x in (before, after))
    met = {one.id for one in known if was.get(one.id)}
    kept = total = 0.0
    changes = []
    for uid, seen in sorted(before.items()):
        if seen.character not in named or uid not in after:
            continue
        total += seen.seconds
        new = after[uid].character
        if new == seen.character:
            kept += seen.seconds
        else:
            label = names.get(new, "unknown")
            was_called, why = gone[seen.character], after[uid].why
            changes.append(Change(uid, seen.episode, seen.seconds, was_called, label, why))
    shown = [one for one in people if now.get(one.id)]
    return Diff(
        new={one.label: now[one.id] for one in shown if one.id not in met},
        grown={
            one.label: now[one.id] - was[one.id]
            for one in shown
            if one.id in met and now[one.id] > was[one.id]
        },
        retention=kept / total if total else 1.0,
        changes=changes,
    )


def seconds_of(tracks: Mapping[int, Seen]) -> dict[int, float]:
    """Return how long everybody is on screen in some tracks, by id."""
    found: dict[int, float] = {}
    for one in tracks.values():
        if one.character != UNKNOWN:
            found[one.character] = found.get(one.character, 0.0) + one.seconds
    return found

"""Who the tracks of an episode are: names first, then people for those without one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from indexer import cluster, recognize
from indexer.config import Settings
from indexer.records import UNKNOWN, Bool, Calibration, Character, Identity, Track

_NOBODY: Mapping[int, Identity] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody the library knows after an episode was looked at, and who its tracks are."""

    characters: Sequence[Character]
    identities: Sequence[Identity]
    """In the order of the tracks."""
    next_id: int
    """The id of the next new character."""


def identify(
    tracks: Sequence[Track],
    before: Mapping[int, Identity],
    cast: Cast,
    calibration: Calibration,
    settings: Settings,
    taken: Mapping[int, Identity] = _NOBODY,
) -> Cast:
    """Return who each track is: a named character, or a person that nobody has named yet.

    Args:
        tracks: of one episode.
        before: what was said of them earlier, by uid: a track that stays without a name stays
            the person it was.
        cast: everybody known so far; its identities play no role.
        calibration: of the encoder that made the embeddings.
        settings: of recognition and clustering.
        taken: who tracks are that an earlier episode showed already, by uid.
    """
    together = cluster.cooccurring(tracks)
    unnamed = [character for character in cast.characters if not character.named]
    gallery = [character for character in cast.characters if character.named]
    # What is kept rests on the gallery alone, whatever was indexed in which order.
    named = recognize.calibrate(gallery, [], together[:0, :0], calibration, settings.recognize)
    here = recognize.calibrate(gallery, tracks, together, calibration, settings.recognize)
    found = recognize.recognize(tracks, here, together, calibration, settings.recognize)
    ids = {person.id for person in unnamed}
    identities = [
        _unnamed(i, before[i.track])
        if i.character == UNKNOWN and i.track in before and before[i.track].character in ids
        else i
        for i in found
    ]
    identities = taken_over(identities, taken, cast.characters, together)
    rest = [n for n, i in enumerate(identities) if i.character == UNKNOWN]
    strangers, apart = [tracks[n] for n in rest], together[np.ix_(rest, rest)]
    adapted = cluster.adapted(calibration, tracks, together)
    groups = cluster.group(strangers, apart, adapted, settings.cluster)
    known = cluster.Known(unnamed, _barred(unnamed, identities, together[rest]), cast.next_id)
    people = cluster.people(strangers, groups, apart, known, adapted, settings.cluster)
    for n, person in zip(rest, people.identities, strict=True):
        identities[n] = _unnamed(found[n], person)
    return Cast(
        characters=sorted([*named, *unnamed, *people.new], key=lambda c: c.id),
        identities=identities,
        next_id=cast.next_id + len(people.new),
    )


def taken_over(
    identities: Sequence[Identity],
    taken: Mapping[int, Identity],
    characters: Sequence[Character],
    together: Bool,
) -> list[Identity]:
    """Return who tracks are, given that an earlier episode showed some of them already.

    What was said there holds, but for a person without a name where a name is given by now, and
    for one who is somebody else in the same frame.

    Args:
        identities: of N tracks, as they are judged by themselves.
        taken: what was said of some of them, by uid.
        characters: everybody known; who is gone is not taken over.
        together: which tracks share a frame, (N, N).
    """
    known = {character.id: character.named for character in characters}
    found = list(identities)
    for n, judged in enumerate(identities):
        earlier = taken.get(judged.track)
        if earlier is None or earlier.character not in known:
            continue
        is_better = known[earlier.character] or not known.get(judged.character, False)
        beside = {found[m].character for m in np.flatnonzero(together[n])}
        if is_better and earlier.character not in beside:
            found[n] = earlier
    return found


def _unnamed(judged: Identity, person: Identity) -> Identity:
    """Return the identity of a track without a name: a person, beside the name that came nearest.

    Args:
        judged: UNKNOWN among the gallery, with margin and runner-up.
        person: who it is among the people nobody named.
    """
    return dataclasses.replace(person, margin=judged.margin, runner_up=judged.runner_up)


def _barred(people: Sequence[Character], identities: Sequence[Identity], together: Bool) -> Bool:
    """Return which person each track cannot be, as another in its frame is already, (N, K)."""
    ids = np.array([person.id for person in people], dtype=np.int64)
    taken = np.array([i.character for i in identities], dtype=np.int64)[:, None] == ids  # (M, K)
    return np.asarray(together.astype(np.int64) @ taken > 0)

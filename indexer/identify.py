"""Who the tracks of an episode are: names first, then people for those without one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer import affinity, cluster, recognize
from indexer import audit as audits
from indexer.affinity import Affinity
from indexer.audit import Audit
from indexer.config import Settings
from indexer.recognize import Apart
from indexer.records import UNKNOWN, Bool, Character, Constraints, Identity, Track, Yardstick

NOTHING = Constraints()


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody the library knows after an episode was looked at, and who its tracks are."""

    characters: Sequence[Character]
    identities: Sequence[Identity]
    """In the order of the tracks."""
    next_id: int
    """The id of the next new character."""
    audit: Audit = audits.NOTHING
    """How good the episode's people are, as far as can be told."""


def identify(
    tracks: Sequence[Track],
    before: Mapping[int, Identity],
    cast: Cast,
    stick: Yardstick,
    settings: Settings,
    decided: Constraints = NOTHING,
) -> Cast:
    """Return who each track is: a named character, or a person that nobody has named yet.

    Args:
        tracks: of one episode.
        before: what was said of them earlier, by uid: a track that stays without a name stays
            the person it was.
        cast: everybody known so far; its identities play no role.
        stick: of the encoder that made the embeddings.
        settings: of recognition and clustering.
        decided: what people decided, which holds whatever else speaks.
    """
    together = cluster.cooccurring(tracks)
    unnamed = [character for character in cast.characters if not character.named]
    gallery = [character for character in cast.characters if character.named]
    # What is kept rests on the gallery alone, whatever was indexed in which order.
    named = recognize.calibrate(gallery, None, together[:0, :0], stick, settings.recognize)
    if not tracks:
        return Cast(sorted([*named, *unnamed], key=lambda c: c.id), [], cast.next_id)
    related = _related(tracks, gallery, together, stick, settings)
    seen = recognize.gather(tracks, related, together, settings.recognize)
    here = recognize.calibrate(gallery, seen, together, stick, settings.recognize)
    apart = _apart(tracks, gallery, together, decided)
    found = recognize.recognize(tracks, seen, here, apart, stick, settings.recognize)
    found = [_pinned(one, decided) for one in found]
    ids = {person.id for person in unnamed}
    identities = [
        _unnamed(i, before[i.track])
        if i.character == UNKNOWN
        and i.track in before
        and before[i.track].character in ids
        and (i.track, before[i.track].character) not in decided.barred
        else i
        for i in found
    ]
    rest = [n for n, i in enumerate(identities) if i.character == UNKNOWN]
    barred = _barred(unnamed, identities, together[rest])
    barred |= _forbidden([tracks[n] for n in rest], unnamed, decided)
    among = related.only(np.array(rest, dtype=np.int64))
    groups = cluster.group(among.odds, together[np.ix_(rest, rest)], settings.cluster)
    known = cluster.Known(unnamed, barred, cast.next_id)
    strangers = [tracks[n] for n in rest]
    people = cluster.people(strangers, groups, known, among, stick, settings.cluster)
    for n, person in zip(rest, people.identities, strict=True):
        identities[n] = _unnamed(found[n], person)
    return Cast(
        characters=sorted([*named, *unnamed, *people.new], key=lambda c: c.id),
        identities=identities,
        next_id=cast.next_id + len(people.new),
        audit=audits.audit(tracks, identities, related, together),
    )


def _apart(
    tracks: Sequence[Track], gallery: Sequence[Character], together: Bool, decided: Constraints
) -> Apart:
    """Return who of the gallery each track cannot be, and who it is because somebody said so."""
    barred = _forbidden(tracks, gallery, decided)
    place = {character.id: column for column, character in enumerate(gallery)}
    fixed = np.full(len(tracks), recognize.OPEN, dtype=np.int64)
    for row, track in enumerate(tracks):
        if track.uid in decided.pinned:
            fixed[row] = place.get(decided.pinned[track.uid], recognize.NOBODY)
    return Apart(together, barred, fixed)


def _forbidden(tracks: Sequence[Track], people: Sequence[Character], decided: Constraints) -> Bool:
    """Return which of the people each track cannot be, by people's word, (N, K)."""
    rows = [[(track.uid, one.id) in decided.barred for one in people] for track in tracks]
    return np.array(rows, dtype=bool).reshape(len(tracks), len(people))


def _pinned(judged: Identity, decided: Constraints) -> Identity:
    """Return the identity, or what somebody said instead."""
    if judged.track not in decided.pinned:
        return judged
    person = decided.pinned[judged.track]
    return dataclasses.replace(judged, character=person, probability=1.0, margin=1.0, reason="")


def _related(
    tracks: Sequence[Track],
    gallery: Sequence[Character],
    together: Bool,
    stick: Yardstick,
    settings: Settings,
) -> Affinity:
    """Return how tracks are related, by what the settings let names rest on."""
    dimension = len(tracks[0].embedding)
    different = recognize.centres(gallery, np.zeros(dimension, np.float32))
    dressed = settings.recognize.evidence in ("clothes", "joint")
    return affinity.relate(tracks, together, different, stick, clothes=dressed)


def _unnamed(judged: Identity, person: Identity) -> Identity:
    """Return the identity of a track without a name: a person, beside the name that came nearest.

    Args:
        judged: UNKNOWN among the gallery, with margin and runner-up.
        person: who it is among the people nobody named.
    """
    return dataclasses.replace(
        person,
        margin=judged.margin,
        runner_up=judged.runner_up,
        by_face=judged.by_face,
        link=judged.link,
        reason=judged.reason,
    )


def _barred(people: Sequence[Character], identities: Sequence[Identity], together: Bool) -> Bool:
    """Return which person each track cannot be, as another in its frame is already, (N, K)."""
    ids = np.array([person.id for person in people], dtype=np.int64)
    taken = np.array([i.character for i in identities], dtype=np.int64)[:, None] == ids  # (M, K)
    return np.asarray(together.astype(np.int64) @ taken > 0)

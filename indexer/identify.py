"""Who the tracks of an episode are: names first, then unnamed people for the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from indexer import affinity, cluster, evidence, labels, recognize, thresholds
from indexer import audit as audits
from indexer.affinity import Affinity
from indexer.config import RecognizeSettings, Settings
from indexer.evidence import Evidence
from indexer.recognize import Apart
from indexer.records import (
    NO_AUDIT,
    UNKNOWN,
    Audit,
    Bool,
    Character,
    Constraints,
    Identity,
    Track,
    Yardstick,
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody the library knows once an episode is judged, and who its tracks are."""

    characters: Sequence[Character]
    identities: Sequence[Identity]
    """In the order of the tracks."""
    next_id: int
    """The id of the next new character."""
    audit: Audit = NO_AUDIT
    """How good the episode's people are, as far as can be told."""
    next_person: int = 1
    """The least number that no unnamed person ever had in a label like "Person 3"."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The names that an episode's tracks may have, and the evidence for each."""

    gallery: Sequence[Character]
    """The characters that tracks may show, calibrated for the episode (`thresholds.calibrate`)."""
    related: Affinity
    seen: Evidence
    apart: Apart


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of tracks before they are judged, by uid."""

    before: Mapping[int, Identity] = field(default_factory=dict)
    """Their identities so far: a track that stays without a name stays the person it was."""
    decided: Constraints = field(default_factory=Constraints)
    """What users decided, which holds against all other evidence."""
    taken: Mapping[int, Identity] = field(default_factory=dict)
    """The identities of tracks that an earlier episode already showed."""


NOTHING = Heard()


def identify(
    tracks: Sequence[Track],
    cast: Cast,
    stick: Yardstick,
    settings: Settings,
    heard: Heard = NOTHING,
) -> Cast:
    """Return who each track is: a named character, or a person that nobody has named yet.

    Args:
        tracks: of one episode.
        cast: everybody known so far; its identities are ignored.
        stick: of the encoder that made the embeddings.
        settings: of recognition and clustering.
        heard: what is known of the tracks already.
    """
    before, decided = heard.before, heard.decided
    together = affinity.cooccurring(tracks)
    unnamed = [character for character in cast.characters if not character.named]
    own = {character.id: character for character in cast.characters if character.named}
    others = [one for one in own.values() if one.id in decided.merged]
    gallery = merged_gallery(own, decided)
    # Stored thresholds rest on the gallery alone, whatever was indexed in which order.
    named = thresholds.calibrate(gallery, None, together[:0, :0], stick, settings.recognize)
    named = [dataclasses.replace(one, prototypes=own[one.id].prototypes) for one in named]
    if not tracks:
        everybody = _by_id(named, others, unnamed)
        return dataclasses.replace(cast, characters=everybody, identities=[], audit=NO_AUDIT)
    known = weigh(tracks, cast.characters, stick, settings.recognize, decided)
    related = known.related
    found = recognize.recognize(
        tracks, known.seen, known.gallery, known.apart, stick, settings.recognize
    )
    found = [_pinned(one, decided) for one in found]
    ids = {person.id for person in unnamed}
    identities = [
        _unnamed(i, before[i.track])
        if i.character == UNKNOWN
        and i.track not in decided.pinned
        and i.track in before
        and before[i.track].character in ids
        and (i.track, before[i.track].character) not in decided.barred
        else i
        for i in found
    ]
    identities = taken_over(identities, _open(heard), cast.characters, together)
    rest = [
        n
        for n, i in enumerate(identities)
        if i.character == UNKNOWN and i.track not in decided.pinned
    ]
    met = [one for one in unnamed if len(one.prototypes)]
    barred = _barred(met, identities, together[rest])
    barred |= _forbidden([tracks[n] for n in rest], met, decided)
    among = related.only(np.array(rest, dtype=np.int64))
    odds = affinity.helped(among, stick)
    groups = cluster.group(odds, together[np.ix_(rest, rest)], settings.cluster)
    names = frozenset(one.id for one in met if decided.merged.get(one.id) in own)
    sure = thresholds.log_odds_of_a_name(settings.recognize)
    earlier = cluster.Known(met, barred, cast.next_id, cast.next_person, names, sure)
    strangers = [tracks[n] for n in rest]
    people = cluster.people(strangers, groups, earlier, among, stick, settings.cluster)
    for n, person in zip(rest, people.identities, strict=True):
        identities[n] = _unnamed(found[n], person)
    identities = _merged(identities, decided, together, set(own))
    return Cast(
        characters=_by_id(named, others, unnamed, people.new),
        identities=identities,
        next_id=cast.next_id + len(people.new),
        audit=audits.audit(
            tracks, identities, related, together, set(own), settings.recognize.max_wrong_names
        ),
        next_person=labels.next_person((one.label for one in people.new), cast.next_person),
    )


def weigh(
    tracks: Sequence[Track],
    characters: Sequence[Character],
    stick: Yardstick,
    settings: RecognizeSettings,
    decided: Constraints,
) -> Weighed:
    """Return the names that tracks may have, and the evidence for each.

    Args:
        tracks: of one episode, at least one.
        characters: everybody known; only those with a name matter.
        stick: the encoder's yardstick.
        settings: of recognition.
        decided: what users decided.
    """
    together = affinity.cooccurring(tracks)
    gallery = merged_gallery({one.id: one for one in characters if one.named}, decided)
    related = evidence.related(tracks, gallery, stick, settings)
    seen = evidence.gather(tracks, related, together, settings)
    here = thresholds.calibrate(gallery, seen, together, stick, settings)
    return Weighed(here, related, seen, _apart(tracks, gallery, together, decided))


def _by_id(*some: Sequence[Character]) -> list[Character]:
    return sorted([one for group in some for one in group], key=lambda one: one.id)


def merged_gallery(named: Mapping[int, Character], decided: Constraints) -> list[Character]:
    """Return the characters that tracks may show, each with the stills of those merged into it."""
    lent: dict[int, list[Character]] = {}
    for one in named.values():
        lent.setdefault(decided.merged.get(one.id, one.id), []).append(one)
    return [
        dataclasses.replace(
            one, prototypes=np.concatenate([other.prototypes for other in lent[one.id]])
        )
        for one in named.values()
        if one.id in lent and one.id not in decided.merged
    ]


def _open(heard: Heard) -> dict[int, Identity]:
    """Return the identities to take over, of tracks about which no user decided otherwise."""
    decided = heard.decided
    return {
        uid: one
        for uid, one in heard.taken.items()
        if uid not in decided.pinned and (uid, one.character) not in decided.barred
    }


def _merged(
    identities: Sequence[Identity], decided: Constraints, together: Bool, named: Set[int]
) -> list[Identity]:
    """Return the identities with merged people replaced by those whom they were merged into.

    Unless that person is on screen with the track, or a user ruled the person out for the track.
    Tracks that thereby get a name, one of `named`, lose the reason for having none.
    """
    found = list(identities)
    for n, one in enumerate(identities):
        end = decided.merged.get(one.character, one.character)
        beside = {found[m].character for m in np.flatnonzero(together[n])}
        if end != one.character and end not in beside and (one.track, end) not in decided.barred:
            reason = "" if end in named else one.reason
            found[n] = dataclasses.replace(one, character=end, reason=reason)
    return found


def _apart(
    tracks: Sequence[Track], gallery: Sequence[Character], together: Bool, decided: Constraints
) -> Apart:
    """Return who of the gallery each track cannot be, and who it is by a user's decision."""
    barred = _forbidden(tracks, gallery, decided)
    place = {character.id: column for column, character in enumerate(gallery)}
    fixed = np.full(len(tracks), recognize.OPEN, dtype=np.int64)
    for row, track in enumerate(tracks):
        if track.uid in decided.pinned:
            fixed[row] = place.get(decided.pinned[track.uid], recognize.NOBODY)
    return Apart(together, barred, fixed)


def _forbidden(tracks: Sequence[Track], people: Sequence[Character], decided: Constraints) -> Bool:
    """Return which of the people each track cannot be by users' decisions, (N, K)."""
    row = {track.uid: place for place, track in enumerate(tracks)}
    column = {one.id: place for place, one in enumerate(people)}
    found = np.zeros((len(tracks), len(people)), dtype=bool)
    for uid, person in decided.barred:
        if uid in row and person in column:
            found[row[uid], column[person]] = True
    return found


def _pinned(judged: Identity, decided: Constraints) -> Identity:
    """Return the identity, or what a user decided instead."""
    if judged.track not in decided.pinned:
        return judged
    person = decided.pinned[judged.track]
    return dataclasses.replace(judged, character=person, probability=1.0, margin=1.0, reason="")


def taken_over(
    identities: Sequence[Identity],
    taken: Mapping[int, Identity],
    characters: Sequence[Character],
    together: Bool,
) -> list[Identity]:
    """Return who tracks are, given that an earlier episode already showed some of them.

    The earlier identity holds, unless it is an unnamed person where a name is given by now, or
    somebody whom another track on screen at the same time shows.

    Args:
        identities: of N tracks, as they are judged by themselves.
        taken: earlier identities of some of them, by uid.
        characters: everybody known; others are not taken over.
        together: which tracks are on screen together, (N, N).
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
    """Return the identity of a track without a name: a person, and the name that came nearest.

    Args:
        judged: UNKNOWN among the gallery, with margin and runner-up.
        person: who it is among the unnamed people.
    """
    return dataclasses.replace(
        person,
        margin=judged.margin,
        runner_up=judged.runner_up,
        by_face=judged.by_face,
        link=judged.link,
        reason=judged.reason,
        second=judged.second,
        nobody=judged.nobody,
    )


def _barred(people: Sequence[Character], identities: Sequence[Identity], together: Bool) -> Bool:
    """Return which people are already on screen with each track, so cannot be it, (N, K)."""
    ids = np.array([person.id for person in people], dtype=np.int64)
    taken = np.array([i.character for i in identities], dtype=np.int64)[:, None] == ids  # (M, K)
    return np.asarray(together.astype(np.float32) @ taken.astype(np.float32) > 0)

"""Who the tracks of an episode are: names first, then people for those without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer import cluster, recognize
from indexer.config import Settings
from indexer.records import UNKNOWN, Calibration, Character, Identity, Track


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
) -> Cast:
    """Return who each track is: a named character, or a person that nobody has named yet.

    Args:
        tracks: of one episode.
        before: what was said of them earlier, by uid: a track that stays without a name stays
            the person it was.
        cast: everybody known so far; its identities play no role.
        calibration: of the encoder that made the embeddings.
        settings: of recognition and clustering.
    """
    together = cluster.cooccurring(tracks)
    unnamed = [character for character in cast.characters if not character.named]
    named = recognize.calibrate(
        [character for character in cast.characters if character.named],
        tracks,
        together,
        calibration,
        settings.recognize,
    )
    found = recognize.recognize(tracks, named, together, calibration, settings.recognize)
    ids = {person.id for person in unnamed}
    identities = {
        i.track: before[i.track]
        if i.character == UNKNOWN and i.track in before and before[i.track].character in ids
        else i
        for i in found
    }
    rest = [n for n, i in enumerate(found) if identities[i.track].character == UNKNOWN]
    strangers = [tracks[n] for n in rest]
    apart, adapted = together[np.ix_(rest, rest)], cluster.adapted(calibration, tracks, together)
    groups = cluster.group(strangers, apart, adapted, settings.cluster)
    people = cluster.people(strangers, groups, unnamed, cast.next_id, adapted, settings.cluster)
    identities.update({i.track: i for i in people.identities})
    return Cast(
        characters=sorted([*named, *unnamed, *people.new], key=lambda c: c.id),
        identities=[identities[track.uid] for track in tracks],
        next_id=cast.next_id + len(people.new),
    )

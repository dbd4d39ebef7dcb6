"""Decisions in, the faces that people are known by out.

Stills that were enrolled stay. Somebody named without stills is known by the best faces of the
tracks that users say show them, so that correcting a wrong track takes its faces away, or, if there
are none, of those where they were recognised; somebody without a name, by all of their tracks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from indexer import affinity, evidence
from indexer.errors import StoreError
from indexer.records import Character, Constraints, Float32, Track
from indexer.store import read, schema
from indexer.store.library import Library

_MOST = 30
"""Most faces from their tracks that somebody named without stills is known by."""


@dataclass(frozen=True, slots=True)
class Told:
    """Whom tracks show, and what users decided about that."""

    theirs: Mapping[int, Set[int]]
    """Id of a person → uids of the tracks that show them."""
    decided: Constraints
    named_before: Set[int]
    """Ids of people who had a name before the decisions that are carried out."""

    def chosen(self, person: Character) -> set[int]:
        """Return the uids of the tracks that a person may be known by.

        Of somebody with a name, these are the tracks that users named, if there are any.
        """
        mine = set(self.theirs.get(person.id, ()))
        by_word = {uid for uid in mine if self.decided.pinned.get(uid) == person.id}
        return by_word if person.named and by_word else mine

    def keeps_faces(self, person: Character) -> bool:
        """Return whether a person has stills or faces that were chosen for the name."""
        return person.named and person.id in self.named_before

    def denies(self, uid: int, person: int) -> bool:
        """Return whether users decided that a track shows somebody else."""
        end = self.decided.merged.get(person, person)
        if uid in self.decided.pinned:
            return self.decided.pinned[uid] != end
        return bool({(uid, person), (uid, end)} & self.decided.barred)


def anew(library: Library, people: Sequence[Character], told: Told) -> list[Character]:
    """Return people, known by what shows them by now.

    Args:
        library: whose tracks these are; one episode's are held at a time, but for theirs.
        people: whose tracks have changed, or whose name is new.
        told: what holds by now.

    Raises:
        StoreError: a table cannot be read; users decided that every face that somebody with a name
            is known by is somebody else's.
    """
    chosen = {one.id: told.chosen(one) for one in people}
    faces = [row for one in people if told.keeps_faces(one) for row in one.prototypes]
    spoken = {*told.decided.pinned, *(uid for uid, _ in told.decided.barred)} if faces else set()
    wanted = {row.tobytes() for row in faces}
    tracks: dict[int, Track] = {}
    origins: dict[bytes, set[int]] = {}
    mine = set[int]().union(*chosen.values())
    for track in _tracks(library, mine | spoken):
        if track.uid in mine:
            tracks[track.uid] = track
        for face in track.embeddings if wanted else ():
            if (row := face.tobytes()) in wanted:
                origins.setdefault(row, set()).add(track.uid)
    theirs = {
        who: [tracks[u] for u in sorted(uids & tracks.keys())] for who, uids in chosen.items()
    }
    return [
        _corrected(one, theirs[one.id], origins, told)
        if told.keeps_faces(one)
        else _known_by(one, theirs[one.id], told)
        for one in people
    ]


def _tracks(library: Library, uids: Set[int]) -> Iterator[Track]:
    """Yield those of the tracks that are in the library."""
    heads = {schema.uid_digits(uid) for uid in uids}
    for episode in read.episodes(library):
        if schema.id_digits(episode) in heads:
            yield from (one for one in read.read_tracks(library, episode) if one.uid in uids)


def _known_by(person: Character, tracks: Sequence[Track], told: Told) -> Character:
    """Return somebody who had no name before, known by tracks.

    Somebody with neither track nor name has no prototype, so that nobody is taken for this person;
    but somebody who was merged keeps it, to stand for the other.
    """
    if tracks:
        rows, clear = _best_faces(tracks) if person.named else evidence.known_by(tracks)
        return dataclasses.replace(person, prototypes=rows, clear_px=clear)
    if person.named or person.id in told.decided.merged:
        return person
    return dataclasses.replace(person, prototypes=person.prototypes[:0], clear_px=0.0)


def _corrected(
    person: Character, tracks: Sequence[Track], origins: Mapping[bytes, Set[int]], told: Told
) -> Character:
    """Return somebody who had a name before, without faces that are somebody else's.

    Args:
        person: known by stills, by faces of tracks, or by both.
        tracks: that the person may be known by.
        origins: a prototype's bytes → uids of the tracks with that very face.
        told: what users decided.
    """
    found = [origins.get(row.tobytes(), set[int]()) for row in person.prototypes]
    if all(found) and tracks:
        rows, clear = _best_faces(tracks)
        return dataclasses.replace(person, prototypes=rows, clear_px=clear)
    wrong = [bool(uids) and all(told.denies(uid, person.id) for uid in uids) for uids in found]
    if not any(wrong):
        return person
    rows = person.prototypes[~np.array(wrong)]
    if not len(rows):
        raise StoreError(
            person.label,
            "would be known by no face: each is of a track that shows somebody else by now",
            f"undo the naming of {person.label}, or merge {person.label} into somebody",
        )
    clear = affinity.CLEAR_PX * len(rows)
    return dataclasses.replace(person, prototypes=rows, clear_px=clear)


def _best_faces(tracks: Sequence[Track]) -> tuple[Float32, float]:
    """Return the faces that somebody named is known by, unit rows (M, D), and their clarity.

    Each counts as a clear face, as stills do.
    """
    quality = np.concatenate([track.quality for track in tracks])
    best = np.argsort(-quality, kind="stable")[:_MOST]
    rows = np.concatenate([track.embeddings for track in tracks])[best]
    return rows, affinity.CLEAR_PX * len(rows)

"""The people and tracks of a library while decisions are carried out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from indexer import affinity, evidence, labels
from indexer.errors import StoreError
from indexer.records import UNKNOWN, Character, Float32, Identity, Track
from indexer.store import decisions as log
from indexer.store import publish, read
from indexer.store.decisions import Called, Decision
from indexer.store.library import Library

_MOST_PROTOTYPES = 30
"""Most faces from their tracks that somebody named without stills is known by."""


@dataclass
class Roster:
    """The people of a library and whom its tracks show, with decisions so far carried out."""

    people: dict[int, Character]
    tracks: dict[int, Track]
    episodes: dict[str, list[Identity]]
    log: list[Decision]
    next_id: int
    next_person: int
    changed: set[int] = field(default_factory=set)
    """Uids of tracks whose identities were set."""
    meant: dict[str, int] = field(default_factory=dict)
    """Folded label in a file of decisions → id of whom it means; UNKNOWN for who is gone."""

    @staticmethod
    def of(library: Library) -> Roster:
        """Return the roster of a library, which is locked until the roster is published."""
        ids = read.episodes(library)
        return Roster(
            people={one.id: one for one in read.read_characters(library)},
            tracks={t.uid: t for one in ids for t in read.read_tracks(library, one)},
            episodes={one: read.read_identities(library, one) for one in ids},
            log=log.read_decisions(library),
            next_id=library.next_character_id,
            next_person=library.next_person,
        )

    def mean(self, people: Mapping[str, int]) -> None:
        """Let labels mean, from now on, who has them now, or had them when a file was written.

        Args:
            people: label → id when the file was written.
        """
        self.meant = {labels.folded(one.label): one.id for one in self.people.values()}
        once = {(one.id, labels.folded(one.label)) for entry in self.log for one in entry.were}
        once |= {(person, label) for label, person in self.meant.items()}
        for name, person in people.items():
            label = labels.folded(name)
            is_there = person in self.people and (person, label) in once
            self.meant[label] = person if is_there else UNKNOWN

    def said(self) -> dict[int, Identity]:
        """Return the identity of each track, by uid."""
        return {one.track: one for rows in self.episodes.values() for one in rows}

    def shown(self) -> dict[int, int]:
        """Return whom each track shows, by uid."""
        return {one.track: one.character for rows in self.episodes.values() for one in rows}

    def find(self, name: str) -> Character:
        """Return who is called `name`, whatever the case.

        Raises:
            StoreError: nobody with a name or a track is called so, or several are; or the one who
                is was merged into somebody else.
        """
        shown = set(self.shown().values())
        meant = self.meant.get(labels.folded(name))
        if meant is not None:
            person = self.people.get(meant)
            if person is None or not (person.named or person.id in shown):
                raise StoreError(
                    f"{name!r}", "is not in the library any more", "write a new people page"
                )
            self._check_unmerged(person, shown)
            return person
        people = [one for one in self.people.values() if one.named or one.id in shown]
        found = [people[n] for n in labels.called(name, [one.label for one in people])]
        if len(found) == 1:
            self._check_unmerged(found[0], shown)
            return found[0]
        names = ", ".join(sorted(one.label for one in found or people)[:10]) or "nobody"
        if found:
            raise StoreError(f"{name!r}", "is the label of several people", f"say which: {names}")
        raise StoreError(f"{name!r}", "is nobody in the library", f"the library has: {names}")

    def _check_unmerged(self, person: Character, shown: Set[int]) -> None:
        end = self.people.get(log.constraints(self.log).merged.get(person.id, person.id))
        if person.id not in shown and end is not None and end.id != person.id:
            remedy = f"use {end.label}, or undo that decision"
            raise StoreError(person.label, f"was merged into {end.label}", remedy)

    def check_track(self, uid: int) -> None:
        """Check that there is a track.

        Raises:
            StoreError: there is none.
        """
        if uid not in self.tracks:
            raise StoreError(
                f"track {uid}",
                "is not in the library",
                "query and the people page show the numbers",
            )

    def others_called(self, name: str, person: int) -> bool:
        """Return whether anybody but a person is called so, whatever the case."""
        others = (one.label for one in self.people.values() if one.id != person)
        return labels.folded(name) in map(labels.folded, others)

    def seen_together(self, uids: Sequence[int]) -> int:
        """Return the uid of a track that is on screen with another of these, 0 for none."""
        episodes = [{one.track for one in rows} for rows in self.episodes.values()]
        for inside in episodes:
            some = [self.tracks[uid] for uid in uids if uid in inside]
            shared = np.flatnonzero(affinity.cooccurring(some).any(axis=1))
            if len(shared):
                return some[int(shared[0])].uid
        return 0

    def new_person(self) -> Character:
        """Add an unnamed person, and return them."""
        label = labels.person(self.next_person)
        some = next(iter(self.tracks.values())).embedding[None]
        new = Character(self.next_id, label, False, some, 1.0, 1.0, 1.0, 0, 0, 0.0)  # noqa: FBT003
        self.people[new.id] = new
        self.next_id, self.next_person = self.next_id + 1, self.next_person + 1
        return new

    def settle(self, said: Mapping[int, Identity]) -> None:
        """Set the identities of tracks, by uid."""
        self.changed |= set(said)
        for rows in self.episodes.values():
            rows[:] = [said.get(row.track, row) for row in rows]

    def call(self, called: Sequence[Called]) -> None:
        """Set the labels of people, and whether these are names."""
        for one in called:
            known = self.people[one.id]
            self.people[one.id] = dataclasses.replace(known, label=one.label, named=one.named)

    def publish(self, now: Library) -> None:
        """Publish it all."""
        shown = self.shown()
        had_names = {one.id for one in read.read_characters(now) if one.named}
        merged = log.constraints(self.log).merged
        people = [
            # Whoever had a name before has prototypes of that name: stills, or chosen faces.
            one
            if one.named and one.id in had_names
            else self._known_by(one, shown, merged=one.id in merged)
            for one in self.people.values()
        ]
        publish.publish(
            now,
            episodes=[],
            characters=sorted(people, key=lambda one: one.id),
            identities={
                episode: rows
                for episode, rows in self.episodes.items()
                if any(one.track in self.changed for one in rows)
            },
            next_character_id=self.next_id,
            decisions=self.log,
        )

    def _known_by(self, person: Character, shown: Mapping[int, int], *, merged: bool) -> Character:
        """Return a person with prototypes from their tracks.

        Somebody with neither track nor name has none, so that nobody is taken for this person; but
        somebody who was merged keeps them, to stand for the other.
        """
        mine = [self.tracks[uid] for uid, who in shown.items() if who == person.id]
        if mine:
            rows, clear = _best_faces(mine) if person.named else evidence.known_by(mine)
        elif person.named or merged:
            return person
        else:
            rows, clear = person.prototypes[:0], 0.0
        return dataclasses.replace(person, prototypes=rows, clear_px=clear)


def _best_faces(tracks: Sequence[Track]) -> tuple[Float32, float]:
    """Return the faces that somebody named is known by, unit rows (M, D), and their clarity.

    Each counts as a clear face, as stills do.
    """
    quality = np.concatenate([track.quality for track in tracks])
    best = np.argsort(-quality, kind="stable")[:_MOST_PROTOTYPES]
    rows = np.concatenate([track.embeddings for track in tracks])[best]
    return rows, affinity.CLEAR_PX * len(rows)

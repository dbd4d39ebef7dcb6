"""People's decisions in, a library that obeys them out: name, merge, split, move, not this, undo.

A decision pins the tracks that it is about: whatever is indexed or enrolled later, they show whom
it says. So a name that a person gave stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from indexer import affinity, evidence, labels
from indexer.errors import StoreError
from indexer.records import UNKNOWN, Character, Float32, Identity, Track
from indexer.request import Merge, Move, Name, NotThis, Request, Split
from indexer.store import decisions as log
from indexer.store import library as libraries
from indexer.store import read
from indexer.store.decisions import Called, Decision
from indexer.store.library import Library
from indexer.store.publish import publish

_MOST_PROTOTYPES = 30
"""Faces of its tracks that somebody named without stills is known by, at most."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What decisions came to."""

    decisions: Sequence[Decision]
    """Those that were added to the log."""
    seconds: Mapping[int, float]
    """Screen time of the tracks of each, by number."""


def decide(library: Library, requests: Sequence[Request]) -> Decided:
    """Carry out decisions, all or none, and return what was added to the log.

    Raises:
        StoreError: somebody, or a track, is not in the library; a name is taken; the library
            cannot be written.
    """
    with libraries.locked(library) as now:
        state = _State.of(now)
        for request in requests:
            state.add(state.decision(request))
        return state.published(now)


def undo(library: Library, number: int = 0) -> Decided:
    """Take a decision back, the last one in force if none is said, and return what was added.

    Raises:
        StoreError: there is no such decision in force; the library cannot be written.
    """
    with libraries.locked(library) as now:
        state = _State.of(now)
        binding = {one.number: one for one in log.in_force(state.log) if one.again is None}
        undos = {one.number: one for one in state.log if one.undoes}
        chosen = binding.get(number or max(binding, default=0)) or undos.get(number)
        if chosen is None:
            problem = f"has no decision {number} in force" if number else "has nothing to undo"
            raise StoreError(log.path_of(now), problem, "see the command decisions")
        state.take_back(chosen)
        return state.published(now)


@dataclass
class _State:
    """A library while decisions are carried out."""

    people: dict[int, Character]
    tracks: dict[int, Track]
    episodes: dict[str, list[Identity]]
    log: list[Decision]
    next_id: int
    next_person: int
    new: list[Decision] = field(default_factory=list)
    changed: set[int] = field(default_factory=set)
    """Uids of tracks of which something else is said now."""

    @staticmethod
    def of(library: Library) -> _State:
        ids = read.episodes(library)
        return _State(
            people={one.id: one for one in read.read_characters(library)},
            tracks={t.uid: t for one in ids for t in read.read_tracks(library, one)},
            episodes={one: read.read_identities(library, one) for one in ids},
            log=log.read_decisions(library),
            next_id=library.next_character_id,
            next_person=library.next_person,
        )

    def said(self) -> dict[int, Identity]:
        """Return what is said of each track, by uid."""
        return {one.track: one for rows in self.episodes.values() for one in rows}

    def shown(self) -> dict[int, int]:
        """Return whom each track shows, by uid."""
        return {one.track: one.character for rows in self.episodes.values() for one in rows}

    def decision(self, request: Request) -> Decision:
        """Return what a request comes to, not carried out yet."""
        match request:
            case Name():
                return self._name(request)
            case Merge():
                return self._merge(request)
            case Split():
                return self._split(request)
            case Move():
                return self._move(request)
            case NotThis():
                return self._not_this(request)

    def _name(self, request: Name) -> Decision:
        person, name = self._find(request.person), request.as_.strip()
        if why := labels.against(name):
            problem = f"is no name that can be given: it {why}"
            raise StoreError(f"{name!r}", problem, "choose another")
        if self._others_called(name, person.id):
            remedy = f"merge {person.label} into {name}"
            raise StoreError(name, "is somebody's name already", remedy)
        mine = [uid for uid, who in self.shown().items() if who == person.id]
        called = Called(person.id, name, named=True)
        says = f"{person.label} is {name}"
        return self._decision("name", says, dict.fromkeys(mine, person.id), called=(called,))

    def _merge(self, request: Merge) -> Decision:
        person, into = self._find(request.person), self._find(request.into)
        if person.id == into.id:
            raise StoreError(person.label, "is the same person already", "name two people")
        if person.named and not into.named:  # whichever way round it is said, the name stays
            person, into = into, person
        both = {person.id, into.id}
        mine = [uid for uid, who in self.shown().items() if who in both]
        apart = self._seen_together(mine)
        if apart:
            problem = f"is on screen together with {into.label} (track {apart})"
            raise StoreError(person.label, problem, "move that track first, if it is wrong")
        says = f"{person.label} is {into.label}"
        # Whoever is merged keeps the row, without tracks, so that it can be undone.
        both_ways = ((person.id, into.id),)
        return self._decision("merge", says, dict.fromkeys(mine, into.id), merged=both_ways)

    def _seen_together(self, uids: Sequence[int]) -> int:
        """Return a track that shares a frame with another of these, 0 if there is none."""
        episodes = [{one.track for one in rows} for rows in self.episodes.values()]
        for inside in episodes:
            some = [self.tracks[uid] for uid in uids if uid in inside]
            shared = np.flatnonzero(affinity.cooccurring(some).any(axis=1))
            if len(shared):
                return some[int(shared[0])].uid
        return 0

    def _split(self, request: Split) -> Decision:
        person, shown = self._find(request.person), self.shown()
        tracks = tuple(dict.fromkeys(request.tracks))
        if not tracks:
            raise StoreError(f"split {person.label}", "is of no track", "say which tracks")
        for uid in tracks:
            if shown.get(uid) != person.id:
                problem = f"is no track of {person.label}"
                raise StoreError(f"track {uid}", problem, "see its tracks in the people page")
        new = self._new_person()
        are = "track of {} is" if len(tracks) == 1 else "tracks of {} are"
        says = f"{len(tracks)} {are.format(person.label)} {new.label}"
        return self._decision("split", says, dict.fromkeys(tracks, new.id))

    def _move(self, request: Move) -> Decision:
        self._check_track(request.track)
        if labels.folded(request.to) == labels.NOBODY:
            person = self._new_person()
        else:
            person = self._find(request.to)
        says = f"track {request.track} is {person.label}"
        return self._decision("move", says, {request.track: person.id})

    def _not_this(self, request: NotThis) -> Decision:
        self._check_track(request.track)
        person = self._find(request.person)
        tracks = {}
        if self.shown()[request.track] == person.id:
            tracks = {request.track: self._new_person().id}
        says = f"track {request.track} is not {person.label}"
        return self._decision("not-this", says, tracks, never=((request.track, person.id),))

    def _decision(
        self,
        do: str,
        says: str,
        tracks: Mapping[int, int],
        *,
        never: tuple[tuple[int, int], ...] = (),
        called: tuple[Called, ...] = (),
        merged: tuple[tuple[int, int], ...] = (),
    ) -> Decision:
        people = {one.id: self.people[one.id] for one in called}
        return Decision(
            number=len(self.log) + 1,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            do=do,
            says=says,
            tracks=dict(sorted(tracks.items())),
            before={uid: one for uid, one in sorted(self.said().items()) if uid in tracks},
            never=never,
            merged=merged,
            called=called,
            were=tuple(Called(one.id, one.label, one.named) for one in people.values()),
        )

    def add(self, decision: Decision) -> None:
        """Carry a decision out."""
        self.log.append(decision)
        self.new.append(decision)
        said = self.said()
        self._settle({uid: _by_word(said[uid], who) for uid, who in decision.tracks.items()})
        self._call(decision.called)

    def take_back(self, chosen: Decision) -> None:
        """Carry out that a decision is undone, or an undo."""
        says = f"not so: {chosen.says}"
        number, time = len(self.log) + 1, datetime.now(UTC).isoformat(timespec="seconds")
        entry = Decision(number, time, "undo", says, undoes=chosen.number)
        was = log.constraints(self.log).pinned
        self.log.append(entry)
        self.new.append(entry)
        now = log.constraints(self.log).pinned
        back, said = self._before(), self.said()
        rows = {
            uid: _by_word(said[uid], now[uid]) if uid in now else back[uid]
            for uid in {*was, *now}
            if was.get(uid) != now.get(uid) and uid in said
        }
        self._settle({uid: self._of_somebody(row) for uid, row in rows.items()})
        first: dict[int, Called] = {}
        for one in self.log:
            for called in one.were:
                first.setdefault(called.id, called)
        last = {called.id: called for one in log.in_force(self.log) for called in one.called}
        rightly = [one for one in {**first, **last}.values() if one.id in self.people]
        changed = [one for one in rightly if self.people[one.id].label != one.label]
        self._call(rightly)
        shown = set(self.shown().values())
        for called in changed:
            if (
                called.named
                and called.id not in shown
                and not len(self.people[called.id].prototypes)
            ):
                problem = f"would give the name {called.label} to somebody whom no track shows now"
                remedy = "undo first what was said of those tracks since; see the command decisions"
                raise StoreError(f"undo {chosen.number}", problem, remedy)
            if self._others_called(called.label, called.id):
                problem = f"would call somebody {called.label} again, who somebody else is by now"
                remedy = f'give that one another name first: name "{called.label}" NAME'
                raise StoreError(f"undo {chosen.number}", problem, remedy)

    def _of_somebody(self, row: Identity) -> Identity:
        """Return what is said of a track, of nobody if who it was is forgotten since."""
        known = row.character in self.people
        return row if known else dataclasses.replace(row, character=UNKNOWN)

    def _others_called(self, name: str, person: int) -> bool:
        """Return whether anybody but a person is called so, whatever the case."""
        others = (one.label for one in self.people.values() if one.id != person)
        return labels.folded(name) in map(labels.folded, others)

    def _before(self) -> dict[int, Identity]:
        """Return what was said of each track before anybody decided, by the uid it has now."""
        found: dict[int, Identity] = {}
        for one in self.log:
            if one.again is not None:
                moved = {one.place(uid): row for uid, row in found.items()}
                found = {
                    uid: dataclasses.replace(row, track=uid)
                    for uid, row in moved.items()
                    if uid is not None
                }
            for uid, row in one.before.items():
                found.setdefault(uid, row)
        return found

    def _settle(self, said: Mapping[int, Identity]) -> None:
        """Say this of tracks from now on, by uid."""
        self.changed |= set(said)
        for rows in self.episodes.values():
            rows[:] = [said.get(row.track, row) for row in rows]

    def _call(self, called: Sequence[Called]) -> None:
        for one in called:
            known = self.people[one.id]
            self.people[one.id] = dataclasses.replace(known, label=one.label, named=one.named)

    def published(self, now: Library) -> Decided:
        """Publish it all and return what was added."""
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
        publish(
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
        seconds = {
            one.number: sum(self.tracks[u].end_s - self.tracks[u].start_s for u in one.tracks)
            for one in self.new
        }
        return Decided(self.new, seconds)

    def _known_by(self, person: Character, shown: Mapping[int, int], *, merged: bool) -> Character:
        """Return somebody with the prototypes that the tracks give.

        Without a track and a name there are none, so that nobody is taken for this person; but
        who was merged goes on standing for the other.
        """
        mine = [self.tracks[uid] for uid, who in shown.items() if who == person.id]
        if not mine:
            kept = person.prototypes[: None if person.named or merged else 0]
            return dataclasses.replace(person, prototypes=kept)
        return dataclasses.replace(person, prototypes=_prototypes(mine, one=not person.named))

    def _find(self, name: str) -> Character:
        shown = set(self.shown().values())
        people = [one for one in self.people.values() if one.named or one.id in shown]
        found = [people[n] for n in labels.called(name, [one.label for one in people])]
        if len(found) == 1:
            self._check_unmerged(found[0], shown)
            return found[0]
        names = ", ".join(sorted(one.label for one in found or people)[:10]) or "nobody"
        if found:
            raise StoreError(f"{name!r}", "is more than one", f"say which: {names}")
        raise StoreError(f"{name!r}", "is nobody in the library", f"there are: {names}")

    def _check_unmerged(self, person: Character, shown: Set[int]) -> None:
        end = self.people.get(log.constraints(self.log).merged.get(person.id, person.id))
        if person.id not in shown and end is not None and end.id != person.id:
            remedy = f"say {end.label}, or undo that decision"
            raise StoreError(person.label, f"is {end.label}, as was decided", remedy)

    def _check_track(self, uid: int) -> None:
        if uid not in self.tracks:
            raise StoreError(
                f"track {uid}", "is not in the library", "see query or the people page"
            )

    def _new_person(self) -> Character:
        label = labels.person(self.next_person)
        some = next(iter(self.tracks.values())).embedding[None]
        new = Character(self.next_id, label, False, some, 1.0, 1.0, 1.0, 0, 0)  # noqa: FBT003
        self.people[new.id] = new
        self.next_id, self.next_person = self.next_id + 1, self.next_person + 1
        return new


def _by_word(row: Identity, person: int) -> Identity:
    """Return what is said of a track once somebody has decided whom it shows."""
    return dataclasses.replace(row, character=person, probability=1.0, margin=1.0, reason="")


def _prototypes(tracks: Sequence[Track], *, one: bool) -> Float32:
    """Return what tracks are known by: their mean, or their best faces, unit rows (M, D)."""
    if one:
        return evidence.known_by(tracks)
    quality = np.concatenate([track.quality for track in tracks])
    best = np.argsort(-quality, kind="stable")[:_MOST_PROTOTYPES]
    return np.concatenate([track.embeddings for track in tracks])[best]

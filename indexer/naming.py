"""Users' decisions in, a library that obeys them out: name, merge, split, move, not this, undo.

A decision pins the tracks that it is about: whatever is indexed or enrolled later, they show whom
it states. So a name that a user gave stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from indexer import labels, undoing
from indexer import request as requests
from indexer.errors import StoreError
from indexer.request import Merge, Move, Name, NotThis, Request, Split
from indexer.roster import Roster
from indexer.store import decisions as log
from indexer.store import library as libraries
from indexer.store.decisions import Called, Decision
from indexer.store.library import Library


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome of carrying out decisions."""

    decisions: Sequence[Decision]
    """Those that were added to the log."""
    seconds: Mapping[int, float]
    """Screen time of each decision's tracks, by its number."""


def decide(library: Library, requests: Sequence[Request]) -> Decided:
    """Carry out decisions, all or none, and return what was added to the log.

    Raises:
        StoreError: somebody, or a track, is not in the library; a name is taken; the library
            cannot be written.
    """
    with libraries.locked(library) as now:
        roster = Roster.of(now)
        known = len(roster.log)
        for request in requests:
            _add(roster, _asked(roster, request))
        roster.publish(now)
    return _decided(roster, known)


def carry_out(library: Library, path: Path) -> Decided:
    """Carry out a file of decisions, all or none, and return what was added to the log.

    A label in the file means whoever had it when the file was written, whatever the file itself or
    anybody else has decided since.

    Raises:
        StoreError: the file cannot be read; a decision cannot be carried out, as in `decide`.
    """
    file = requests.read_file(path)
    with libraries.locked(library) as now:
        roster = Roster.of(now)
        roster.mean(file.people)
        known = len(roster.log)
        for number, request in enumerate(file.decisions, 1):
            try:
                _add(roster, _asked(roster, request))
            except StoreError as error:
                problem = f"decision {number}: {error.path} {error.problem}"
                raise StoreError(path, problem, error.remedy) from error
        roster.publish(now)
    return _decided(roster, known)


def undo(library: Library, number: int = 0) -> Decided:
    """Take a decision back, the last in force if no number is given, and return what was added.

    Raises:
        StoreError: there is no such decision in force; the library cannot be written.
    """
    with libraries.locked(library) as now:
        roster = Roster.of(now)
        known = len(roster.log)
        binding = {one.number: one for one in log.in_force(roster.log) if one.again is None}
        undos = {one.number: one for one in roster.log if one.undoes}
        chosen = binding.get(number or max(binding, default=0)) or undos.get(number)
        if chosen is None:
            problem = f"has no decision {number} in force" if number else "has nothing to undo"
            raise StoreError(log.path_of(now), problem, "see the command decisions")
        undoing.take_back(roster, chosen)
        roster.publish(now)
    return _decided(roster, known)


def _decided(roster: Roster, known: int) -> Decided:
    new = roster.log[known:]
    seconds = {one.number: roster.seconds(one.tracks) for one in new}
    return Decided(new, seconds)


def _asked(roster: Roster, request: Request) -> Decision:
    """Return the decision that a request asks for, not carried out yet."""
    match request:
        case Name():
            return _name(roster, request)
        case Merge():
            return _merge(roster, request)
        case Split():
            return _split(roster, request)
        case Move():
            return _move(roster, request)
        case NotThis():
            return _not_this(roster, request)


def _name(roster: Roster, request: Name) -> Decision:
    person, name = roster.find(request.person), request.as_.strip()
    if why := labels.against(name):
        problem = f"cannot be given as a name: it {why}"
        raise StoreError(f"{name!r}", problem, "choose another")
    if roster.others_called(name, person.id):
        remedy = f"merge {person.label} into {name}"
        raise StoreError(name, "is already somebody's name", remedy)
    # Whoever has a name keeps tracks that nobody decided on free for better stills to correct.
    mine = [] if person.named else roster.tracks_of(person.id)
    called = Called(person.id, name, named=True)
    says = f"{person.label} is {name}"
    return _entry(roster, "name", says, dict.fromkeys(mine, person.id), called=(called,))


def _merge(roster: Roster, request: Merge) -> Decision:
    person, into = roster.find(request.person), roster.find(request.into)
    if person.id == into.id:
        raise StoreError(person.label, "is that person already", "give two different people")
    if person.named and not into.named:  # in either order, the name stays
        person, into = into, person
    apart = roster.seen_together(person.id, into.id)
    if apart:
        problem = f"is on screen together with {into.label} (track {apart})"
        remedy = (
            "if that track is wrong, move it first; if it is a mirror or a photo, move each track"
        )
        raise StoreError(person.label, problem, remedy)
    says = f"{person.label} is {into.label}"
    # As with a name: what whoever has a name was taken for without a decision stays free.
    mine = roster.tracks_of(person.id, *(() if into.named else (into.id,)))
    tracks = dict.fromkeys(mine, into.id)
    tracks |= {uid: roster.new_person().id for uid in _neither(roster, person.id, into.id)}
    # A merged person stays in the table, without tracks, so that the merge can be undone.
    return _entry(roster, "merge", says, tracks, merged=((person.id, into.id),))


def _neither(roster: Roster, person: int, into: int) -> list[int]:
    """Return tracks taken for one of two people, which users said are not the other."""
    decided = log.constraints(roster.log)
    other = {person: into, into: person}
    pairs = ((uid, who) for uid, who in decided.barred if uid in roster.said)
    return sorted(
        uid
        for uid, who in pairs
        if uid not in decided.pinned and other.get(roster.said[uid].character) == who
    )


def _split(roster: Roster, request: Split) -> Decision:
    person = roster.find(request.person)
    tracks = tuple(dict.fromkeys(request.tracks))
    if not tracks:
        raise StoreError(f"split {person.label}", "names no track", "say which tracks")
    for uid in tracks:
        if uid not in roster.theirs.get(person.id, ()):
            problem = f"is not a track of {person.label}"
            raise StoreError(f"track {uid}", problem, "see their tracks on the people page")
    new = roster.new_person()
    are = "track of {} is" if len(tracks) == 1 else "tracks of {} are"
    says = f"{len(tracks)} {are.format(person.label)} {new.label}"
    return _entry(roster, "split", says, dict.fromkeys(tracks, new.id))


def _move(roster: Roster, request: Move) -> Decision:
    roster.check_track(request.track)
    if labels.folded(request.to) == labels.NOBODY:
        person = roster.new_person()
    else:
        person = roster.find(request.to)
    says = f"track {request.track} is {person.label}"
    return _entry(roster, "move", says, {request.track: person.id})


def _not_this(roster: Roster, request: NotThis) -> Decision:
    roster.check_track(request.track)
    person = roster.find(request.person)
    tracks = {}
    if roster.said[request.track].character == person.id:
        tracks = {request.track: roster.new_person().id}
    says = f"track {request.track} is not {person.label}"
    return _entry(roster, "not-this", says, tracks, never=((request.track, person.id),))


def _entry(  # noqa: PLR0913 - the last by name
    roster: Roster,
    do: str,
    says: str,
    tracks: Mapping[int, int],
    *,
    never: tuple[tuple[int, int], ...] = (),
    called: tuple[Called, ...] = (),
    merged: tuple[tuple[int, int], ...] = (),
) -> Decision:
    people = {one.id: roster.people[one.id] for one in called}
    return Decision(
        number=len(roster.log) + 1,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        do=do,
        says=says,
        tracks=dict(sorted(tracks.items())),
        before={uid: roster.said[uid] for uid in sorted(tracks)},
        never=never,
        merged=merged,
        called=called,
        were=tuple(Called(one.id, one.label, one.named) for one in people.values()),
    )


def _add(roster: Roster, decision: Decision) -> None:
    """Carry a decision out."""
    roster.log.append(decision)
    ends = log.merges(roster.log)
    tracks = {uid: ends.get(who, who) for uid, who in decision.tracks.items()}
    roster.settle({uid: roster.by_word(uid, who) for uid, who in tracks.items()})
    roster.call(decision.called)
    roster.touch(decision)

"""What people decided about who is who: an append-only log.

``decisions.jsonl`` has a line for each decision, numbered from 1. A decision says whom each of its
tracks shows from then on, whom tracks do not show, what people are called, and what all of that was
before. The decisions in force, in the order of the log, bind every later judgement. Undoing adds a
line, too. Only forgetting a person changes existing lines: what they say of that person is removed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from indexer.errors import StoreError
from indexer.records import UNKNOWN, Constraints, Identity
from indexer.store import disk, schema
from indexer.store.library import UNTOLD, Library, Log, open_library

_REPAIR = (
    "restore it from a copy; or, to continue with its intact lines, delete the others and "
    f'remove "decisions" from {schema.LIBRARY}'
)


@dataclass(frozen=True)
class Called:
    """The label that a person has, or had."""

    id: int
    label: str
    named: bool


@dataclass(frozen=True)
class Decision:
    """One line of the log."""

    number: int
    """Counts from 1."""
    time: str
    """When it was made, UTC, ISO 8601."""
    do: str
    """name, merge, split, move, not-this, undo; or index, where a video was indexed again."""
    says: str
    """The same in words, as in "Person 3 is Ann"."""
    tracks: Mapping[int, int] = field(default_factory=dict)
    """Track uid → id of the person that it shows from then on."""
    before: Mapping[int, Identity] = field(default_factory=dict)
    """Track uid → its identity before the decision."""
    never: tuple[tuple[int, int], ...] = ()
    """(track uid, id of a person that it does not show)."""
    called: tuple[Called, ...] = ()
    """Labels that people have from then on."""
    were: tuple[Called, ...] = ()
    """The labels that they had before."""
    merged: tuple[tuple[int, int], ...] = ()
    """(id, id): the first is the second from then on."""
    undoes: int = 0
    """The number of the decision that an undo takes back."""
    again: int | None = None
    """Where an episode was indexed again, the upper 32 bits of its tracks' uids (uid >> 20)."""
    renamed: Mapping[int, int] = field(default_factory=dict)
    """Old uid → new uid of that episode's tracks; those that are not listed are gone."""

    def place(self, uid: int) -> int | None:
        """Return the uid that a track has after this decision, None if the track is gone."""
        if self.again is None or uid >> 20 != self.again:
            return uid
        return self.renamed.get(uid)


_FORGOTTEN = "about somebody who is forgotten"
_ADAPTER = TypeAdapter(Decision)


def path_of(library: Library) -> Path:
    """Return the log of a library, which need not exist."""
    return library.root / schema.DECISIONS


def read_decisions(library: Library) -> list[Decision]:
    """Return the log, oldest first; empty if nobody decided anything.

    Raises:
        StoreError: it is damaged, or not the one that was published.
    """
    path, text = path_of(library), _published(library)
    try:
        found = [_ADAPTER.validate_json(line) for line in text.splitlines()]
    except ValidationError as error:
        problem = str(error).splitlines()[0]
        raise StoreError(path, f"is damaged: {problem}", _REPAIR) from error
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        raise StoreError(path, "is damaged: its lines are not numbered from 1", _REPAIR)
    return found


def content(library: Library) -> bytes:
    """Return the log's bytes, empty if there is none."""
    path = path_of(library)
    with disk.explained(path):
        return path.read_bytes() if path.exists() else b""


def _published(library: Library) -> bytes:
    """Return the log's bytes, checked against what library.json says of them.

    Raises:
        StoreError: it is missing, or not the log that was published.
    """
    found = content(library)
    if library.decisions not in (UNTOLD, Log.of(found)):
        # A reader without the lock may have met another run that is publishing.
        library = open_library(library.root)
        found = content(library)
    told, is_ = library.decisions, Log.of(found)
    if told in (UNTOLD, is_):
        return found
    path = path_of(library)
    if not path.exists():
        raise StoreError(path, f"is missing, although {told.count} decisions were made", _REPAIR)
    counts = f"it has only {is_.count} of {told.count} decisions"
    problem = counts if is_.count < told.count else "it has changed since it was written"
    raise StoreError(path, f"is damaged: {problem}", _REPAIR)


def encoded(decisions: Sequence[Decision]) -> bytes:
    """Return a log as bytes: a JSON object on each line."""
    lines = (json.dumps(asdict(one), ensure_ascii=False) for one in decisions)
    return "".join(f"{line}\n" for line in lines).encode()


def in_force(decisions: Sequence[Decision]) -> list[Decision]:
    """Return the decisions that bind, oldest first: no undos, and none that one in force undoes."""
    undone: set[int] = set()
    for one in reversed(decisions):  # an undo may itself be undone by a later one
        if one.number not in undone and one.undoes:
            undone.add(one.undoes)
    return [one for one in decisions if one.number not in undone and not one.undoes]


def spoken_of(decisions: Sequence[Decision]) -> set[int]:
    """Return the current uids of all tracks that a decision is about, in force or not."""
    found: set[int] = set()
    for one in decisions:
        found = {new for uid in found if (new := one.place(uid)) is not None}
        found |= {*one.tracks, *one.before, *(uid for uid, _ in one.never)}
    return found


def without(decisions: Sequence[Decision], uids: Set[int], people: Set[int]) -> list[Decision]:
    """Return the log without all that it says of some tracks and people; its numbers stay.

    Args:
        decisions: the log.
        uids: current uids of the tracks.
        people: ids of the people.
    """
    gone, found = set(uids), []
    for one in reversed(decisions):
        kept = _redacted(one, gone, people)
        found.append(kept)
        if one.again is not None:  # before this entry its tracks had other uids
            older = {old for old, new in one.renamed.items() if new in gone}
            gone = {uid for uid in gone if uid >> 20 != one.again} | older
    found.reverse()
    silent: set[int] = set()
    for place, (one, kept) in enumerate(zip(decisions, found, strict=True)):
        if _differs(one, kept) or one.undoes in silent:
            silent.add(one.number)
            found[place] = replace(kept, says=_FORGOTTEN)
    return found


def _differs(one: Decision, kept: Decision) -> bool:
    """Return whether redaction removed something that a decision is about.

    It is not about the runners-up and links of its tracks' earlier identities.
    """
    was, is_ = ({uid: row.character for uid, row in x.before.items()} for x in (one, kept))
    return was != is_ or replace(one, before=kept.before) != kept


def _redacted(one: Decision, gone: Set[int], people: Set[int]) -> Decision:
    def silent(row: Identity) -> Identity:
        return replace(
            row,
            character=UNKNOWN if row.character in people else row.character,
            runner_up=UNKNOWN if row.runner_up in people else row.runner_up,
            second=UNKNOWN if row.second in people else row.second,
            link=UNKNOWN if row.link in gone else row.link,
        )

    return replace(
        one,
        tracks={u: who for u, who in one.tracks.items() if u not in gone and who not in people},
        before={u: silent(row) for u, row in one.before.items() if u not in gone},
        never=tuple(pair for pair in one.never if pair[0] not in gone and pair[1] not in people),
        called=tuple(person for person in one.called if person.id not in people),
        were=tuple(person for person in one.were if person.id not in people),
        merged=tuple(pair for pair in one.merged if not people & set(pair)),
        renamed={old: new for old, new in one.renamed.items() if new not in gone},
    )


def constraints(decisions: Sequence[Decision]) -> Constraints:
    """Return what the decisions in force demand of every later judgement.

    A track that does not show somebody does not show whom that person was merged into, either,
    unless it is decided that it does.
    """
    pinned: dict[int, int] = {}
    barred: set[tuple[int, int]] = set()
    for one in in_force(decisions):
        if one.again is not None:
            pinned = {
                new: who for uid, who in pinned.items() if (new := one.place(uid)) is not None
            }
            barred = {(new, who) for uid, who in barred if (new := one.place(uid)) is not None}
        barred.update(one.never)
        for uid, person in one.tracks.items():
            pinned[uid] = person
            barred.discard((uid, person))
    ends = merges(decisions)
    pinned = {uid: ends.get(who, who) for uid, who in pinned.items()}
    others = {(uid, ends[who]) for uid, who in barred if who in ends}
    return Constraints(pinned, frozenset(barred | (others - pinned.items())), ends)


def merges(decisions: Sequence[Decision]) -> dict[int, int]:
    """Return who was merged → who they are now, at the end of the chain."""
    merged: dict[int, int] = {}
    for one in in_force(decisions):
        for person, into in one.merged:
            merged.pop(person, None)  # what is said last counts
            if _end(merged, into) == person:
                del merged[into]
            merged[person] = into
    return {one: _end(merged, one) for one in merged}


def _end(merged: Mapping[int, int], person: int) -> int:
    """Return who a person is after all merges, which lead back to nobody."""
    while (following := merged.get(person)) is not None:
        person = following
    return person


def read_constraints(library: Library) -> Constraints:
    """Return what people's decisions demand of every later judgement.

    Raises:
        StoreError: the log is damaged.
    """
    return constraints(read_decisions(library))

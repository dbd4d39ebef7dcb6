"""A decision, or the undoing of one, taken back: everything is as the others in force say."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from indexer import labels
from indexer.errors import StoreError
from indexer.records import UNKNOWN, Constraints, Identity
from indexer.roster import Roster
from indexer.store import decisions as log
from indexer.store.decisions import Called, Decision


def take_back(roster: Roster, chosen: Decision) -> None:
    """Undo a decision, or an undo: tracks and labels are as the decisions in force say.

    Raises:
        StoreError: a label is somebody else's by now, or no track shows who would have the name; or
            later decisions about the same tracks leave nothing to take back.
    """
    number, time = len(roster.log) + 1, datetime.now(UTC).isoformat(timespec="seconds")
    entry = Decision(number, time, "undo", "", undoes=chosen.number)
    was = log.constraints(roster.log)
    roster.log.append(entry)
    now = log.constraints(roster.log)
    if was == now and not chosen.called:
        _check_not_decided_since(roster, chosen)
    roster.log[-1] = dataclasses.replace(entry, says=_in_words(chosen, was, now))
    rows = _given_back(roster, was, now)
    roster.settle({uid: _of_somebody(roster, row) for uid, row in rows.items()})
    meant = chosen
    while meant.undoes:
        meant = roster.log[meant.undoes - 1]
    roster.touch(meant)
    _call_again(roster, chosen)


def _in_words(chosen: Decision, was: Constraints, now: Constraints) -> str:
    """Return what is undone, and how many of its tracks show nobody else for all that."""
    stay = sum(now.pinned.get(uid, UNKNOWN) == was.pinned.get(uid) for uid in chosen.tracks)
    more = f"; {labels.counted(stay, 'track')} as other decisions say" if stay else ""
    return f"not so: {chosen.says}{more}"


def _check_not_decided_since(roster: Roster, chosen: Decision) -> None:
    """Raise if later decisions in force are about the same tracks."""
    later = log.in_force(roster.log[chosen.number :])
    numbers = [one.number for one in later if one.tracks.keys() & chosen.tracks.keys()]
    if numbers:
        problem = "would change nothing, as a later decision is about the same tracks"
        remedy = f"first undo {numbers[-1]}"
        raise StoreError(f"undo {chosen.number}", problem, remedy)


def _given_back(roster: Roster, was: Constraints, now: Constraints) -> dict[int, Identity]:
    """Return the identities of the tracks about which other decisions are in force by now."""
    back, found = _before(roster), dict[int, Identity]()
    for uid in {*was.pinned, *now.pinned, *back} & roster.said.keys():
        row = roster.said[uid]
        if uid in now.pinned:
            if was.pinned.get(uid) != now.pinned[uid]:
                found[uid] = roster.by_word(uid, now.pinned[uid])
            continue
        free = _merged(roster, back[uid], now)
        undecided = row.character == _merged(roster, back[uid], was).character
        if uid in was.pinned or (undecided and row.character != free.character):
            found[uid] = free
    return found


def _merged(roster: Roster, row: Identity, decided: Constraints) -> Identity:
    """Return an identity before any decision, with whoever the character was merged into.

    UNKNOWN if users decided that the track does not show that person.
    """
    end = decided.merged.get(row.character, row.character)
    if (row.track, end) in decided.barred:
        return dataclasses.replace(row, character=UNKNOWN)
    if end == row.character or end not in roster.people:
        return row
    is_named = roster.people[end].named
    return dataclasses.replace(row, character=end, reason="" if is_named else row.reason)


def _call_again(roster: Roster, chosen: Decision) -> None:
    """Give people the labels of the decisions in force, now that one is undone.

    Raises:
        StoreError: a label is somebody else's by now, or no track shows who would have the name.
    """
    first: dict[int, Called] = {}
    for one in roster.log:
        for called in one.were:
            first.setdefault(called.id, called)
    last = {called.id: called for one in log.in_force(roster.log) for called in one.called}
    rightly = [one for one in {**first, **last}.values() if one.id in roster.people]
    changed = [one for one in rightly if roster.people[one.id].label != one.label]
    roster.call(rightly)
    for called in changed:
        is_seen = roster.is_seen(called.id) or len(roster.people[called.id].prototypes)
        if called.named and not is_seen:
            problem = f"would give the name {called.label} to somebody who has no tracks any more"
            remedy = "first undo the later decisions on those tracks; see the command decisions"
            raise StoreError(f"undo {chosen.number}", problem, remedy)
        if roster.others_called(called.label, called.id):
            problem = f"would give back the name {called.label}, which somebody else has now"
            remedy = f'first give them another name: name "{called.label}" NAME'
            raise StoreError(f"undo {chosen.number}", problem, remedy)


def _of_somebody(roster: Roster, row: Identity) -> Identity:
    """Return an identity, with UNKNOWN for a character that was forgotten since."""
    known = row.character in roster.people
    return row if known else dataclasses.replace(row, character=UNKNOWN)


def _before(roster: Roster) -> dict[int, Identity]:
    """Return the identity of each decided track before any decision, by the uid it has now."""
    found: dict[int, Identity] = {}
    for one in roster.log:
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

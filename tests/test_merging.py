"""Two people who are one: what that pins, what it bars, and what undoing gives back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import naming
from indexer.errors import StoreError
from indexer.records import UNKNOWN, Constraints, Identity
from indexer.request import Merge, Move, Name, NotThis, Request
from indexer.store import decisions, read
from indexer.store.decisions import Decision
from indexer.store.library import Library, open_library
from tests import libraries
from tests.libraries import ANN, BOB, CARL, CAST, Shown

PILOT = libraries.episode(
    shots=(50, 50, 50, 50),
    shown=[Shown(0, 20, ANN), Shown(60, 90, BOB), Shown(110, 130, BOB), Shown(160, 180, CARL)],
)
FIRST, SECOND, THIRD, FOURTH = (one.uid for one in PILOT.tracks)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)


def decide(library: Library, *requests: Request) -> None:
    naming.decide(open_library(library.root), requests)


def undo(library: Library, number: int = 0) -> None:
    naming.undo(open_library(library.root), number)


def said(library: Library) -> dict[int, Identity]:
    rows = read.read_identities(open_library(library.root), PILOT.id)
    return {one.track: one for one in rows}


def shown(library: Library) -> list[int]:
    return [said(library)[uid].character for uid in (FIRST, SECOND, THIRD, FOURTH)]


def decided(library: Library) -> Constraints:
    return decisions.read_constraints(open_library(library.root))


def test_another_name_pins_nothing(library: Library) -> None:
    """So better stills can still correct the tracks that nobody decided on."""
    before = said(library)
    decide(library, Name("Bob", "Robert"))
    assert read.find_character(open_library(library.root), "Robert").id == BOB
    assert (decided(library).pinned, said(library)) == ({}, before)
    undo(library)
    assert read.find_character(open_library(library.root), "Bob").id == BOB


def test_a_merge_pins_only_whoever_is_merged_into_a_name(library: Library) -> None:
    before = said(library)
    decide(library, Merge(person="Bob", into="Ann"))
    assert decided(library).pinned == {SECOND: ANN, THIRD: ANN}
    assert said(library)[FIRST] == before[FIRST]
    assert shown(library) == [ANN, ANN, ANN, CARL]
    undo(library)
    assert said(library) == before


def test_whoever_has_no_name_is_pinned_in_either_order(library: Library) -> None:
    decide(library, Merge(person="Ann", into="Person 3"))
    assert decided(library).pinned == {FOURTH: ANN}


def test_two_without_a_name_are_both_pinned(library: Library) -> None:
    decide(library, Move(track=THIRD, to="unknown"))
    decide(library, Merge(person="Person 4", into="Person 3"))
    assert decided(library).pinned == {THIRD: CARL, FOURTH: CARL}


def test_an_earlier_decision_undone_does_not_bring_back_whom_a_merge_ended(
    library: Library,
) -> None:
    before = said(library)
    decide(library, Move(track=THIRD, to="Person 3"), Merge(person="Bob", into="Ann"))
    undo(library, 1)
    assert shown(library) == [ANN, ANN, ANN, CARL]
    undo(library, 2)
    assert said(library) == before
    undo(library, 4)  # the undoing of the merge
    assert shown(library) == [ANN, ANN, ANN, CARL]


def log_of(*merged: tuple[int, int]) -> list[Decision]:
    return [Decision(n, "", "merge", "", merged=(pair,)) for n, pair in enumerate(merged, 1)]


def test_of_merges_in_a_circle_the_last_counts() -> None:
    assert decisions.merges(log_of((1, 2), (2, 1))) == {2: 1}
    assert decisions.merges(log_of((3, 2), (2, 1), (1, 3))) == {2: 3, 1: 3}
    assert decisions.merges(log_of((3, 2), (2, 1))) == {3: 1, 2: 1}
    assert decisions.merges([]) == {}


PEOPLE = st.integers(1, 5)


@given(st.lists(st.tuples(PEOPLE, PEOPLE).filter(lambda pair: pair[0] != pair[1])))
def test_whoever_others_are_merged_into_is_not_merged(pairs: list[tuple[int, int]]) -> None:
    ends = decisions.merges(log_of(*pairs))
    assert not ends.keys() & set(ends.values())
    for person, into in pairs[-1:]:
        assert ends[person] == ends.get(into, into)


def test_two_pictures_of_one_person_at_once_do_not_forbid_a_merge(tmp_path: Path) -> None:
    mirrored = libraries.episode(
        shots=(50, 50), shown=[Shown(0, 20, ANN), Shown(0, 20, ANN), Shown(60, 90, CARL)]
    )
    library = libraries.put(libraries.new(tmp_path / "library"), mirrored, CAST)
    decide(library, Merge(person="Person 3", into="Ann"))
    rows = read.read_identities(open_library(library.root), mirrored.id)
    assert [one.character for one in rows] == [ANN, ANN, ANN]


def test_a_track_beside_somebody_elses_forbids_it(tmp_path: Path) -> None:
    both = libraries.episode(shots=(50,), shown=[Shown(0, 20, ANN), Shown(5, 30, CARL)])
    library = libraries.put(libraries.new(tmp_path / "library"), both, CAST)
    with pytest.raises(StoreError, match=rf"together with Ann \(track {both.tracks[1].uid}"):
        decide(library, Merge(person="Person 3", into="Ann"))


def test_who_is_not_somebody_is_not_who_that_is_either(library: Library) -> None:
    decide(library, NotThis(track=FOURTH, person="Bob"), Merge(person="Bob", into="Ann"))
    assert decided(library).barred == {(FOURTH, BOB), (FOURTH, ANN)}
    decide(library, Move(track=FOURTH, to="Ann"))
    assert decided(library).barred == {(FOURTH, BOB)}
    undo(library)
    undo(library)
    assert decided(library).barred == {(FOURTH, BOB)}


def test_a_track_that_is_not_one_of_two_is_neither_once_they_are_one(library: Library) -> None:
    """Unless users said whose it is."""
    before = shown(library)
    decide(library, NotThis(track=FIRST, person="Bob"), NotThis(track=SECOND, person="Ann"))
    decide(library, NotThis(track=THIRD, person="Ann"), Move(track=THIRD, to="Bob"))
    decide(library, Merge(person="Bob", into="Ann"))
    assert shown(library) == [4, 5, ANN, CARL]
    assert decided(library).pinned == {FIRST: 4, SECOND: 5, THIRD: ANN}
    assert {(FIRST, ANN), (SECOND, ANN)} < decided(library).barred
    undo(library)
    assert shown(library) == before


def test_undoing_does_not_show_whom_users_ruled_out(library: Library) -> None:
    decide(library, Move(track=SECOND, to="Ann"), NotThis(track=SECOND, person="Bob"))
    undo(library, 1)
    assert shown(library)[1] == UNKNOWN
    undo(library, 2)
    assert shown(library)[1] == BOB


def test_an_undo_says_which_tracks_stay_as_other_decisions_say(library: Library) -> None:
    decide(library, NotThis(SECOND, "Bob"), Move(SECOND, "Ann"))
    undo(library, 1)  # the track is Ann's still, but may be Bob's again
    assert (decided(library).pinned, decided(library).barred) == ({SECOND: ANN}, frozenset())
    decide(library, Merge("Person 3", "Bob"), Move(FOURTH, "Bob"))
    undo(library, 4)
    assert (decided(library).merged, shown(library)[3]) == ({}, BOB)
    words = [one.says for one in decisions.read_decisions(open_library(library.root))]
    assert words[2] == f"not so: {words[0]}; 1 track as other decisions say"
    assert words[5] == f"not so: {words[3]}; 1 track as other decisions say"


def test_an_undo_that_would_change_nothing_says_what_to_undo_first(library: Library) -> None:
    before = said(library)
    decide(library, Move(SECOND, "Ann"), Move(SECOND, "Person 3"))
    with pytest.raises(StoreError, match=r"as a later decision .* \(first undo 2\)"):
        undo(library, 1)
    decide(library, Move(SECOND, "Person 3"))
    undo(library)  # nobody decided after it, so it is taken back, although that changes nothing
    undo(library)
    undo(library)
    assert said(library) == before

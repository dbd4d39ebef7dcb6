"""What judging changed in a library's people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.diff import Change, Seen, diff
from tests.libraries import ANN, BOB, CARL, CAST


def seen(character: int, seconds: float = 2.0) -> Seen:
    return Seen(character, seconds, "pilot")


def test_new_grown_and_lost_by_hand() -> None:
    before = {1: seen(ANN), 2: seen(BOB, 6.0)}
    after = {1: seen(ANN), 2: seen(ANN, 6.0), 3: seen(CARL, 4.0)}
    found = diff(before, after, CAST, CAST)
    assert found.new == {"Person 3": 4.0}
    assert found.grown == {"Ann": 6.0}
    assert found.retention == pytest.approx(0.25)
    assert found.changes == [Change(2, "pilot", 6.0, "Bob", "Ann")]


def test_nothing_was_there_before() -> None:
    found = diff({}, {1: seen(ANN)}, [], CAST)
    assert (found.new, found.grown, found.retention, found.changes) == ({"Ann": 2.0}, {}, 1.0, [])


@given(st.dictionaries(st.integers(1, 9), st.integers(0, 3)))
def test_what_stays_is_kept(tracks: dict[int, int]) -> None:
    same = {uid: seen(who) for uid, who in tracks.items()}
    found = diff(same, same, CAST, CAST)
    assert (found.new, found.grown, found.retention, found.changes) == ({}, {}, 1.0, [])

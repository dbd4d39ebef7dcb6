"""What people are called, and what can be a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import labels


def test_labels_of_the_unnamed_are_told_from_names() -> None:
    assert all(labels.is_person(name) for name in ("Person 3", "person 12"))
    assert not any(labels.is_person(name) for name in ("Person", "Ann", "Person Ann", "3", ""))


@given(st.integers(1), st.lists(st.integers(0), max_size=4))
def test_the_next_number_is_one_that_nobody_has(least: int, numbers: list[int]) -> None:
    assert [labels.number_of(labels.person(one)) for one in numbers] == numbers
    found = labels.next_person(map(labels.person, numbers), least)
    assert found >= least
    assert found not in numbers
    assert labels.next_person(["Ann", ""], least) == least


def test_a_name_is_found_as_it_is_spelt_or_else_whatever_the_case() -> None:
    known = ["louis", "Louis", "Zoe\u0308", "STRASSE"]
    assert labels.called("Louis", known) == [1]
    assert labels.called("LOUIS", known) == [0, 1]
    assert labels.called("zoë", known) == [2]
    assert labels.called("straße", known) == [3]
    assert labels.called("Ann  Lee ", ["Ann", "ann lee"]) == [1]
    assert labels.called("Ann", known) == labels.called("Ann", []) == []


def test_a_name_may_be_spelt_with_joiners_of_no_width() -> None:
    assert labels.against("علی\u200cرضا") == ""  # noqa: RUF001 - Persian


@pytest.mark.parametrize("name", ["", " ", "person 3", "Unknown", " unknown ", "A\nB"])
def test_what_cannot_be_a_name(name: str) -> None:
    assert labels.against(name)
    assert labels.against(f"{name}Ann B") == "" or "\n" in name


def test_a_count_has_its_noun_in_the_singular_or_plural() -> None:
    assert [labels.counted(n, "track") for n in (0, 1, 2)] == ["0 tracks", "1 track", "2 tracks"]
    assert labels.counted(1, "person", "people") == "1 person"
    assert labels.counted(6, "person", "people") == "6 people"

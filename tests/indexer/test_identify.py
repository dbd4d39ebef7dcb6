"""Names first, then people: a track's verdict in one step binds the other step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from indexer import thresholds
from indexer.config import Settings
from indexer.identify import Cast, Heard, identify
from indexer.records import UNKNOWN, Character, Constraints, Identity, Track
from tests.indexer.test_recognize import PLAIN, STICK, at_cosine, axis, character, track

SETTINGS = Settings(recognize=PLAIN)
NOBODY = Cast([], [], 1)


def at(tracks: list[Track], start: int) -> list[Track]:
    """The tracks, moved to one stretch of frames, so that all are on screen together."""
    first, last = start / 25, (start + 10) / 25
    return [
        replace(one, start_frame=start, end_frame=start + 9, start_s=first, end_s=last)
        for one in tracks
    ]


def seen(cast: Cast) -> dict[int, int]:
    return {i.track: i.character for i in cast.identities}


def test_one_who_loses_a_name_does_not_become_the_person_beside_them() -> None:
    twins = [track(1, axis(0)), track(2, at_cosine(axis(0), 0.99))]
    person = Character(1, "Person 1", False, axis(0)[None], 0.9, 1.0, 0.9, 0, 0, 48.0)  # noqa: FBT003
    before = {1: Identity(1, 1, 0.9, 0.9, 0.0, UNKNOWN), 2: Identity(2, 9, 0.9, 0.9, 0.0, UNKNOWN)}
    cast = identify(
        twins, Cast([person, character(9, axis(5))], [], 10), STICK, SETTINGS, Heard(before)
    )
    assert seen(cast) == {1: 1, 2: 10}
    assert cast.next_id == 11


def test_a_stranger_keeps_the_name_that_came_nearest() -> None:
    near = track(1, at_cosine(axis(0), 0.85))
    gallery = [character(4, axis(0)), character(5, axis(1))]
    cast = identify([near], Cast(gallery, [], 6), STICK, SETTINGS)
    [identity] = cast.identities
    assert (identity.character, identity.runner_up) == (6, 4)
    assert 0 < identity.margin < 1  # to have no name is likelier than the nearest name
    again = identify([near], Cast(cast.characters, [], 7), STICK, SETTINGS, Heard({1: identity}))
    assert again.identities == cast.identities


def test_what_is_kept_of_a_character_does_not_depend_on_what_was_indexed_last() -> None:
    gallery = [character(1, axis(0)), character(2, axis(1))]
    alike = at([track(1, at_cosine(axis(0), 0.95)), track(2, at_cosine(axis(0), 0.9, 1))], 0)
    cast = identify(alike, Cast(gallery, [], 3), STICK, SETTINGS)
    later = identify([], cast, STICK, SETTINGS)
    named = [c for c in later.characters if c.named]
    assert [(c.threshold, c.impostors) for c in named] == [
        (c.threshold, c.impostors) for c in cast.characters if c.named
    ]
    assert all(np.isfinite(c.threshold) for c in named)


def test_nobody_is_nobody() -> None:
    assert identify([], NOBODY, STICK, SETTINGS) == NOBODY


def said(track: int, who: int) -> Identity:
    return Identity(track, who, 0.99, 0.9, 0.8, UNKNOWN)


def test_who_was_shown_before_is_who_they_were() -> None:
    stranger, blurred = track(1, axis(3)), track(2, at_cosine(axis(0), 0.6))
    person = Character(1, "Person 1", False, axis(7)[None], 0.9, 1.0, 0.9, 0, 0, 48.0)  # noqa: FBT003
    known = Cast([person, character(2, axis(0))], [], 3)
    taken = {1: said(1, 1), 2: said(2, 2)}
    alone = identify([stranger, blurred], known, STICK, SETTINGS)
    assert seen(alone) == {1: 3, 2: 4}
    cast = identify([stranger, blurred], known, STICK, SETTINGS, Heard(taken=taken))
    assert cast.identities == [taken[1], taken[2]]
    assert cast.next_id == 3


def test_a_name_by_now_is_better_than_a_person_then() -> None:
    ann = track(1, axis(0))
    person = Character(1, "Person 1", False, axis(7)[None], 0.9, 1.0, 0.9, 0, 0, 48.0)  # noqa: FBT003
    known = Cast([person, character(2, axis(0))], [], 3)
    cast = identify([ann], known, STICK, SETTINGS, Heard(taken={1: said(1, 1)}))
    assert seen(cast) == {1: 2}


def test_nobody_is_taken_over_twice_in_a_frame_and_nobody_who_is_gone() -> None:
    both = at([track(1, axis(0)), track(2, axis(3))], 0)
    known = Cast([character(2, axis(0))], [], 3)
    beside = identify(both, known, STICK, SETTINGS, Heard(taken={2: said(2, 2)}))
    assert seen(beside) == {1: 2, 2: 3}
    gone = identify(both, known, STICK, SETTINGS, Heard(taken={2: said(2, 9)}))
    assert seen(gone) == {1: 2, 2: 3}


def test_whoever_is_somebody_else_is_met_as_that_one() -> None:
    person = Character(1, "Person 1", False, axis(3)[None], 0.9, 1.0, 0.9, 0, 0, 48.0)  # noqa: FBT003
    known = Cast([person, character(2, axis(0))], [], 3)
    heard = Heard(decided=Constraints(merged={1: 2}))
    met = track(1, axis(3))
    assert seen(identify([met], known, STICK, SETTINGS)) == {1: 1}
    [named] = identify([met], known, STICK, SETTINGS, heard).identities
    assert (named.character, named.reason, named.chance) == (2, "", 0.0)
    beside = at([met, track(2, axis(0))], 0)  # but not where the other one is in the same frame
    assert seen(identify(beside, known, STICK, SETTINGS, heard)) == {1: 1, 2: 2}


def test_two_names_of_one_person_do_not_compete() -> None:
    both = Cast([character(1, axis(0)), character(2, at_cosine(axis(0), 0.99))], [], 3)
    ann = track(1, axis(0))
    assert seen(identify([ann], both, STICK, SETTINGS)) == {1: 3}  # is like two of the enrolled
    merged = Heard(decided=Constraints(merged={2: 1}))
    cast = identify([ann], both, STICK, SETTINGS, merged)
    assert seen(cast) == {1: 1}
    assert [(one.id, len(one.prototypes)) for one in cast.characters] == [(1, 1), (2, 1)]


def test_whoever_is_somebody_with_a_name_has_it_as_surely_as_any_other() -> None:
    """To be like a person whom a user merged into Ann is to be Ann: it takes what a name takes."""
    person = Character(1, "Person 1", False, axis(3)[None], 0.9, 1.0, 0.9, 0, 0, 48.0)  # noqa: FBT003
    known = Cast([person, character(2, axis(0))], [], 3)
    heard = Heard(decided=Constraints(merged={1: 2}))
    least = thresholds.least_probability(Settings().recognize)
    found = []
    for cosine in np.arange(0.9, 1.0, 0.002):
        one = track(1, at_cosine(axis(3), float(cosine)))
        [alone] = identify([one], known, STICK, Settings()).identities
        [said] = identify([one], known, STICK, Settings(), heard).identities
        assert said.character in {2, 3}
        assert alone.character == 1 or said.character == 3
        assert said.character == 3 or least <= said.probability < alone.probability
        found.append((alone.character, said.character))
    assert {(3, 3), (1, 3), (1, 2)} == set(found)
    assert sorted(found, key=lambda pair: -sum(n == 3 for n in pair)) == found

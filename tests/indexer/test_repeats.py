from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.config import RepeatSettings
from indexer.pictures import Past
from indexer.records import BLANK, Int64, Places, Repeat, Shot
from indexer.repeats import find, same_tracks

SETTINGS = RepeatSettings()
MOST = int(SETTINGS.max_distance)


def random_hashes(seed: int, count: int) -> Int64:
    return np.random.default_rng(seed).integers(1, 1 << 63, count)


def noisy(hashes: Int64, seed: int, bits: int) -> Int64:
    """The hashes, each with `bits` of its 63 bits flipped."""
    rng = np.random.default_rng(seed)
    turned = [sum(1 << int(bit) for bit in rng.choice(63, bits, replace=False)) for _ in hashes]
    return hashes ^ np.array(turned, dtype=np.int64)


def shots(*lengths: int) -> list[Shot]:
    return [
        Shot(number, start, end - 1, start / 25, end / 25)
        for number, (start, end) in enumerate(pairwise(np.cumsum([0, *lengths]).tolist()))
    ]


@given(
    seed=st.integers(0, 1000),
    before=st.integers(0, 40),
    length=st.integers(13, 60),
    after=st.integers(0, 40),
    place=st.integers(0, 60),
    bits=st.integers(0, MOST),
)
def test_a_shot_that_is_shown_again_is_found_where_it_was(
    seed: int, before: int, length: int, after: int, place: int, bits: int
) -> None:
    past = [Past("one", random_hashes(seed, 50)), Past("two", random_hashes(seed + 1, 120))]
    again = noisy(past[1].hashes[place : place + length], seed, bits)
    hashes = np.concatenate(
        [random_hashes(seed + 2, before), again, random_hashes(seed + 3, after)]
    )
    lengths = [n for n in (before, length, after) if n]
    [found] = find(shots(*lengths), hashes, past, SETTINGS)
    assert found == Repeat(int(before > 0), before, before + length - 1, "two", place, bits)


@given(st.integers(0, 1000), st.integers(1, 100))
def test_what_has_nothing_in_common_is_no_repeat(seed: int, length: int) -> None:
    past = [Past("one", random_hashes(seed, 500))]
    assert find(shots(length), random_hashes(seed + 1, length), past, SETTINGS) == []


def test_by_hand() -> None:
    old = random_hashes(1, 100)
    new = random_hashes(2, 70)
    new[:30] = old[40:70]  # a whole shot
    new[35:55] = old[5:25]  # part of a shot
    new[60:68] = old[80:88]  # too short
    found = find(shots(30, 40), new, [Past("pilot", old)], SETTINGS)
    assert found == [Repeat(0, 0, 29, "pilot", 40, 0.0), Repeat(1, 35, 54, "pilot", 5, 0.0)]
    assert [one.delay for one in found] == [40, -30]


def test_a_part_of_a_shot_has_to_be_nearer_than_a_whole_one() -> None:
    old = random_hashes(1, 100)
    near = noisy(old[20:50], 3, MOST)
    past = [Past("pilot", old)]
    assert len(find(shots(30), near, past, SETTINGS)) == 1
    part = np.concatenate([random_hashes(4, 30), near])
    assert find(shots(60), part, past, SETTINGS) == []


def test_two_repeats_in_a_shot_whose_cut_was_missed() -> None:
    old = random_hashes(1, 200)
    new = np.concatenate([old[100:130], old[20:60]])
    found = find(shots(70), new, [Past("pilot", old)], SETTINGS)
    assert [(one.start_frame, one.end_frame, one.their_start_frame) for one in found] == [
        (0, 29, 100),
        (30, 69, 20),
    ]


def test_a_still_picture_is_found_whole_and_the_first_who_showed_it_is_named() -> None:
    still = np.full(40, random_hashes(5, 1)[0])
    title = np.concatenate([random_hashes(6, 30), still, random_hashes(7, 30)])
    past = [Past("one", title), Past("two", title)]
    [found] = find(shots(40), still, past, SETTINGS)
    assert (found.episode, found.start_frame, found.end_frame) == ("one", 0, 39)
    assert found.their_start_frame == 30


def test_blank_pictures_repeat_nothing() -> None:
    blank = np.full(50, BLANK)
    assert find(shots(50), blank, [Past("one", blank)], SETTINGS) == []
    old = random_hashes(1, 60)
    faded = np.concatenate([np.full(20, BLANK), old[20:50]])
    [found] = find(shots(50), faded, [Past("one", old)], SETTINGS)
    assert (found.start_frame, found.end_frame) == (20, 49)


def test_a_repeat_does_not_go_on_from_one_episode_into_the_next() -> None:
    old = random_hashes(1, 80)
    past = [Past("one", old[:40]), Past("two", old[40:])]
    found = find(shots(80), old, past, SETTINGS)
    assert [(one.episode, one.start_frame, one.end_frame) for one in found] == [
        ("one", 0, 39),
        ("two", 40, 79),
    ]


def test_nothing_to_look_at_or_to_compare_with() -> None:
    assert find([], random_hashes(1, 0), [Past("one", random_hashes(1, 9))], SETTINGS) == []
    assert find(shots(30), random_hashes(1, 30), [], SETTINGS) == []
    assert find(shots(30), random_hashes(1, 30), [Past("one", random_hashes(1, 0))], SETTINGS) == []


def test_how_long_and_how_near_a_repeat_must_be_can_be_said() -> None:
    old = random_hashes(1, 60)
    past = [Past("one", old)]
    short = replace(SETTINGS, min_length_s=0.2)
    assert len(find(shots(6), old[:6], past, short)) == 1
    assert find(shots(6), old[:6], past, SETTINGS) == []
    exact = replace(SETTINGS, max_distance=0)
    assert find(shots(30), noisy(old[:30], 1, 1), past, exact) == []
    assert len(find(shots(30), old[:30], past, exact)) == 1


STRETCH = Repeat(0, 0, 9, "pilot", 100, 0.0)


def places(*tracks: tuple[int, int, int, float]) -> Places:
    """The faces of tracks, given as uid, first and last frame, left edge; all are 0.2 wide."""
    rows = [(uid, f, left) for uid, first, last, left in tracks for f in range(first, last + 1)]
    return Places(
        tracks=np.array([uid for uid, _, _ in rows], np.int64),
        frames=np.array([frame for _, frame, _ in rows], np.int64),
        boxes=np.array([(x, 0.2, x + 0.2, 0.5) for _, _, x in rows], np.float32).reshape(-1, 4),
    )


def test_tracks_at_the_same_place_are_the_same() -> None:
    mine = places((1, 0, 9, 0.1), (2, 0, 9, 0.5), (3, 4, 9, 0.8))
    theirs = places((11, 90, 130, 0.12), (12, 100, 109, 0.48), (13, 0, 50, 0.8))
    assert same_tracks(STRETCH, mine, theirs) == {1: 11, 2: 12}


def test_tracks_apart_in_place_or_time_are_not() -> None:
    mine = places((1, 0, 9, 0.1))
    assert same_tracks(STRETCH, mine, places((11, 100, 109, 0.3))) == {}
    assert same_tracks(STRETCH, mine, places((11, 0, 9, 0.1))) == {}
    few = places((11, 107, 140, 0.1), (12, 100, 103, 0.1))
    assert same_tracks(STRETCH, mine, few) == {1: 12}  # the longer of the two


def test_no_track_is_two() -> None:
    mine = places((1, 0, 9, 0.1), (2, 0, 9, 0.14))
    assert same_tracks(STRETCH, mine, places((11, 100, 109, 0.1))) == {1: 11}


def test_a_track_that_came_apart_is_one_all_the_same() -> None:
    mine = places((1, 0, 4, 0.1), (2, 6, 9, 0.1))
    assert same_tracks(STRETCH, mine, places((11, 100, 109, 0.1))) == {1: 11, 2: 11}


def test_no_faces_no_tracks() -> None:
    none = places()
    assert same_tracks(STRETCH, none, none) == {}
    assert same_tracks(STRETCH, places((1, 0, 9, 0.1)), none) == {}
    assert same_tracks(STRETCH, none, places((1, 100, 109, 0.1))) == {}


def test_a_repeat_without_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="frames: expected at least one"):
        Repeat(0, 5, 4, "pilot", 0, 0.0)
    with pytest.raises(ValueError, match="tracks: expected as many as theirs"):
        Repeat(0, 0, 4, "pilot", 0, 0.0, (1,), ())
    with pytest.raises(ValueError, match=r"boxes: expected shape \(1, 4\)"):
        Places(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros((2, 4), np.float32))

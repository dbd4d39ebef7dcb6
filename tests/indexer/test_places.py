"""Whoever is where somebody was, in a picture like the earlier one, is likely that person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexer import scene
from indexer.records import BLANK, Track
from tests.indexer.test_recognize import axis, track

BOX, ASIDE = [0.2, 0.2, 0.3, 0.4], [0.7, 0.2, 0.8, 0.4]
SETUP = 0b1011 << 30


def seen(uid: int, shot: int, box: list[float], view: int = SETUP) -> Track:
    one = replace(track(uid, axis(uid % 8)), shot=shot)
    return replace(one, ends=np.array(box * 2, np.float32), views=np.array([view, view]))


def odds(*tracks: Track) -> list[float]:
    """Return the log-odds of the first track with each of the others."""
    return scene.place_odds(tracks)[0, 1:].round(3).tolist()


def test_by_hand() -> None:
    here = seen(0, 3, BOX)
    assert odds(here, seen(1, 5, BOX), seen(2, 5, ASIDE)) == [4.0, -1.4]
    half = [x + 0.175 if n % 2 == 0 else x for n, x in enumerate(BOX)]  # 1.75 widths aside
    assert odds(here, seen(1, 5, half)) == [2.0]
    assert odds(here, seen(1, 5, BOX, SETUP ^ (1 << 21) - 1)) == [2.0]  # 21 bits differ


def test_nothing_is_said_of_one_shot_another_picture_another_scene_or_a_blank() -> None:
    here = seen(0, 3, BOX)
    others = [
        seen(1, 3, BOX),
        seen(2, 4, BOX, SETUP ^ (1 << 62) - 1),
        seen(3, 30, BOX),
        seen(4, 4, BOX, BLANK),
    ]
    assert odds(here, *others) == [0, 0, 0, 0]
    assert scene.place_odds([]).shape == (0, 0)
    assert odds(track(0, axis(0)), track(1, axis(1))) == [0]  # as in an older library


BOXES = st.lists(st.floats(0, 0.5), min_size=4, max_size=4).map(
    lambda x: [x[0], x[1], x[0] + x[2] + 0.01, x[1] + x[3] + 0.01]
)


@given(st.lists(st.tuples(st.integers(0, 20), BOXES, st.integers(0, 1 << 62)), max_size=6))
def test_whatever_is_said_is_said_both_ways(rows: list[tuple[int, list[float], int]]) -> None:
    found = scene.place_odds([seen(n, *one) for n, one in enumerate(rows)])
    assert np.array_equal(found, found.T)
    assert ((found >= -1.4 - 1e-9) & (found <= 4)).all()

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.records import UInt8
from training.people import collins
from training.views import (
    DISTORTIONS,
    SEVERITIES,
    Viewer,
    ViewSettings,
    distort,
    narrow,
    plain,
    random_pair,
    random_view,
    severe_sunglasses,
    sunglasses,
)

TEMPLATE = np.array([(19, 18), (41, 18), (30, 32), (20, 42), (40, 42)], np.float32)
VIEWER = Viewer(60, TEMPLATE)
STILL = ViewSettings(
    turn=0, scale=0, shift=0, flip=0, light=0, colour=0, grey=0, distorted=0, sunglasses=0
)


def face(side: int = 74) -> UInt8:
    picture = cv2.resize(collins()[40:190, 150:300], (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)


def test_a_view_that_strays_nowhere_is_the_plain_one() -> None:
    view = random_view(face(), VIEWER, STILL, np.random.default_rng(0))
    assert np.array_equal(view, plain(face()[None], 60)[0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_view_follows_from_its_seed(seed: int) -> None:
    wild = ViewSettings(distorted=0.8, sunglasses=0.5, grey=0.3)
    one, other = (random_view(face(), VIEWER, wild, np.random.default_rng(seed)) for _ in range(2))
    assert one.shape == (60, 60, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, other)


def test_a_mirrored_view_is_the_mirror_image() -> None:
    always = ViewSettings(
        turn=0, scale=0, shift=0, flip=1, light=0, colour=0, grey=0, distorted=0, sunglasses=0
    )
    view = random_view(face(), VIEWER, always, np.random.default_rng(0))
    assert np.array_equal(view, plain(face()[None], 60)[0][:, ::-1])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_view_and_the_face_in_its_place_differ_by_what_spoils_it(seed: int) -> None:
    moved = ViewSettings(light=0, colour=0, grey=0, distorted=0)
    rng = np.random.default_rng(seed)
    view, placed = random_pair(face(), VIEWER, moved, rng)
    assert np.array_equal(view, placed)
    spoilt, placed = random_pair(face(), VIEWER, replace(STILL, narrow=1.0), rng)
    assert spoilt.shape == placed.shape == (60, 60, 3)
    assert np.array_equal(placed, plain(face()[None], 60)[0])
    assert not np.array_equal(spoilt, placed)


def test_of_a_narrow_view_the_landmarks_are_off_and_of_the_face_in_its_place_they_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.views.narrow", lambda view, *_: view)
    how = replace(STILL, narrow=1.0)
    pairs = [random_pair(face(), VIEWER, how, np.random.default_rng(i)) for i in range(20)]
    assert all(np.array_equal(placed, plain(face()[None], 60)[0]) for _, placed in pairs)
    assert sum(not np.array_equal(view, placed) for view, placed in pairs) > 15


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_distortion_spoils_more_the_severer_it_is(name: str) -> None:
    view = face(150)
    away = []
    for severity in SEVERITIES:
        spoilt = [distort(view, name, severity, np.random.default_rng(i)) for i in range(8)]
        assert all(one.shape == view.shape and one.dtype == np.uint8 for one in spoilt)
        away.append(np.mean([np.abs(one.astype(int) - view).mean() for one in spoilt]))
    assert away[0] > 0.5
    assert away == sorted(away)
    assert np.array_equal(view, face(150))  # the input is not changed


@pytest.mark.parametrize(("name", "severity"), [("rain", 1), ("blur", 0), ("blur", 6)])
def test_an_unknown_distortion_is_refused(name: str, severity: int) -> None:
    with pytest.raises(ValueError, match="expected one of blur, fog"):
        distort(face(), name, severity, np.random.default_rng(0))


def test_sunglasses_are_dark_and_over_the_eyes() -> None:
    white = np.full((60, 60, 3), 255, np.uint8)
    drawn = sunglasses(white, TEMPLATE, np.random.default_rng(0))
    for x, y in TEMPLATE[:2].astype(int):
        assert drawn[y, x].max() < 130
    for x, y in TEMPLATE[3:].astype(int):
        assert drawn[y, x].min() == 255


def test_severer_sunglasses_hide_more_and_only_around_the_eyes() -> None:
    white = np.full((60, 60, 3), 255, np.uint8)
    hidden = []
    for severity in SEVERITIES:
        drawn = severe_sunglasses(white, TEMPLATE, severity, np.random.default_rng(0))
        assert np.array_equal(drawn[32:], white[32:])
        assert all(drawn[y, x].max() < 200 for x, y in TEMPLATE[:2].astype(int))
        hidden.append(255 - drawn.mean())
    assert hidden == sorted(set(hidden))
    assert (white == 255).all()
    with pytest.raises(ValueError, match="expected 1 to 5, got 0"):
        severe_sunglasses(white, TEMPLATE, 0, np.random.default_rng(0))


def test_a_narrow_face_has_lost_what_so_few_pixels_cannot_show() -> None:
    def stripes(view: UInt8) -> float:
        return float(np.abs(np.diff(view[..., 0].astype(int), axis=1)).mean())

    fine = np.zeros((60, 60, 3), np.uint8)
    fine[:, ::2] = 200
    assert narrow(fine, 40, 10).shape == fine.shape
    assert stripes(narrow(fine, 40, 10)) < 0.1 * stripes(fine)
    assert stripes(narrow(fine, 40, 80)) > 0.8 * stripes(fine)
    away = [np.abs(narrow(face(), 50, w).astype(int) - face()).mean() for w in (50, 32, 20, 12)]
    assert away == sorted(away)


def test_narrow_views_are_as_many_as_asked_for_and_of_all_widths() -> None:
    def detail(share: float) -> list[float]:
        how = replace(STILL, narrow=share)
        views = [random_view(face(), VIEWER, how, np.random.default_rng(i)) for i in range(100)]
        return [float(np.abs(np.diff(view.astype(int), axis=1)).mean()) for view in views]

    whole = detail(0)[0]
    assert all(one == whole for one in detail(0))
    kept = [one for one in detail(0.5) if one == whole]
    assert 35 < len(kept) < 65
    spread = np.array(detail(1)) / whole
    assert (spread < 1).all()
    assert spread.min() < 0.4
    assert spread.max() > 0.7


def test_no_faces_have_no_views() -> None:
    assert plain(np.zeros((0, 74, 74, 3), np.uint8), 60).shape == (0, 60, 60, 3)

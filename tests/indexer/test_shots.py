from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.config import ShotSettings
from indexer.records import BLANK, Frame, UInt8
from indexer.shots import picture_hash, split

RATE = Fraction(25)
PLAIN = ShotSettings()


def picture(seed: int, step: int = 0) -> UInt8:
    """A textured picture that drifts by `step` pixels."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 255, (9, 16, 3), dtype=np.uint8)
    wide = cv2.resize(rough, (400, 180), interpolation=cv2.INTER_CUBIC)
    return wide[:, step : step + 320].astype(np.uint8)


def film(pictures: Sequence[UInt8]) -> Iterator[Frame]:
    for i, shown in enumerate(pictures):

        def render(width: int, height: int, shown: UInt8 = shown) -> UInt8:
            size = (width, height)
            return cv2.resize(shown, size, interpolation=cv2.INTER_AREA).astype(np.uint8)

        yield Frame(i, i * 512, i / 25, 0, True, 0, 320, 180, render)  # noqa: FBT003


def shots_of(pictures: Sequence[UInt8]) -> list[int]:
    return [frame.shot for frame in split(film(pictures), RATE, PLAIN)]


@settings(max_examples=15)
@given(st.lists(st.integers(8, 30), min_size=1, max_size=5))
def test_cuts_are_found_where_they_are_and_every_frame_comes_out_once(lengths: list[int]) -> None:
    pictures = [picture(shot, i) for shot, long in enumerate(lengths) for i in range(long)]
    frames = list(split(film(pictures), RATE, PLAIN))
    assert [frame.index for frame in frames] == list(range(len(pictures)))
    assert [frame.shot for frame in frames] == list(np.repeat(range(len(lengths)), lengths))
    assert all(frame.usable for frame in frames)


def test_a_shot_shorter_than_the_least_is_no_shot() -> None:
    pictures = [picture(0, i) for i in range(20)] + [picture(1)] * 2 + [picture(0)] * 20
    assert max(shots_of(pictures)) <= 1


def test_a_pan_and_a_slow_fade_are_no_cuts() -> None:
    assert set(shots_of([picture(3, 2 * i) for i in range(40)])) == {0}
    fade = [(picture(3) * (1 - i / 40)).astype(np.uint8) for i in range(41)]
    assert set(shots_of(fade)) == {0}


def test_blank_frames_are_not_usable() -> None:
    pictures = [np.zeros((180, 320, 3), np.uint8)] * 5 + [picture(0)] * 10
    usable = [frame.usable for frame in split(film(pictures), RATE, PLAIN)]
    assert usable == [False] * 5 + [True] * 10


def test_no_frames_and_fewer_frames_than_the_window() -> None:
    assert shots_of([]) == []
    assert shots_of([picture(0)]) == [0]
    assert shots_of([picture(0)] * 2) == [0, 0]


def test_no_more_than_a_window_of_frames_is_held() -> None:
    made = 0

    def counted() -> Iterator[Frame]:
        nonlocal made
        for frame in film([picture(0)] * 50):
            made += 1
            yield frame

    for taken, _ in enumerate(split(counted(), RATE, PLAIN), start=1):
        assert made - taken <= PLAIN.window


def apart(first: UInt8, second: UInt8) -> int:
    """Return in how many bits the hashes of two pictures differ."""
    greys = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.uint8) for one in (first, second)]
    hashes = [picture_hash(grey) for grey in greys]
    return (hashes[0] ^ hashes[1]).bit_count()


@settings(max_examples=25)
@given(seed=st.integers(0, 500))
def test_a_picture_that_was_encoded_again_has_about_the_same_hash(seed: int) -> None:
    shown = picture(seed)
    small = cv2.resize(shown, (240, 135), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 30])
    assert apart(shown, np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)) <= 6


@settings(max_examples=25)
@given(seed=st.integers(0, 500))
def test_captions_bars_and_brightness_do_not_change_a_hash(seed: int) -> None:
    shown = picture(seed)
    edged = shown.copy()
    edged[:23], edged[-36:] = 0, 0  # a widescreen film's bars, and a caption in the lower one
    cv2.putText(edged, "Previously", (20, 170), cv2.FONT_HERSHEY_DUPLEX, 0.6, (240,) * 3)
    assert apart(shown, edged) == 0
    assert apart(shown, (shown * 0.5 + 40).astype(np.uint8)) <= 4


@settings(max_examples=25)
@given(seed=st.integers(0, 500))
def test_pictures_of_different_things_have_different_hashes(seed: int) -> None:
    assert apart(picture(seed), picture(seed + 1)) > 10


def test_every_frame_has_the_hash_of_its_picture_and_a_blank_one_none() -> None:
    blank = np.full((180, 320, 3), 90, np.uint8)
    found = [frame.hash for frame in split(film([picture(0), blank, picture(1)]), RATE, PLAIN)]
    assert found[1] == BLANK
    assert all(0 < one < 1 << 63 for one in (found[0], found[2]))
    assert found[0] != found[2]


def test_a_picture_of_any_size_has_a_hash() -> None:
    for size in ((1, 1), (2, 240), (135, 1), (3, 3)):
        assert 0 < picture_hash(np.full(size, 77, np.uint8)) < 1 << 63

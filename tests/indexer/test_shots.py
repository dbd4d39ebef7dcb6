from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.config import ShotSettings
from indexer.records import Frame, UInt8
from indexer.shots import split

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

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.records import Calibration, Float32, Line, Trace, Tracklet
from indexer.tear import Encoded, torn

LINES = (Line(0.3, 20.0),)
CALIBRATION = Calibration((48.0,), LINES, LINES, 0.8, 0.0)
DIMENSION = 8


def face(people: list[int], every: int = 3, leaps: tuple[int, ...] = ()) -> Encoded:
    """A track with a look of each of these people, `every` frames apart, leaping before `leaps`."""
    count = (len(people) - 1) * every + 1
    known = np.arange(0, count, every)
    x = np.repeat(np.cumsum(np.isin(np.arange(len(people)), leaps)) * 15.0, every)[:count]
    landmarks = np.zeros((count, 5, 2), np.float32)
    landmarks[..., 0] += x[:, None]
    boxes = np.tile(np.array([0, 0, 50, 50], np.float32), (count, 1))
    trace = Trace(
        shot=0,
        frames=np.arange(100, 100 + count),
        times=np.arange(count) / 25,
        boxes=boxes,
        landmarks=landmarks,
        scores=np.ones(count, np.float32),
        detected=np.isin(np.arange(count), known),
    )
    order = np.random.default_rng(len(people)).permutation(len(people))  # crops are best first
    tracklet = Tracklet(
        trace=trace,
        chips=np.zeros((len(people), 4, 4, 3), np.uint8),
        chip_frames=100 + known[order],
        quality=np.ones(len(people), np.float32),
        clothes=np.zeros((len(people), 3), np.uint8),
    )
    vectors: Float32 = np.eye(DIMENSION, dtype=np.float32)[np.array(people)[order]]
    return Encoded(tracklet, vectors, tracklet.quality)


def spans(parts: list[Encoded]) -> list[tuple[int, int]]:
    return [(int(p.tracklet.trace.frames[0]), int(p.tracklet.trace.frames[-1])) for p in parts]


def test_one_person_stays_whole() -> None:
    one = face([2, 2, 2, 2])
    assert torn(one, CALIBRATION) == [one]
    alone = face([2])
    assert torn(alone, CALIBRATION) == [alone]


def test_two_people_are_torn_in_the_middle_of_the_looks_between_which_the_face_leapt() -> None:
    parts = torn(face([0, 0, 1, 1], leaps=(2,)), CALIBRATION)
    assert spans(parts) == [(100, 104), (105, 109)]  # looks at 100, 103, 106 and 109
    assert [part.embeddings.argmax(axis=1).tolist() for part in parts] == [[0, 0], [1, 1]]


def test_a_change_between_crops_is_found_at_the_leap() -> None:
    """Only some looks leave a crop; the others still show when the face leapt."""
    whole = face([0, 0, 0, 1, 1], leaps=(3,))
    kept = np.isin(whole.tracklet.chip_frames, [100, 112])
    parts = torn(whole.of(np.ones(len(whole.tracklet.trace.frames), bool), kept), CALIBRATION)
    assert spans(parts) == [(100, 107), (108, 112)]


@given(st.lists(st.integers(0, DIMENSION - 1), min_size=1, max_size=8), st.integers(1, 5))
def test_nothing_is_lost_and_every_part_is_one_person(people: list[int], every: int) -> None:
    one = face(people, every)
    parts = torn(one, CALIBRATION)
    frames = np.concatenate([part.tracklet.trace.frames for part in parts])
    assert frames.tolist() == one.tracklet.trace.frames.tolist()
    crops = np.concatenate([part.tracklet.chip_frames for part in parts])
    assert sorted(crops.tolist()) == sorted(one.tracklet.chip_frames.tolist())
    for part in parts:
        trace = part.tracklet.trace
        assert trace.detected.any()
        assert np.isin(part.tracklet.chip_frames, trace.frames).all()
        assert torn(part, CALIBRATION) == [part]
    changes = sum(a != b for a, b in itertools.pairwise(people))
    assert len(parts) <= changes + 1


def test_vectors_of_other_crops_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one for each of 2 crops, got \(1, 2\)"):
        Encoded(face([0, 0]).tracklet, np.zeros((1, DIMENSION), np.float32), np.ones(2, np.float32))

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.config import LinkSettings
from indexer.link import link
from indexer.records import Detections, Faces, Float32, Tracklet

RATE = 25.0
TIMES = [i / RATE for i in range(400)]
SIDE = 40.0


def faces(
    frame: int, corners: Sequence[tuple[float, float]], shot: int = 0, quality: float = 0.5
) -> Faces:
    corner = np.array(corners, np.float32).reshape(-1, 2)
    count = len(corner)
    box = np.concatenate([corner, corner + SIDE], axis=1)
    marks = corner[:, None] + np.array([[10, 15], [30, 15], [20, 22], [12, 30], [28, 30]])
    found = Detections(box, np.full(count, 0.99, np.float32), marks.astype(np.float32))
    chips = np.full((count, 8, 8, 3), frame % 256, np.uint8)
    patches = np.tile(np.arange(16, dtype=np.uint8).reshape(4, 4), (count, 1, 1))
    quality_of_all, worn = np.full(count, quality, np.float32), np.zeros((count, 4), np.uint8)
    return Faces(frame, TIMES[frame], shot, found, chips, quality_of_all, patches, worn)


def linked(seen: Sequence[Faces], options: LinkSettings | None = None) -> list[Tracklet]:
    return list(link(seen, TIMES, options or LinkSettings(), keep=5, apart_s=0.35))


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.floats(0, 900), st.floats(-15, 15), st.integers(0, 10), st.integers(11, 30)),
        min_size=0,
        max_size=4,
    ),
    st.randoms(use_true_random=False),
)
def test_people_far_apart_are_followed_whatever_the_order_of_detections(
    people: list[tuple[float, float, int, int]], random: object
) -> None:
    lanes = [
        (i * 3 * SIDE, x, speed, start, end) for i, (x, speed, start, end) in enumerate(people)
    ]
    seen = []
    for step in range(31):
        now = [(x + speed * step, y) for y, x, speed, start, end in lanes if start <= step <= end]
        random.shuffle(now)  # type: ignore[attr-defined]
        seen.append(faces(step * 5, now))
    tracks = linked(seen)
    assert len(tracks) == len(people)
    by_lane = {round(float(t.trace.boxes[0][1]) / (3 * SIDE)): t.trace for t in tracks}
    for i, (_, x, speed, start, end) in enumerate(lanes):
        trace = by_lane[i]
        assert (trace.frames[0], trace.frames[-1]) == (start * 5, end * 5)
        expected = x + speed * trace.frames / 5
        np.testing.assert_allclose(trace.boxes[:, 0], expected, atol=0.05)
        assert trace.detected.sum() == end - start + 1


def test_a_short_miss_is_bridged_and_marked_and_a_long_one_is_not() -> None:
    kept = linked([faces(0, [(0, 0)]), faces(5, []), faces(10, [(20, 0)])])
    assert [t.trace.detected.tolist() for t in kept] == [[True] + [False] * 9 + [True]]
    np.testing.assert_allclose(kept[0].trace.boxes[5], [10, 0, 10 + SIDE, SIDE], atol=1e-4)
    assert kept[0].trace.times.tolist() == TIMES[:11]
    gone = linked(
        [faces(0, [(0, 0)]), *[faces(f, []) for f in range(5, 40, 5)], faces(40, [(0, 0)])]
    )
    assert [t.trace.frames.tolist() for t in gone] == [[0], [40]]


def test_a_face_seen_too_large_once_keeps_its_place_and_nearly_its_size() -> None:
    seen = [faces(frame, [(0, 0)]) for frame in range(0, 35, 5)]
    wrong = seen[3].detections.boxes
    wrong += np.array([-8, -8, 8, 8], np.float32)
    [track] = linked(seen)
    sides = np.diff(track.trace.boxes[:, ::2])[:, 0]
    assert SIDE <= sides.min() <= sides.max() < SIDE + 6  # of 16 too many
    np.testing.assert_allclose(track.trace.boxes.mean(axis=1), SIDE / 2, atol=0.01)


def test_no_track_crosses_a_cut() -> None:
    tracks = linked([faces(0, [(0, 0)]), faces(5, [(0, 0)]), faces(6, [(0, 0)], shot=1)])
    assert [(t.trace.shot, t.trace.frames.tolist()) for t in tracks] == [
        (0, [0, 1, 2, 3, 4, 5]),
        (1, [6]),
    ]


def test_two_who_pass_each_other_keep_their_own_track() -> None:
    seen = [faces(f, [(f * 4.0, 0), (320 - f * 4.0, 25)]) for f in range(0, 81, 5)]
    tracks = linked(seen)
    assert len(tracks) == 2
    for track in tracks:
        steps = np.diff(track.trace.boxes[:, 0])
        assert np.all(steps > 0) or np.all(steps < 0)


def test_a_track_that_never_convinced_the_detector_is_dropped() -> None:
    weak = faces(0, [(0, 0)])
    found = replace(weak.detections, scores=np.array([0.65], np.float32))
    assert linked([replace(weak, detections=found)]) == []


def test_the_best_crops_are_kept_apart_in_time() -> None:
    qualities = [0.1, 0.9, 0.2, 0.8, 0.3, 0.95, 0.4]
    seen = [faces(i * 5, [(0, 0)], quality=q) for i, q in enumerate(qualities)]
    track = linked(seen)[0]
    assert track.quality.tolist() == sorted(track.quality.tolist(), reverse=True)
    assert track.chip_frames[0] == 25
    gaps = np.diff(np.sort([TIMES[f] for f in track.chip_frames]))
    assert np.all(gaps >= 0.35)
    assert [int(chip[0, 0, 0]) for chip in track.chips] == track.chip_frames.tolist()


def test_frames_without_faces_make_no_track() -> None:
    assert linked([faces(0, []), faces(5, [])]) == []
    assert linked([]) == []


def test_records_refuse_shapes_that_do_not_fit() -> None:
    boxes: Float32 = np.zeros((2, 4), np.float32)
    with pytest.raises(ValueError, match=r"scores: expected shape \(2,\), got \(3,\)"):
        Detections(boxes, np.zeros(3, np.float32), np.zeros((2, 5, 2), np.float32))


def looking(seen: Faces, *looks: int) -> Faces:
    """The same faces, each with the patch of a seed as its look."""
    patches = [np.random.default_rng(seed).integers(0, 255, (8, 8), np.uint8) for seed in looks]
    return replace(seen, patches=np.stack(patches))


@pytest.mark.parametrize(
    ("look", "frame", "x", "one"),
    [
        (1, 5, 55, True),
        (2, 5, 55, False),  # somebody else
        (1, 15, 55, False),  # too late
        (1, 5, 65, False),  # too far
    ],
)
def test_a_face_that_leaps_is_followed_if_it_looks_the_same(
    look: int, frame: int, x: float, *, one: bool
) -> None:
    between = faces(frame - 1, [])  # a look that found no face
    seen = [looking(faces(0, [(0, 0)]), 1), between, looking(faces(frame, [(x, 0)]), look)]
    assert len(linked(seen)) == (1 if one else 2)


@pytest.mark.parametrize(("look", "x", "one"), [(1, 0, True), (1, 55, True), (2, 55, False)])
def test_where_nobody_looked_for_long_nobody_was_missed(look: int, x: float, *, one: bool) -> None:
    seen = [looking(faces(0, [(0, 0)]), 1), looking(faces(75, [(x, 0)]), look)]
    assert len(linked(seen)) == (1 if one else 2)


def test_a_face_that_leaps_does_not_take_a_track_that_overlaps_another() -> None:
    seen = [looking(faces(0, [(0, 0)]), 1), looking(faces(5, [(10, 0), (55, 0)]), 2, 1)]
    tracks = linked(seen)
    assert [t.trace.frames.tolist() for t in tracks] == [list(range(6)), [5]]

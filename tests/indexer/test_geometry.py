from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from indexer import geometry
from indexer.records import Float32, Float64, UInt8


def boxes(count: st.SearchStrategy[int] | int) -> st.SearchStrategy[Float32]:
    numbers = st.floats(0, 100, width=32)
    return st.builds(
        lambda corner: np.concatenate([corner[:, :2], corner[:, :2] + corner[:, 2:]], axis=1),
        hnp.arrays(
            np.float32,
            st.tuples(st.just(count) if isinstance(count, int) else count, st.just(4)),
            elements=numbers,
        ),
    )


def slow_iou(a: Float32, b: Float32) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high
    return float(wide * high / union) if union > 0 else 0.0


@given(boxes(st.integers(0, 5)), boxes(st.integers(0, 5)))
def test_iou_is_what_a_slow_loop_says(first: Float32, second: Float32) -> None:
    expected = np.array([[slow_iou(a, b) for b in second] for a in first])
    result = geometry.iou(first, second)
    assert result.shape == (len(first), len(second))
    np.testing.assert_allclose(result, expected.reshape(result.shape), atol=1e-4)


def test_iou_of_two_half_overlapping_unit_squares() -> None:
    a, b = np.array([[0, 0, 2, 2]], np.float32), np.array([[1, 0, 3, 2]], np.float32)
    assert geometry.iou(a, b)[0, 0] == pytest.approx(1 / 3)
    assert geometry.overlap_of_smaller(a, b)[0, 0] == pytest.approx(1 / 2)


@given(boxes(st.integers(0, 8)), st.floats(0.1, 0.9))
def test_what_is_kept_does_not_overlap_and_what_is_dropped_does(
    some: Float32, threshold: float
) -> None:
    overlap, scores = geometry.iou(some, some), np.linspace(1, 0, len(some), dtype=np.float32)
    kept = geometry.suppress(overlap, scores, threshold=threshold)
    for i in range(len(some)):
        better = [k for k in kept if k < i and overlap[k, i] > threshold]
        assert (i in kept) == (not better)


def test_nothing_is_kept_of_nothing() -> None:
    kept = geometry.suppress(np.zeros((0, 0), np.float32), np.zeros(0, np.float32), threshold=0.5)
    assert kept.shape == (0,)


@given(
    hnp.arrays(np.float32, (5, 2), elements=st.floats(-50, 50, width=32), unique=True),
    st.floats(0.2, 5),
    st.floats(-3, 3),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
)
def test_a_similarity_is_recovered(
    points: Float32, scale: float, angle: float, shift: tuple[float, float]
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = (points @ turn.T + shift).astype(np.float32)
    found = geometry.similarity_transform(points[None], target)[0]
    np.testing.assert_allclose(points @ found[:, :2].T + found[:, 2], target, atol=2e-2)


def test_the_similarity_agrees_with_opencv_on_points_that_fit_badly() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 5, 2)).astype(np.float32) * 30
    found = geometry.similarity_transform(source[None], target)[0]
    error = np.sum((source @ found[:, :2].T + found[:, 2] - target) ** 2)
    for _ in range(200):
        other = found + rng.normal(size=(2, 3)) * [0.01, 0.01, 0.3]
        other[1, :2] = -other[0, 1], other[0, 0]
        assert np.sum((source @ other[:, :2].T + other[:, 2] - target) ** 2) >= error - 1e-6
    reference, _ = cv2.estimateAffinePartial2D(source, target, method=cv2.LMEDS)
    assert reference.shape == found.shape


@given(st.lists(st.integers(0, 100), min_size=1, max_size=6, unique=True))
def test_interpolation_passes_through_what_is_known_and_is_straight_between(
    positions: list[int],
) -> None:
    known = np.sort(np.array(positions, dtype=np.int64))
    values = np.stack([known * 2.0, known**2.0], axis=1).astype(np.float32)
    at = np.arange(known[0], known[-1] + 1)
    result = geometry.interpolate(at, known, values)
    np.testing.assert_allclose(result[:, 0], at * 2.0, atol=1e-3)
    np.testing.assert_allclose(result[known - known[0]], values, rtol=1e-5)
    np.testing.assert_allclose(result[:, 1], np.interp(at, known, values[:, 1]), rtol=1e-4)


def slow_steadied(some: Float32, times: Float64, over_s: float) -> Float64:
    rows = []
    for i, (x0, y0, x1, y1) in enumerate(some.astype(float)):
        total, sizes = 0.0, np.zeros(2)
        for j in range(len(some)):
            if abs(times[j] - times[i]) / over_s > 3:
                continue
            weight = math.exp(-(((times[j] - times[i]) / over_s) ** 2) / 2)
            total += weight
            sizes += weight * np.log(some[j, 2:].astype(float) - some[j, :2])
        wide, high = np.exp(sizes / total)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        rows.append([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2])
    return np.array(rows).reshape(-1, 4)


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 9), st.just(4)), elements=st.floats(1, 90)),
    st.lists(st.floats(0.01, 2), min_size=9, max_size=9),
    st.floats(0.1, 2),
)
def test_steadied_sizes_are_what_a_slow_loop_says(
    sides: Float32, gaps: list[float], over_s: float
) -> None:
    some = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)
    times = np.cumsum(gaps)[: len(some)]
    result = geometry.steadied(some, times, over_s=over_s)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, slow_steadied(some, times, over_s), atol=1e-2)


@given(st.floats(0.2, 1), st.floats(-0.3, 0.3))
def test_sizes_are_steadied_alike_however_often_a_face_is_looked_at(
    over_s: float, growth: float
) -> None:
    dense = np.arange(0, 6, 0.04)
    sides = np.exp(growth * dense + 0.1 * np.sin(dense))
    some = np.stack([-sides, -sides, sides, sides], axis=1).astype(np.float32)
    every, seldom = (
        geometry.steadied(some[::step], dense[::step], over_s=over_s)[:, 2] for step in (1, 2)
    )
    middle = slice(20, 55)  # near the ends, how many looks there are on one side counts
    np.testing.assert_allclose(every[::2][middle], seldom[middle], rtol=0.01)


def test_a_face_that_keeps_its_size_keeps_its_boxes_and_one_wrong_look_is_outvoted() -> None:
    times = np.arange(7) / 5
    moving = np.array([[x, 0, x + 20, 30] for x in range(0, 70, 10)], np.float32)
    same = geometry.steadied(moving, times, over_s=0.5)
    np.testing.assert_allclose(same, moving, atol=1e-4)
    wrong = moving.copy()
    wrong[3] = [26, 0, 46 + 8, 30]
    widths = np.diff(geometry.steadied(wrong, times, over_s=0.5)[:, ::2])[:, 0]
    assert (widths > 19.9).all()
    assert widths.max() < 22.5


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 4), st.integers(0, 4)),
        elements=st.floats(0, 1, width=32),
    ),
    st.floats(0, 1, width=32),
)
def test_the_pairs_are_the_best_of_all_that_could_be(likeness: Float32, least: float) -> None:
    allowed = np.asarray(likeness >= least)
    rows, columns = geometry.pair(likeness, allowed)
    assert len(set(rows)) == len(rows) == len(set(columns))
    assert allowed[rows, columns].all()
    wide = likeness if likeness.shape[0] <= likeness.shape[1] else likeness.T
    may = allowed if likeness.shape[0] <= likeness.shape[1] else allowed.T
    ways = itertools.permutations(range(wide.shape[1]), wide.shape[0])
    worth = [
        sum(1e3 * may[i, j] + wide[i, j] * may[i, j] for i, j in enumerate(way)) for way in ways
    ]
    assert len(rows) * 1e3 + likeness[rows, columns].sum() == pytest.approx(max(worth), abs=1e-3)


def test_who_could_have_leapt_where_by_hand() -> None:
    before = np.array([[0, 0, 10, 10]], np.float32)
    after = np.array(
        [[20, 0, 30, 10], [21, 0, 31, 10], [10, 0, 24, 14], [10, 0, 25, 15]], np.float32
    )
    could = geometry.within_leap(before, after, reach=2.0, growth=1.4)
    assert could.tolist() == [[True, False, True, False]]
    assert geometry.within_leap(before[:0], after, reach=2.0, growth=1.4).shape == (0, 4)


@given(hnp.arrays(np.uint8, (3, 5, 5)), hnp.arrays(np.uint8, (2, 5, 5)))
def test_correlation_is_numpys(first: UInt8, second: UInt8) -> None:
    found = geometry.correlation(first, second)
    assert found.shape == (3, 2)
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            plain = 0.0
            if np.ptp(one) and np.ptp(other):
                plain = np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1]
            assert found[i, j] == pytest.approx(plain, abs=1e-4)


def test_correlation_does_not_see_brightness_and_contrast() -> None:
    dark = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    assert geometry.correlation(dark, dark * 3 + 100)[0, 0] == pytest.approx(1)
    assert geometry.correlation(dark, 255 - dark)[0, 0] == pytest.approx(-1)
    assert geometry.correlation(dark[:0], dark).shape == (0, 1)

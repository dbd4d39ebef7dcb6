from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from indexer.records import Float64
from training.evaluate.encoders import asked
from training.evaluate.recognition import (
    BINS,
    STRANGER,
    Answers,
    identified_at,
    open_set,
    reliability,
    screen_time_errors,
)

SCORES = hnp.arrays(np.float64, 24, elements=st.integers(0, 8).map(lambda eighth: eighth / 8))
PEOPLE = np.arange(24) % 4 - 1  # a quarter are strangers


@given(SCORES, hnp.arrays(np.int64, 24, elements=st.integers(0, 2)), st.floats(0, 1))
def test_identified_at_is_the_best_of_all_thresholds(
    scores: Float64, named: np.ndarray, rate: float
) -> None:
    answers = Answers(scores, named, PEOPLE)
    best = 0.0
    for threshold in (*scores, 2.0):
        accepted = scores >= threshold
        if np.mean(accepted[PEOPLE == STRANGER]) <= rate:
            best = max(best, float(np.mean((accepted & answers.right)[PEOPLE != STRANGER])))
    assert identified_at(open_set(answers), rate) == pytest.approx(best)


def test_open_set_by_hand() -> None:
    answers = Answers(
        np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 0, 2]), np.array([1, STRANGER, 0, STRANGER])
    )
    curve = open_set(answers)
    assert identified_at(curve, 0) == 0.5
    assert identified_at(curve, 0.5) == 1
    assert curve.area == pytest.approx(0.5 * 0.5 + 0.25 + 0.5 * 1 - 0.25 + 0.125 - 0.125)


def test_strangers_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="strangers and others"):
        open_set(Answers(np.ones(2), np.zeros(2, np.int64), np.full(2, STRANGER)))
    with pytest.raises(ValueError, match="as many"):
        Answers(np.ones(2), np.zeros(1, np.int64), np.zeros(2, np.int64))


@given(
    hnp.arrays(np.float64, 30, elements=st.floats(0, 1)),
    hnp.arrays(np.bool_, 30),
)
def test_calibration_error_as_one_would_count(probabilities: Float64, right: np.ndarray) -> None:
    total = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside = (probabilities > low) & (probabilities <= high)
        if number == 0:
            inside |= probabilities == 0
        if inside.any():
            total += abs(probabilities[inside].sum() - right[inside].sum())
    found = reliability(probabilities, right)
    assert found.counts.sum() == 30
    # A probability within a rounding error of an edge may fall on either side of it.
    if np.abs(probabilities * BINS - np.round(probabilities * BINS)).min() > 1e-9:
        assert found.ece == pytest.approx(total / 30, abs=1e-9)


def test_reliability_by_hand_and_refused() -> None:
    found = reliability(np.array([0.95, 0.95, 0.5, 0.5]), np.array([True, True, True, False]))
    assert found.ece == pytest.approx(0.025)
    with pytest.raises(ValueError, match="one or more"):
        reliability(np.zeros(0), np.zeros(0, np.bool_))
    with pytest.raises(ValueError, match="probabilities"):
        reliability(np.array([1.5]), np.array([True]))


def test_screen_time_errors_by_hand() -> None:
    found = screen_time_errors({"Ann": 10.0, "Bob": 4.0}, {"Ann": 11.0, "Cid": 3.0})
    assert found == {"Ann": pytest.approx(0.1), "Bob": -1.0}


def slow_area(answers: Answers) -> float:
    """Return the area under the curve, point by point: who is accepted from each score on."""
    strangers = answers.people == STRANGER
    points = [(0.0, 0.0)]
    for threshold in sorted(set(answers.scores.tolist()), reverse=True):
        alarms = sum(s >= threshold for s in answers.scores[strangers]) / strangers.sum()
        right = [
            s >= threshold and n == p
            for s, n, p in zip(answers.scores, answers.named, answers.people, strict=True)
            if p != STRANGER
        ]
        points.append((float(alarms), sum(right) / len(right)))
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.1, 0.4, 0.4, 0.7, 0.9]), st.integers(0, 2), st.integers(-1, 2)
        ),
        min_size=2,
        max_size=20,
    ).filter(lambda rows: 0 < sum(person == -1 for _, _, person in rows) < len(rows))
)
def test_the_area_is_that_of_the_points(rows: list[tuple[float, int, int]]) -> None:
    scores, named, people = zip(*rows, strict=True)
    answers = Answers(np.array(scores), np.array(named), np.array(people))
    assert open_set(answers).area == pytest.approx(slow_area(answers))


def test_every_other_person_is_enrolled_with_the_first_photo() -> None:
    axes = np.eye(4, dtype=np.float32)
    people = np.array([7, 7, 8, 8, 9, 9])
    vectors = axes[[0, 0, 1, 1, 2, 0]]  # the last photo of 9 looks like 7
    answers = asked(vectors, people)
    assert answers.people.tolist() == [0, STRANGER, STRANGER, 2]  # of the photos 1, 2, 3 and 5
    assert answers.named.tolist() == [0, 0, 0, 0]
    assert answers.scores.tolist() == [1, 0, 0, 1]

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.records import Float32
from training.evaluate.intervals import Interval, ScoredPairs, interval, tpr_interval
from training.evaluate.verification import tpr_at


def drawn(seed: int, apart: float, people: int = 40) -> ScoredPairs:
    rng = np.random.default_rng(seed)
    first = rng.integers(people, size=4000)
    second = np.where(rng.random(4000) < 0.5, first, rng.integers(people, size=4000))
    score: Float32 = (rng.normal(size=4000) + apart * (first == second)).astype(np.float32)
    return ScoredPairs(score, first, second)


@given(st.integers(0, 50), st.floats(0, 4))
def test_the_interval_lies_around_the_number(seed: int, apart: float) -> None:
    pairs = drawn(seed, apart)
    found = tpr_interval(pairs, 0.05, draws=60)
    assert 0 <= found.low <= found.high <= 1
    assert found.low - 0.05 <= tpr_at(pairs.similarities, pairs.same, 0.05) <= found.high + 0.05


@given(st.integers(0, 20), st.floats(0.02, 0.4))
def test_a_draw_counts_each_person_as_often_as_he_was_drawn(seed: int, fpr: float) -> None:
    people, draws = 5, 8
    pairs = drawn(seed, 1.0, people)
    some = slice(0, 60)
    scored = ScoredPairs(pairs.similarities[some], pairs.first[some], pairs.second[some])
    rates = []
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        times = rng.multinomial(people, np.full(people, 1 / people))
        genuine, impostors = [], []
        for score, one, other in zip(
            scored.similarities.tolist(), scored.first, scored.second, strict=True
        ):
            if one == other:
                genuine += [score] * times[one]
            else:
                impostors += [score] * (times[one] * times[other])
        if genuine and impostors:
            # Accepted are the pairs above the first impostor that would exceed the FPR.
            falling = sorted(impostors, reverse=True)
            least = next(s for i, s in enumerate(falling) if i + 1 > fpr * len(falling))
            rates.append(sum(one > least for one in genuine) / len(genuine))
    low, high = np.quantile(rates, [0.025, 0.975])
    found = tpr_interval(scored, fpr, draws=draws, seed=seed)
    assert [found.low, found.high] == pytest.approx([low, high])


def test_few_people_make_it_wider_than_many() -> None:
    def width(people: int) -> float:
        rng = np.random.default_rng(0)
        pairs = drawn(1, 0, people)
        own = rng.normal(2, 1.5, people)[pairs.first] * pairs.same  # easy people, hard people
        scored = ScoredPairs(pairs.similarities + own.astype(np.float32), pairs.first, pairs.second)
        found = tpr_interval(scored, 0.05)
        return found.high - found.low

    assert width(8) > 2 * width(300)


def test_by_hand() -> None:
    people = np.array([0, 1, 2, 0, 1, 2])
    apart = ScoredPairs(
        np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.1], np.float32), people, np.array([0, 1, 2, 1, 2, 0])
    )
    assert tpr_interval(apart, 0.1) == Interval(1, 1)


def test_one_kind_of_pair_is_refused() -> None:
    people = np.arange(3)
    with pytest.raises(ValueError, match="genuine and impostor"):
        tpr_interval(ScoredPairs(np.ones(3, np.float32), people, people), 0.1)


def test_the_interval_of_a_mean_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    [found] = interval(len(values), lambda some: [float(values[some].mean())], draws=2000)
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_one_thing_leaves_nothing_to_chance() -> None:
    found = interval(1, lambda some: [float(len(some)), 0.5], draws=3)
    assert found == [Interval(1.0, 1.0), Interval(0.5, 0.5)]

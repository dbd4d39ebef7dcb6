from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import affinity
from indexer.affinity import CLEAR_PX, NEVER, Affinity, Clarity
from indexer.records import Float32
from tests.indexer.test_recognize import STICK, D, at_cosine, axis, unit

# 1, cosine, low, high, cosine * low, cosine * high, near low, near high.
PAIRS = (-1.0, 10.0, 0.5, 0.25, 2.0, 1.0, -4.0, -3.0)
STRANGERS = replace(STICK, cohort=np.stack([axis(14), axis(15)]), pairs=PAIRS)


def clarity(px: list[float], near: list[float]) -> Clarity:
    return Clarity(np.array(px, np.float32), np.array(near, np.float32))


def related(vectors: Float32, odds: Float32, around: Float32 | None = None) -> Affinity:
    none = np.zeros(D, np.float32)
    widths = np.full(len(vectors), CLEAR_PX, np.float32)
    near = affinity.nearness(vectors, none, STRANGERS)
    scene = np.zeros_like(odds) if around is None else around
    return Affinity(none, vectors, widths, near, odds, scene)


def test_the_odds_of_a_pair_done_by_hand_whichever_is_the_dim_one() -> None:
    low, high = np.log(0.5 + 0.02), np.log(1 + 0.02)
    by_hand = -1 + 10 * 0.6 + 0.5 * low + 0.25 * high + 0.6 * (2 * low + high) - 4 * 0.1 - 3 * 0.2
    dim, bright = clarity([CLEAR_PX / 2], [0.1]), clarity([CLEAR_PX], [0.2])
    cosine = np.array([0.6], np.float32)
    assert affinity.pair_odds(cosine, dim, bright, STRANGERS)[0] == pytest.approx(by_hand, abs=1e-5)
    assert affinity.pair_odds(cosine, bright, dim, STRANGERS)[0] == pytest.approx(by_hand, abs=1e-5)


def test_whoever_is_near_strangers_is_less_likely_met_again() -> None:
    cosine, far = np.array([0.6], np.float32), clarity([20.0], [0.1])
    near = clarity([20.0], [0.6])
    assert affinity.pair_odds(cosine, near, far, STRANGERS) < affinity.pair_odds(
        cosine, far, far, STRANGERS
    )


def test_nearness_is_the_mean_cosine_to_the_most_similar() -> None:
    cohort = unit(np.random.default_rng(0).normal(size=(40, D)))
    rows = unit(np.random.default_rng(1).normal(size=(5, D)))
    stick = replace(STICK, cohort=cohort)
    none = np.zeros(D, np.float32)
    slow = [np.mean(sorted(float(row @ one) for one in cohort)[-10:]) for row in rows]
    assert affinity.nearness(rows, none, stick) == pytest.approx(slow, abs=1e-5)
    assert np.all(affinity.nearness(rows, none, STICK) == 0)
    assert affinity.nearness(rows[:0], none, stick).shape == (0,)


def test_helped_tracks_are_compared_by_what_they_were_helped_to() -> None:
    # 0 and 1 are surely one person, and only 0 is like 2: pooled with 0, 1 is nearer to 2.
    first = axis(0)
    second, third = at_cosine(first, 0.7, 1), at_cosine(first, 0.7, 2)
    vectors = np.stack([first, second, third])
    odds = np.array([[0, 9, 0], [9, 0, NEVER], [0, NEVER, 0]], np.float32)
    stick = replace(STRANGERS, helped=PAIRS)
    known = related(vectors, odds)
    found = affinity.helped(known, stick)
    pool = affinity.pooled(known)
    clear = Clarity(pool.widths, affinity.nearness(pool.vectors, known.common, stick))
    for one in range(3):
        for other in range(3):
            if odds[one, other] == NEVER:
                assert found[one, other] == NEVER
                continue
            pair = [clear[np.array([n])] for n in (one, other)]
            cosine = (pool.vectors[one] @ pool.vectors[other])[None]
            slow = affinity.pair_odds(cosine, pair[0], pair[1], stick)[0]
            assert found[one, other] == pytest.approx(np.clip(slow, -8, 8), abs=1e-4)
    assert pool.vectors[1] @ third > second @ third


@given(st.integers(1, 6), st.integers(0, 99))
def test_who_helps_is_vouched_for_by_who_else_does(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    odds = rng.uniform(-2, 10, (count, count)).astype(np.float32)
    odds = ((odds + odds.T) / 2).astype(np.float32)
    known = related(np.stack([axis(n) for n in range(count)]), odds)
    known = replace(known, widths=rng.uniform(2, 90, count).astype(np.float32))
    found = affinity.pooled(known).weights
    likely = np.clip(2 / (1 + np.exp(4 - odds.astype(float))) - 1, 0, 1)
    np.fill_diagonal(likely, 1)
    clear = np.minimum(known.widths, affinity.CLEAR_PX)
    for one in range(count):
        for other in range(count):
            if one == other:
                assert found[one, other] == 1
                continue
            rest = [k for k in range(count) if k != other]
            votes = [likely[one, k] * clear[k] for k in rest]
            said = [vote * likely[k, other] for k, vote in zip(rest, votes, strict=True)]
            wanted = likely[one, other] * sum(said) / sum(votes)
            assert found[one, other] == pytest.approx(wanted, abs=1e-4)


def test_who_looks_like_somebody_else_is_helped_by_their_own_tracks() -> None:
    """Two people, three sure tracks each; one track is like one of the other person's."""
    people = np.repeat([0, 1], 3)
    odds = np.where(people[:, None] == people, 20.0, -20.0).astype(np.float32)
    rows = np.stack([axis(n) for n in range(6)])
    apart = affinity.pooled(related(rows, odds)).weights
    np.testing.assert_allclose(apart, people[:, None] == people, atol=1e-5)
    odds[0, 3] = odds[3, 0] = 4 + np.log(19)  # likely by 0.95: a weight of 0.9
    alike = affinity.pooled(related(rows, odds)).weights
    assert alike[0, 3] == pytest.approx(0.9 * 0.9 / 3, abs=1e-4)  # only 0 vouches, of its three
    assert alike[0, 1] == pytest.approx(2 / 2.9, abs=1e-4)
    assert alike[1, 2] == pytest.approx(1, abs=1e-4)


def test_who_is_seen_clearly_does_not_vouch_for_itself() -> None:
    """Three dim tracks of one person; a fourth that is like only the first is seen clearly."""
    odds = np.full((4, 4), 20.0, np.float32)
    odds[:3, 3] = odds[3, :3] = -20
    odds[0, 3] = odds[3, 0] = 4 + np.log(4)  # likely by 0.8: a weight of 0.6
    known = related(np.stack([axis(n) for n in range(4)]), odds)
    dim = np.array([5, 5, 5, CLEAR_PX], np.float32)
    found = affinity.pooled(replace(known, widths=dim)).weights
    assert found[0, 3] == pytest.approx(0.6 * (5 * 0.6) / 15, abs=1e-4)
    unseen = affinity.pooled(replace(known, widths=np.zeros(4, np.float32)))
    np.testing.assert_array_equal(unseen.weights, np.eye(4))  # no track can vouch
    assert np.isfinite(unseen.vectors).all()


def test_who_is_too_far_away_to_help_may_vouch() -> None:
    odds, rows = np.full((3, 3), 20.0, np.float32), np.stack([axis(n) for n in range(3)])
    near = np.abs(np.subtract.outer(np.arange(3), np.arange(3))) < 2
    pool = affinity.pooled(related(rows, odds), near)
    np.testing.assert_allclose(pool.weights, near, atol=1e-5)
    np.testing.assert_allclose(pool.widths, CLEAR_PX * near.sum(axis=1), rtol=1e-5)


def test_clothes_and_places_count_beside_helped_faces() -> None:
    vectors = np.stack([axis(0), axis(1)])
    odds, around = np.full((2, 2), -3, np.float32), np.full((2, 2), 1.5, np.float32)
    known = related(vectors, odds, around)
    assert affinity.helped(known, STRANGERS) is known.odds  # no coefficients were measured
    stick = replace(STRANGERS, helped=PAIRS)
    alone = affinity.helped(related(vectors, odds), stick)
    assert affinity.helped(known, stick) == pytest.approx(alone + 1.5)

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.records import Float32, Int64
from tests.training.test_plots import ink
from training.evaluate import plots
from training.evaluate.encoders import knn, nearest
from training.evaluate.projection import Shown, by_tsne, by_umap, chosen, most_frequent

Way = Callable[[Float32, int], Float32]


def crowd(people: int, each: int, apart: float, seed: int = 0) -> tuple[Float32, Int64]:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), each)
    rows = apart * rng.normal(size=(people, 16))[who] + rng.normal(size=(len(who), 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), who


@pytest.mark.parametrize("way", [by_umap, by_tsne])
def test_people_who_are_apart_are_apart_on_the_map_and_again_the_same(way: Way) -> None:
    vectors, who = crowd(5, 12, apart=6.0)
    places = way(vectors, 1)
    assert places.shape == (60, 2)
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (who[distances.argmin(axis=1)] == who).all()
    np.testing.assert_array_equal(places, way(vectors, 1))


@pytest.mark.parametrize("way", [by_umap, by_tsne])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 16, 17])
def test_few_vectors_have_places_too(way: Way, count: int) -> None:
    places = way(crowd(max(count, 1), 1, apart=1.0)[0][:count], 0)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()


@given(
    st.lists(st.integers(0, 20), max_size=80),
    st.integers(1, 9),
    st.integers(1, 60),
    st.integers(0, 3),
)
def test_the_most_frequent_come_first_and_no_more_than_asked(
    people: list[int], each: int, most: int, seed: int
) -> None:
    who = np.array(people, np.int64)
    top = most_frequent(who)
    counts = Counter(people)
    left_over = [counts[one] for one in counts if one not in top]
    assert all(counts[one] >= max(left_over, default=0) for one in top.tolist())
    rows = chosen(who, Shown(each, most, seed))
    assert len(set(rows.tolist())) == len(rows) <= most
    wanted = sum(min(each, counts[one]) for one in top.tolist())
    assert int(np.isin(who[rows], top).sum()) == min(wanted, most)
    assert len(rows) == min(most, wanted + sum(left_over))


def slow_knn(vectors: Float32, people: Int64, k: int) -> float:
    right = 0
    for i in range(len(vectors)):
        others = [
            (float(vectors[i] @ vectors[j]), int(people[j])) for j in range(len(people)) if j != i
        ]
        near = sorted(others, reverse=True)[:k]
        votes = {
            one: (sum(who == one for _, who in near), sum(c + 1 for c, who in near if who == one))
            for _, one in near
        }
        right += max(votes, key=lambda one: votes[one]) == people[i]
    return right / len(vectors)


@settings(max_examples=40)
@given(st.integers(2, 6), st.integers(1, 6), st.floats(0, 2), st.integers(0, 99), st.integers(1, 7))
def test_neighbours_vote(people: int, each: int, apart: float, seed: int, k: int) -> None:
    vectors, who = crowd(people, each, apart, seed)
    assert knn(vectors, who, k) == pytest.approx(slow_knn(vectors, who, k))
    assert knn(vectors, who, 1) == nearest(vectors, who)


def test_three_votes_beat_two_nearer_ones() -> None:
    angles = np.array([0.0, 0.1, 0.11, 0.3, 0.31, 0.32])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert knn(vectors[:1].repeat(2, axis=0), np.array([0, 0])) == 1
    # Only the two of person 0 are wrong: the majority around each face is of person 1.
    assert knn(vectors, np.array([1, 0, 0, 1, 1, 1])) == pytest.approx(4 / 6)


def test_a_map_is_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = {name: rng.normal(size=(90, 2)).astype(np.float32) for name in ("before", "after")}
    labels = [f"Somebody_with_a_very_long_name_{k}" for k in range(10)]
    plots.maps(places, np.arange(90) % 11 - 1, labels, tmp_path / "map.png")
    assert 0.01 < ink(tmp_path / "map.png") < 0.9

"""Clothes tie tracks; vectors are whitened by the ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.clothes import Looks, TieSettings, tied
from training.methods.whitening import whitening


def _looks(kinds: list[int], shots: list[int]) -> Looks:
    rows = np.eye(8, dtype=np.float32)[kinds]
    chosen = np.array(shots, np.int64)
    together = (chosen[:, None] == chosen) & ~np.eye(len(shots), dtype=bool)
    return Looks(rows, chosen, together)


def test_two_people_in_two_shots_are_tied_by_what_they_wear() -> None:
    found = tied(_looks([0, 1, 1, 0], [0, 0, 1, 1]), TieSettings())
    assert found.tolist() == [[0, 3], [1, 2]]


def test_a_tie_does_not_reach_into_another_scene() -> None:
    assert len(tied(_looks([0, 0], [0, 13]), TieSettings(reach=12))) == 0
    assert len(tied(_looks([0, 0], [0, 12]), TieSettings(reach=12))) == 1


def test_nobody_is_tied_to_nobody() -> None:
    assert tied(_looks([], []), TieSettings()).shape == (0, 2)
    bare = Looks(np.zeros((2, 8), np.float32), np.array([0, 1]), np.zeros((2, 2), bool))
    assert tied(bare, TieSettings()).shape == (0, 2)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=14))
def test_ties_never_join_a_frame_and_each_track_has_one_in_a_shot(
    who: list[tuple[int, int]],
) -> None:
    found = _looks([kind for kind, _ in who], [shot for _, shot in who])
    pairs = tied(found, TieSettings())
    assert not any(found.together[one, other] for one, other in pairs)
    both = [(a, found.shots[b]) for pair in pairs for a, b in (pair, pair[::-1])]
    assert len(both) == len(set(both))


def test_a_direction_in_which_people_vary_counts_less() -> None:
    rng = np.random.default_rng(0)
    people = rng.normal(size=(20, 2)).repeat(2, axis=0) * [1, 0.2]
    means = (people + rng.normal(size=(40, 2)) * [1, 0.02]).astype(np.float32)
    ties = np.arange(40).reshape(20, 2)
    weight = whitening(means, ties, 0.01).weight
    across, along = np.linalg.norm(weight @ np.eye(2, dtype=np.float32), axis=0)
    assert along > 5 * across


@given(st.integers(0, 1000))
def test_whitened_ties_have_an_even_scatter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))  # no direction too flat for float32
    means = (rng.normal(size=(60, 4)) * [0.3, 1, 2, 5] @ turn).astype(np.float32)
    ties = np.arange(60).reshape(30, 2)
    moved = means @ whitening(means, ties, 1e-9).weight.T
    apart = moved[ties[:, 0]] - moved[ties[:, 1]]
    scatter = apart.T @ apart
    even = np.eye(4) * np.trace(scatter) / 4
    assert scatter == pytest.approx(even, abs=0.02 * float(np.trace(scatter)))


def test_with_nothing_but_the_identity_only_the_mean_is_taken_away() -> None:
    rows = np.array([[1, 0], [0, 1]], np.float32)
    found = whitening(rows, np.array([[0, 1]]), 1.0)(rows)
    assert found == pytest.approx(np.array([[1, -1], [-1, 1]]) / np.sqrt(2), abs=1e-6)
    assert whitening(rows, np.array([[0, 1]]))(rows[:0]).shape == (0, 2)


def test_ties_between_equals_are_refused() -> None:
    with pytest.raises(ValueError, match="expected tied tracks"):
        whitening(np.ones((2, 3), np.float32), np.array([[0, 1]]))
    with pytest.raises(ValueError, match="expected tied tracks"):
        whitening(np.eye(3, dtype=np.float32), np.zeros((0, 2), np.int64))

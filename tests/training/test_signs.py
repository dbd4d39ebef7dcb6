"""The measures that tell good vectors from bad ones without labels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexer.records import Float32, Int64
from training.evaluate.signs import Signs, signs

_NONE = np.zeros((0, 2), np.int64)


def show(noise: float, seed: int = 0) -> tuple[Float32, Int64]:
    """Six people with five tracks each, in two halves; tracks five apart share a frame."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.eye(8)[:6], 5, axis=0)[:, None] + noise * rng.normal(size=(30, 2, 8))
    different = np.stack([np.arange(25), np.arange(5, 30)], axis=1)
    return rows.astype(np.float32), different


def test_clear_vectors_show_every_sign() -> None:
    rows, different = show(0.02)
    found = signs(rows, different, 6)
    assert found.apart == 1
    assert found.stable == 1


def test_noise_shows_in_every_sign() -> None:
    rows, different = show(0.02)
    noisy, _ = show(1.0)
    clear, poor = signs(rows, different, 6), signs(noisy, different, 6)
    assert poor.apart < clear.apart
    assert poor.stable < clear.stable


def test_by_hand() -> None:
    """Two tracks that share a frame are taken for one person; both find their own halves."""
    halves = np.array([[[1, 0.1], [1, 0.11]], [[1, -0.1], [1, -0.11]]], np.float32)
    assert signs(halves, np.array([[0, 1]]), 1) == Signs(0.0, 1.0, 1.0)
    assert signs(halves, np.array([[0, 1]]), 2).apart == 1


@given(st.integers(0, 99), st.floats(0.01, 2))
def test_shares_lie_between_0_and_1_and_an_adjusted_index_above_minus_1(
    seed: int, noise: float
) -> None:
    found = signs(*show(noise, seed), 6)
    assert 0 <= found.apart <= 1
    assert 0 <= found.halves <= 1
    assert -1 <= found.stable <= 1


def test_of_nothing_nothing_can_be_told() -> None:
    found = signs(np.zeros((0, 2, 4), np.float32), _NONE, 3)
    assert np.isnan([found.apart, found.halves, found.stable]).all()

"""Smooth ways to move, as functions of time."""

from __future__ import annotations

import numpy as np

from indexer.records import Float64


def sway(rng: np.random.Generator, times: Float64) -> Float64:
    """Return a smooth path in [-1, 1], (T,): a sum of two sines with periods of seconds."""
    slow, fast = (
        np.sin(2 * np.pi * (times / rng.uniform(*periods) + rng.random()))
        for periods in ((4.0, 8.0), (1.8, 4.0))
    )
    return 0.7 * slow + 0.3 * fast


def ramp(times: Float64, start: float, end: float) -> Float64:
    """Return 0 before `start`, 1 after `end` and a smooth step between, (T,)."""
    share = np.clip((times - start) / max(end - start, 1e-9), 0, 1)
    return share * share * (3 - 2 * share)

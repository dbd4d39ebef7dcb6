"""How good vectors of a show's tracks are, told without a label.

People are made of the tracks by Ward's linkage that is told nothing of who is on screen together,
as many as are asked for; so that what it does to those who are is a sign, not a rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score

from indexer.records import Float32, Int64
from training.evaluate import hac

_DRAWS, _KEPT = 5, 0.8
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Signs:
    """Each in [0, 1], the higher the better, NaN where nothing can be told."""

    apart: float
    """Share of the pairs of tracks on screen together that are taken for two people."""
    halves: float
    """Share of the tracks whose first half is nearest to its own second half, of all tracks'."""
    stable: float
    """How alike people are if a fifth of the tracks is left out: mean adjusted Rand index."""


def signs(halves: Float32, different: Int64, people: int, seed: int = 0) -> Signs:
    """Return what the tracks of a show say of the vectors.

    Args:
        halves: (N, 2, D), the mean vector of each half of each track, in time.
        different: (Q, 2), tracks that are on screen together.
        people: how many to make of them.
        seed: of which tracks are left out.
    """
    count = len(halves)
    if count < 2:  # noqa: PLR2004
        return Signs(np.nan, np.nan, np.nan)
    rows = _unit(halves.mean(axis=1))
    labels = hac.into(min(people, count), rows)
    pairs = labels[different]
    apart = float(np.mean(pairs[:, 0] != pairs[:, 1])) if len(different) else np.nan
    first, second = _unit(halves[:, 0]), _unit(halves[:, 1])
    known = np.flatnonzero((halves[:, 0] != halves[:, 1]).any(axis=1))
    nearest = (first[known] @ second.T).argmax(axis=1)
    own = float(np.mean(nearest == known)) if len(known) else np.nan
    rng = np.random.default_rng(seed)
    agree = []
    for _ in range(_DRAWS):
        kept = np.sort(rng.permutation(count)[: max(2, round(_KEPT * count))])
        agree.append(
            adjusted_rand_score(labels[kept], hac.into(min(people, len(kept)), rows[kept]))
        )
    return Signs(apart, own, float(np.mean(agree)))


def _unit(rows: Float32) -> Float32:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), _TINY)

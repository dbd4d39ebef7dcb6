"""How good the vectors of a show's tracks are, measured without labels.

Ward's linkage clusters the tracks into a given number of people. It is not told which tracks are
on screen together, so how often it separates those is a measure and not a rule that it obeys.
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
    """Measures of quality: the higher the better, at most 1, NaN where nothing can be measured."""

    apart: float
    """Share of the pairs of tracks on screen together that are in two clusters."""
    halves: float
    """Share of the tracks whose first half is nearer to its own second half than to any other."""
    stable: float
    """Mean adjusted Rand index of the clusters and those made without a fifth of the tracks."""


def signs(halves: Float32, different: Int64, people: int, seed: int = 0) -> Signs:
    """Return the measures of the vectors of a show's tracks.

    Args:
        halves: (N, 2, D), the mean vector of each half of each track, in time; tracks whose halves
            are equal do not count in `Signs.halves`.
        different: (Q, 2), pairs of tracks that are on screen together.
        people: number of clusters.
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

"""How much a metric would vary with other people: bootstrap intervals by identity.

Pairs of one person are not independent, so people are resampled, not pairs (Bolle, Ratha and
Pankanti, "Error analysis of pattern recognition systems - the subsets bootstrap", CVIU 2004).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from indexer.records import Bool, Float32, Float64, Int64


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, of 95 % unless said otherwise."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Scored pairs of faces, and the people they show."""

    similarities: Float32
    """(P,), larger is more alike."""
    first: Int64
    """(P,), the person of the first face, from 0 on."""
    second: Int64
    """(P,), the person of the second face."""

    @property
    def same(self) -> Bool:
        """Return which pairs are genuine, (P,)."""
        return np.asarray(self.first == self.second, dtype=np.bool_)


def tpr_interval(pairs: ScoredPairs, fpr: float, draws: int = 500, seed: int = 0) -> Interval:
    """Return the 95 % bootstrap interval of TPR@FPR over people.

    Args:
        pairs: genuine and impostor ones.
        fpr: share of the impostor pairs that are accepted, 0 to 1.
        draws: number of bootstrap samples.
        seed: of the draws.

    Raises:
        ValueError: there is no genuine pair, or no impostor pair.
    """
    same = pairs.same
    if not 0 < same.sum() < len(same):
        raise ValueError(f"expected genuine and impostor pairs, got {same.sum()} of {len(same)}")
    order = np.argsort(-pairs.similarities, kind="stable")
    count = int(max(pairs.first.max(), pairs.second.max())) + 1
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(draws):
        drawn = rng.multinomial(count, np.full(count, 1 / count))
        weights = np.where(same, drawn[pairs.first], drawn[pairs.first] * drawn[pairs.second])
        rate = _tpr(weights[order].astype(np.float64), same[order], fpr)
        if rate is not None:
            rates.append(rate)
    low, high = np.quantile(rates, [0.025, 0.975])
    return Interval(float(low), float(high))


def _tpr(weights: Float64, same: Bool, fpr: float) -> float | None:
    """Return TPR@FPR of weighted pairs by falling similarity; None if a kind has no weight."""
    genuine, impostors = np.where(same, weights, 0), np.where(same, 0, weights)
    if genuine.sum() == 0 or impostors.sum() == 0:
        return None
    first_too_many = int(np.searchsorted(np.cumsum(impostors), fpr * impostors.sum(), "right"))
    return float(genuine[:first_too_many].sum() / genuine.sum())


def interval(
    count: int,
    statistic: Callable[[Int64], Sequence[float]],
    draws: int = 200,
    seed: int = 0,
) -> list[Interval]:
    """Return 95 % bootstrap intervals of statistics over independent items, such as pictures.

    Args:
        count: number of items, at least one.
        statistic: the statistics of a sample of items, given as indices with repeats, (count,).
        draws: number of bootstrap samples.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    found = np.array([statistic(rng.integers(0, count, count)) for _ in range(draws)])
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    return [Interval(*pair) for pair in zip(low.tolist(), high.tolist(), strict=True)]


def binomial(some: int, of: int, confidence: float = 0.95) -> Interval:
    """Return a share's exact interval (Clopper and Pearson, Biometrika 1934); 0 to 1 of no trials.

    Args:
        some: successes among independent trials.
        of: number of trials.
        confidence: two-sided.
    """
    if of == 0:
        return Interval(0.0, 1.0)
    found = binomtest(some, of).proportion_ci(confidence, method="exact")
    return Interval(float(found.low), float(found.high))

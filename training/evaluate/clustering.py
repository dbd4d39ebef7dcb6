"""Do clusters match people? The metrics of the face clustering papers, from one table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import entropy

from indexer.records import Float64, Int64


@dataclass(frozen=True, slots=True)
class Clustering:
    """How clusters agree with people."""

    wcp: float
    """Weighted clustering purity: the share of the items that show their cluster's most frequent
    person. Many clusters flatter it, so read it beside the counts."""
    nmi: float
    """Normalised by the arithmetic mean of the entropies (Tapaswi et al., ICCV 2019)."""
    nmi_geometric: float
    """Normalised by their geometric mean (Sharma et al., FG 2019)."""
    precision: float
    """B-cubed precision (Bagga and Baldwin, 1998; Amigó et al., 2009): mean over the items of the
    share of their cluster that shows their person."""
    recall: float
    """B-cubed recall: mean over the items of the share of their person that is in their cluster."""
    f1: float
    """Harmonic mean of B-cubed precision and recall."""
    predicted: int
    """How many clusters there are."""
    true: int
    """How many people."""


def clustering(people: Int64, clusters: Int64, weights: Float64 | None = None) -> Clustering:
    """Return the metrics of a clustering.

    Args:
        people: (N,), the true person of each item.
        clusters: (N,), the cluster of each item.
        weights: (N,), above 0; 1 each if not given. Tracks weighted by their number of frames give
            the metrics per frame.

    Raises:
        ValueError: there is no item, or the arrays differ in length.
    """
    if weights is None:
        weights = np.ones(len(people))
    if len(people) == 0 or not len(people) == len(clusters) == len(weights):
        raise ValueError(
            "people, clusters, weights: expected as many of each, one or more, got "
            f"{len(people)}, {len(clusters)}, {len(weights)}"
        )
    table = _contingency(people, clusters, weights)  # (people, clusters), sums to 1
    of_person, of_cluster = table.sum(axis=1), table.sum(axis=0)
    precision = float(np.sum(table**2 / of_cluster))
    recall = float(np.sum(table**2 / of_person[:, None]))
    entropies = float(entropy(of_person)), float(entropy(of_cluster))
    information = sum(entropies) - float(entropy(table.ravel()))
    return Clustering(
        wcp=float(table.max(axis=0).sum()),
        nmi=_normalised(information, float(np.mean(entropies))),
        nmi_geometric=_normalised(information, float(np.sqrt(entropies[0] * entropies[1]))),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall),
        predicted=len(of_cluster),
        true=len(of_person),
    )


def _contingency(people: Int64, clusters: Int64, weights: Float64) -> Float64:
    names, rows = np.unique(people, return_inverse=True)
    numbers, columns = np.unique(clusters, return_inverse=True)
    table = np.zeros((len(names), len(numbers)))
    np.add.at(table, (rows, columns), weights / weights.sum())
    return table


def _normalised(information: float, by: float) -> float:
    """Return normalised mutual information, 0 to 1; 1 for one cluster of one person."""
    tiny = 1e-12
    if by > tiny:
        return min(1.0, max(0.0, information / by))
    return 1.0 if information <= tiny else 0.0

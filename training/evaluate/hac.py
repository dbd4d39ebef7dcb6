"""Hierarchical clustering of tracks as in the papers: Ward's linkage on mean features."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import silhouette_score

from indexer.records import Float32, Int64


def into(count: int, features: Float32) -> Int64:
    """Return the cluster of each track, (N,), for a known number of people.

    Ward and Euclidean distance (Sharma et al., FG 2019, sec. IV).

    Args:
        count: clusters, 1 to N.
        features: (N, D).
    """
    if len(features) == 1:
        return np.zeros(1, np.int64)
    return np.asarray(AgglomerativeClustering(count).fit_predict(features), np.int64)


def estimated(features: Float32, most: int = 60) -> int:
    """Return the number of clusters, 2 to `most`, with the best silhouette; 1 if N is below 3.

    Rousseeuw, "Silhouettes", J. Comput. Appl. Math. 1987.

    Args:
        features: (N, D), of tracks.
        most: clusters, at most.
    """
    counts = range(2, min(most, len(features) - 1) + 1)
    scores = {count: silhouette_score(features, into(count, features)) for count in counts}
    return max(scores, key=lambda count: scores[count], default=1)

"""A matrix that evens out how one person's vectors differ, in closed form.

Within-class covariance normalisation: Hatch, Kajarekar and Stolcke, "Within-class covariance
normalization for SVM-based speaker recognition", Interspeech 2006, eq. 7 to 9; the classes here are
tracks said to be of one person.
"""

from __future__ import annotations

import numpy as np

from indexer.records import Float32, Int64


def whitening(means: Float32, ties: Int64, shrink: float = 0.15) -> Float32:
    """Return W, (D, D): the vectors of tied tracks differ by as much in every direction of W x.

    Args:
        means: (N, D), mean vectors of tracks.
        ties: (P, 2), tracks of one person.
        shrink: share of the identity in the covariance, in (0, 1]; few pairs do not span D
            directions.

    Raises:
        ValueError: there are no ties, or all tied tracks are the same.
    """
    apart = (means[ties[:, 0]] - means[ties[:, 1]]).astype(np.float64)
    spread = apart.T @ apart
    if np.trace(spread) <= 0:
        raise ValueError("expected tied tracks that differ, got none")
    even = np.eye(means.shape[1])
    covariance = (1 - shrink) * spread * len(even) / np.trace(spread) + shrink * even
    return np.linalg.cholesky(np.linalg.inv(covariance)).T.astype(np.float32)


def applied(matrix: Float32, vectors: Float32) -> Float32:
    """Return the unit rows of W x, (N, D), for rows x."""
    found = vectors @ matrix.T
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)

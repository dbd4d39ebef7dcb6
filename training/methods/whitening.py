"""A whitening of the differences within one person's vectors, in closed form.

Within-class covariance normalisation: Hatch, Kajarekar and Stolcke, "Within-class covariance
normalization for SVM-based speaker recognition", Interspeech 2006, eq. 7 to 9; the classes here are
tracks taken for one person. The mean of all tracks is subtracted first: what all faces of a show
have in common says nothing about who they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.records import Float32, Int64


@dataclass(frozen=True, slots=True)
class Whitening:
    """y = (weight x + bias) / ‖weight x + bias‖."""

    weight: Float32
    """(D, D)."""
    bias: Float32
    """(D,)."""

    @classmethod
    def nothing(cls, dimension: int) -> Whitening:
        """Return the map that leaves unit rows (N, D) as they are."""
        return cls(np.eye(dimension, dtype=np.float32), np.zeros(dimension, np.float32))

    def __call__(self, vectors: Float32) -> Float32:
        """Return unit rows (N, D) for rows (N, D)."""
        found = vectors @ self.weight.T + self.bias
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def whitening(means: Float32, ties: Int64, shrink: float = 0.3) -> Whitening:
    """Return the whitening after which tied tracks differ equally in every direction.

    Args:
        means: (N, D), mean vectors of tracks.
        ties: (P, 2), tracks of one person.
        shrink: share of the identity in the covariance, in (0, 1]; few pairs do not span D
            directions, and with less shrinkage the map overfits its own tracks.

    Raises:
        ValueError: there are no ties, or no tied tracks differ.
    """
    apart = (means[ties[:, 0]] - means[ties[:, 1]]).astype(np.float64)
    spread = apart.T @ apart
    if np.trace(spread) <= 0:
        raise ValueError("expected tied tracks that differ, got none")
    even = np.eye(means.shape[1])
    covariance = (1 - shrink) * spread * len(even) / np.trace(spread) + shrink * even
    weight = np.linalg.cholesky(np.linalg.inv(covariance)).T
    bias = -weight @ means.mean(axis=0, dtype=np.float64)
    return Whitening(weight.astype(np.float32), bias.astype(np.float32))

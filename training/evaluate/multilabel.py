"""Metrics of naming the characters in still pictures: multi-label classification."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, f1_score

from indexer.records import Bool, Float64, Int64

_BINS = 15


@dataclass(frozen=True, slots=True)
class StillMetrics:
    """Metrics over M pictures and K classes; arrays are by class."""

    mean_ap: float
    """Mean average precision, over the classes with positives."""
    macro_f1: float
    """Mean F1, over the classes with positives."""
    micro_f1: float
    hamming: float
    """Hamming loss: share of wrong decisions, of M x K."""
    ece: float
    """Expected calibration error over 15 bins, of all decisions; see `calibration_error`."""
    ap: Float64
    """(K,), NaN without positives."""
    f1: Float64
    """(K,)."""
    support: Int64
    """(K,), number of pictures that show the class."""

    def __post_init__(self) -> None:
        if not self.ap.shape == self.f1.shape == self.support.shape:
            raise ValueError(
                f"expected one shape, got {self.ap.shape}, {self.f1.shape}, {self.support.shape}"
            )


def still_metrics(truth: Bool, probability: Float64, thresholds: Float64) -> StillMetrics:
    """Return the metrics of probabilities (M, K) against the ground truth (M, K).

    Args:
        truth: who is in each picture, at least one picture.
        probability: in [0, 1].
        thresholds: (K,), a class is predicted from this probability on.

    Raises:
        ValueError: the shapes differ, or there are no pictures.
    """
    if truth.shape != probability.shape or truth.shape[1:] != thresholds.shape or len(truth) == 0:
        raise ValueError(
            f"expected (M, K), (M, K), (K,), got {truth.shape}, {probability.shape}, "
            f"{thresholds.shape}"
        )
    said = probability >= thresholds
    support = truth.sum(axis=0)
    ap = np.full(truth.shape[1], np.nan)
    for k in np.flatnonzero(support):
        ap[k] = average_precision_score(truth[:, k], probability[:, k])
    f1 = np.array(
        [f1_score(*pair, zero_division=0.0) for pair in zip(truth.T, said.T, strict=True)]
    )
    there = support > 0
    return StillMetrics(
        mean_ap=float(ap[there].mean()) if there.any() else 0.0,
        macro_f1=float(f1[there].mean()) if there.any() else 0.0,
        micro_f1=float(f1_score(truth.ravel(), said.ravel(), zero_division=0.0)),
        hamming=float(np.mean(truth != said)),
        ece=calibration_error(truth, probability),
        ap=ap,
        f1=f1,
        support=support.astype(np.int64),
    )


def calibration_error(truth: Bool, probability: Float64, bins: int = _BINS) -> float:
    """Return the ECE: the mean gap between probability and frequency, bins weighted by count.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3; the bins are equally
    wide, each open to the right.
    """
    p, so = probability.ravel(), truth.ravel()
    which = np.minimum((p * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(which, weights=p - so, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(p), 1))


def choose_thresholds(truth: Bool, probability: Float64) -> Float64:
    """Return for each class the threshold of the best F1, (K,) in [0, 1].

    All thresholds between two successive probabilities separate equally well. Of the middle half
    of that interval the point nearest to 0.5 is taken, the best guess where data are scarce. A
    class without positives gets 0.5.

    Args:
        truth: (M, K).
        probability: (M, K), calibrated, of a split that was not trained on.
    """
    pairs = zip(truth.T, probability.T, strict=True)
    return np.array([_threshold(so, p) if so.any() else 0.5 for so, p in pairs])


def _threshold(so: Bool, p: Float64) -> float:
    order = np.argsort(-p, kind="stable")
    ranked = np.concatenate([p[order], [0.0]])
    hits = np.cumsum(so[order])
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + so.sum())  # of predicting the k most probable
    f1 = np.where(ranked[:-1] > ranked[1:], f1, -1.0)  # no threshold lies between equal ones
    if f1.max() < 0:
        return 0.5
    best = np.flatnonzero(f1 == f1.max())
    low, high = ranked[best + 1], ranked[best]
    points = np.clip(0.5, low + (high - low) / 4, high - (high - low) / 4)
    return float(points[np.argmin(np.abs(points - 0.5))])

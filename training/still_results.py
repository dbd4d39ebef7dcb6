"""A trained head made to mean what it says: logits to probabilities, probabilities to decisions.

``calibration`` pictures give the line from logits to log-odds and the thresholds, ``val``
pictures decide how faces make a picture, ``test`` pictures are only measured on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from indexer.records import Bool, Float32, Float64
from training import head as heads
from training.evaluate.multilabel import StillMetrics, choose_thresholds, still_metrics
from training.head import Head, HeadFacts, Together, in_pictures
from training.still_faces import StillFaces

_WAYS: tuple[Together, ...] = ("max", "noisy-or")
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class StillScores:
    """How good a head is on the test pictures."""

    before: StillMetrics
    """Plain sigmoids, the most likely face of a picture, and a threshold of one half."""
    after: StillMetrics
    """Calibrated probabilities and their own thresholds."""
    all_negative: StillMetrics
    """Nobody is ever there."""
    prior: StillMetrics
    """Everybody is there as likely as in the training pictures, whatever is seen."""


def uncalibrated(weight: Float32, bias: Float32, classes: tuple[str, ...], encoder_id: str) -> Head:
    """Return a head of weight (K, D) and bias (K,) that takes sigmoids for probabilities."""
    facts = HeadFacts(
        schema=heads.SCHEMA,
        classes=classes,
        encoder_id=encoder_id,
        thresholds=(_HALF,) * len(classes),
        slope=1.0,
        offset=0.0,
        together="max",
        digest="",
    )
    return Head(weight, bias, facts)


def calibrate_head(head: Head, found: StillFaces, vectors: Float32, weights: Float32) -> Head:
    """Return the head with its slope, offset, thresholds and way of putting faces together.

    Args:
        head: uncalibrated.
        found: the faces, of all splits.
        vectors: (N, D), theirs.
        weights: (K,), what positives weighed in training. A class's log-odds are too high by the
            logarithm of that (Elkan, "The foundations of cost-sensitive learning", IJCAI 2001,
            theorem 2), which is taken off before all classes share one line.
    """
    head = replace(head, bias=(head.bias - np.log(weights)).astype(np.float32))
    rows = found.rows("calibration")
    scores, truth = heads.logits(head, vectors[rows]).reshape(-1, 1), found.targets[rows].ravel()
    slope, offset = 1.0, 0.0
    if truth.any() and not truth.all():
        # A little regular, since what separates without a mistake has no finite slope.
        line = LogisticRegression(C=10.0).fit(scores, truth)
        slope, offset = float(line.coef_[0, 0]), float(line.intercept_[0])
    facts = replace(head.facts, slope=slope, offset=offset)
    head = Head(head.weight, head.bias, facts)
    together = min(_WAYS, key=lambda way: _surprise(head, found, vectors, way))
    head = Head(head.weight, head.bias, replace(facts, together=together))
    labels, probability = seen_in(head, found, vectors, "calibration")
    thresholds = tuple(choose_thresholds(labels, probability).tolist())
    return Head(head.weight, head.bias, replace(head.facts, thresholds=thresholds))


def _surprise(head: Head, found: StillFaces, vectors: Float32, way: Together) -> float:
    """Return the mean log loss on the val pictures."""
    judged = Head(head.weight, head.bias, replace(head.facts, together=way))
    labels, probability = seen_in(judged, found, vectors, "val")
    return float(log_loss(labels.ravel(), probability.ravel(), labels=[False, True]))


def seen_in(head: Head, found: StillFaces, vectors: Float32, split: str) -> tuple[Bool, Float64]:
    """Return who is in the m pictures of a split, and how likely the head takes that to be.

    Returns:
        Labels and probabilities, (m, K) each.
    """
    picture, labels = found.of_split(split)
    faces = heads.probabilities(head, vectors[found.rows(split)])
    return labels, in_pictures(faces, picture, len(labels), head.facts.together)


def score(before: Head, after: Head, found: StillFaces, vectors: Float32) -> StillScores:
    """Return how good a head is, uncalibrated and calibrated, beside knowing nothing."""
    labels, plain = seen_in(before, found, vectors, "test")
    half = np.full(labels.shape[1], _HALF)
    _, sure = seen_in(after, found, vectors, "test")
    often = found.of_split("train")[1].mean(axis=0)
    return StillScores(
        before=still_metrics(labels, plain, half),
        after=still_metrics(labels, sure, np.array(after.facts.thresholds)),
        all_negative=still_metrics(labels, np.zeros(labels.shape), half),
        prior=still_metrics(labels, np.broadcast_to(often, labels.shape), half),
    )


def measure_logits(
    found: StillFaces, logits: Float32, weights: Float32, split: str
) -> dict[str, float]:
    """Return how good logits (N, K) of all faces are on a split's.

    Args:
        found: the faces, of all splits.
        logits: not calibrated.
        weights: (K,), what positives weighed in training.
        split: which.

    Returns:
        ``likelihood``, minus the mean log loss of a face's decision, which goes on telling
        heads apart when all put the right ones first; and ``mAP`` over pictures.
    """
    picture, labels = found.of_split(split)
    rows = found.rows(split)
    faces = expit(logits[rows].astype(np.float64) - np.log(weights))
    loss = log_loss(found.targets[rows].ravel(), faces.ravel(), labels=[False, True])
    probability = in_pictures(faces, picture, len(labels), "max")
    metrics = still_metrics(labels, probability, np.full(labels.shape[1], _HALF))
    return {"likelihood": -float(loss), "mAP": metrics.mean_ap}

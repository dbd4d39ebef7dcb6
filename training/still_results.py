"""A trained head made to mean what it says: logits to probabilities, probabilities to decisions.

``calibration`` pictures give the line from logits to log-odds and the thresholds, ``val``
pictures decide how faces make a picture, ``test`` pictures are only measured on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, log_loss

from indexer.records import Bool, Float32, Float64, Int64
from training import head as heads
from training.evaluate.intervals import Interval, interval
from training.evaluate.multilabel import StillMetrics, choose_thresholds, still_metrics
from training.evaluate.recognition import Reliability, reliability
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
    mean_ap: Interval
    """Of ``after``, with other pictures."""
    macro_f1: Interval
    reliability: Reliability
    """Of the probabilities of ``after``."""
    confusion: Int64
    """(K + 1, K + 1), faces by who they are and whom they were taken for; nobody is the last."""


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
    thresholds = np.array(after.facts.thresholds)
    often = found.of_split("train")[1].mean(axis=0)

    def drawn(some: Int64) -> tuple[float, float]:
        numbers = still_metrics(labels[some], sure[some], thresholds)
        return numbers.mean_ap, numbers.macro_f1

    mean_ap, macro_f1 = interval(len(labels), drawn)
    return StillScores(
        before=still_metrics(labels, plain, half),
        after=still_metrics(labels, sure, thresholds),
        all_negative=still_metrics(labels, np.zeros(labels.shape), half),
        prior=still_metrics(labels, np.broadcast_to(often, labels.shape), half),
        mean_ap=mean_ap,
        macro_f1=macro_f1,
        reliability=reliability(sure.ravel(), labels.ravel()),
        confusion=_confusion(after, found, vectors),
    )


def _confusion(head: Head, found: StillFaces, vectors: Float32) -> Int64:
    """Count the test faces by who they are and the likeliest character above its threshold."""
    rows = found.rows("test")
    probability = heads.probabilities(head, vectors[rows])
    nobody = probability.shape[1]
    sure = probability >= np.array(head.facts.thresholds)
    likeliest = np.argmax(np.where(sure, probability, -1.0), axis=1)
    said = np.where(sure.any(axis=1), likeliest, nobody)
    targets = found.targets[rows]
    so = np.where(targets.any(axis=1), targets.argmax(axis=1), nobody)
    counts = confusion_matrix(so, said, labels=np.arange(nobody + 1))
    return np.asarray(counts, dtype=np.int64)


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

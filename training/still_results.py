"""A trained head calibrated and measured: logits to probabilities, probabilities to decisions.

The line from logits to log-odds and the thresholds are fitted on ``calibration`` pictures; how
faces are combined into a picture is chosen on ``val``; ``test`` is only for measuring.
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
    """With plain sigmoids, the largest over a picture's faces, and thresholds of one half."""
    after: StillMetrics
    """With calibrated probabilities and their own thresholds."""
    all_negative: StillMetrics
    """Baseline: nobody is ever there."""
    prior: StillMetrics
    """Baseline: each character's share of the training pictures, whatever a picture shows."""
    mean_ap: Interval
    """Of ``after``, over resampled pictures, as is that of ``macro_f1``."""
    macro_f1: Interval
    reliability: Reliability
    """Of the probabilities of ``after``."""
    confusion: Int64
    """(K + 1, K + 1), test faces, rows by true and columns by predicted class; last is nobody."""


def uncalibrated(weight: Float32, bias: Float32, classes: tuple[str, ...], encoder_id: str) -> Head:
    """Return a head of weight (K, D) and bias (K,) whose probabilities are plain sigmoids."""
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
    """Return the head with slope, offset, thresholds and the way of combining faces fitted.

    Args:
        head: uncalibrated.
        found: the faces, of all splits.
        vectors: (N, D), their embeddings.
        weights: (K,), of positives in the training loss. They raise a class's log-odds by their
            logarithm (Elkan, "The foundations of cost-sensitive learning", IJCAI 2001, theorem 2),
            which is subtracted, so that all classes can share one line.
    """
    head = replace(head, bias=(head.bias - np.log(weights)).astype(np.float32))
    rows = found.rows("calibration")
    scores, truth = heads.logits(head, vectors[rows]).reshape(-1, 1), found.targets[rows].ravel()
    slope, offset = 1.0, 0.0
    if truth.any() and not truth.all():
        # Slightly regularised: perfectly separable scores have no finite slope.
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
    """Return who is in the m pictures of a split, and the head's probabilities.

    Returns:
        Labels and probabilities, (m, K) each.
    """
    picture, labels = found.of_split(split)
    faces = heads.probabilities(head, vectors[found.rows(split)])
    return labels, in_pictures(faces, picture, len(labels), head.facts.together)


def score(before: Head, after: Head, found: StillFaces, vectors: Float32) -> StillScores:
    """Return the test metrics of a head before and after calibration, and of two baselines."""
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
    """Count the test faces by true class and by the likeliest class that reaches its threshold."""
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
    """Return metrics of uncalibrated logits on the faces of a split.

    Args:
        found: the faces, of all splits.
        logits: (N, K), of all faces.
        weights: (K,), of positives in the training loss.
        split: which.

    Returns:
        ``likelihood``, minus the mean log loss over faces and classes, which still tells heads
        apart when all rank perfectly; and ``mAP`` over pictures.
    """
    picture, labels = found.of_split(split)
    rows = found.rows(split)
    faces = expit(logits[rows].astype(np.float64) - np.log(weights))
    loss = log_loss(found.targets[rows].ravel(), faces.ravel(), labels=[False, True])
    probability = in_pictures(faces, picture, len(labels), "max")
    metrics = still_metrics(labels, probability, np.full(labels.shape[1], _HALF))
    return {"likelihood": -float(loss), "mAP": metrics.mean_ap}

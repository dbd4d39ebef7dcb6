"""What an encoder is worth on people that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from indexer.records import Bool, Float32, Int64
from training.batches import pairs, several
from training.evaluate.gallery import Encode, distorted_top1, queries
from training.evaluate.intervals import Interval, ScoredPairs, tpr_interval
from training.evaluate.verification import best_threshold, tpr_at
from training.faces import FaceSet
from training.views import plain

SEED_DISTANCE = 0.5
"""The Euclidean distance below which the fifth seed accepts a pair."""


@dataclass(frozen=True, slots=True)
class Accepting:
    """What comes of accepting the pairs that are nearer than a distance."""

    distance: float
    """Euclidean, of unit vectors: 0 to 2."""
    accuracy: float
    precision: float
    """1 if nothing is accepted."""
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """Numbers on the test people."""

    auc: float
    tpr_at_1_percent: float
    tpr_at_01_percent: float
    tpr_interval: Interval
    """Of that at 1 %, with other people."""
    at_best: Accepting
    """At the distance that was best for the validation people."""
    at_half: Accepting
    """At `SEED_DISTANCE`."""
    nearest: float
    """Share of the faces whose nearest other face is of the same person."""
    top1: Mapping[str, Sequence[float]]
    """Clean gallery, distorted queries, by distortion and severity."""
    similarities: Float32
    """(P,), of the test pairs."""
    same: Bool
    """(P,)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How many are measured, and which."""

    pairs: int = 3000
    """Of each kind, at most."""
    photos: int = 6
    """Of one person, at most."""
    people: int = 300
    """Looked for in the gallery, at most."""
    severities: Sequence[int] = (1, 3, 5)
    seed: int = 0


def assess(
    encode: Encode, validation: FaceSet, test: FaceSet, size: int, sample: Sample
) -> Assessment:
    """Return the numbers of an encoder.

    Args:
        encode: the encoder.
        validation: faces of people to choose the threshold on.
        test: faces of other people.
        size: side of what the encoder sees, in pixels.
        sample: how much is measured.
    """
    chosen = several(test, most=sample.photos)
    known, scored = (
        _scored(encode, faces, size, sample)
        for faces in (several(validation, most=sample.photos), chosen)
    )
    similarities, same = scored.similarities, scored.same
    best = distance(best_threshold(known.similarities, known.same))
    wanted = queries(chosen, sample.seed, sample.people)
    return Assessment(
        auc=float(roc_auc_score(same, similarities)),
        tpr_at_1_percent=tpr_at(similarities, same, 0.01),
        tpr_at_01_percent=tpr_at(similarities, same, 0.001),
        tpr_interval=tpr_interval(scored, 0.01),
        at_best=accepting(similarities, same, best),
        at_half=accepting(similarities, same, SEED_DISTANCE),
        nearest=nearest(encode(plain(chosen.chips, size)), chosen.people),
        top1=distorted_top1(encode, chosen, wanted, size, sample.seed, sample.severities),
        similarities=similarities,
        same=same,
    )


def _scored(encode: Encode, faces: FaceSet, size: int, sample: Sample) -> ScoredPairs:
    vectors = encode(plain(faces.chips, size))
    first, second, _ = pairs(faces.people, sample.pairs, sample.seed)
    alike = np.sum(vectors[first] * vectors[second], axis=1)
    _, people = np.unique(faces.people, return_inverse=True)
    return ScoredPairs(alike, people[first], people[second])


def distance(cosine: float) -> float:
    """Return the Euclidean distance of unit vectors that have a cosine."""
    return float(np.sqrt(max(0.0, 2 - 2 * cosine)))


def accepting(similarities: Float32, same: Bool, at: float) -> Accepting:
    """Return what comes of accepting pairs that are at most so far apart.

    Args:
        similarities: (P,), cosines.
        same: (P,).
        at: Euclidean distance.
    """
    apart = np.sqrt(np.clip(2 - 2 * similarities, 0, None))
    accepted = apart <= at
    scores = precision_recall_fscore_support(same, accepted, average="binary", zero_division=1.0)
    return Accepting(at, float(np.mean(accepted == same)), *(float(v) for v in scores[:3]))


def nearest(vectors: Float32, people: Int64) -> float:
    """Return the share of the faces whose nearest other face is of the same person.

    Args:
        vectors: (N, D), unit rows; N at least 2.
        people: (N,).
    """
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    return float(np.mean(people[np.argmax(cosines, axis=1)] == people))


def knn(vectors: Float32, people: Int64, k: int = 5) -> float:
    """Return the share of the faces that their k nearest others, by a vote, take for the right one.

    Of equal votes the greater sum of similarities counts.

    Args:
        vectors: (N, D), unit rows; N at least 2.
        people: (N,).
        k: neighbours; all others, if there are not so many.
    """
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    near = np.argsort(-cosines, axis=1, kind="stable")[:, : min(k, len(vectors) - 1)]  # (N, k)
    who, number = np.unique(people, return_inverse=True)
    likeness = (1 + np.take_along_axis(cosines, near, axis=1)) / 2
    votes = np.zeros((len(vectors), len(who)))
    # What decides between equal votes adds up to less than one of them.
    np.add.at(votes, (np.arange(len(vectors))[:, None], number[near]), 1 + likeness / (k + 1))
    return float(np.mean(votes.argmax(axis=1) == number))

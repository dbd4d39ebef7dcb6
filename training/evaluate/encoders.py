"""How good an encoder is on people that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from indexer.records import Bool, Float32, Int64
from training.batches import pairs, several
from training.evaluate import hac
from training.evaluate.clustering import Clustering, clustering
from training.evaluate.gallery import (
    SUNGLASSES,
    Encode,
    distorted_top1,
    queries,
    sunglasses_top1,
)
from training.evaluate.intervals import Interval, ScoredPairs, tpr_interval
from training.evaluate.recognition import STRANGER, Answers, identified_at, open_set
from training.evaluate.verification import best_threshold, tpr_at
from training.faces import FaceSet
from training.views import WIDTH_BY_EYES, narrow, plain

SEED_DISTANCE = 0.5
"""The Euclidean distance below which the fifth seed accepts a pair."""


@dataclass(frozen=True, slots=True)
class Accepting:
    """Metrics of accepting the pairs that are at most a distance apart."""

    distance: float
    """Euclidean, of unit vectors: 0 to 2."""
    accuracy: float
    precision: float
    """1 if nothing is accepted."""
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """Metrics on the test people."""

    auc: float
    tpr_at_1_percent: float
    tpr_at_01_percent: float
    tpr_interval: Interval
    """Bootstrap interval of `tpr_at_1_percent`, by person."""
    at_best: Accepting
    """At the distance that is best on the validation people."""
    at_half: Accepting
    """At `SEED_DISTANCE`."""
    nearest: float
    """Share of the faces whose nearest other face is of the same person."""
    dir_at_1_percent: float
    """DIR at FAR 1 %, with half of the people enrolled by a photo each and the rest strangers;"""
    oscr: float
    """and the area under the open-set classification rate curve."""
    clusters: Clustering
    """Of all test faces, by Ward's linkage into the true number of people."""
    tpr_by_width: Mapping[int, float]
    """TPR at FPR 1 % by face width in pixels: the second face of each pair is narrowed to it."""
    top1: Mapping[str, Sequence[float]]
    """Top-1 of distorted queries in a clean gallery, by distortion and severity."""
    similarities: Float32
    """(P,), of the test pairs."""
    same: Bool
    """(P,)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How much is measured, and what."""

    pairs: int = 3000
    """Genuine pairs, and impostor pairs, at most."""
    photos: int = 6
    """Photos of one person, at most."""
    people: int = 300
    """People looked for in the gallery, at most."""
    severities: Sequence[int] = (1, 3, 5)
    widths: Sequence[int] = (20, 32)
    """Of narrow faces, in pixels."""
    seed: int = 0


def assess(
    encode: Encode, validation: FaceSet, test: FaceSet, size: int, sample: Sample
) -> Assessment:
    """Return the metrics of an encoder on the test people.

    Args:
        encode: the encoder.
        validation: faces of people on whom the threshold is chosen.
        test: faces of other people.
        size: side of the encoder's input, in pixels.
        sample: how much is measured.
    """
    sides = [several(faces, most=sample.photos) for faces in (validation, test)]
    vectors = [encode(plain(faces.chips, size)) for faces in sides]
    known, scored = (
        _scored(rows, rows, faces.people, sample)
        for rows, faces in zip(vectors, sides, strict=True)
    )
    (_, chosen), (_, rows) = sides, vectors
    similarities, same = scored.similarities, scored.same
    curve = open_set(asked(rows, chosen.people))
    best = distance(best_threshold(known.similarities, known.same))
    return Assessment(
        auc=float(roc_auc_score(same, similarities)),
        tpr_at_1_percent=tpr_at(similarities, same, 0.01),
        tpr_at_01_percent=tpr_at(similarities, same, 0.001),
        tpr_interval=tpr_interval(scored, 0.01),
        at_best=accepting(similarities, same, best),
        at_half=accepting(similarities, same, SEED_DISTANCE),
        nearest=nearest(rows, chosen.people),
        dir_at_1_percent=identified_at(curve, 0.01),
        oscr=curve.area,
        clusters=clustered(rows, chosen.people),
        tpr_by_width=_narrowed(encode, rows, chosen, size, sample),
        top1=_looked_for(encode, chosen, size, sample),
        similarities=similarities,
        same=same,
    )


def asked(vectors: Float32, people: Int64) -> Answers:
    """Return the open-set answers when every other person is enrolled with the first photo.

    All faces but the enrolled ones are probes; the people who are not enrolled are strangers.

    Args:
        vectors: (N, D), unit rows.
        people: (N,), of two people or more, each with two photos or more.
    """
    _, first, who = np.unique(people, return_index=True, return_inverse=True)
    enrolled = np.arange(len(first)) % 2 == 0
    gallery = first[enrolled]
    queries = np.setdiff1d(np.arange(len(people)), gallery)
    cosines = vectors[queries] @ vectors[gallery].T
    known = enrolled[who[queries]]
    return Answers(
        scores=cosines.max(axis=1).astype(np.float64),
        named=who[gallery][cosines.argmax(axis=1)].astype(np.int64),
        people=np.where(known, who[queries], STRANGER).astype(np.int64),
    )


def clustered(vectors: Float32, people: Int64) -> Clustering:
    """Return how faces (N, D), clustered into the true number of people, agree with people (N,)."""
    return clustering(people, hac.into(len(np.unique(people)), vectors))


def _narrowed(
    encode: Encode, vectors: Float32, faces: FaceSet, size: int, sample: Sample
) -> Mapping[int, float]:
    """Return TPR at FPR 1 % by width of the second faces, which keep the wide ones' alignment."""
    eyes = np.linalg.norm(faces.landmarks[:, 0] - faces.landmarks[:, 1], axis=1)
    wide = float(np.median(eyes)) * WIDTH_BY_EYES
    crops, found = plain(faces.chips, size), {}
    for width in sample.widths:
        rows = encode(np.stack([narrow(crop, wide, width) for crop in crops]))
        scored = _scored(vectors, rows, faces.people, sample)
        found[width] = tpr_at(scored.similarities, scored.same, 0.01)
    return found


def _looked_for(
    encode: Encode, faces: FaceSet, size: int, sample: Sample
) -> Mapping[str, Sequence[float]]:
    wanted = queries(faces, sample.seed, sample.people)
    how = (size, sample.seed, sample.severities)
    worn = sunglasses_top1(encode, faces, wanted, *how)
    return {**distorted_top1(encode, faces, wanted, *how), SUNGLASSES: worn}


def _scored(first: Float32, second: Float32, of: Int64, sample: Sample) -> ScoredPairs:
    """Return scored pairs, one face's row of `first`, the other's of `second`, (N, D) each."""
    one, other, _ = pairs(of, sample.pairs, sample.seed)
    alike = np.sum(first[one] * second[other], axis=1)
    _, people = np.unique(of, return_inverse=True)
    return ScoredPairs(alike, people[one], people[other])


def distance(cosine: float) -> float:
    """Return the Euclidean distance of two unit vectors with this cosine."""
    return float(np.sqrt(max(0.0, 2 - 2 * cosine)))


def accepting(similarities: Float32, same: Bool, at: float) -> Accepting:
    """Return the metrics of accepting pairs whose distance is at most `at`.

    Args:
        similarities: (P,), cosines.
        same: (P,), whether each pair is genuine.
        at: Euclidean distance, 0 to 2.
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
    """Return the accuracy of leave-one-out k-nearest-neighbour classification of the faces.

    Ties are broken by the greater sum of similarities.

    Args:
        vectors: (N, D), unit rows; N at least 2.
        people: (N,).
        k: neighbours; all other faces if there are fewer.
    """
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    near = np.argsort(-cosines, axis=1, kind="stable")[:, : min(k, len(vectors) - 1)]  # (N, k)
    who, number = np.unique(people, return_inverse=True)
    likeness = (1 + np.take_along_axis(cosines, near, axis=1)) / 2
    votes = np.zeros((len(vectors), len(who)))
    # The tie-breaking terms of all k votes add up to less than one vote.
    np.add.at(votes, (np.arange(len(vectors))[:, None], number[near]), 1 + likeness / (k + 1))
    return float(np.mean(votes.argmax(axis=1) == number))

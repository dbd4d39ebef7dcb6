"""Top-1 of distorted queries against a clean gallery, by kind of distortion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.records import Float32, Int64, UInt8
from training.batches import by_person
from training.faces import FaceSet
from training.views import DISTORTIONS, SEVERITIES, distort, plain, severe_sunglasses

SUNGLASSES = "sunglasses"
"""A kind of its own: not one of `DISTORTIONS`, and left out of `error` unless asked for."""

Encode = Callable[[UInt8], Float32]
"""Crops (N, S, S, 3) → unit vectors (N, D)."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Who is looked for, and by which photo: one query per person."""

    gallery: Int64
    """(P,), the face that each person is enrolled with."""
    query: Int64
    """(P,), another face of the same person."""


def queries(faces: FaceSet, seed: int, most: int | None = None) -> Queries:
    """Return two different faces, chosen at random, of everybody who has at least two.

    Args:
        faces: to choose from.
        seed: of the choice.
        most: people, at most; None for all.
    """
    rng = np.random.default_rng(seed)
    groups = [group for group in by_person(faces.people) if len(group) > 1]
    groups = [groups[i] for i in rng.permutation(len(groups))[:most]]
    chosen = np.array([rng.choice(group, 2, replace=False) for group in groups], np.int64)
    return Queries(*chosen.reshape(-1, 2).T)


def top1(gallery: Float32, query: Float32) -> float:
    """Return the share of the queries whose most similar gallery vector is in the same row.

    Args:
        gallery: (P, D), unit rows.
        query: (P, D), of the same people, in the same order.

    Raises:
        ValueError: there is no query.
    """
    if len(query) == 0:
        raise ValueError("expected a query or more, got none")
    nearest = np.argmax(query @ gallery.T, axis=1)
    return float(np.mean(nearest == np.arange(len(query))))


def distorted_top1(
    encode: Encode,
    faces: FaceSet,
    chosen: Queries,
    size: int,
    seed: int,
    severities: Sequence[int] = SEVERITIES,
) -> Mapping[str, Sequence[float]]:
    """Return top-1 by distortion, a number for each severity; ``clean`` has a single one.

    The distorted pictures depend on the seed and not on the encoder: two encoders of one input
    size see the same.

    Args:
        encode: the encoder.
        faces: to choose from.
        chosen: rows of `faces`.
        size: side of the encoder's input, in pixels.
        seed: of the distortions.
        severities: to measure.
    """
    gallery = encode(plain(faces.chips[chosen.gallery], size))
    crops = plain(faces.chips[chosen.query], size)
    found = {"clean": [top1(gallery, encode(crops))]}
    for number, name in enumerate(DISTORTIONS):
        found[name] = []
        for severity in severities:
            rng = np.random.default_rng([seed, number, severity])
            spoilt = np.stack([distort(crop, name, severity, rng) for crop in crops])
            found[name].append(top1(gallery, encode(spoilt)))
    return found


def sunglasses_top1(
    encode: Encode,
    faces: FaceSet,
    chosen: Queries,
    size: int,
    seed: int,
    severities: Sequence[int] = SEVERITIES,
) -> Sequence[float]:
    """Return top-1 of queries with sunglasses drawn over their eyes, a number for each severity.

    Args:
        encode: the encoder.
        faces: to choose from, with landmarks for the place of the eyes.
        chosen: rows of `faces`.
        size: side of the encoder's input, in pixels.
        seed: of the glasses' shades.
        severities: to measure.
    """
    gallery = encode(plain(faces.chips[chosen.gallery], size))
    crops = plain(faces.chips[chosen.query], size)
    points = faces.landmarks[chosen.query] - (faces.chips.shape[1] - size) // 2
    found = []
    for severity in severities:
        rng = np.random.default_rng([seed, len(DISTORTIONS), severity])
        pairs = zip(crops, points, strict=True)
        worn = np.stack([severe_sunglasses(crop, eyes, severity, rng) for crop, eyes in pairs])
        found.append(top1(gallery, encode(worn)))
    return found


def error(found: Mapping[str, Sequence[float]], *, sunglasses: bool = False) -> float:
    """Return the mean share of distorted queries that miss their person.

    Args:
        found: top-1 by distortion and severity; ``clean`` is left out.
        sunglasses: whether queries with sunglasses count too.
    """
    left_out = {"clean"} if sunglasses else {"clean", SUNGLASSES}
    return 1 - float(
        np.mean([v for name, row in found.items() if name not in left_out for v in row])
    )

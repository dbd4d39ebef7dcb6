"""Probes: metrics of an encoder on validation faces, by which a run is followed as it trains.

The first metric of a probe decides which epoch is the best; more is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from indexer.records import Float32
from training import batches, encoders
from training.batches import several
from training.encoders import Trainable
from training.evaluate.encoders import knn, nearest
from training.evaluate.gallery import distorted_top1, error, queries, top1
from training.evaluate.verification import best_threshold, tpr_at
from training.faces import FaceSet
from training.views import Viewer, ViewSettings, plain, random_view

Probe = Callable[[Trainable], Mapping[str, float]]
_PROBED = 160
"""Validation faces in a probe, at most."""
_OF_ONE = 10
"""Faces of one person, at most, for k-nearest-neighbour votes."""


def verified(faces: FaceSet, size: int) -> Probe:
    """Return a probe by verification of pairs of faces.

    Args:
        faces: must satisfy `batches.tell_people`.
        size: side of the encoder's input, in pixels.
    """
    chosen = several(faces, most=4)
    some = chosen.of(np.arange(len(chosen))[:_PROBED])
    crops = plain(np.asarray(some.chips), size)
    first, second, same = batches.pairs(some.people, len(some), 0)

    def probe(encoder: Trainable) -> Mapping[str, float]:
        vectors = encoders.encode(encoder, crops)
        cosines: Float32 = np.sum(vectors[first] * vectors[second], axis=1)
        right = (cosines >= best_threshold(cosines, same)) == same
        return {
            "accuracy": float(np.mean(right)),
            "tpr_at_1_percent": tpr_at(cosines, same, 0.01),
            "nearest": nearest(vectors, some.people),
        }

    return probe


def neighbours(faces: FaceSet, size: int) -> Probe:
    """Return a probe by verification of pairs, and by k-nearest-neighbour classification.

    Args:
        faces: as of `verified`.
        size: likewise.
    """
    pairs = verified(faces, size)
    chosen = several(faces, most=_OF_ONE)
    some = chosen.of(np.arange(len(chosen))[:_PROBED])
    crops = plain(np.asarray(some.chips), size)

    def probe(encoder: Trainable) -> Mapping[str, float]:
        return {**pairs(encoder), "knn": knn(encoders.encode(encoder, crops), some.people)}

    return probe


def found_again(faces: FaceSet, viewer: Viewer, views: ViewSettings) -> Probe:
    """Return a probe for faces of nobody known: the share found again by a random view of them.

    Args:
        faces: one or more.
        viewer: what the encoder sees.
        views: how far a view strays.
    """
    rng = np.random.default_rng(0)
    chips = np.asarray(faces.chips[:_PROBED])
    crops = plain(chips, viewer.size)
    seen = np.stack([random_view(chip, viewer, views, rng) for chip in chips])

    def probe(encoder: Trainable) -> Mapping[str, float]:
        return {
            "found_again": top1(encoders.encode(encoder, crops), encoders.encode(encoder, seen))
        }

    return probe


def recognised(faces: FaceSet, size: int) -> Probe:
    """Return a probe by top-1 of distorted and clean queries in a clean gallery.

    Args:
        faces: as of `verified`.
        size: likewise.
    """
    known = several(faces, most=2)
    chosen = queries(known, 0, _PROBED // 2)

    def probe(encoder: Trainable) -> Mapping[str, float]:
        found = distorted_top1(
            lambda crops: encoders.encode(encoder, crops), known, chosen, size, 0, (2, 4)
        )
        return {"distorted": 1 - error(found), "clean": found["clean"][0]}

    return probe

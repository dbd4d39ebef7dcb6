"""The head that comes with the default encoder: what one person's vectors vary by counts less.

Photos of people with exactly two of them, as they are and made narrow, give the covariance within
a person; `methods.whitening` evens it out. What a cosine means afterwards is measured on people
that the head has not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice, permutations

import numpy as np

from indexer.config import Settings
from indexer.errors import ConfigError
from indexer.models import Models
from indexer.nets import head as heads
from indexer.nets.head import Head, HeadFacts
from indexer.progress import Progress, silent
from indexer.records import Calibration, Float32, Int64
from training.evaluate import calibration
from training.evaluate.calibration import Encoded
from training.lfw import Photo
from training.methods.whitening import Whitening, whitening

SHRINK = 0.5
"""Share of the identity in the covariance."""
_FITTED = 0.75
"""Share of the people that the head learns from; the others say what it is worth."""
_LEAST = 20


def of_two(photos: Iterable[Photo], people: int) -> Iterator[Photo]:
    """Yield the photos of those who have exactly two, of so many people at most."""
    groups = (list(group) for _, group in groupby(photos, key=lambda photo: photo.person))
    for pair in islice((group for group in groups if len(group) == 2), people):  # noqa: PLR2004
        yield from pair


def whiten(
    photos: Sequence[Photo],
    widths: Sequence[float],
    models: Models,
    settings: Settings,
    progress: Progress = silent,
) -> Head:
    """Return a head learnt from photos; its digest is empty until it is saved.

    Args:
        photos: two of each person, one after the other.
        widths: of the faces, in pixels, besides that of the photos.
        models: the detector, and the encoder without a head.
        settings: of the detector.
        progress: shows how far it is.

    Raises:
        ConfigError: there are too few people.
    """
    if len(photos) < 2 * _LEAST:
        problem = f"has {len(photos) // 2} people with two photos"
        raise ConfigError("photos", problem, f"give {_LEAST} or more")
    encoded = [
        calibration.encode_at(
            progress(photos, total=len(photos), what=f"{width:.0f} px"), width, models, settings
        )
        for width in (0.0, *widths)
    ]
    cut = 2 * round(_FITTED * len(photos) / 2)
    learnt = fitted([_part(one, slice(0, cut)) for one in encoded])
    rest = [_headed(_part(one, slice(cut, None)), learnt) for one in encoded]
    facts = HeadFacts(
        schema=heads.SCHEMA,
        encoder_id=heads.bare_id(models.encoder.facts),
        dimension=len(learnt.bias),
        activation="none",
        calibration=_rounded(calibration.calibrate(rest[0], rest[1:])),
        digest="",
    )
    return Head(learnt.weight, learnt.bias, facts)


def fitted(encoded: Sequence[Encoded]) -> Whitening:
    """Return the map that evens out what two photos of a person differ by, at any two widths."""
    vectors = np.concatenate([one.embeddings for one in encoded])
    seen = np.asarray(vectors.any(axis=1))
    ties = pairs(len(encoded), len(encoded[0].photos))
    ties = ties[seen[ties].all(axis=1)]
    kept = np.cumsum(seen) - 1
    return whitening(vectors[seen], kept[ties], SHRINK)


def pairs(widths: int, photos: int) -> Int64:
    """Return which rows show one person in two photos, (P, 2): of every width with the widest's.

    Args:
        widths: how many tables of photos lie one below the other, the widest faces first.
        photos: in each table, two of each person, one after the other.
    """
    firsts = np.arange(0, photos, 2)
    found = [np.stack([firsts, firsts + 1], axis=1)]
    for width in range(1, widths):
        start = width * photos
        found += [
            np.stack([firsts + one, firsts + other + start], axis=1)
            for one, other in permutations((0, 1))
        ]
        found.append(np.stack([firsts + start, firsts + 1 + start], axis=1))
    return np.concatenate(found)


def _part(one: Encoded, which: slice) -> Encoded:
    return replace(
        one,
        photos=one.photos[which],
        people=one.people[which],
        embeddings=one.embeddings[which],
    )


def _headed(one: Encoded, learnt: Whitening) -> Encoded:
    seen = one.embeddings.any(axis=1, keepdims=True)
    mapped: Float32 = np.where(seen, learnt(one.embeddings), 0).astype(np.float32)
    return replace(one, embeddings=mapped)


def _rounded(known: Calibration) -> Calibration:
    return replace(known, genuine=round(known.genuine, 4), impostor=round(known.impostor, 4))

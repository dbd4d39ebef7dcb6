"""Tracks and characters in, log-odds out: how likely a track shows a character, by its face.

A face that is similar to many strangers is easily mistaken for somebody, and so is a character who
is: the similarity of both to a cohort of people who play in no show is part of the log-odds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexer.affinity import CLEAR_PX, NEAREST, nearness, without
from indexer.records import Float32, Float64, Yardstick

_FULL_PX = 96.0


def name_odds(
    vectors: Float32, widths: Float32, people: Float32, shared: Float32, stick: Yardstick
) -> Float64:
    """Return the log-odds of each track's being each character and not a stranger, (N, C).

    A track that is similar to many of the cohort is easily mistaken for somebody (adaptive
    symmetric normalisation: Matějka et al., "Analysis of score normalization in multilingual
    speaker recognition", Interspeech 2017, sec. 3).

    Args:
        vectors: (N, D), unit rows of tracks without the common component.
        widths: (N,), their clarity in pixels.
        people: (C, D), unit rows: the characters' centres, likewise.
        shared: (D,), the common component.
        stick: the encoder's yardstick.
    """
    if not stick.names:
        # Stills are taken to be wide: people choose those that show something.
        wide = np.full((1, 1), stick.calibration.widths[-1], np.float32)
        plain = stick.calibration.log_odds(vectors @ people.T, widths[:, None], wide)
        return plain.astype(np.float64)
    terms = name_terms(vectors, widths, people, shared, stick)
    return _weighted(terms, stick)


def held_out_odds(stills: Float32, shared: Float32, stick: Yardstick) -> Float64:
    """Return the log-odds that each still shows whom the others show, (M,); (0,) for one still.

    Args:
        stills: (M, D), unit rows.
        shared: (D,), the common component.
        stick: a yardstick with coefficients of names.
    """
    if len(stills) < 2:  # noqa: PLR2004
        return np.zeros(0)
    own = without(stills, shared)
    rest = without((own.sum(axis=0) - own) / (len(own) - 1), 0 * shared)
    cosine = np.sum(own * rest, axis=1).astype(np.float64)
    clear = np.full(len(own), CLEAR_PX)
    near, other = (nearness(rows, shared, stick) for rows in (own, rest))
    return _weighted(_terms(cosine, clear, near, other), stick)


def _weighted(terms: Sequence[Float64], stick: Yardstick) -> Float64:
    one, *rest = stick.names
    found = one + np.zeros(terms[0].shape)
    for weight, term in zip(rest, terms, strict=True):
        found += weight * term
    return found


def usual_odds(
    cosine: Float64,
    width_px: float,
    person: Float32,
    stick: Yardstick,
    near: float,
) -> Float64:
    """Return the log-odds of a name at each cosine, for a typical face, of the shape of `cosine`.

    Args:
        cosine: to the character's centre.
        width_px: clarity of the face.
        person: (D,), the centre, a unit row.
        stick: the encoder's yardstick.
        near: similarity of the face to strangers, from `nearness`.
    """
    if not stick.names:
        width = np.full(cosine.shape, width_px, np.float32)
        wide = np.full(cosine.shape, stick.calibration.widths[-1], np.float32)
        plain = stick.calibration.log_odds(cosine.astype(np.float32), width, wide)
        return plain.astype(np.float64)
    other = nearness(person[None], 0 * person, stick)[0]
    return _weighted(_terms(cosine, np.array(width_px), np.array(near), other), stick)


def usual_nearness(stick: Yardstick) -> float:
    """Return the cohort's mean `nearness` to itself; 0 if it has no more than `NEAREST` people."""
    if len(stick.cohort) <= NEAREST:
        return 0.0
    alike = stick.cohort @ stick.cohort.T
    np.fill_diagonal(alike, -1)
    return float(np.partition(alike, -NEAREST, axis=1)[:, -NEAREST:].mean())


def name_terms(
    vectors: Float32, widths: Float32, people: Float32, shared: Float32, stick: Yardstick
) -> tuple[Float64, ...]:
    """Return the terms in which log-odds of names are linear, (N, C) each: see `Yardstick.names`.

    Args:
        vectors: as in `name_odds`.
        widths: likewise.
        people: likewise.
        shared: likewise.
        stick: a yardstick with a cohort.
    """
    cosine = (vectors @ people.T).astype(np.float64)
    near, other = (nearness(rows, shared, stick) for rows in (vectors, people))
    near, other = near[:, None], other[None]
    return _terms(cosine, widths[:, None].astype(np.float64), near, other)


def _terms(
    cosine: Float64, width_px: Float64, near: Float64 | Float32, other: Float64 | Float32
) -> tuple[Float64, ...]:
    clear = np.log(np.maximum(width_px, 1e-3) / _FULL_PX) + 0 * cosine
    close, theirs = near + 0 * cosine, other + 0 * cosine
    # A negative cosine must not pass for similarity once it is squared.
    squared = np.square(np.maximum(cosine, 0))
    return cosine, clear, cosine * clear, squared, close, theirs, close * clear

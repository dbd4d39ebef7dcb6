"""Tracks and characters in, identities out: a name with its probability, or unknown.

The similarity of a track to a character is the cosine of the track's embedding to the mean of
the character's stills. The encoder's calibration turns it into log-odds against a stranger;
each character's midpoint is moved by what the gallery itself shows. All characters and "nobody
of them" then share one probability, so that a second candidate lowers the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from indexer.config import RecognizeSettings
from indexer.records import (
    UNKNOWN,
    Bool,
    Calibration,
    Character,
    Float32,
    Identity,
    Track,
)

_PSEUDO_COUNT = 8.0
"""How many scores of its own a character needs to weigh as much as the prior."""


def similarities(tracks: Sequence[Track], characters: Sequence[Character]) -> Float32:
    """Return the cosine of each track to each character, (N, C)."""
    if not tracks or not characters:
        return np.zeros((len(tracks), len(characters)), dtype=np.float32)
    vectors = np.stack([track.embedding for track in tracks])
    return (vectors @ np.stack([_centre(c.prototypes) for c in characters]).T).astype(np.float32)


def _centre(rows: Float32) -> Float32:
    mean = rows.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-6)


def calibrate(
    characters: Sequence[Character],
    tracks: Sequence[Track],
    together: Bool,
    calibration: Calibration,
    settings: RecognizeSettings,
) -> list[Character]:
    """Return the characters with midpoint, slope and threshold set from their evidence.

    Genuine scores are each still against the others of its character. Impostor scores are the
    stills of the other characters, and of two tracks in one frame the less similar one: at most
    one of them is the character. Means of both are drawn to the prior by a pseudo-count, and the
    midpoint moves by the mean of the two displacements. Stills of one show resemble each other
    more than its faces do, so genuine scores may lower the midpoint but never raise it.

    Args:
        characters: named ones, with their stills as prototypes.
        tracks: of one episode.
        together: (N, N), which of them share a frame.
        calibration: the encoder's, which is the prior.
        settings: the least probability for a name.
    """
    line = calibration.wide[-1]
    between = similarities(tracks, characters)  # (N, C)
    first, second = np.nonzero(np.triu(together))
    least = _least_log_odds(len(characters), settings)
    done = []
    for i, character in enumerate(characters):
        centre = _centre(character.prototypes)
        others = [other.prototypes @ centre for other in characters if other.id != character.id]
        less_alike = np.minimum(between[first, i], between[second, i])
        genuine, impostors = _held_out(character.prototypes), np.concatenate([less_alike, *others])
        lower = min(_displacement(genuine, calibration.genuine), 0.0)
        shift = (lower + _displacement(impostors, calibration.impostor)) / 2
        done.append(
            dataclasses.replace(
                character,
                midpoint=line.midpoint + shift,
                slope=line.slope,
                threshold=line.midpoint + shift + least / line.slope,
                genuine=len(genuine),
                impostors=len(impostors),
            )
        )
    return done


def _held_out(stills: Float32) -> Float32:
    """Return the cosine of each still to the mean of the others, (M,), or none for one still."""
    if len(stills) < 2:  # noqa: PLR2004
        return np.zeros(0, dtype=np.float32)
    rest = stills.sum(axis=0) - stills  # (M, D)
    return np.sum(stills * rest, axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-6)


def _displacement(scores: Float32, expected: float) -> float:
    """Return how far the mean lies from the expected one, drawn to it by the pseudo-count."""
    return float(np.sum(scores - expected)) / (len(scores) + _PSEUDO_COUNT)


def _least_log_odds(count: int, settings: RecognizeSettings) -> float:
    """Return the log-odds against a stranger that give a lone candidate the least probability."""
    wanted = settings.min_probability / (1 - min(settings.min_probability, 1 - 1e-9))
    return float(np.log(wanted) - _prior_log_odds(count, settings))


def _prior_log_odds(count: int, settings: RecognizeSettings) -> float:
    known = (1 - settings.stranger_share) / max(count, 1)
    return float(np.log(known) - np.log(settings.stranger_share))


def recognize(
    tracks: Sequence[Track],
    characters: Sequence[Character],
    together: Bool,
    calibration: Calibration,
    settings: RecognizeSettings,
) -> list[Identity]:
    """Return who each track is, in the order of the tracks: a character, or UNKNOWN.

    The surest track is named first; one that shares a frame with it can no longer be the same
    character and is judged among the rest.

    Args:
        tracks: of one episode.
        characters: named and calibrated ones.
        together: (N, N), which tracks share a frame.
        calibration: the encoder's.
        settings: the prior of strangers and the least probability.
    """
    between = similarities(tracks, characters)
    allowed = np.ones(between.shape, dtype=bool)
    odds = np.full(between.shape, -np.inf)
    widths = np.array([track.width_px for track in tracks], dtype=np.float32)
    for i, character in enumerate(characters):
        shift = character.midpoint - calibration.wide[-1].midpoint
        # Stills are taken to be wide: people choose those that show something.
        wide = np.full_like(widths, calibration.widths[-1])
        odds[:, i] = calibration.log_odds(between[:, i], widths, wide, shift)
    odds += _prior_log_odds(len(characters), settings)
    identities = _judge(tracks, characters, between, odds)
    for now in np.argsort([-identity.probability for identity in identities], kind="stable"):
        # Judged anew: an earlier, surer track may have taken the name meanwhile.
        row = np.where(allowed[now], odds[now], -np.inf)[None]
        decided = _judge([tracks[now]], characters, between[now][None], row)[0]
        if decided.probability < settings.min_probability:
            nobody = 1 / (1 + float(np.exp(row).sum()))
            decided = dataclasses.replace(
                decided,
                character=UNKNOWN,
                probability=nobody,
                margin=nobody - decided.probability,
                runner_up=decided.character,
            )
        identities[now] = decided
        taken = [i for i, c in enumerate(characters) if c.id == decided.character]
        allowed[np.ix_(together[now], taken)] = False
    return identities


def _judge(
    tracks: Sequence[Track], characters: Sequence[Character], between: Float32, odds: Float32
) -> list[Identity]:
    """Return the most likely character of each track, however unlikely.

    The probability of character c is odds_c / (1 + the sum of all odds), where the 1 stands for
    nobody of them.
    """
    whole = np.concatenate([np.zeros((len(tracks), 1)), odds], axis=1)  # stranger first
    weights = np.exp(whole - whole.max(axis=1, keepdims=True))
    probability = weights[:, 1:] / weights.sum(axis=1, keepdims=True)  # (N, C)
    judged = []
    for i, track in enumerate(tracks):
        order = np.argsort(-probability[i], kind="stable")[:2]
        best, second = [(characters[j].id, float(probability[i, j])) for j in order] + [
            (UNKNOWN, 0.0)
        ] * (2 - len(order))
        similarity = float(between[i, order[0]]) if len(order) else 0.0
        judged.append(
            Identity(track.uid, best[0], best[1], similarity, best[1] - second[1], second[0])
        )
    return judged

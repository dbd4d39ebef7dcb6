"""Characters in, the same with the least cosine at which a face may have their name out.

The encoder's yardstick tells what a cosine to a character is worth, given how similar the character
is to strangers; for an encoder without one, the calibration's line does, moved by the scores of the
gallery and of the show's tracks themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from indexer import affinity, likeness
from indexer.config import RecognizeSettings
from indexer.evidence import Evidence, centres, looks
from indexer.records import Bool, Character, Float32, Float64, Yardstick

_PSEUDO_COUNT = 8.0
"""How many scores of its own a character needs to weigh as much as the prior."""
_SURE = 1 - 1e-6
_SPREAD = 4.0
"""Prior standard deviation of what stills add to the log-odds; on held-out synthetic seasons,
recall rises by half a point by what they add, and nothing more is wrong."""
_CLEAR_PX = 96.0
"""Clarity, in pixels, for which thresholds are stated."""
_STEPS, _NUDGE = 2001, 1e-3


def calibrate(
    characters: Sequence[Character],
    seen: Evidence | None,
    together: Bool,
    stick: Yardstick,
    settings: RecognizeSettings,
) -> list[Character]:
    """Return the characters with midpoint, slope and threshold set from their evidence.

    With a yardstick of names, these follow from how similar the character is to strangers, and from
    its stills (`raised`), whatever the episode: with `seen`, they stay as they are. On synthetic
    seasons, letting the impostors move them cost recall and saved nothing. Else evidence moves the
    calibration's line. Genuine scores are each still against the others of its character. Impostor
    scores are the stills of the other characters, the cohort, and of two tracks on screen together
    the less similar one: at most one of them is the character. Means of both are drawn to the prior
    by a pseudo-count, and the midpoint moves by the mean of the two displacements. Stills of one
    show resemble each other more than its faces do, so genuine scores may lower the midpoint but
    never raise it.

    Args:
        characters: named ones, with their stills as prototypes.
        seen: the tracks of one episode, if there is one.
        together: (N, N), which of them are on screen together.
        stick: the encoder's; its calibration is the prior.
        settings: the promise and the least probability for a name.
    """
    if not characters or (seen and stick.names):
        return list(characters)
    calibration = stick.calibration
    common = seen.common if seen else np.zeros(characters[0].prototypes.shape[1], np.float32)
    middles = centres(characters, common)
    stills = [affinity.without(character.prototypes, common) for character in characters]
    between = seen.alone @ middles.T if seen else np.zeros((0, len(characters)), np.float32)
    first, second = np.nonzero(np.triu(together))
    least = least_log_odds(len(characters), stick, settings)
    near, more = likeness.usual_nearness(stick), raised(characters, common, stick)
    done = []
    for i, character in enumerate(characters):
        others = [rows @ middles[i] for j, rows in enumerate(stills) if j != i]
        if not stick.names:  # else the cohort counts by `affinity.nearness`
            others.append(stick.cohort @ middles[i])
        less_alike = np.minimum(between[first, i], between[second, i])
        genuine, impostors = held_out(stills[i]), np.concatenate([less_alike, *others])
        lower = min(_displacement(genuine, calibration.genuine), 0.0)
        shift = 0.0
        if not stick.names:
            shift = (lower + _displacement(impostors, calibration.impostor)) / 2
        midpoint, slope, threshold = _line(middles[i], (-more[i], least - more[i]), near, stick)
        done.append(
            dataclasses.replace(
                character,
                midpoint=midpoint + shift,
                slope=slope,
                threshold=threshold + shift,
                genuine=len(genuine),
                impostors=len(impostors),
            )
        )
    return done


def raised(characters: Sequence[Character], shared: Float32, stick: Yardstick) -> Float64:
    """Return what the stills of each character add to the log-odds of its name, (C,), 0 or more.

    With a yardstick of names, `raised_by` of the character's stills, each held out; 0 for somebody
    of several looks, since the nearest one counts already. Without such a yardstick 0: then
    `calibrate` moves the calibration's line.

    Args:
        characters: C of them.
        shared: (D,), the component common to faces of the show.
        stick: the encoder's yardstick.
    """
    if not stick.names or not characters:
        return np.zeros(len(characters))
    _, whose = looks(characters, shared)
    alike = np.bincount(whose, minlength=len(characters)) == 1
    held = [likeness.held_out_odds(one.prototypes, shared, stick) for one in characters]
    return np.array([raised_by(odds) * one for odds, one in zip(held, alike, strict=True)])


def raised_by(odds: Float64) -> float:
    """Return by how much to raise log-odds so that stills that are held out get their name.

    The most likely intercept of a logistic regression with a normal prior, 0 or more: stills that
    are sure of their name anyhow hardly move it.

    Args:
        odds: (M,), log-odds that each still shows whom the others show.
    """
    if len(odds) == 0:
        return 0.0

    def slope(raised: float) -> float:
        return float(expit(-odds - raised).sum() - raised / _SPREAD**2)

    return float(brentq(slope, 0.0, len(odds) * _SPREAD**2 + 1, xtol=1e-6))


def _line(
    person: Float32, wanted: tuple[float, float], near: float, stick: Yardstick
) -> tuple[float, float, float]:
    """Return midpoint, slope there, and threshold, for a clear and typical face.

    Args:
        person: (D,), the character's centre.
        wanted: the log-odds of the midpoint, and those at which the name is given.
        near: similarity of the face to strangers.
        stick: the encoder's yardstick.
    """
    cosines = np.linspace(-1, 1, _STEPS)
    odds = np.maximum.accumulate(likeness.usual_odds(cosines, _CLEAR_PX, person, stick, near))
    midpoint, threshold = np.interp(wanted, odds, cosines).tolist()
    around = likeness.usual_odds(
        np.array([midpoint - _NUDGE, midpoint + _NUDGE]), _CLEAR_PX, person, stick, near
    )
    return midpoint, float(np.diff(around)[0] / (2 * _NUDGE)), threshold


def held_out(stills: Float32) -> Float32:
    """Return the cosine of each still to the mean of the others, (M,), or none for one still."""
    if len(stills) < 2:  # noqa: PLR2004
        return np.zeros(0, dtype=np.float32)
    rest = stills.sum(axis=0) - stills  # (M, D)
    return np.sum(stills * rest, axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-6)


def _displacement(scores: Float32, expected: float) -> float:
    """Return how far the mean lies from the expected one, drawn to it by the pseudo-count."""
    return float(np.sum(scores - expected)) / (len(scores) + _PSEUDO_COUNT)


def least_probability(settings: RecognizeSettings) -> float:
    """Return the least probability with which a name is given: no less than is promised of all."""
    return max(settings.min_probability, 1 - settings.max_wrong_names)


def log_odds_of_a_name(settings: RecognizeSettings) -> float:
    """Return the log-odds of the least probability with which a name is given."""
    return float(logit(min(least_probability(settings), _SURE)))


def least_log_odds(count: int, stick: Yardstick, settings: RecognizeSettings) -> float:
    """Return the log-odds against a stranger that give a lone candidate the least probability."""
    slope, offset = stick.belief
    wanted = (log_odds_of_a_name(settings) - offset) / slope
    return float(wanted - prior_log_odds(count, settings))


def prior_log_odds(count: int, settings: RecognizeSettings) -> float:
    """Return the log-odds of being one of `count` characters rather than a stranger."""
    known = (1 - settings.stranger_share) / max(count, 1)
    return float(np.log(known) - np.log(settings.stranger_share))

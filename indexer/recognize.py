"""Tracks and characters in, identities out: a name with its probability, or unknown.

A track, pooled with the tracks that probably show the same person (`affinity`), is compared with
the looks of each character. The encoder's yardstick turns the cosine into log-odds against a
stranger, given how similar both are to strangers; for an encoder without one, the calibration's
line does, moved by the gallery's own scores. All characters and "nobody of them" then share one
probability, so that a second candidate lowers the first. Names are given from the surest track on,
each at least as sure as promised, as long as the share of the named screen time that is expected
to be wrong is at most 6 % of the promise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from indexer import likeness
from indexer.config import RecognizeSettings
from indexer.evidence import Evidence, centres, looks
from indexer.records import (
    UNKNOWN,
    Bool,
    Character,
    Float32,
    Float64,
    Identity,
    Int64,
    Track,
    Yardstick,
)
from indexer.thresholds import least_probability, prior_log_odds, raised

_TINY, _SURE = 1e-12, 1 - 1e-6
_CERTAIN, _WORD = 8.0, 6.0
"""Most log-odds of one person that count in a message between tracks, against it and for it."""
_SMALL_PX = 20.0
"""Narrower faces are called small where a reason is given."""
_MIRROR = 1e-4
"""Probability that two on screen together are one person after all, as in a mirror or a photo."""
_LIKELY = 0.5
LIKE_TWO = "like two of the enrolled"
"""Why a track has no name if it may well be either of two."""
AIM = 0.06
"""Share of the promise that may be used up in expectation. Shows differ, and errors come by the
track: of six synthetic seasons, each judged by a yardstick from the others, the worst has 0.35 %
wrong, and a larger share hardly raises recall."""
_SAID = 100.0
"""Log-odds of a user's decision."""
OPEN, NOBODY = -1, -2
"""In `Apart.fixed`: no user decided on the track; a user decided that it is none of the gallery."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Constraints on who tracks can be."""

    together: Bool
    """(N, N), which tracks are on screen together: two people."""
    barred: Bool
    """(N, C), which characters a track cannot be, by a user's decision."""
    fixed: Int64
    """(N,), whom a track shows by a user's decision: a column, `NOBODY` of them, or `OPEN`."""


def recognize(
    tracks: Sequence[Track],
    seen: Evidence,
    characters: Sequence[Character],
    apart: Apart,
    stick: Yardstick,
    settings: RecognizeSettings,
) -> list[Identity]:
    """Return who each track is, in the order of the tracks: a character, or UNKNOWN.

    The surest track is judged first. The character that it shows becomes likelier for tracks of
    the scene that may be the same person, and less likely for those on screen with it.

    Args:
        tracks: N of one episode.
        seen: the evidence on them.
        characters: C named and calibrated ones.
        apart: the constraints.
        stick: the encoder's yardstick.
        settings: the prior of strangers, the promise, and the least probability.
    """
    by_all = all_shares(seen, characters, apart, stick, settings)
    shares, alone = believed(by_all, stick), _by_face(seen, characters, stick, settings)
    middles = centres(characters, seen.common)
    seconds = np.array([track.end_s - track.start_s for track in tracks])
    given = named(shares[:, 1:].max(axis=1, initial=0), seconds, settings)
    cosines, helpers = seen.vectors @ middles.T, seen.helpers
    return [
        _identity(
            track,
            characters,
            Judged(
                shares[i], alone[i], bool(given[i]), _is_either(by_all[i]), cosines[i], helpers[i]
            ),
        )
        for i, track in enumerate(tracks)
    ]


def probabilities(
    seen: Evidence,
    characters: Sequence[Character],
    apart: Apart,
    stick: Yardstick,
    settings: RecognizeSettings,
) -> tuple[Float64, Float64]:
    """Return P(nobody) and P(each character), (N, 1 + C): by all evidence, and by own faces alone.

    Args:
        seen: as in `recognize`.
        characters: likewise.
        apart: likewise.
        stick: likewise.
        settings: likewise.
    """
    by_all = all_shares(seen, characters, apart, stick, settings)
    return believed(by_all, stick), _by_face(seen, characters, stick, settings)


def _by_face(
    seen: Evidence, characters: Sequence[Character], stick: Yardstick, settings: RecognizeSettings
) -> Float64:
    """Return the probabilities of nobody and of each character by the tracks' own faces alone."""
    own = _odds(seen.alone, seen.own_widths, characters, seen.common, stick)
    return shares_of(own + prior_log_odds(len(characters), settings))


def all_shares(
    seen: Evidence,
    characters: Sequence[Character],
    apart: Apart,
    stick: Yardstick,
    settings: RecognizeSettings,
) -> Float64:
    """Return what nobody and each character share of the probability, by all evidence, (N, 1 + C).

    The shares are not calibrated by `believed` yet.

    Args:
        seen: as in `recognize`.
        characters: likewise.
        apart: likewise.
        stick: likewise.
        settings: likewise.
    """
    odds = _odds(seen.vectors, seen.widths, characters, seen.common, stick)
    if settings.evidence in ("face", "track"):
        apart = dataclasses.replace(apart, together=np.zeros_like(apart.together))
    return in_turn(odds + prior_log_odds(len(characters), settings), seen.words, apart)


def _odds(
    vectors: Float32,
    widths: Float32,
    characters: Sequence[Character],
    shared: Float32,
    stick: Yardstick,
) -> Float64:
    """Return the log-odds of each name against a stranger, (N, C)."""
    found = by_look(vectors, widths, characters, shared, stick)
    if stick.names:
        return found
    # Without coefficients, a character's own evidence has moved its line (`thresholds`).
    shift = np.array([c.midpoint - stick.calibration.wide[-1].midpoint for c in characters])
    return found - np.array([character.slope for character in characters]) * shift


def by_look(
    vectors: Float32,
    widths: Float32,
    characters: Sequence[Character],
    shared: Float32,
    stick: Yardstick,
) -> Float64:
    """Return the log-odds of each name by the character's nearest look, (N, C).

    A character whose own stills differ gets the name more easily (`thresholds.raised`).

    Args:
        vectors: as in `likeness.name_odds`.
        widths: likewise.
        characters: C of them.
        shared: likewise.
        stick: the encoder's yardstick.
    """
    means, whose = looks(characters, shared)
    odds = likeness.name_odds(vectors, widths, means, shared, stick)
    if not len(whose):
        return odds
    best = np.maximum.reduceat(odds, np.searchsorted(whose, np.arange(len(characters))), axis=1)
    return np.asarray(best + raised(characters, shared, stick))


def named(probability: Float64, seconds: Float64, settings: RecognizeSettings) -> Bool:
    """Return which tracks get their most likely name, (N,).

    From the surest on, as long as the expected share of wrong seconds is at most 6 % of the
    promised one: the rest is a reserve for shows that are harder than most. No name is likelier to
    be wrong than promised: sure names do not make up for doubtful ones, since a look-alike is one
    in many tracks.

    Args:
        probability: (N,), of the most likely name.
        seconds: (N,), on screen.
        settings: the promise and the least probability.
    """
    order = np.argsort(-probability, kind="stable")
    time = np.maximum(seconds[order], 1e-6)
    wrong = np.cumsum(time * (1 - probability[order])) / np.cumsum(time)
    enough = probability[order] >= least_probability(settings)
    given = np.zeros(len(order), bool)
    given[order] = np.logical_and.accumulate(wrong <= AIM * settings.max_wrong_names) & enough
    return given


def in_turn(odds: Float64, words: Float64, apart: Apart) -> Float64:
    """Return the probabilities of nobody and of each character, (N, 1 + C).

    One pass of messages over the tracks, from the surest to the least sure: a track j that shows c
    with probability q adds log(1 + q (L - 1)) to c for track i, where L is the likelihood ratio of
    i and j being one person; only the largest such message for each c counts. Of two tracks on
    screen together, the surer adds log(1 - q) to c for the other, but no less than log `_MIRROR`,
    as it may be a mirror image; a track that a user decided on gets no such messages.

    Args:
        odds: (N, C), log-odds against a stranger of each track by what it shows itself.
        words: (N, N), log L of messages from the column's track to the row's; -inf for none.
        apart: the constraints.
    """
    said = (apart.fixed[:, None] >= 0) & (apart.fixed[:, None] == np.arange(odds.shape[1]))
    others = (apart.fixed[:, None] != OPEN) & ~said
    odds = np.where(apart.barred | others, -np.inf, np.where(said, _SAID, odds))
    shares = shares_of(odds)
    done = np.zeros(len(odds), bool)
    with np.errstate(divide="ignore"):
        whole = np.concatenate([np.zeros((len(odds), 1)), odds], axis=1)  # nobody first
        for now in np.argsort(-shares.max(axis=1), kind="stable"):
            said = np.flatnonzero(done & np.isfinite(words[now]))
            if len(said):
                ratio = np.exp(np.clip(words[now, said], -_CERTAIN, _WORD)) - 1
                whole[now] += np.log1p(shares[said] * ratio[:, None]).max(axis=0)
            beside = done & apart.together[now] & (apart.fixed[now] == OPEN)
            for other in np.flatnonzero(beside):
                whole[now, 1:] += np.log(np.clip(1 - shares[other, 1:], _MIRROR, 1))
            shares[now] = _normalised(whole[now][None])[0]
            done[now] = True
    return shares


def believed(shares: Float64, stick: Yardstick) -> Float64:
    """Return the shares (N, 1 + C) as calibrated probabilities.

    First the likeliest name's (`trusted`), but at most its part of what the two likeliest names
    have, since the calibration was measured where the alternative is nobody; then nobody's, of
    what is left; the other names have the rest.
    """
    if shares.shape[1] == 1:
        return shares
    rows = np.arange(len(shares))
    best = shares[:, 1:].argmax(axis=1) + 1
    left = shares.copy()
    left[rows, best] = 0
    two = shares[rows, best] + left[:, 1:].max(axis=1)
    deserved = np.minimum(
        trusted(shares[rows, best], stick), shares[rows, best] / np.maximum(two, _TINY)
    )
    left[left.sum(axis=1) < _TINY, 0] = 1  # so sure that nothing was left
    left /= left.sum(axis=1, keepdims=True)
    if shares.shape[1] > 2:  # noqa: PLR2004 - else there is no other name
        slope, offset = stick.nobody
        nobody = expit(slope * logit(np.clip(left[:, 0], _TINY, _SURE)) + offset)
        others = 1 - left[:, 0]
        nobody = np.where(others < _TINY, 1.0, nobody)
        left[:, 1:] *= ((1 - nobody) / np.maximum(others, _TINY))[:, None]
        left[:, 0] = nobody
    found = left * (1 - deserved)[:, None]
    found[rows, best] = deserved
    return np.asarray(found)


def trusted(share: Float64, stick: Yardstick) -> Float64:
    """Return the calibrated probability of a name that has a share, of the share's shape."""
    slope, offset = stick.belief
    return np.asarray(expit(slope * logit(np.clip(share, _TINY, _SURE)) + offset))


def shares_of(odds: Float64) -> Float64:
    """Return the shares of nobody and each character in the probability, (N, 1 + C).

    Character c has odds_c / (1 + the sum of all odds), where the 1 stands for nobody of them.
    """
    return _normalised(np.concatenate([np.zeros((len(odds), 1)), odds], axis=1))


def _normalised(whole: Float64) -> Float64:
    weights = np.exp(whole - whole.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement on one track."""

    shares: Float64
    """(1 + C,), probabilities of nobody and of each character."""
    alone: Float64
    """(1 + C,), the same by its own faces alone."""
    given: bool
    """Whether it gets its most likely name."""
    either: bool
    """Whether it may well be either of two."""
    cosines: Float32
    """(C,), to each character."""
    helper: int
    """Uid of the track that helped most, or UNKNOWN."""


def _identity(track: Track, characters: Sequence[Character], judged: Judged) -> Identity:
    shares = judged.shares
    order = np.argsort(-shares[1:], kind="stable")[:2].tolist()
    best, second = [(characters[j].id, float(shares[1 + j])) for j in order] + [(UNKNOWN, 0.0)] * (
        2 - len(order)
    )
    similarity = float(judged.cosines[order[0]]) if order else 0.0
    nobody = float(shares[0])
    if judged.given:
        return Identity(
            track=track.uid,
            character=best[0],
            probability=best[1],
            similarity=similarity,
            margin=best[1] - max(second[1], nobody),
            runner_up=second[0],
            by_face=float(judged.alone[1 + order[0]]),
            link=judged.helper,
            reason="",
            nobody=nobody,
        )
    return Identity(
        track=track.uid,
        character=UNKNOWN,
        probability=nobody,
        similarity=similarity,
        margin=nobody - best[1],
        runner_up=best[0],
        by_face=float(judged.alone[0]),
        link=judged.helper,
        reason=_reason(track, nobody, best[1], judged),
        second=second[0],
        nobody=nobody,
    )


def _is_either(shares: Float64) -> bool:
    """Return whether the second name's share is over half of the first's, of shares (1 + C,).

    These are the shares before `believed`, which was measured for the most likely name alone.
    """
    best = np.sort(shares[1:])[::-1][:2]
    return len(best) > 1 and bool(best[1] > _LIKELY * best[0])


def _reason(track: Track, nobody: float, best: float, judged: Judged) -> str:
    """Return why no name is given."""
    if nobody >= max(best, _LIKELY):
        return "like nobody enrolled"
    if judged.either:
        return LIKE_TWO
    return "too small to be sure" if track.width_px < _SMALL_PX else "not sure enough"

"""How good the people of an episode are, as far as that can be told without labels.

Three signs: two tracks on screen together that were taken for one person, which no link allows;
tracks whose two halves, split in time, are nearest to different people; and how likely a track
is of one person with the others of its group.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
from scipy.special import expit

from indexer import affinity, recognize
from indexer.affinity import Affinity
from indexer.records import NO_AUDIT, UNKNOWN, Audit, Bool, Float64, Identity, Int64, Track

CONFIDENCE = 0.95
_DRAWS = 4000
_ROUNDING = 1e-9
"""Seconds by which rounding may make two equal sums differ."""
_PRIOR = -1.5
"""Log-odds that two tracks chosen at random are of one person."""


def audit(
    tracks: Sequence[Track],
    identities: Sequence[Identity],
    related: Affinity,
    together: Bool,
    names: Set[int] = frozenset(),
    promise: float = 1.0,
) -> Audit:
    """Return how good an episode's people are, estimated without labels.

    Args:
        tracks: N of them.
        identities: of each track.
        related: how the tracks are related.
        together: (N, N), which are on screen together.
        names: ids of those who have a name.
        promise: the share of the named screen time that may be wrong.
    """
    people = np.array([one.character for one in identities], dtype=np.int64)
    kept = np.flatnonzero(people != UNKNOWN).astype(np.int64)
    if len(kept) == 0:
        return NO_AUDIT
    seconds = np.array([track.end_s - track.start_s for track in tracks])
    promised = _promise(seconds, identities, names, promise)
    same = people[:, None] == people
    violations = int(np.triu(same & together)[np.ix_(kept, kept)].sum())
    likely = expit(np.clip(related.odds, -8, 8) + _PRIOR)
    np.fill_diagonal(likely, 1.0)
    purity = _mean_share(likely, same, people, seconds)
    completeness = _completeness(likely, same, seconds)
    halves = _split_half([tracks[i] for i in kept.tolist()], people[kept], related.only(kept))
    return Audit(purity, completeness, violations, halves, len(kept), *promised)


def _promise(
    seconds: Float64, identities: Sequence[Identity], names: Set[int], promise: float
) -> tuple[float, float, float, float]:
    """Return the named share of the screen time, and three numbers on how much of that is wrong.

    These are the expected share, its upper bound at `CONFIDENCE` (at least the expected share:
    where errors are unlikely, most draws have none), and the probability that the promise is kept.

    Errors are taken to be as much likelier than stated as `recognize.AIM` allows for, by a factor
    of 1 / AIM, and independent between tracks. So many draws give a stable 95th percentile.
    """
    given = np.array([one.character in names for one in identities], bool)
    time = seconds[given]
    doubt = 1 - np.array([one.probability for one in identities])[given]
    doubt = np.minimum(doubt / recognize.AIM, 1)
    total = max(float(time.sum()), 1e-9)
    rng, wrong = np.random.default_rng(0), np.zeros(_DRAWS)
    for seconds_of, chance in zip(time, doubt, strict=True):
        wrong += seconds_of * (rng.random(_DRAWS) < chance)
    expected = float(doubt @ time) / total
    most = max(float(np.quantile(wrong, CONFIDENCE)) / total, expected)
    kept = float(np.mean(wrong <= promise * total + _ROUNDING))
    share = float(time.sum()) / max(float(seconds.sum()), 1e-9)
    return share, expected, most, kept


def _mean_share(likely: Float64, same: Bool, people: Int64, seconds: Float64) -> float:
    """Return the expected purity: the share of people's time that is of one person with its core.

    The core is the best supported track; a link to it, or the best to any other, makes one person.
    """
    total, right = 0.0, 0.0
    for person in np.unique(people[people != UNKNOWN]):
        members = np.flatnonzero(people == person)
        support = likely[np.ix_(members, members)] @ seconds[members]
        core = members[int(np.argmax(support))]
        belongs = np.maximum(likely[core, members], _helped(likely, members))
        total += seconds[members].sum()
        right += float(belongs @ seconds[members])
    return right / max(total, 1e-9)


def _helped(likely: Float64, members: Int64) -> Float64:
    """Return the probability of the best link of each member to the rest of its group."""
    inside = likely[np.ix_(members, members)].copy()
    if len(members) == 1:
        return np.ones(1)
    np.fill_diagonal(inside, 0)
    return np.asarray(inside.max(axis=1))


def _completeness(likely: Float64, same: Bool, seconds: Float64) -> float:
    """Return the expected completeness: how much of a track's same-person time is in its group."""
    sure = likely * (likely > 0.5) * seconds  # noqa: PLR2004 - more likely than not
    inside = (sure * same).sum(axis=1)
    return float(np.average(inside / np.maximum(sure.sum(axis=1), 1e-9), weights=seconds + 1e-9))


def _split_half(tracks: Sequence[Track], people: Int64, related: Affinity) -> float:
    """Return the share of tracks whose two halves are nearest to the same person; 1 if none."""
    ids = np.unique(people)
    clear = np.minimum(related.widths, affinity.CLEAR_PX)
    sums = np.stack([clear[people == one] @ related.vectors[people == one] for one in ids])
    agree = count = 0
    for row, track in enumerate(tracks):
        order = np.argsort(track.exemplar_frames)
        if len(order) < 2:  # noqa: PLR2004
            continue
        faces = affinity.without(track.embeddings[order], related.common)
        own = np.flatnonzero(ids == people[row])[0]
        rest = sums.copy()
        rest[own] -= clear[row] * related.vectors[row]
        middle = len(order) // 2
        first, second = faces[:middle].mean(axis=0), faces[middle:].mean(axis=0)
        scores = affinity.without(rest, np.zeros(rest.shape[1], np.float32))
        agree += int(np.argmax(scores @ first) == np.argmax(scores @ second))
        count += 1
    return agree / count if count else 1.0

"""Unnamed tracks in, people out; how many there are is not known beforehand.

Each track is joined with its first neighbour, by the mean log-odds that tracks show one person;
then so are the resulting groups, until no neighbour is likely to be the same. Of two tracks of a
group that are on screen together, the one less like the rest leaves it. Finally, groups are
compared as wholes, with each other and with the people of earlier episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.special import expit

from indexer import affinity, labels
from indexer.affinity import Affinity, Clarity
from indexer.config import ClusterSettings
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

_CERTAIN = 8.0
"""Most log-odds that a pair may contribute, so that no single pair decides for a group."""
_NEVER = 1e9
"""Distance of two tracks on screen together: keeps groups apart even averaged over 10^8 pairs."""


def group(odds: Float32, apart: Bool, settings: ClusterSettings) -> Int64:
    """Return the person of each track, (N,), counted from 0 in order of first appearance.

    Args:
        odds: (N, N), log-odds that two tracks show one person.
        apart: (N, N) symmetric, True where two tracks cannot be one person.
        settings: the method, and the least mean log-odds at which two groups are one person.
    """
    if len(odds) < 2:  # noqa: PLR2004
        return np.zeros(len(odds), dtype=np.int64)
    known = np.clip((odds + odds.T) / 2, -_CERTAIN, _CERTAIN).astype(np.float64)
    if settings.method == "c1c":
        return _in_order(_by_first_neighbours(partial(_mean, known), apart, settings.min_log_odds))
    if settings.method == "finch":
        free = np.zeros_like(apart)
        joined = _by_first_neighbours(partial(_mean, known), free, settings.min_log_odds)
        return _in_order(_parted(joined, known, apart))
    distance = np.where(apart, _NEVER, _CERTAIN - known)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average")
    labels = fcluster(tree, _CERTAIN - settings.min_log_odds, criterion="distance")
    return _in_order(labels)


def _in_order(labels: NDArray[np.integer]) -> Int64:
    """Return labels counted from 0 in order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def _by_first_neighbours(
    between: Callable[[Float64], Float64], barred: Bool, least: float
) -> Int64:
    """Return the group of each of N items, (N,), joining groups with their nearest in rounds.

    As FINCH does (Sarfraz, Sharma and Stiefelhagen, "Efficient parameter-free clustering using
    first neighbor relations", CVPR 2019, eq. 1), and, where some pairs are barred, C1C (Kalogeiton
    and Zisserman, "Constrained video face clustering using 1NN relations", BMVC 2020, sec. 3); but
    it ends when no first neighbour reaches `least`.

    Args:
        between: which items are in which group, (N, G) of 0 and 1 → log-odds that two groups are
            one person, (G, G).
        barred: (N, N) symmetric, True where two items cannot be one person.
        least: the least log-odds at which two groups are joined.
    """
    labels = np.arange(len(barred))
    while True:
        members = np.eye(int(labels.max()) + 1)[labels]  # (N, G)
        odds = between(members)
        never = members.T @ barred @ members > 0
        odds[never | np.eye(len(odds), dtype=bool)] = -np.inf
        first = odds.argmax(axis=1)
        sure = odds[np.arange(len(first)), first]
        joined = np.arange(len(odds))
        for one in np.argsort(-sure, kind="stable").tolist():
            if sure[one] < least:
                break
            mine, theirs = joined == joined[one], joined == joined[first[one]]
            if not never[np.ix_(mine, theirs)].any():
                joined[mine] = joined[first[one]]
        if len(np.unique(joined)) == len(joined):
            return labels.astype(np.int64)
        labels = np.unique(joined, return_inverse=True)[1][labels]


def _mean(odds: Float64, members: Float64) -> Float64:
    """Return the mean log-odds of each pair of groups, (G, G), over pairs of members, (N, N)."""
    sizes = members.sum(axis=0)
    return np.asarray(members.T @ odds @ members / np.outer(sizes, sizes))


def _parted(labels: Int64, odds: Float64, apart: Bool) -> Int64:
    """Return labels, (N,): of two tracks that cannot be one, the less like the rest gets its own.

    Args:
        labels: (N,), the groups found without regard to `apart`.
        odds: (N, N), log-odds that two tracks show one person.
        apart: (N, N) symmetric, True where two tracks cannot be one person.
    """
    found, after = labels.copy(), int(labels.max()) + 1
    same = labels[:, None] == labels
    for group in np.unique(labels[(apart & same).any(axis=1)]).tolist():
        members = np.flatnonzero(labels == group)
        while (never := apart[np.ix_(members, members)]).any():
            counted = ~never & ~np.eye(len(members), dtype=bool)
            total = np.sum(odds[np.ix_(members, members)], axis=1, where=counted)
            fit = total / np.maximum(counted.sum(axis=1), 1)
            worst = int(np.where(never.any(axis=1), fit, np.inf).argmin())
            found[members[worst]], after = after, after + 1
            members = np.delete(members, worst)
    return found


@dataclass(frozen=True, slots=True)
class People:
    """The unnamed people of an episode: those not met before, and who each track is."""

    new: Sequence[Character]
    identities: Sequence[Identity]
    """In the order of the tracks."""


@dataclass(frozen=True, slots=True)
class Known:
    """The unnamed people of the library, and which of an episode's tracks cannot show them."""

    people: Sequence[Character]
    barred: Bool
    """(N, K), True where a track is on screen with this person already, or a user ruled it out."""
    next_id: int
    """The id of the next new person."""
    next_person: int = 1
    """The least number that no unnamed person ever had in a label like "Person 3"."""
    names: Set[int] = frozenset()
    """Ids of those who were merged into somebody with a name: to be one of them is to be named."""
    least_of_names: float = 0.0
    """The least log-odds at which a group is one of them."""


def people(
    tracks: Sequence[Track],
    groups: Int64,
    known: Known,
    related: Affinity,
    stick: Yardstick,
    settings: ClusterSettings,
) -> People:
    """Return a person for each group: one met before if similar enough, else a new one.

    Several groups may turn out to be one person: all that was seen of a group tells more than its
    tracks one by one. A track that thereby gets a name is as surely of that person as its group is,
    at most.

    New ones are called "Person 1", "Person 2" and so on by screen time, after the existing ones.

    Args:
        tracks: of one episode.
        groups: (N,), as `group` returns them.
        known: the unnamed people of the library.
        related: how the tracks are related.
        stick: the encoder's yardstick.
        settings: the least log-odds at which groups, and people met before, are one.
    """
    if not tracks:
        return People([], [])
    alone = _Groups.of(tracks, groups, related, stick)
    rules = (stick, settings.min_group_log_odds)
    groups, met = _joined(alone, groups, known, related, rules)
    seen = _Groups.of(tracks, groups, related, stick)
    by_time = [int(g) for g in np.argsort(-seen.seconds, kind="stable") if int(g) not in met]
    ids = {g: known.people[k].id for g, k in met.items()}
    ids.update({g: known.next_id + i for i, g in enumerate(by_time)})
    line = stick.calibration.wide[-1]
    first = labels.next_person((person.label for person in known.people), known.next_person)
    new = [
        Character(
            id=ids[g],
            label=labels.person(first + i),
            named=False,
            prototypes=seen.raw[g][None],
            threshold=line.midpoint,
            slope=line.slope,
            midpoint=line.midpoint,
            genuine=0,
            impostors=0,
            clear_px=float(seen.clarity.px[g]),
        )
        for i, g in enumerate(by_time)
    ]
    cosines, odds = _membership(groups, related, seen, stick)
    odds = np.minimum(odds, _of_names(seen, met, known, related, rules)[groups])
    identities = [
        Identity(track.uid, ids[int(g)], float(probability), float(cosine), 0.0, UNKNOWN)
        for track, g, cosine, probability in zip(tracks, groups, cosines, expit(odds), strict=True)
    ]
    return People(new, identities)


@dataclass(frozen=True, slots=True)
class _Groups:
    """Groups of tracks, each described by all of its members together."""

    sums: Float32
    """(G, D), sums of the tracks' vectors, weighted by clarity."""
    centres: Float32
    """(G, D), the same as unit rows."""
    raw: Float32
    """(G, D), unit rows: the same of the raw embeddings, the common component included."""
    clear: Float32
    """(N,), clarity of each track in pixels, capped at CLEAR_PX."""
    clarity: Clarity
    """(G,), clarity of each group and its similarity to strangers."""
    seconds: Float32
    """(G,), screen time."""

    @staticmethod
    def of(tracks: Sequence[Track], groups: Int64, related: Affinity, stick: Yardstick) -> _Groups:
        count = int(groups.max()) + 1
        clear = np.minimum(related.widths, affinity.CLEAR_PX)
        vectors = np.stack([track.embedding for track in tracks])
        sums, raw = np.zeros((2, count, vectors.shape[1]), dtype=np.float32)
        np.add.at(sums, groups, clear[:, None] * related.vectors)
        np.add.at(raw, groups, clear[:, None] * vectors)
        widths, seconds = np.zeros((2, count), dtype=np.float32)
        np.add.at(widths, groups, clear)
        shown = np.array([t.end_s - t.start_s for t in tracks], dtype=np.float32)
        np.add.at(seconds, groups, shown)
        centres = _unit(sums)
        near = affinity.nearness(centres, related.common, stick)
        return _Groups(sums, centres, _unit(raw), clear, Clarity(widths, near), seconds)


def _joined(
    seen: _Groups, groups: Int64, known: Known, related: Affinity, rules: tuple[Yardstick, float]
) -> tuple[Int64, dict[int, int]]:
    """Return the groups, (N,), some of them joined, and group → index of the known person it is.

    Groups and known people are joined with their first neighbours as tracks are, by all that was
    seen of each so far. Two known people are never joined: they stay two until a user says
    otherwise. The more people are known, the likelier that one is similar by chance: to be one of
    K known people, a group needs odds of at least K to 1.

    Args:
        seen: the groups.
        groups: (N,), the group of each track.
        known: the people of the library.
        related: how the tracks are related.
        rules: the encoder's yardstick, and the least log-odds.
    """
    stick, least = rules
    count, charge = len(seen.raw), _charges(known, least)
    none = np.zeros((0, seen.raw.shape[1]), np.float32)
    theirs = np.concatenate([none, *(person.prototypes[:1] for person in known.people)])
    clear = np.array([person.clear_px for person in known.people], np.float32)
    they, mine = (
        _whole(rows, px, related.common, stick)
        for rows, px in ((theirs, clear), (seen.raw, seen.clarity.px))
    )
    across = affinity.helped_odds(mine[0] @ they[0].T, mine[1].rows, they[1].columns, stick)
    close = np.flatnonzero((across > 0).any(axis=0))  # others hardly ever become neighbours
    rows = np.concatenate([seen.raw, theirs[close]])
    px = np.concatenate([seen.clarity.px, clear[close]])

    def between(members: Float64) -> Float64:
        sums = members.T @ (px[:, None] * rows)
        centres, clarity = _whole(sums, members.T @ px, related.common, stick)
        odds = affinity.helped_odds(centres @ centres.T, clarity.rows, clarity.columns, stick)
        met = charge[close] @ members[count:]  # each group holds at most one known person
        return (odds + odds.T) / 2 - np.maximum.outer(met, met)

    tracks = np.eye(count)[groups]  # (N, G)
    barred = np.ones((len(rows), len(rows)), dtype=bool)
    barred[:count, :count] = tracks.T @ (related.odds <= affinity.NEVER) @ tracks > 0
    barred[:count, count:] = tracks.T @ known.barred[:, close] > 0
    barred[count:, :count] = barred[:count, count:].T
    joined = _by_first_neighbours(between, barred, least)
    whom = dict(zip(joined[count:].tolist(), close.tolist(), strict=True))
    ends = joined[:count][groups]
    found = _in_order(ends)
    both = zip(found.tolist(), ends.tolist(), strict=True)
    return found, {group: whom[end] for group, end in both if end in whom}


def _charges(known: Known, least: float) -> Float64:
    """Return by how much the log-odds of being each known person must exceed the least, (K,)."""
    chance = max(float(np.log(max(len(known.people), 1))) - least, 0.0)
    names = np.array([one.id in known.names for one in known.people], dtype=bool)
    return np.maximum(chance, np.where(names, known.least_of_names - least, 0.0))


def _of_names(
    seen: _Groups,
    met: Mapping[int, int],
    known: Known,
    related: Affinity,
    rules: tuple[Yardstick, float],
) -> Float32:
    """Return the log-odds that each group is the known person whose name it gets, (G,).

    Without bound for groups that get no name. Of several groups that were joined, all that was seen
    of them together counts.
    """
    stick, _ = rules
    odds = np.full(len(seen.raw), np.inf, np.float32)
    named = {g: known.people[k] for g, k in met.items() if known.people[k].id in known.names}
    if not named:
        return odds
    groups = np.array(list(named))
    theirs = np.stack([person.prototypes[0] for person in named.values()])
    clear = np.array([person.clear_px for person in named.values()], np.float32)
    they, mine = (
        _whole(rows, px, related.common, stick)
        for rows, px in ((theirs, clear), (seen.raw[groups], seen.clarity.px[groups]))
    )
    cosines = np.sum(mine[0] * they[0], axis=1)
    both = [(mine[1], they[1]), (they[1], mine[1])]  # as `_joined` does
    odds[groups] = sum(affinity.helped_odds(cosines, *two, stick) for two in both) / 2
    return odds


def _whole(
    sums: Float32, px: Float32, common: Float32, stick: Yardstick
) -> tuple[Float32, Clarity]:
    """Return sums of vectors as unit rows without the common component, and their clarity."""
    rows = affinity.without(_unit(sums.astype(np.float32)), common)
    return rows, Clarity(px.astype(np.float32), affinity.nearness(rows, common, stick))


def _membership(
    groups: Int64, related: Affinity, seen: _Groups, stick: Yardstick
) -> tuple[Float32, Float32]:
    """Return cosine and log-odds of each track's belonging to the rest of its group, (N,) each.

    A track that is alone in its group has cosine 1, and the negated log-odds of belonging to the
    likeliest other group that it could belong to.
    """
    vectors, own = related.vectors, related.clarity
    rest = _unit(seen.sums[groups] - seen.clear[:, None] * vectors)
    cosines = np.sum(rest * vectors, axis=1)
    left = np.maximum(seen.clarity.px[groups] - seen.clear, 1e-3)
    others = Clarity(left, affinity.nearness(rest, related.common, stick))
    odds = affinity.pair_odds(cosines, own, others, stick)
    alone = np.flatnonzero(np.bincount(groups)[groups] == 1)
    elsewhere = affinity.pair_odds(
        vectors[alone] @ seen.centres.T, own[alone].rows, seen.clarity.columns, stick
    )
    barred = np.zeros(elsewhere.shape, dtype=bool)
    together = related.odds <= affinity.NEVER
    np.logical_or.at(barred.T, groups, together[alone].T)
    barred[np.arange(len(alone)), groups[alone]] = True
    elsewhere[barred] = -_CERTAIN
    cosines[alone], odds[alone] = 1.0, -elsewhere.max(axis=1, initial=-_CERTAIN)
    return cosines, odds


def _unit(rows: Float32) -> Float32:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)

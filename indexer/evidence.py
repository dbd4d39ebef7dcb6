"""Tracks and stills in, what they show before anybody is named out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from indexer import affinity, scene
from indexer.affinity import Affinity
from indexer.config import RecognizeSettings
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

_LIKELY = 0.5
_SAME_LOOK = 0.25
"""Mean cosine of two groups of one person's stills from which they count as one look."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the tracks of an episode before anybody is named."""

    vectors: Float32
    """(N, D), unit rows."""
    widths: Float32
    """(N,), how clearly each was seen, in pixels of a face seen as clearly."""
    alone: Float32
    """(N, D), unit rows: of the tracks' own faces."""
    own_widths: Float32
    """(N,)."""
    words: Float64
    """(N, N), the log likelihood ratio of what other tracks may say of each; -inf for nothing."""
    helpers: Sequence[int]
    """(N,), the uid of the track that helped each most, 0 if none did."""
    common: Float32
    """(D,), what all faces of the show have in common, taken away already."""


def related(
    tracks: Sequence[Track],
    gallery: Sequence[Character],
    stick: Yardstick,
    settings: RecognizeSettings,
) -> Affinity:
    """Return how the tracks of an episode are related, by what names may rest on.

    Args:
        tracks: N of them, at least one.
        gallery: people known to be different.
        stick: the encoder's.
        settings: what a name rests on.
    """
    none = np.zeros(len(tracks[0].embedding), np.float32)
    together, scene = affinity.cooccurring(tracks), sees_scenes(settings)
    return affinity.relate(tracks, together, centres(gallery, none), stick, scene=scene)


def sees_scenes(settings: RecognizeSettings) -> bool:
    """Return whether names may rest on clothes and places."""
    return settings.evidence in ("clothes", "joint")


def gather(
    tracks: Sequence[Track], known: Affinity, together: Bool, settings: RecognizeSettings
) -> Evidence:
    """Return what the tracks show, as far as the settings let them help one another.

    Args:
        tracks: N of one episode, at least one.
        known: how they are related.
        together: (N, N), which of them are on screen together.
        settings: what a name rests on.
    """
    own, widths = known.vectors, known.widths
    vectors, clear, weights = own, widths, np.eye(len(tracks), dtype=np.float32)
    if settings.evidence == "face":
        first = np.stack([track.embeddings[0] for track in tracks])
        vectors = affinity.without(first, known.common)
    elif sees_scenes(settings):
        helped = affinity.pooled(
            known, scene.near(tracks) if settings.evidence == "clothes" else None
        )
        vectors, clear, weights = helped.vectors, helped.widths, helped.weights
    others = weights * np.minimum(widths, affinity.CLEAR_PX)
    np.fill_diagonal(others, 0)
    best = others.argmax(axis=1)
    helpers = [tracks[j].uid if others[i, j] > 0 else UNKNOWN for i, j in enumerate(best.tolist())]
    words = np.full(weights.shape, -np.inf)
    if settings.evidence == "joint":
        # Who counts for half in the pool has spoken already.
        speaks = scene.near(tracks) & ~together & (weights < _LIKELY)
        words[speaks] = known.odds[speaks]
    return Evidence(vectors, clear, own, widths, words, helpers, known.common)


def known_by(tracks: Sequence[Track]) -> tuple[Float32, float]:
    """Return the one vector that somebody without a name is known by, and how clear that is.

    A unit row (1, D), and what `Character.clear_px` says; of at least one track.
    """
    clear = np.minimum(affinity.clear_px(tracks), affinity.CLEAR_PX)
    total = clear @ np.stack([track.embedding for track in tracks])
    return affinity.without(total[None], 0 * total), float(clear.sum())


def known_anew(
    people: Sequence[Character], shown: Iterable[tuple[Sequence[Track], Sequence[Identity]]]
) -> list[Character]:
    """Return people, those without a name known by all tracks that show them.

    Whom no track shows is known as before.

    Args:
        people: of a library.
        shown: for each of its episodes the tracks, and who each is; held one by one.
    """
    place = {one.id: n for n, one in enumerate(people) if not one.named and len(one.prototypes)}
    if not place:
        return list(people)
    dimension = people[next(iter(place.values()))].prototypes.shape[1]
    sums, clear = np.zeros((len(people), dimension)), np.zeros(len(people))
    for tracks, identities in shown:
        who = {one.track: place.get(one.character, len(people)) for one in identities}
        rows = np.array([who.get(track.uid, len(people)) for track in tracks], np.int64)
        mine = np.flatnonzero(rows < len(people))
        some = [tracks[n] for n in mine.tolist()]
        if some:
            widths = np.minimum(affinity.clear_px(some), affinity.CLEAR_PX)
            vectors = np.stack([track.embedding for track in some])
            np.add.at(sums, rows[mine], widths[:, None] * vectors)
            np.add.at(clear, rows[mine], widths)
    means = affinity.without(sums.astype(np.float32), np.zeros(dimension, np.float32))
    return [
        replace(one, prototypes=means[n][None], clear_px=float(clear[n])) if clear[n] > 0 else one
        for n, one in enumerate(people)
    ]


def among(stick: Yardstick, strangers: Float32) -> Yardstick:
    """Return a yardstick that knows some more strangers, unit rows (M, D), to its encoder."""
    if not len(strangers):
        return stick
    return replace(stick, cohort=np.concatenate([stick.cohort, strangers]))


def common_of(tracks: Sequence[Track], people: Sequence[Character]) -> Float32:
    """Return what all faces of an episode have in common, (D,).

    Args:
        tracks: of the episode, at least one.
        people: who are known to be different.
    """
    none = np.zeros(len(tracks[0].embedding), np.float32)
    vectors = np.stack([track.embedding for track in tracks])
    widths, together = affinity.clear_px(tracks), affinity.cooccurring(tracks)
    return affinity.common(vectors, widths, together, centres(people, none))


def centres(characters: Sequence[Character], common: Float32) -> Float32:
    """Return the mean of each character's stills without what is common to all, (C, D)."""
    rows = [affinity.without(c.prototypes, common).mean(axis=0) for c in characters]
    return affinity.without(np.array(rows, np.float32).reshape(-1, len(common)), 0 * common)


def looks(characters: Sequence[Character], common: Float32) -> tuple[Float32, Int64]:
    """Return the mean of each look of each character, and whose it is, (L, D) and (L,).

    Hair, glasses or years may make one person two to the encoder: stills that fall into groups
    of two or more, hardly alike on average, are looks of their own; single ones beside them are
    left out.

    Args:
        characters: C of them; each has at least one look.
        common: (D,), what all faces of the show have in common.
    """
    rows: list[Float32] = []
    whose: list[int] = []
    for number, one in enumerate(characters):
        stills = affinity.without(one.prototypes, common)
        groups = np.ones(len(stills), np.int64)
        if len(stills) >= 4:  # noqa: PLR2004 - two looks of two
            tree = linkage(np.asarray(stills, np.float64), "average", "cosine")
            groups = fcluster(tree, 1 - _SAME_LOOK, "distance").astype(np.int64)
        counts = np.bincount(groups)
        chosen = np.flatnonzero(counts >= 2) if (counts >= 2).sum() > 1 else [0]  # noqa: PLR2004
        for group in chosen:
            some = stills[groups == group] if group else stills
            rows.append(some.mean(axis=0))
            whose.append(number)
    means = np.array(rows, np.float32).reshape(-1, len(common))
    return affinity.without(means, 0 * common), np.array(whose, np.int64)

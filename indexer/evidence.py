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
"""Least mean cosine of two groups of one person's stills at which they count as one look."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the tracks of an episode before anybody is named."""

    vectors: Float32
    """(N, D), unit rows: of the tracks, with their helpers if the settings allow."""
    widths: Float32
    """(N,), their clarity: the width in pixels of one face seen as clearly."""
    alone: Float32
    """(N, D), unit rows: of the tracks' own faces."""
    own_widths: Float32
    """(N,), the clarity of these."""
    words: Float64
    """(N, N), log likelihood ratio of one person, by which the column's track bears on the row's;
    -inf if it does not."""
    helpers: Sequence[int]
    """(N,), the uid of the track that helped each most, 0 if none did."""
    common: Float32
    """(D,), the component common to all faces of the show, already subtracted."""


def related(
    tracks: Sequence[Track],
    gallery: Sequence[Character],
    stick: Yardstick,
    settings: RecognizeSettings,
) -> Affinity:
    """Return how the tracks of an episode are related, by the evidence that names may rest on.

    Args:
        tracks: N of them, at least one.
        gallery: people known to be different.
        stick: the encoder's yardstick.
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
        # What weighs a half or more in the pool has been counted already.
        speaks = scene.near(tracks) & ~together & (weights < _LIKELY)
        words[speaks] = known.odds[speaks]
    return Evidence(vectors, clear, own, widths, words, helpers, known.common)


def known_by(tracks: Sequence[Track]) -> tuple[Float32, float]:
    """Return an unnamed person's prototype, a unit row (1, D), and its clarity in pixels.

    From at least one track; the clarity is that of `Character.clear_px`.
    """
    clear = np.minimum(affinity.clear_px(tracks), affinity.CLEAR_PX)
    total = clear @ np.stack([track.embedding for track in tracks])
    return affinity.without(total[None], 0 * total), float(clear.sum())


def known_anew(
    people: Sequence[Character], shown: Iterable[tuple[Sequence[Track], Sequence[Identity]]]
) -> list[Character]:
    """Return the people, unnamed ones with a prototype from all tracks that show them.

    Those whom no track shows stay as they are.

    Args:
        people: of a library.
        shown: tracks and identities of each of its episodes; one episode is held at a time.
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
    """Return a yardstick with more strangers, unit rows (M, D), in its cohort."""
    if not len(strangers):
        return stick
    return replace(stick, cohort=np.concatenate([stick.cohort, strangers]))


def common_of(tracks: Sequence[Track], people: Sequence[Character]) -> Float32:
    """Return the component common to all faces of an episode, (D,).

    Args:
        tracks: of the episode, at least one.
        people: characters known to be different.
    """
    none = np.zeros(len(tracks[0].embedding), np.float32)
    vectors = np.stack([track.embedding for track in tracks])
    widths, together = affinity.clear_px(tracks), affinity.cooccurring(tracks)
    return affinity.common(vectors, widths, together, centres(people, none))


def centres(characters: Sequence[Character], common: Float32) -> Float32:
    """Return the mean of each character's stills without the common component, unit rows (C, D)."""
    rows = [affinity.without(c.prototypes, common).mean(axis=0) for c in characters]
    return affinity.without(np.array(rows, np.float32).reshape(-1, len(common)), 0 * common)


def looks(characters: Sequence[Character], common: Float32) -> tuple[Float32, Int64]:
    """Return the mean of each look of each character, (L, D), and the character's index, (L,).

    Hair, glasses or years may make one person look like two to the encoder: if a character's
    stills fall into several groups of two or more, hardly similar on average, each is a look of
    its own, and single stills beside them are left out.

    Args:
        characters: C of them; each has at least one look.
        common: (D,), the component common to all faces of the show.
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

"""Tracks that nobody named in, people out: how many is not known beforehand.

Average-linkage agglomerative clustering over the log-odds that two tracks show one person. Two
people in one frame are two people: such pairs get a distance that no average can hide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import squareform
from scipy.special import expit

from indexer.config import ClusterSettings
from indexer.records import UNKNOWN, Bool, Calibration, Character, Float32, Identity, Int64, Track

_CERTAIN = 8.0
"""Log-odds beyond which a pair says no more: no single pair decides for a group."""
_NEVER = 1e9
"""Distance of two people in one frame: averaged over 10^8 pairs it still keeps them apart."""


def cooccurring(tracks: Sequence[Track]) -> Bool:
    """Return which pairs of an episode's tracks share a frame, (N, N), False on the diagonal."""
    start = np.array([track.start_frame for track in tracks], dtype=np.int64)
    end = np.array([track.end_frame for track in tracks], dtype=np.int64)
    shared = (start[:, None] <= end[None, :]) & (start[None, :] <= end[:, None])
    return shared & ~np.eye(len(tracks), dtype=bool)


def log_odds(tracks: Sequence[Track], calibration: Calibration) -> Float32:
    """Return the log-odds that each pair of tracks shows one person, (N, N)."""
    vectors = np.stack([track.embedding for track in tracks])
    widths = np.array([track.width_px for track in tracks], dtype=np.float32)
    narrower = np.minimum(widths[:, None], widths[None, :])
    return calibration.log_odds(vectors @ vectors.T, narrower)


def group(
    tracks: Sequence[Track], apart: Bool, calibration: Calibration, settings: ClusterSettings
) -> Int64:
    """Return the person of each track, (N,), counted from 0 in order of first appearance.

    Args:
        tracks: the tracks.
        apart: (N, N) symmetric, True where two tracks cannot be one person.
        calibration: of the encoder that made the embeddings.
        settings: the least mean log-odds at which two groups are one person.
    """
    if len(tracks) < 2:  # noqa: PLR2004
        return np.zeros(len(tracks), dtype=np.int64)
    odds = np.clip(log_odds(tracks, calibration), -_CERTAIN, _CERTAIN).astype(np.float64)
    distance = np.where(apart, _NEVER, _CERTAIN - odds)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average")
    labels = fcluster(tree, _CERTAIN - settings.min_log_odds, criterion="distance")
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


@dataclass(frozen=True, slots=True)
class People:
    """The unnamed of an episode: those not met before, and who each track is."""

    new: Sequence[Character]
    identities: Sequence[Identity]
    """In the order of the tracks."""


def people(
    tracks: Sequence[Track],
    groups: Int64,
    known: Sequence[Character],
    next_id: int,
    calibration: Calibration,
    settings: ClusterSettings,
) -> People:
    """Return a person for each group: one met in another episode if alike enough, or a new one.

    New ones are called "Person 1", "Person 2" and so on by screen time, after those there are.

    Args:
        tracks: of one episode.
        groups: (N,), as `group` returns them.
        known: the unnamed people of the library.
        next_id: the id of the first new one.
        calibration: of the encoder that made the embeddings.
        settings: the least log-odds of being the same person.
    """
    count = int(groups.max()) + 1 if len(tracks) else 0
    members = [[tracks[int(i)] for i in np.flatnonzero(groups == g)] for g in range(count)]
    met = _met(members, known, calibration, settings)
    by_time = sorted((g for g in range(count) if g not in met), key=lambda g: -_seconds(members[g]))
    ids = {g: known[k].id for g, k in met.items()}
    ids.update({g: next_id + i for i, g in enumerate(by_time)})
    new = [
        Character(
            id=ids[g],
            label=f"Person {len(known) + 1 + i}",
            named=False,
            prototypes=_centre(members[g])[None],
            threshold=calibration.midpoints[-1],
            slope=calibration.slopes[-1],
            midpoint=calibration.midpoints[-1],
            genuine=0,
            impostors=0,
        )
        for i, g in enumerate(by_time)
    ]
    centres = np.stack([_centre(m) for m in members]) if members else np.zeros((0, 0), np.float32)
    identities = [
        _member(track, members[g], int(g), centres, ids[int(g)], calibration)
        for track, g in zip(tracks, groups, strict=True)
    ]
    return People(new, identities)


def _met(
    members: Sequence[Sequence[Track]],
    known: Sequence[Character],
    calibration: Calibration,
    settings: ClusterSettings,
) -> dict[int, int]:
    """Return which known person each group is, by index; no person is two groups."""
    if not members or not known:
        return {}
    centres = np.stack([_centre(group) for group in members])
    prototypes = np.stack([person.prototypes[0] for person in known])
    widths = np.array([max(t.width_px for t in group) for group in members], dtype=np.float32)
    odds = calibration.log_odds(centres @ prototypes.T, widths[:, None])
    rows, columns = linear_sum_assignment(np.maximum(odds, settings.min_log_odds), maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {g: k for g, k in pairs if odds[g, k] > settings.min_log_odds}


def _member(
    track: Track,
    group: Sequence[Track],
    own: int,
    centres: Float32,
    person: int,
    calibration: Calibration,
) -> Identity:
    """Return the track's identity with the probability that it belongs where it is.

    Against the rest of its group; alone, it is that it belongs to no other group.
    """
    rest = [other for other in group if other.uid != track.uid]
    width = np.array([track.width_px], dtype=np.float32)
    if rest:
        cosine = _centre(rest)[None] @ track.embedding  # (1,)
        odds = float(calibration.log_odds(cosine, width)[0])
    else:
        cosine = np.ones(1, dtype=np.float32)
        elsewhere = calibration.log_odds(np.delete(centres, own, axis=0) @ track.embedding, width)
        odds = -float(np.max(elsewhere, initial=-_CERTAIN))
    probability, similarity = float(expit(odds)), float(cosine[0])
    return Identity(track.uid, person, probability, similarity, 0.0, UNKNOWN)


def _centre(tracks: Sequence[Track]) -> Float32:
    weights = [float(track.quality.mean()) * track.detections for track in tracks]
    mean = np.average([track.embedding for track in tracks], axis=0, weights=weights)
    return (mean / max(float(np.linalg.norm(mean)), 1e-6)).astype(np.float32)


def _seconds(tracks: Sequence[Track]) -> float:
    return sum(track.end_s - track.start_s for track in tracks)

"""Tracks of nearby shots tied to each other by the clothes below the face, as of one person.

Within a scene people wear the same clothes, which thus identify them in a wide shot whose faces
hardly do: this gives, without a label, positive pairs that no single track contains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked

from indexer.config import Share
from indexer.records import Bool, Float32, Int64
from training.library import LibraryTracks


@checked(config=ConfigDict(extra="forbid", frozen=True))
class TieSettings:
    """When two tracks are tied."""

    reach: Annotated[int, Field(ge=0)] = 12
    """Largest distance between the two, in shots: within it a scene is likely to go on."""
    least: Share = 0.95
    """Least similarity of their clothes: the cosine of the histograms."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What the people of N tracks wear."""

    histograms: Float32
    """(N, C), unit rows; zero where no torso was in the picture."""
    shots: Int64
    """(N,)."""
    together: Bool
    """(N, N), which tracks are on screen together, so of two people."""


def looks(tracks: LibraryTracks) -> Looks:
    """Return what the people of an episode's tracks wear."""
    return Looks(tracks.clothes, tracks.shots, tracks.together())


def tied(found: Looks, settings: TieSettings) -> Int64:
    """Return pairs of tracks tied by their clothes, (P, 2), the lower number first, in order.

    Two tracks are tied if each is, of all tracks in its shot, the most similar to the other, and
    they are similar enough.
    """
    count = len(found.shots)
    alike = found.histograms @ found.histograms.T
    near = np.abs(found.shots[:, None] - found.shots) <= settings.reach
    near &= ~found.together & ~np.eye(count, dtype=bool)
    alike = np.where(near, alike, -1.0)
    names, shot = np.unique(found.shots, return_inverse=True)
    best = np.zeros((count, len(names)), np.int64)
    for number in range(len(names)):
        there = np.flatnonzero(shot == number)
        best[:, number] = there[np.argmax(alike[:, there], axis=1)]
    first, at = np.nonzero(alike[np.arange(count)[:, None], best] >= settings.least)
    second = best[first, at]
    mutual = (best[second, shot[first]] == first) & (first < second)
    return np.stack([first[mutual], second[mutual]], axis=1)

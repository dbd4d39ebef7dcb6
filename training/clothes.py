"""Who wears the same: tracks of neighbouring shots tied by the clothes below the face.

Within a scene people keep what they wear, so their clothes say who is who in a wide shot whose
faces say little: pairs of faces of one person that no track could give, found without a label.
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
    """When two tracks are said to wear the same."""

    reach: Annotated[int, Field(ge=0)] = 12
    """Shots within which a scene is likely to go on."""
    least: Share = 0.95
    """Similarity of their clothes."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What the people of N tracks wear."""

    histograms: Float32
    """(N, C), unit rows; zero where no torso was in the picture."""
    shots: Int64
    """(N,)."""
    together: Bool
    """(N, N), which tracks are on screen together and so are of two people."""


def looks(tracks: LibraryTracks) -> Looks:
    """Return what the people of an episode's tracks wear."""
    return Looks(tracks.clothes, tracks.shots, tracks.together())


def tied(found: Looks, settings: TieSettings) -> Int64:
    """Return pairs of tracks that wear the same, (P, 2), the lower number first, in order.

    Two tracks are tied if each is the other's likeliest in that other's shot, and alike enough.
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

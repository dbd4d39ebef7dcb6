"""Who wears the same: tracks of neighbouring shots tied by the clothes below the face.

Within a scene people keep what they wear, so their clothes say who is who in a wide shot whose
faces say little: pairs of faces of one person that no track could give, found without a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked
from scipy.ndimage import gaussian_filter

from indexer.config import Share
from indexer.records import Bool, Float32, Int64, UInt8
from indexer.store.library import Library
from training.library import LibraryTracks, pictures

BINS = (8, 16, 16)
"""Of lightness and of the two colours of CIELAB."""
_LEAST_PX = 4
_BREADTH, _BELOW, _DOWN_TO = 0.9, 0.35, 1.6
"""Of the torso: half its breadth in widths of the face, its top and bottom in heights below it."""


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
    """(N, N), which tracks share a frame and so are of two people."""


def clothes(image: UInt8, box: Float32) -> Float32:
    """Return the colours below a face as a unit vector, (C,); zero if the picture ends there.

    The square roots of a smoothed CIELAB histogram, so that the product of two is their
    Bhattacharyya coefficient.

    Args:
        image: RGB (H, W, 3).
        box: (4,), of the face.
    """
    x0, y0, x1, y1 = (float(edge) for edge in box)
    middle, reach = (x0 + x1) / 2, _BREADTH * (x1 - x0)
    left, right = max(int(middle - reach), 0), min(int(middle + reach), image.shape[1])
    top, bottom = (min(int(y1 + k * (y1 - y0)), image.shape[0]) for k in (_BELOW, _DOWN_TO))
    if right - left < _LEAST_PX or bottom - max(top, 0) < _LEAST_PX:
        return np.zeros(int(np.prod(BINS)), np.float32)
    lab = cv2.cvtColor(image[max(top, 0) : bottom, left:right], cv2.COLOR_RGB2LAB)
    # Hardly any cloth is as colourful as the outer half of the scale.
    lab[..., 1:] = np.clip(lab[..., 1:], 64, 191)
    levels = [0, 256, 64, 192, 64, 192]
    counts = cv2.calcHist([lab], [0, 1, 2], None, list(BINS), levels)
    smooth = gaussian_filter(counts, 0.7).ravel()
    return np.sqrt(smooth / smooth.sum()).astype(np.float32)


def looks(library: Library, episode: str, tracks: LibraryTracks) -> Looks:
    """Return what the people of an episode's tracks wear, from the video it was made of.

    Args:
        library: the indexer's.
        episode: id.
        tracks: of that episode alone.

    Raises:
        StoreError: a table is missing or damaged.
        VideoError: the video is gone, or another than was indexed.
    """
    sums = np.zeros((len(tracks.uids), int(np.prod(BINS))), np.float32)
    for frame, image in pictures(library, episode, np.unique(tracks.frames).tolist()):
        for face in np.flatnonzero(tracks.frames == frame):
            sums[tracks.track[face]] += clothes(image, tracks.boxes[face])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return Looks(sums / np.maximum(lengths, 1e-12), tracks.shots, tracks.together())


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

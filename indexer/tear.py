"""A track that shows two people in turn in, its parts out, torn where one becomes the other.

After a cut that nobody noticed, as between title cards on one backdrop, somebody else's face may be
at the same place and look enough alike to pass for it (`link`). Only the encoder tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.records import Bool, Calibration, Float32, Trace, Tracklet

_CLEAR_PX = 48.0
"""Width of a face of quality 1."""
_LEAST = 1.0
"""Log-odds of one person below which a track is torn. Looks a moment apart agree far better than
two photos do, on which cosines were measured; those of title cards with several people do not."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tracklet and its best crops' vectors."""

    tracklet: Tracklet
    embeddings: Float32
    """(K, D), unit rows, one for each crop."""
    weights: Float32
    """(K,), how much each counts in the track's mean."""

    def __post_init__(self) -> None:
        count, got = len(self.tracklet.chips), (len(self.embeddings), len(self.weights))
        if got != (count, count):
            raise ValueError(
                f"embeddings, weights: expected one for each of {count} crops, got {got}"
            )

    def of(self, inside: Bool, crops: Bool) -> Encoded:
        """Return the part in consecutive frames, a mask (T,), with some crops, a mask (K,)."""
        trace, whole = self.tracklet.trace, self.tracklet
        part = Trace(
            shot=trace.shot,
            frames=trace.frames[inside],
            times=trace.times[inside],
            boxes=trace.boxes[inside],
            landmarks=trace.landmarks[inside],
            scores=trace.scores[inside],
            detected=trace.detected[inside],
        )
        tracklet = Tracklet(
            trace=part,
            chips=whole.chips[crops],
            chip_frames=whole.chip_frames[crops],
            quality=whole.quality[crops],
            clothes=whole.clothes[crops],
        )
        return Encoded(tracklet, self.embeddings[crops], self.weights[crops])


def torn(one: Encoded, calibration: Calibration) -> list[Encoded]:
    """Return the parts of a track that each show one person, in order; most are whole.

    It is torn where its crops before and after agree less than those of one person do, first
    where they agree least.

    Args:
        one: the track.
        calibration: what a cosine of its vectors means.
    """
    order = np.argsort(one.tracklet.chip_frames)
    odds = _odds(one.embeddings[order], one.tracklet.quality[order], calibration)
    if odds.min(initial=_LEAST) >= _LEAST:
        return [one]
    last = order[int(np.argmin(odds))]  # the last crop before the tear
    frames = one.tracklet.chip_frames
    before = frames <= frames[last]
    end = _end(one.tracklet.trace, int(frames[last]), int(frames[~before].min()))
    first = one.tracklet.trace.frames <= end
    parts = [one.of(first, before), one.of(~first, ~before)]
    return [piece for part in parts for piece in torn(part, calibration)]


def _odds(embeddings: Float32, quality: Float32, calibration: Calibration) -> Float32:
    """Return the log-odds that what lies before and after shows one person, (K - 1,).

    Args:
        embeddings: (K, D), in order of time.
        quality: (K,).
        calibration: what a cosine means.
    """
    weights = np.maximum(quality, 1e-3)[:, None]
    sums = np.cumsum(weights * embeddings, axis=0)
    before, after = sums[:-1], sums[-1] - sums[:-1]
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = np.sum(before * after, axis=1) / np.maximum(lengths, 1e-9)
    seen = np.float32(_CLEAR_PX) * np.cumsum(quality)
    return calibration.log_odds(cosine.astype(np.float32), seen[:-1], seen[-1] - seen[:-1])


def _end(trace: Trace, after: int, before: int) -> int:
    """Return the last frame of the person seen at frame `after` but no longer at `before`.

    Halfway between the two looks between which the landmarks moved most.
    """
    known = np.flatnonzero(trace.detected & (trace.frames >= after) & (trace.frames <= before))
    sides = np.maximum(trace.boxes[known, 2] - trace.boxes[known, 0], 1e-3)
    moved = np.linalg.norm(np.diff(trace.landmarks[known], axis=0), axis=2).mean(axis=1)
    most = int(np.argmax(moved / np.minimum(sides[1:], sides[:-1])))
    here, there = trace.frames[known[most]], trace.frames[known[most + 1]]
    return int(here + there - 1) // 2

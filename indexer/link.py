"""The faces of sampled frames in, tracklets out: who continues whom, within a shot.

Each new face is given to the track whose last or expected box it overlaps best, all at once
(`geometry.pair`); a track is expected to move on as it last moved. A face that leaps so far between
two looks that nothing overlaps goes to a track nearby that looked the same. Sizes of a track's
boxes are smoothed over time, also where `tear` then finds two people; what lies between two
detections is filled in linearly and marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from indexer import geometry
from indexer.config import LinkSettings
from indexer.records import Bool, Faces, Float32, Trace, Tracklet, UInt8

_LEAP = 1.5
"""How far a face may leap, in sides of its box."""
_LEAP_S = 0.5
"""The longest gap it may leap over, unless no frame was looked at for longer."""
_SAME_SIZE = 1.4
"""Largest ratio of the sides of its boxes before and after."""
_ALIKE = 0.65
"""Least correlation of the patches of one face."""
_STEADY = 0.5
"""IoU with its last or expected box from which a lower correlation is enough."""
_OTHER_FACE = 0.3
"""That lower correlation: below it, it is another face."""

_STEADY_S = 0.5
"""Standard deviation, in seconds, of the Gaussian that smooths the sizes of boxes."""


@dataclass(slots=True)
class _Crop:
    frame: int
    time_s: float
    quality: float
    chip: UInt8
    clothes: UInt8


@dataclass(slots=True)
class _Open:
    """A track that may go on: what was detected so far, and its best crops."""

    shot: int
    keep: int
    apart_s: float
    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    boxes: list[Float32] = field(default_factory=list)
    landmarks: list[Float32] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    crops: list[_Crop] = field(default_factory=list)
    patch: UInt8 = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    """How the face looked last."""

    def add(self, faces: Faces, i: int) -> None:
        found = faces.detections
        self.frames.append(faces.frame)
        self.times.append(faces.time_s)
        self.boxes.append(found.boxes[i])
        self.landmarks.append(found.landmarks[i])
        self.scores.append(float(found.scores[i]))
        self.patch = faces.patches[i]
        quality = float(faces.quality[i])
        self._offer(_Crop(faces.frame, faces.time_s, quality, faces.chips[i], faces.clothes[i]))

    def _offer(self, crop: _Crop) -> None:
        """Keep the crop if it is among the best, no two of which are closer than `apart_s`."""
        near = [kept for kept in self.crops if crop.time_s - kept.time_s < self.apart_s]
        if any(kept.quality >= crop.quality for kept in near):
            return
        # Copies, since views would keep the frame's other faces in memory.
        crop.chip, crop.clothes = crop.chip.copy(), crop.clothes.copy()
        rest = [kept for kept in self.crops if all(kept is not other for other in near)]
        self.crops = sorted([*rest, crop], key=lambda kept: -kept.quality)[: self.keep]

    def expected(self, time_s: float) -> Float32:
        """Return where the face should be if it moves on as between its last two boxes, (4,)."""
        if len(self.boxes) == 1:
            return self.boxes[-1]
        gap = max(self.times[-1] - self.times[-2], 1e-6)
        ahead = min((time_s - self.times[-1]) / gap, 2.0)
        moved = self.boxes[-1] - self.boxes[-2]
        shift = np.tile((moved[:2] + moved[2:]) / 2, 2)
        return (self.boxes[-1] + shift * ahead).astype(np.float32)


def link(
    faces: Iterable[Faces],
    times: Sequence[float],
    settings: LinkSettings,
    *,
    keep: int,
    apart_s: float,
) -> Iterator[Tracklet]:
    """Yield each tracklet as soon as it has ended, those ending together by start, then by x.

    Args:
        faces: the faces of each frame looked at, in order, also of frames without any.
        times: the time of every frame decoded so far, by index; it may grow meanwhile.
        settings: overlap, the longest gap, and the least score.
        keep: how many crops of a track are kept, its best.
        apart_s: the least seconds between two of them.
    """
    tracks: list[_Open] = []
    before_s = 0.0
    for now in faces:
        if tracks and tracks[0].shot != now.shot:
            yield from _closed(tracks, times, settings)
            tracks = []
        # Where no frame was looked at for longer, no face was missed.
        oldest = min(now.time_s - settings.max_gap_s, before_s) - 1e-6
        yield from _closed([t for t in tracks if t.times[-1] < oldest], times, settings)
        tracks = [t for t in tracks if t.times[-1] >= oldest]
        taken = _assign(tracks, now, min(now.time_s - _LEAP_S, before_s), settings.min_iou)
        for i in range(len(now.detections)):
            if i not in taken:
                tracks.append(_Open(now.shot, keep, apart_s))
            tracks[taken.get(i, -1)].add(now, i)
        before_s = now.time_s
    yield from _closed(tracks, times, settings)


def _assign(
    tracks: Sequence[_Open], now: Faces, leap_from_s: float, min_iou: float
) -> dict[int, int]:
    """Return detection → the track that it continues, by index; those of new tracks are left out.

    A face may leap if it was seen at `leap_from_s` or later.
    """
    found = now.detections
    if not tracks or len(found) == 0:
        return {}
    last = np.stack([track.boxes[-1] for track in tracks])
    expected = np.stack([track.expected(now.time_s) for track in tracks])
    overlap = np.maximum(geometry.iou(expected, found.boxes), geometry.iou(last, found.boxes))
    alike = geometry.correlation(np.stack([track.patch for track in tracks]), now.patches)
    # After a cut that nobody noticed, somebody else may be in the same place.
    same = alike >= np.where(overlap >= _STEADY, _OTHER_FACE, _ALIKE)
    old, new = geometry.pair(overlap, (overlap >= min_iou) & same)
    near = _could_leap(last, found.boxes) | _could_leap(expected, found.boxes)
    recent = np.array([track.times[-1] >= leap_from_s - 1e-6 for track in tracks])
    free = np.ones(alike.shape, dtype=bool)
    free[old], free[:, new] = False, False
    leapt, there = geometry.pair(alike, free & near & recent[:, None] & (alike >= _ALIKE))
    return dict(
        zip([*new.tolist(), *there.tolist()], [*old.tolist(), *leapt.tolist()], strict=True)
    )


def _could_leap(before: Float32, after: Float32) -> Bool:
    return geometry.within_leap(before, after, reach=_LEAP, growth=_SAME_SIZE)


def _closed(
    tracks: Iterable[_Open], times: Sequence[float], settings: LinkSettings
) -> Iterator[Tracklet]:
    ended = [track for track in tracks if max(track.scores) >= settings.min_score]
    for track in sorted(ended, key=lambda t: (t.frames[0], float(t.boxes[0][0]))):
        yield _filled(track, times)


def _filled(track: _Open, times: Sequence[float]) -> Tracklet:
    """Return the track with every frame from its first to its last."""
    known = np.array(track.frames, dtype=np.int64)
    frames = np.arange(known[0], known[-1] + 1)
    scores = np.array(track.scores, dtype=np.float32)
    boxes = geometry.steadied(np.stack(track.boxes), np.array(track.times), over_s=_STEADY_S)
    trace = Trace(
        shot=track.shot,
        frames=frames,
        times=np.array(times[known[0] : known[-1] + 1], dtype=np.float64),
        boxes=geometry.interpolate(frames, known, boxes),
        landmarks=geometry.interpolate(frames, known, np.stack(track.landmarks)),
        scores=geometry.interpolate(frames, known, scores),
        detected=np.isin(frames, known),
    )
    return Tracklet(
        trace=trace,
        chips=np.stack([crop.chip for crop in track.crops]),
        chip_frames=np.array([crop.frame for crop in track.crops], dtype=np.int64),
        quality=np.array([crop.quality for crop in track.crops], dtype=np.float32),
        clothes=np.stack([crop.clothes for crop in track.crops]),
    )

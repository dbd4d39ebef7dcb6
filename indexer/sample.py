"""Frames in, those worth looking at out: whole pictures seldom, single faces when in doubt.

A whole picture is looked at every so often, and where shots begin and end. Where the faces of two
such looks agree, boxes are filled in between them. Where a face moved far, came or went, the frame
in the middle is glanced at, around where that face should be, and so on in both halves until they
agree or no frame is left. What is looked at depends only on what was seen, never on timing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from indexer import geometry
from indexer.config import DetectSettings
from indexer.records import Bool, Faces, Float32, Frame, Int64, UInt8

_HELD = 12
"""Most frames held between two looks; of more, every other one is let go."""
_SAME_FACE = 0.1
"""Least IoU of a face's boxes in two looks."""
_LEAP = 6.0
"""How far a face may move whose boxes do not overlap, in sides of its box."""
_SAME_SIZE = 1.45
"""Largest ratio of its sides before and after."""
_ALIKE = 0.6
"""Least correlation of its patches."""

Glance = Callable[[Frame, Float32, UInt8], Faces]
"""(frame, boxes (N, 4), patches (N, P, P)) → those faces that are near the boxes."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A frame to look at, and what may be glanced at on the way from the one before."""

    since: int | None
    """The frame of the look before; None where a shot begins."""
    between: tuple[Frame, ...]
    """Frames since then, in order."""
    look: Frame


def stretches(frames: Iterable[Frame], settings: DetectSettings) -> Iterator[Stretch]:
    """Yield the frames to look at: one each `every_s` seconds, and each shot's usable ends.

    Blank frames are never looked at. Stretches come out in order; a bounded number of frames is
    held.
    """
    held: list[Frame] = []
    last: Frame | None = None
    newest: Frame | None = None
    for frame in frames:
        if newest is not None and newest.shot != frame.shot:
            yield from _to_the_end(last, held, newest)
            held, last, newest = [], None, None
        if not frame.usable:
            continue
        newest = frame
        if last is None or frame.time_s >= last.time_s + settings.every_s - 1e-6:
            yield Stretch(last.index if last else None, tuple(held), frame)
            held, last = [], frame
        else:
            held.append(frame)
            held = held if len(held) <= _HELD else held[::2]
    if newest is not None:
        yield from _to_the_end(last, held, newest)


def _to_the_end(last: Frame | None, held: Sequence[Frame], newest: Frame) -> Iterator[Stretch]:
    """Yield the stretch to a shot's last usable frame, unless that was looked at."""
    if last is not None and held:
        between = tuple(frame for frame in held if frame.index < newest.index)
        yield Stretch(last.index, between, newest)


def between(
    before: Faces, after: Faces, frames: Sequence[Frame], glance: Glance, settings: DetectSettings
) -> list[Faces]:
    """Return the faces of the frames that had to be glanced at, in order.

    Args:
        before: the faces of a look.
        after: those of the next, of the same shot.
        frames: what lies between them.
        glance: finds the faces near boxes.
        settings: the overlap from which two looks agree on a face.
    """
    left = _compare(before, after, settings)
    if not frames or len(left.expected) == 0:
        return []
    middle = len(frames) // 2
    seen = glance(frames[middle], left.expected, left.patches)
    # Faces that agree are not followed further, though this glance may have met them.
    met = geometry.iou(seen.detections.boxes, left.agreed).max(axis=1, initial=0)
    doubtful = seen.only(np.flatnonzero(met < settings.agree_iou))
    return [
        *between(left.before, doubtful, frames[:middle], glance, settings),
        seen,
        *between(doubtful, left.after, frames[middle + 1 :], glance, settings),
    ]


def doubts(before: Float32, after: Float32, settings: DetectSettings) -> int:
    """Return for how many faces two looks leave open where they were in between.

    Args:
        before: (N, 4), the boxes of a look.
        after: (M, 4), those of another, of the same shot.
        settings: the overlap from which two looks agree on a face.
    """
    i, _, agree = _paired(before, after, settings)
    return len(before) + len(after) - len(i) - int(agree.sum())


@dataclass(frozen=True, slots=True)
class _Open:
    """What two looks leave open."""

    expected: Float32
    """(N, 4), where faces that moved far, came or went may be halfway."""
    patches: UInt8
    """(N, P, P), of those faces."""
    agreed: Float32
    """(M, 4), where the others are halfway."""
    before: Faces
    """The faces left open in the first look."""
    after: Faces
    """The faces left open in the second look."""


def _compare(before: Faces, after: Faces, settings: DetectSettings) -> _Open:
    old, new = before.detections.boxes, after.detections.boxes
    i, j, agree = _paired(old, new, settings)
    went, came = _others(old, i), _others(new, j)
    a, b = _leaps(before.only(went), after.only(came))
    i, j = np.append(i, went[a]), np.append(j, came[b])
    agree = np.append(agree, np.zeros(len(a), dtype=bool))
    moved, went, came = i[~agree], _others(old, i), _others(new, j)
    halfway: Float32 = (old[i] + new[j]) / np.float32(2)
    return _Open(
        np.concatenate([halfway[~agree], old[went], new[came]]),
        np.concatenate([before.patches[moved], before.patches[went], after.patches[came]]),
        halfway[agree],
        before.only(_others(old, i[agree])),
        after.only(_others(new, j[agree])),
    )


def _leaps(before: Faces, after: Faces) -> tuple[Int64, Int64]:
    """Return the pairs of faces that look alike though their boxes do not overlap, by index."""
    alike = geometry.correlation(before.patches, after.patches)
    could = geometry.within_leap(
        before.detections.boxes, after.detections.boxes, reach=_LEAP, growth=_SAME_SIZE
    )
    return geometry.pair(alike, could & (alike >= _ALIKE))


def _paired(old: Float32, new: Float32, settings: DetectSettings) -> tuple[Int64, Int64, Bool]:
    """Return which boxes are probably of one face, and which of those pairs agree."""
    overlap = geometry.iou(old, new)
    i, j = geometry.pair(overlap, overlap >= _SAME_FACE)
    return i, j, np.asarray(overlap[i, j] >= settings.agree_iou)


def _others(boxes: Float32, which: Int64) -> Int64:
    return np.delete(np.arange(len(boxes)), which)

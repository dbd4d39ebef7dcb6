"""Shots that an earlier episode showed already: recaps and title sequences.

Pictures are compared by the hashes that `shots` makes of them. Where the hashes of two stretches
match frame by frame, at a constant distance in time, one repeats the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from indexer.config import RepeatSettings
from indexer.geometry import pairwise_iou
from indexer.pictures import UNLIKE, Past, Pictures
from indexer.records import BLANK, Float32, Int64, Places, Repeat, Shot

_PART = 0.6
"""Share of the allowed distance if only a part of a shot repeats: what is shown again is cut out,
while still pictures of a room by one camera are alike in any part of a shot."""
_WINDOW = 1.5
"""How many times the allowed distance any window of the shortest repeat's length may have."""
_EDGE = 0.5
"""Share of the shortest repeat that may be missing at each end of a shot that repeats whole."""
_SAME_IOU = 0.5
"""The least mean overlap of the boxes of two tracks that are the same."""


def find(
    shots: Sequence[Shot], hashes: Int64, earlier: Sequence[Past], settings: RepeatSettings
) -> list[Repeat]:
    """Return the stretches of shots that repeat earlier episodes, in order, none overlapping.

    Args:
        shots: of the episode.
        hashes: of its frames, (F,).
        earlier: what it may repeat.
        settings: the largest distance and the least length.
    """
    longest = max((one.end_frame + 1 - one.start_frame for one in shots), default=0)
    past = Pictures(earlier, longest)
    found = []
    for shot in shots:
        count = shot.end_frame + 1 - shot.start_frame
        least = _least(shot, settings)
        mine = hashes[shot.start_frame : shot.end_frame + 1]
        if count < least or not past.size or not (mine != BLANK).any():
            continue
        delays = past.delays(mine, max(1, least // 2))
        runs = _runs(mine, delays, past, least, settings.max_distance)
        found += [_repeat(shot, past, run) for run in sorted(runs)]
    return found


def same_tracks(repeat: Repeat, mine: Places, theirs: Places) -> dict[int, int]:
    """Return track → the earlier episode's track whose faces are at the same places, by uid.

    Two tracks are the same if they share at least half of the frames that the shorter one has in
    the stretch, and their boxes there overlap by half, on average.

    Args:
        repeat: the stretch.
        mine: the faces of the episode.
        theirs: of the earlier one.
    """
    here, there = _within(mine, repeat, 0), _within(theirs, repeat, repeat.delay)
    rows, others = _in_one_frame(here.frames, there.frames)
    pairs, place = np.unique(
        np.stack([here.tracks[rows], there.tracks[others]], axis=1), axis=0, return_inverse=True
    )
    overlap = pairwise_iou(here.boxes[rows], there.boxes[others])
    sums = np.bincount(place.ravel(), overlap, minlength=len(pairs))
    counts = np.bincount(place.ravel(), minlength=len(pairs))
    spans, their_spans = _spans(here), _spans(there)
    found: dict[int, int] = {}
    for n in np.lexsort((pairs[:, 1], pairs[:, 0], -sums)):
        first, second = pairs[n].tolist()
        shorter = min(spans[first][2], their_spans[second][2])
        if first in found or 2 * counts[n] < shorter or sums[n] < _SAME_IOU * counts[n]:
            continue
        # One track may have come apart into several, but not into two at once.
        rivals = [spans[one] for one, whose in found.items() if whose == second]
        start, end, _ = spans[first]
        if all(end < one[0] or one[1] < start for one in rivals):
            found[first] = second
    return found


def _within(places: Places, repeat: Repeat, delay: int) -> Places:
    """Return the faces of a stretch that come `delay` frames later, in its frames, in order."""
    frames = places.frames - delay
    inside = (frames >= repeat.start_frame) & (frames <= repeat.end_frame)
    rows = np.flatnonzero(inside)[np.argsort(frames[inside], kind="stable")]
    return Places(places.tracks[rows], frames[rows], places.boxes[rows])


def _in_one_frame(some: Int64, others: Int64) -> tuple[Int64, Int64]:
    """Return all pairs of rows of the same frame, (P,) and (P,); frames are in order."""
    first = np.searchsorted(others, some, side="left")
    count = np.searchsorted(others, some, side="right") - first
    rows = np.repeat(np.arange(len(some)), count)
    starts = np.cumsum(count) - count
    return rows, np.arange(len(rows)) - np.repeat(starts - first, count)


def _spans(places: Places) -> dict[int, tuple[int, int, int]]:
    """Return the first frame, the last, and how many there are, of each track, by uid."""
    uids, first, count = np.unique(places.tracks, return_index=True, return_counts=True)
    last = len(places.tracks) - 1 - np.unique(places.tracks[::-1], return_index=True)[1]
    ends = zip(places.frames[first].tolist(), places.frames[last].tolist(), strict=True)
    return {
        uid: (start, end, many)
        for uid, (start, end), many in zip(uids.tolist(), ends, count.tolist(), strict=True)
    }


def _repeat(shot: Shot, past: Pictures, run: tuple[int, int, int, float]) -> Repeat:
    first, last, delay, distance = run
    episode, frame = past.where(first + delay)
    return Repeat(
        shot=shot.shot,
        start_frame=shot.start_frame + first,
        end_frame=shot.start_frame + last,
        episode=episode,
        their_start_frame=frame,
        distance=distance,
    )


def _least(shot: Shot, settings: RepeatSettings) -> int:
    """Return how many frames of a shot last as long as a repeat must."""
    rate = (shot.end_frame + 1 - shot.start_frame) / max(shot.end_s - shot.start_s, 1e-9)
    return max(1, round(settings.min_length_s * rate))


def _runs(
    mine: Int64, delays: Int64, past: Pictures, least: int, most: float
) -> Iterator[tuple[int, int, int, float]]:
    """Yield (first, last, delay, distance) of what repeats, the surest first, none overlapping."""
    distances = {int(delay): past.distances(mine, int(delay)) for delay in delays}
    runs = {delay: _best_run(far, least, most) for delay, far in distances.items()}
    while True:
        # The surest is the longest and closest; of equals, the earliest picture of all.
        gains = [(gain, -delay) for delay, (gain, _, _) in runs.items() if gain > 0]
        if not gains:
            return
        delay = -max(gains)[1]
        _, first, last = runs[delay]
        yield first, last, delay, float(distances[delay][first : last + 1].mean())
        for other, far in distances.items():
            far[first : last + 1] = UNLIKE
            if runs[other][1] <= last and first <= runs[other][2]:
                runs[other] = _best_run(far, least, most)


def _best_run(far: Float32, least: int, most: float) -> tuple[float, int, int]:
    """Return (gain, first, last) of the best run all of whose windows are near, gain 0 for none.

    Args:
        far: bits by which each frame differs, (T,).
        least: frames of a window, and of a run.
        most: mean bits by which a window differs.
    """
    if len(far) < least:
        return 0.0, 0, -1
    near = (
        np.convolve(far, np.ones(least), "valid") <= _WINDOW * most * least + 1e-6
    )  # (T - least + 1,)
    edges = np.flatnonzero(np.diff(near, prepend=False, append=False))
    best = (0.0, 0, -1)
    for start, stop in edges.reshape(-1, 2).tolist():
        inside = np.flatnonzero(far[start : stop + least - 1] <= 2 * most)
        first, last = start + int(inside[0]), start + int(inside[-1])
        run = far[first : last + 1]
        whole = first <= least * _EDGE and len(far) - 1 - last <= least * _EDGE
        near_enough = run.mean() <= (most if whole else most * _PART)
        gain = float((2 * most + 1 - run).sum())
        if len(run) >= least and near_enough and gain > best[0]:
            best = (gain, first, last)
    return best

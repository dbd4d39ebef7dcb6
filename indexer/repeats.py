"""Shots that an earlier episode showed already: recaps and title sequences.

Pictures are compared by the hashes that `shots` makes of them. Where the hashes of two stretches
follow each other frame by frame, at a constant distance in time, one repeats the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from indexer.config import RepeatSettings
from indexer.geometry import iou
from indexer.pictures import UNLIKE, Past, Pictures
from indexer.records import BLANK, Float32, Int64, Places, Repeat, Shot

_PART = 0.6
"""Share of the distance allowed where less than a shot repeats: what is shown again is cut out,
while one camera's still pictures of one room are alike in any part of a shot."""
_WINDOW = 1.5
"""How many times that distance any window of the shortest repeat's length may have."""
_EDGE = 0.5
"""Share of the shortest repeat that may miss at each end of a shot that repeats as a whole."""
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
        settings: how alike for how long.
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
    """Return the earlier track of each track whose faces are where its faces are, by uid.

    Two tracks are the same if they share at least half of the frames that the shorter one has in
    the stretch, and their boxes there overlap by half, on average.

    Args:
        repeat: the stretch.
        mine: the faces of the episode.
        theirs: of the earlier one.
    """
    stretch = range(repeat.start_frame, repeat.end_frame + 1)
    rows, others = _by_frame(mine, stretch, 0), _by_frame(theirs, stretch, repeat.delay)
    frames, their_frames = _frames_of(mine, rows), _frames_of(theirs, others)
    shared: dict[tuple[int, int], list[float]] = {}
    for frame in rows.keys() & others.keys():
        here, there = rows[frame], others[frame]
        overlap = iou(mine.boxes[here], theirs.boxes[there])
        for row, first in enumerate(mine.tracks[here].tolist()):
            for column, second in enumerate(theirs.tracks[there].tolist()):
                shared.setdefault((first, second), []).append(float(overlap[row, column]))
    found: dict[int, int] = {}
    for (first, second), overlaps in sorted(shared.items(), key=lambda one: (-sum(one[1]), one[0])):
        enough = 2 * len(overlaps) >= min(len(frames[first]), len(their_frames[second]))
        alike = enough and sum(overlaps) >= _SAME_IOU * len(overlaps)
        # One track may have come apart into several, but not into two at once.
        rivals = [frames[one] for one, whose in found.items() if whose == second]
        if alike and first not in found and frames[first].isdisjoint(set().union(*rivals)):
            found[first] = second
    return found


def _by_frame(places: Places, stretch: range, delay: int) -> dict[int, list[int]]:
    """Return the rows of each frame of a stretch, which come `delay` frames later."""
    rows: dict[int, list[int]] = {}
    for row, frame in enumerate((places.frames - delay).tolist()):
        if frame in stretch:
            rows.setdefault(frame, []).append(row)
    return rows


def _frames_of(places: Places, rows: Mapping[int, Sequence[int]]) -> dict[int, set[int]]:
    """Return the frames of each track, by uid."""
    frames: dict[int, set[int]] = {}
    for frame, some in rows.items():
        for uid in places.tracks[some].tolist():
            frames.setdefault(uid, set()).add(frame)
    return frames


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

"""Ground truth and found faces, matched face by face, and the verdicts on who is who.

An episode, or several joined into one, has M true faces, and N found faces in T tracks. Verdicts
on the tracks are kept apart from both, so that one matching serves many sets of verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from indexer import geometry
from indexer.records import Bool, Float32, Float64, Int64

Names = NDArray[np.str_]
NOBODY = -1
UNNAMED = ""
"""The name of whoever has none, and of what is nobody's face."""
SEEN = 0.5
"""Visible share from which on a true face is expected to be found and named."""
EDGES = (0.0, 20.0, 30.0, 50.0, np.inf)
"""Edges of the buckets of face widths, in pixels at 360p."""
SAME_FACE_IOU = 0.3
"""The least IoU of a found face and the true one that it covers."""
_LINES = 360


@dataclass(frozen=True, slots=True)
class TrueFaces:
    """M faces that are on screen."""

    frames: Int64
    """(M,)."""
    tracks: Int64
    """(M,), an arbitrary number for each stretch of one person within a shot."""
    names: Names
    """(M,)."""
    boxes: Float32
    """(M, 4)."""
    visible: Float32
    """(M,), visible shares, above 0."""
    enrolled: Bool
    """(M,), whether the person is in the gallery."""
    widths: Float64
    """(M,), in pixels of the frame scaled to 360 lines."""

    def __post_init__(self) -> None:
        _check_rows(self, len(self.frames))


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """N faces of an index, detected or filled in."""

    frames: Int64
    """(N,)."""
    tracks: Int64
    """(N,), the number of each face's track, from 0 on."""
    boxes: Float32
    """(N, 4)."""

    def __post_init__(self) -> None:
        _check_rows(self, len(self.frames))


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts on T tracks: who each of them shows."""

    names: Names
    """(T,), of the gallery, or `UNNAMED`."""
    people: Int64
    """(T,), the person of the library, 0 for nobody."""
    probabilities: Float64
    """(T,), that the name is right; without a name, that the track shows nobody of the gallery."""
    likely: Names
    """(T,), for a track without a name, the likeliest one of the gallery, or `UNNAMED`,"""
    chances: Float64
    """(T,), and how likely that one is."""

    def __post_init__(self) -> None:
        _check_rows(self, len(self.names))


@dataclass(frozen=True, slots=True)
class Watched:
    """An episode, or several in a row: true and found faces, matched."""

    truth: TrueFaces
    found: FoundFaces
    pairs: Int64
    """(N,), the true face that each found one covers, or `NOBODY`."""
    episodes: Int64
    """(T,), the episode of each track, from 0 on."""

    @property
    def shown(self) -> Names:
        """Return the true name of each found face, (N,), `UNNAMED` if it covers no true face."""
        return np.append(self.truth.names, UNNAMED)[self.pairs].astype(np.str_)

    @property
    def people(self) -> Names:
        """Return the true name of each track, (T,): the most frequent one of its faces.

        `UNNAMED` if fewer than half of its faces show somebody.
        """
        return majority(self.shown, self.found.tracks, len(self.episodes))

    @property
    def gallery(self) -> Names:
        """Return the names of the enrolled people who are on screen, sorted."""
        return np.unique(self.truth.names[self.truth.enrolled])


def watch(truth: TrueFaces, found: FoundFaces, tracks: int) -> Watched:
    """Return one episode, each found face matched with the true one it covers.

    Within a frame, faces are matched one to one for the greatest total IoU, over pairs with an
    IoU of `SAME_FACE_IOU` or more. True faces of which `SEEN` or more is visible are matched
    first, the others then with the found faces that are left.

    Args:
        truth: of the episode.
        found: in the episode.
        tracks: how many tracks the found faces are in.
    """
    pairs = np.full(len(found.frames), NOBODY, np.int64)
    clear = truth.visible >= SEEN
    frames = np.unique(found.frames)
    for mine, theirs in zip(_rows(truth.frames, frames), _rows(found.frames, frames), strict=True):
        for there in (mine[clear[mine]], mine[~clear[mine]]):
            left = theirs[pairs[theirs] == NOBODY]
            overlap = geometry.iou(truth.boxes[there], found.boxes[left])
            rows, columns = geometry.pair(overlap, overlap >= SAME_FACE_IOU)
            pairs[left[columns]] = there[rows]
    return Watched(truth, found, pairs, np.zeros(tracks, np.int64))


def join(some: Sequence[Watched]) -> Watched:
    """Return several episodes, at least one, as one: frames, tracks and episodes count on."""
    frames, true, tracks, faces, number = 0, 0, 0, 0, 0
    parts: list[Watched] = []
    for one in some:
        truth, found = one.truth, one.found
        parts.append(
            Watched(
                replace(truth, frames=truth.frames + frames, tracks=truth.tracks + true),
                FoundFaces(found.frames + frames, found.tracks + tracks, found.boxes),
                np.where(one.pairs == NOBODY, NOBODY, one.pairs + faces),
                one.episodes + number,
            )
        )
        frames += 1 + max(_last(truth.frames), _last(found.frames))
        true += 1 + _last(truth.tracks)
        tracks, faces = tracks + len(one.episodes), faces + len(truth.frames)
        number += 1 + _last(one.episodes)
    return Watched(
        _all_true([one.truth for one in parts]),
        _all_found([one.found for one in parts]),
        np.concatenate([one.pairs for one in parts]),
        np.concatenate([one.episodes for one in parts]),
    )


def majority(names: Names, tracks: Int64, count: int) -> Names:
    """Return the most frequent name of each track's faces, (count,); of ties the first by sorting.

    `UNNAMED` if fewer than half of the faces have a name.
    """
    known = np.unique(names[names != UNNAMED])
    votes = np.zeros((count, len(known) + 1), np.int64)
    of = np.searchsorted(known, names)
    np.add.at(votes, (tracks, np.where(names == UNNAMED, len(known), of)), 1)
    some = votes[:, :-1]
    real = 2 * some.sum(axis=1) >= np.maximum(votes.sum(axis=1), 1)
    best = some.argmax(axis=1) if len(known) else np.zeros(count, np.int64)
    return np.where(real, np.append(known, UNNAMED)[best], UNNAMED).astype(np.str_)


def at_360p(boxes: Float32, height: int) -> Float64:
    """Return the widths of boxes in a picture of some height, scaled to a height of 360."""
    return (boxes[:, 2] - boxes[:, 0]).astype(np.float64) * (_LINES / height)


def _all_true(some: Sequence[TrueFaces]) -> TrueFaces:
    return TrueFaces(
        frames=np.concatenate([one.frames for one in some]),
        tracks=np.concatenate([one.tracks for one in some]),
        names=np.concatenate([one.names for one in some]),
        boxes=np.concatenate([one.boxes for one in some]),
        visible=np.concatenate([one.visible for one in some]),
        enrolled=np.concatenate([one.enrolled for one in some]),
        widths=np.concatenate([one.widths for one in some]),
    )


def _all_found(some: Sequence[FoundFaces]) -> FoundFaces:
    return FoundFaces(
        frames=np.concatenate([one.frames for one in some]),
        tracks=np.concatenate([one.tracks for one in some]),
        boxes=np.concatenate([one.boxes for one in some]),
    )


def _last(numbers: Int64) -> int:
    return int(numbers.max(initial=-1))


def _rows(of: Int64, frames: Int64) -> list[Int64]:
    """Return the rows of each of the frames, which are ascending."""
    order = np.argsort(of, kind="stable")
    first, last = (np.searchsorted(of[order], frames, side) for side in ("left", "right"))
    return [order[a:b] for a, b in zip(first, last, strict=True)]


def _check_rows(record: TrueFaces | FoundFaces | Verdicts, count: int) -> None:
    for name in type(record).__slots__:
        shape = getattr(record, name).shape
        if shape != ((count, 4) if name == "boxes" else (count,)):
            raise ValueError(f"{name}: expected {count} rows, got shape {shape}")

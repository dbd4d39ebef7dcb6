"""A head for `embed.head`, learnt from the tracks of a library without a label.

Tracks tied by clothes are pairs of one person, tracks that are on screen together pairs of two. A
whitening is learnt from the first; the cosines of its vectors are calibrated on both.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from indexer.errors import ConfigError
from indexer.nets import head as heads
from indexer.nets.head import Head, HeadFacts
from indexer.progress import Progress, silent
from indexer.records import Bool, Calibration, Float32, Int64, Line
from indexer.store import read
from indexer.store.library import Library
from training import clothes
from training.clothes import TieSettings
from training.evaluate.signs import Signs, signs
from training.library import LibraryTracks, read_tracks
from training.methods.whitening import whitening

_WIDE_PX = 96.0
_NOISE = 0.01
ENOUGH = 20
"""Pairs of each kind that are needed: with fewer, a head would be a guess."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The pairs that the episodes of a library give, and the vectors of their tracks."""

    means: Float32
    """(N, D), mean vectors of tracks."""
    halves: Float32
    """(N, 2, D), mean vectors of the first and the second half of each, in time."""
    same: Int64
    """(P, 2), tracks tied by clothes."""
    different: Int64
    """(Q, 2), tracks that are on screen together."""
    people: int
    """How many the library knows."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A head measured on pairs of tracks."""

    calibration: Calibration
    before: float
    """Area under the ROC curve of the pairs, by the encoder's cosines."""
    after: float
    """By the head's."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A head, what it learnt from, and its measurements with and without it."""

    head: Head
    gathered: Gathered
    before: float
    """Area under the ROC curve of pairs left out, by the encoder's cosines."""
    after: float
    """By the head's."""
    without: Signs
    """Measurements without a label: of the encoder's vectors,"""
    with_it: Signs
    """and of the head's."""

    @property
    def helps(self) -> bool:
        """Return whether the head is better, as far as that can be measured without a label.

        The area under ROC of pairs left out is larger, and no sign is worse by more than 0.01.
        """
        pairs = [
            (getattr(self.without, one.name), getattr(self.with_it, one.name))
            for one in fields(Signs)
        ]
        worse = any(after < before - _NOISE for before, after in pairs)
        return self.after > self.before and not worse


def gather(library: Library, settings: TieSettings, progress: Progress = silent) -> Gathered:
    """Return the pairs of all episodes of a library.

    Raises:
        StoreError: a table is missing or damaged.
        VideoError: a video is gone, or another than was indexed.
    """
    means = [np.zeros((0, library.dimension), np.float32)]
    halves = [np.zeros((0, 2, library.dimension), np.float32)]
    same, different = [np.zeros((0, 2), np.int64)], [np.zeros((0, 2), np.int64)]
    episodes = read.episodes(library)
    start = 0
    for episode in progress(episodes, total=len(episodes), what="episodes"):
        tracks = read_tracks(library, [episode])
        worn = clothes.looks(tracks)
        same.append(clothes.tied(worn, settings) + start)
        different.append(np.argwhere(np.triu(worn.together)) + start)
        means.append(tracks.features)
        halves.append(halves_of(tracks))
        start += len(tracks.uids)
    return Gathered(
        means=np.concatenate(means),
        halves=np.concatenate(halves),
        same=np.concatenate(same),
        different=np.concatenate(different),
        people=len(read.read_characters(library)),
    )


def halves_of(tracks: LibraryTracks) -> Float32:
    """Return the mean vectors of both halves of each track, (N, 2, D); the same for a lone face."""
    found = np.repeat(tracks.features[:, None], 2, axis=1)
    for n in range(len(tracks.uids)):
        mine = np.flatnonzero(tracks.track == n)
        if len(mine) > 1:
            mine = mine[np.argsort(tracks.frames[mine], kind="stable")]
            for half, some in enumerate(np.array_split(mine, 2)):
                found[n, half] = tracks.vectors[some].mean(axis=0)
    return found


def learn(found: Gathered, encoder_id: str) -> Learnt:
    """Return a head learnt from pairs; its digest is empty until it is saved.

    Args:
        found: at least `ENOUGH` pairs of each kind.
        encoder_id: of the vectors.

    Raises:
        ValueError: there are fewer, or none that can be held out.
    """
    require_enough(found)
    judged = _left_out(found)
    learnt = whitening(found.means, found.same)
    facts = HeadFacts(heads.SCHEMA, encoder_id, len(learnt.bias), "none", judged.calibration, "")
    flat = found.halves.reshape(-1, found.halves.shape[-1])
    moved = learnt(flat).reshape(*found.halves.shape[:2], -1)
    without, with_it = (signs(one, found.different, found.people) for one in (found.halves, moved))
    head = Head(learnt.weight, learnt.bias, facts)
    return Learnt(head, found, judged.before, judged.after, without, with_it)


def require_enough(found: Gathered) -> None:
    """Check that there are enough pairs to learn and measure a head.

    Raises:
        ValueError: there are fewer than `ENOUGH` of a kind.
    """
    if min(len(found.same), len(found.different)) < ENOUGH:
        raise ValueError(
            f"has {len(found.same)} pairs of tracks tied by clothes and {len(found.different)} on "
            f"screen together, but needs {ENOUGH} of each"
        )


def fit_tracks(
    library: Library,
    out: Path,
    settings: TieSettings,
    progress: Progress = silent,
    *,
    anyway: bool = False,
) -> Learnt:
    """Learn a head from a library's episodes and write it, if it helps.

    Args:
        library: whose videos are still where they were; indexed without a head.
        out: the head's file.
        settings: which tracks are tied.
        progress: shows how far it is.
        anyway: whether to write it even if it does not help.

    Raises:
        ConfigError: there is too little to learn from.
        StoreError: the library is damaged.
        VideoError: a video is gone, or another than was indexed.
        WeightsError: the file cannot be written.
    """
    found = gather(library, settings, progress)
    try:
        learnt = learn(found, library.encoder_id)
    except ValueError as error:
        raise ConfigError(library.root, str(error), "index more episodes of the show") from error
    if not (learnt.helps or anyway):
        return learnt
    return replace(learnt, head=heads.save(out, learnt.head))


def _left_out(found: Gathered) -> Judged:
    """Return the head measured on held-out ties: it is learnt from those of the other tracks.

    Raises:
        ValueError: no ties are left to learn from or to measure on.
    """
    learnt = whitening(found.means, held_out(found.same, odd=False))
    return judge(found.means, learnt(found.means), held_out(found.same), found.different)


def held_out(pairs: Int64, *, odd: bool = True) -> Int64:
    """Return the pairs of two tracks with odd numbers, or those of two with even ones.

    The split is by track since ties of one person share tracks; neighbours in time fall into both
    halves.

    Raises:
        ValueError: there are none.
    """
    some = pairs[(pairs % 2 == odd).all(axis=1)]
    if not len(some):
        raise ValueError("has no held-out pairs of tracks to evaluate a head on")
    return some


def judge(plain: Float32, moved: Float32, same: Int64, different: Int64) -> Judged:
    """Return the calibration of a head's vectors, and the area under ROC without and with it.

    Args:
        plain: (N, D), mean vectors of tracks by the encoder.
        moved: (N, E), the same by the head.
        same: (P, 2), held-out pairs of tracks of one person, at least one.
        different: (Q, 2), pairs of two people, at least one.
    """
    pairs = np.concatenate([same, different])
    alike = np.arange(len(pairs)) < len(same)
    cosines = _cosines(moved, pairs)
    line = _line(cosines, alike)
    known = Calibration(
        widths=(_WIDE_PX,),
        wide=(line,),
        alike=(line,),
        genuine=round(float(cosines[alike].mean()), 4),
        impostor=round(float(cosines[~alike].mean()), 4),
    )
    return Judged(known, _area(_cosines(plain, pairs), alike), _area(cosines, alike))


def _cosines(rows: Float32, pairs: Int64) -> Float32:
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return np.asarray(np.sum(unit[pairs[:, 0]] * unit[pairs[:, 1]], axis=1), dtype=np.float32)


def _line(cosines: Float32, same: Bool) -> Line:
    model = LogisticRegression(C=1e3, class_weight="balanced").fit(10 * cosines[:, None], same)
    slope = 10 * float(model.coef_[0, 0])
    if slope == 0:  # the cosines say nothing
        return Line(round(float(cosines.mean()), 4), 0.0)
    return Line(round(-float(model.intercept_[0]) / slope, 4), round(slope, 2))


def _area(cosines: Float32, same: Bool) -> float:
    return float(roc_auc_score(same, cosines))

"""A head for `embed.head`, learnt from the tracks of a library without a label.

Tracks tied by clothes are of one person, tracks that share a frame of two. The first even out
the vectors; both say what a cosine of the new ones means.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from training.library import read_tracks
from training.methods.whitening import whitening

_WIDE_PX = 96.0
ENOUGH = 20
"""Pairs of each kind; with fewer a head would be guessed, not learnt."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the episodes of a library say of who is who."""

    means: Float32
    """(N, D), mean vectors of tracks."""
    same: Int64
    """(P, 2), tracks tied by clothes."""
    different: Int64
    """(Q, 2), tracks that share a frame."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What came out."""

    head: Head
    gathered: Gathered
    before: float
    """Area under the ROC curve of pairs left out, by the encoder's cosines."""
    after: float
    """By the head's."""


def gather(library: Library, settings: TieSettings, progress: Progress = silent) -> Gathered:
    """Return the pairs of all episodes of a library.

    Raises:
        StoreError: a table is missing or damaged.
        VideoError: a video is gone, or another than was indexed.
    """
    means = [np.zeros((0, library.dimension), np.float32)]
    same, different = [np.zeros((0, 2), np.int64)], [np.zeros((0, 2), np.int64)]
    episodes = read.episodes(library)
    start = 0
    for episode in progress(episodes, total=len(episodes), what="episodes"):
        tracks = read_tracks(library, [episode])
        worn = clothes.looks(tracks)
        same.append(clothes.tied(worn, settings) + start)
        different.append(np.argwhere(np.triu(worn.together)) + start)
        means.append(tracks.features)
        start += len(tracks.uids)
    return Gathered(np.concatenate(means), np.concatenate(same), np.concatenate(different))


def learn(found: Gathered, encoder_id: str) -> Learnt:
    """Return a head learnt from pairs; its digest is empty until it is saved.

    Args:
        found: at least 20 pairs of each kind.
        encoder_id: of the vectors.

    Raises:
        ValueError: there are fewer.
    """
    if min(len(found.same), len(found.different)) < ENOUGH:
        raise ValueError(
            f"ties {len(found.same)} pairs of tracks by clothes and shows {len(found.different)} "
            f"pairs together; {ENOUGH} of each are needed"
        )
    calibration, before, after = _left_out(found)
    learnt = whitening(found.means, found.same)
    facts = HeadFacts(heads.SCHEMA, encoder_id, len(learnt.bias), "none", calibration, "")
    return Learnt(Head(learnt.weight, learnt.bias, facts), found, before, after)


def fit_tracks(
    library: Library, out: Path, settings: TieSettings, progress: Progress = silent
) -> Learnt:
    """Learn a head from a library's episodes and write it.

    Args:
        library: whose videos are still where they were; indexed without a head.
        out: the head's file.
        settings: which tracks are tied.
        progress: shows how far it is.

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
    return replace(learnt, head=heads.save(out, learnt.head))


def _left_out(found: Gathered) -> tuple[Calibration, float, float]:
    """Return what cosines mean, by ties that the head has not seen; both areas under ROC.

    Tracks of one person are tied in bundles, so the halves are made of tracks, not of pairs.
    """
    half = np.arange(len(found.means)) % 2  # neighbours in time fall into both halves
    tracks = half[found.same]
    unseen = tracks.all(axis=1)
    seen = ~tracks.any(axis=1)
    if min(seen.sum(), unseen.sum()) < 1:
        seen = unseen = np.ones(len(found.same), bool)
    learnt = whitening(found.means, found.same[seen])
    pairs = np.concatenate([found.same[unseen], found.different])
    same = np.arange(len(pairs)) < int(unseen.sum())
    lengths = np.linalg.norm(found.means, axis=1, keepdims=True)
    plain = _cosines(found.means / np.maximum(lengths, 1e-12), pairs)
    cosines = _cosines(learnt(found.means), pairs)
    line = _line(cosines, same)
    known = Calibration(
        widths=(_WIDE_PX,),
        wide=(line,),
        alike=(line,),
        genuine=round(float(cosines[same].mean()), 4),
        impostor=round(float(cosines[~same].mean()), 4),
    )
    return known, _area(plain, same), _area(cosines, same)


def _cosines(rows: Float32, pairs: Int64) -> Float32:
    return np.asarray(np.sum(rows[pairs[:, 0]] * rows[pairs[:, 1]], axis=1), dtype=np.float32)


def _line(cosines: Float32, same: Bool) -> Line:
    model = LogisticRegression(C=1e3, class_weight="balanced").fit(10 * cosines[:, None], same)
    slope = 10 * float(model.coef_[0, 0])
    return Line(round(-float(model.intercept_[0]) / slope, 4), round(slope, 2))


def _area(cosines: Float32, same: Bool) -> float:
    return float(roc_auc_score(same, cosines))

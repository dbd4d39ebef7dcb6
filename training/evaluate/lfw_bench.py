"""The LFW protocol with this project's own detection, alignment and encoding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.config import Settings
from indexer.models import Models
from indexer.progress import Progress, silent
from indexer.records import Bool, Float32
from training import lfw
from training.evaluate.calibration import encode_at
from training.evaluate.intervals import Interval, ScoredPairs, tpr_interval
from training.evaluate.verification import Verification, read_pairs, verify


@dataclass(frozen=True, slots=True)
class LfwResult:
    """Metrics of the protocol, and in how many photos the detector found no face."""

    verification: Verification
    interval: Interval
    """Bootstrap interval of TPR at FPR 1 %, by person."""
    similarities: Float32
    """(P,), of the pairs."""
    same: Bool
    """(P,)."""
    photos: int
    without_face: int


def bench_lfw(
    folder: Path, models: Models, settings: Settings, progress: Progress = silent
) -> LfwResult:
    """Return verification metrics on LFW's 6,000 pairs (View 2).

    A photo in which no face is found has similarity 0 to all: a mistake in every genuine pair.

    Args:
        folder: holds ``lfw.tar`` (or the unpacked photos) and ``lfw_pairs.txt``.
        models: detector and encoder.
        settings: of the detector.
        progress: shows how far it is.
    """
    pairs = read_pairs(folder / lfw.PAIRS)
    wanted = {name for pair in pairs for name in (pair.first, pair.second)}
    photos = (photo for photo in lfw.photos(folder) if photo.name in wanted)
    encoded = encode_at(progress(photos, total=len(wanted), what="photos"), 0, models, settings)
    rows = dict(zip(encoded.photos, encoded.embeddings, strict=True))
    first = np.stack([rows[pair.first] for pair in pairs])
    second = np.stack([rows[pair.second] for pair in pairs])
    similarities = np.sum(first * second, axis=1)
    same = np.array([pair.same for pair in pairs])
    empty = int(np.sum(~encoded.embeddings.any(axis=1)))
    names = [[name.rsplit("_", 1)[0] for name in (pair.first, pair.second)] for pair in pairs]
    _, people = np.unique(names, return_inverse=True)
    first_of, second_of = people.reshape(-1, 2).astype(np.int64).T
    return LfwResult(
        verification=verify(similarities, same),
        interval=tpr_interval(ScoredPairs(similarities, first_of, second_of), 0.01),
        similarities=similarities,
        same=same,
        photos=len(wanted),
        without_face=empty,
    )

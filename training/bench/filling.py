"""Boxes filled in between looks, against our detector on every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from indexer import geometry, pipeline
from indexer.config import Settings
from indexer.models import load_models
from indexer.records import Bool
from indexer.store import library as libraries
from training.evaluate.clips import FaceRows, read_faces

_LONG_S = 1.0
_SAME_FACE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Filling:
    """How the boxes of an index agree with those of looking at every frame."""

    video: str
    faces: int
    """Seen by looking at every frame, of tracks of a second or more."""
    found: float
    """Share of them with a box in the index, IoU at least 0.5."""
    mean_iou: float
    """Of those found."""


def compare(video: Path, work: Path) -> Filling:
    """Return the comparison for a video.

    Args:
        video: indexed twice, once by looking at every frame.
        work: an empty folder for the two libraries.
    """
    settings = Settings()
    every = replace(settings, detect=replace(settings.detect, every_s=1e-3))
    (dense, rate), (sparse, _) = (
        _indexed(video, work / name, one) for name, one in (("every", every), ("usual", settings))
    )
    wanted = dense.detected & _long(dense, round(_LONG_S * rate))
    best = np.zeros(len(dense.frame))
    for frame in np.unique(dense.frame[wanted]):
        mine, theirs = wanted & (dense.frame == frame), sparse.frame == frame
        best[mine] = geometry.iou(dense.boxes[mine], sparse.boxes[theirs]).max(axis=1, initial=0)
    found = best[wanted] >= _SAME_FACE_IOU
    mean_iou = float(best[wanted][found].mean()) if found.any() else 0.0
    return Filling(video.name, int(wanted.sum()), float(found.mean()), mean_iou)


def _long(faces: FaceRows, frames: int) -> Bool:
    """Return which faces belong to tracks of so many frames, (N,)."""
    _, which, counts = np.unique(faces.track, return_inverse=True, return_counts=True)
    return np.asarray(counts[which] >= frames)


def _indexed(video: Path, root: Path, settings: Settings) -> tuple[FaceRows, float]:
    models = load_models(settings)
    library = pipeline.open_or_create(root, models, settings)
    done = pipeline.index(video, library, models, settings)
    faces = read_faces(libraries.open_library(root), done.episode)
    return faces, done.report.frames / done.duration_s

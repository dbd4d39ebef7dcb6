"""Boxes filled in between detections, and those of an index on a budget, against denser looks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from indexer import geometry, pipeline
from indexer.config import DecodeSettings, Settings
from indexer.decode import open_video
from indexer.models import load_models
from indexer.pipeline import Indexed
from indexer.records import Bool, Float64, Int64
from indexer.store import library as libraries
from training.evaluate.clips import FaceRows, read_faces

_LONG_S = 1.0
_SAME_FACE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Filling:
    """How the boxes of an index agree with those of detection in every frame."""

    video: str
    faces: int
    """Faces detected when every frame is looked at, in tracks of a second or more."""
    found: float
    """Share of them with a box in the index, IoU at least 0.5."""
    mean_iou: float
    """Mean IoU of those found."""


@dataclass(frozen=True, slots=True)
class Hurried:
    """The index of a video on a budget of less time than it needs."""

    budget_s: float
    wall_s: float
    coverage: float
    """Share of the video that was looked at as closely as without a budget."""
    found: float
    """Share of the faces detected without a budget that have a box, IoU at least 0.5."""


def compare(video: Path, work: Path, settings: Settings) -> Filling:
    """Return the comparison for a video.

    Args:
        video: indexed twice, once with detection in every frame.
        work: an empty folder for the two libraries.
        settings: of the other index; only frames that they decode are compared.
    """
    every = replace(Settings(), detect=replace(settings.detect, every_s=1e-3))
    (dense, done), (sparse, _) = (
        _indexed(video, work / name, one) for name, one in (("every", every), ("usual", settings))
    )
    rate = done.report.frames / done.duration_s
    there = _places(video, settings.decode)
    sparse = replace(sparse, frame=there[sparse.frame])
    wanted = dense.detected & _long(dense, round(_LONG_S * rate)) & np.isin(dense.frame, there)
    best = _best(dense, wanted, sparse)
    found = best >= _SAME_FACE_IOU
    mean_iou = float(best[found].mean()) if found.any() else 0.0
    return Filling(video.name, len(best), float(found.mean()), mean_iou)


def hurry(video: Path, work: Path, share: float) -> Hurried:
    """Return how a video is indexed in a share of the time that it takes without a budget.

    Args:
        video: indexed twice.
        work: an empty folder for the two libraries.
        share: the budget as a share of the seconds that it takes without one.
    """
    whole, done = _indexed(video, work / "whole", Settings())
    budget_s = share * done.wall_s
    part, hurried = _indexed(video, work / "part", Settings(), budget_s)
    best = _best(whole, whole.detected, part)
    found = float(np.mean(best >= _SAME_FACE_IOU))
    return Hurried(budget_s, hurried.wall_s, hurried.coverage, found)


def _places(video: Path, settings: DecodeSettings) -> Int64:
    """Return the index, among all frames, of each frame that the settings decode, (N,)."""
    with open_video(video, DecodeSettings()) as whole, open_video(video, settings) as part:
        all_pts, some_pts = (np.array([frame.pts for frame in frames]) for frames in (whole, part))
    return np.searchsorted(all_pts, some_pts)


def _best(wanted: FaceRows, which: Bool, given: FaceRows) -> Float64:
    """Return for each wanted face the best IoU with a given face of the same frame, (N,)."""
    best = np.zeros(len(wanted.frame))
    for frame in np.unique(wanted.frame[which]):
        mine, theirs = which & (wanted.frame == frame), given.frame == frame
        best[mine] = geometry.iou(wanted.boxes[mine], given.boxes[theirs]).max(axis=1, initial=0)
    return best[which]


def _long(faces: FaceRows, frames: int) -> Bool:
    """Return which faces belong to tracks with at least so many faces, (N,)."""
    _, which, counts = np.unique(faces.track, return_inverse=True, return_counts=True)
    return np.asarray(counts[which] >= frames)


def _indexed(
    video: Path, root: Path, settings: Settings, budget_s: float | None = None
) -> tuple[FaceRows, Indexed]:
    models = load_models(settings)
    library = pipeline.open_or_create(root, models, settings)
    done = pipeline.index(video, library, models, settings, budget_s=budget_s)
    return read_faces(libraries.open_library(root), done.episode), done

"""The faces that the indexer's detector finds in annotated stills, matched to annotations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial

import numpy as np

from indexer import geometry, stills
from indexer.config import Settings
from indexer.models import Models, still_faces
from indexer.parallel import Workers, in_order
from indexer.progress import Progress, silent
from indexer.records import Bool, Float32, Int64, UInt8
from training import faces
from training.annotations import AnnotatedStill, AnnotatedStills

_SAME_IOU = 0.4
"""A detected and an annotated box that overlap at least this much are one face."""


@dataclass(frozen=True, slots=True)
class StillFaces:
    """The N faces of M pictures, with K classes."""

    names: tuple[str, ...]
    """(K,)."""
    chips: UInt8
    """(N, C, C, 3), with the border of `training.faces`."""
    targets: Bool
    """(N, K), who each face is; a stranger's row is all False."""
    picture: Int64
    """(N,), ascending, the index of the picture that each face is in."""
    labels: Bool
    """(M, K), who is annotated in each picture, whether or not the face was found."""
    splits: tuple[str, ...]
    """(M,)."""
    missed: int
    """Annotated faces that the detector did not find."""

    def __post_init__(self) -> None:
        count, classes, pictures = len(self.chips), len(self.names), len(self.splits)
        got = (self.targets.shape, self.picture.shape, self.labels.shape)
        wanted = ((count, classes), (count,), (pictures, classes))
        if got != wanted:
            raise ValueError(f"targets, picture, labels: expected {wanted}, got {got}")

    @property
    def digest(self) -> str:
        """Return the sha256 of all of the data."""
        content = hashlib.sha256(f"{self.names} {self.splits} {self.missed}".encode())
        for part in (self.chips, self.targets, self.picture, self.labels):
            content.update(f"{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
        return content.hexdigest()

    @property
    def strangers(self) -> int:
        """Return how many faces are of nobody annotated."""
        return int(np.sum(~self.targets.any(axis=1)))

    def rows(self, split: str) -> Int64:
        """Return the indices of the faces in a split's pictures, (n,)."""
        return np.flatnonzero(self._inside(split)[self.picture])

    def of_split(self, split: str) -> tuple[Int64, Bool]:
        """Return each face's picture, (n,), numbered within the split, and the labels, (m, K)."""
        inside = self._inside(split)
        number = np.cumsum(inside) - 1
        return number[self.picture[self.rows(split)]], self.labels[inside]

    def _inside(self, split: str) -> Bool:
        return np.array([one == split for one in self.splits], bool)


def find_faces(
    annotated: AnnotatedStills, models: Models, settings: Settings, progress: Progress = silent
) -> StillFaces:
    """Return the confident detections in annotated pictures, matched to the annotations.

    Faces that score less than ``link.min_score`` are left out, as everywhere.

    Raises:
        ImageError: a picture is damaged.
    """
    look = partial(_look, models=models, settings=settings)
    classes = len(annotated.names)
    side = faces.side(models.encoder.facts)
    chips, who = [np.zeros((0, side, side, 3), np.uint8)], [np.zeros(0, np.int64)]
    picture, labels, missed = list[int](), [], 0
    with Workers(models.workers) as workers:
        shown = progress(annotated.stills, total=len(annotated.stills), what="stills")
        for number, (still, found, whose) in enumerate(in_order(workers, look, shown)):
            chips.append(found)
            who.append(whose)
            picture += [number] * len(found)
            labels.append(np.isin(np.arange(classes), still.classes))
            missed += len(still.classes) - int(np.sum(whose >= 0))
    return StillFaces(
        names=annotated.names,
        chips=np.concatenate(chips),
        targets=np.concatenate(who)[:, None] == np.arange(classes),
        picture=np.array(picture, np.int64),
        labels=np.array(labels, bool).reshape(-1, classes),
        splits=tuple(still.split for still in annotated.stills),
        missed=missed,
    )


def _look(
    still: AnnotatedStill, models: Models, settings: Settings
) -> tuple[AnnotatedStill, UInt8, Int64]:
    pixels = stills.read(still.path)
    found = still_faces(models, pixels, settings).detections
    found = found.only(np.flatnonzero(found.scores >= settings.link.min_score))
    chips = faces.chips(pixels, found.landmarks, models.encoder.facts)
    return still, chips, matched(found.boxes, still.boxes, still.classes)


def matched(boxes: Float32, annotated: Float32, classes: Int64) -> Int64:
    """Return the class of each box, (N,), -1 if it matches no annotation.

    Args:
        boxes: (N, 4).
        annotated: (A, 4); each is matched to one box at most, maximising the sum of IoU.
        classes: (A,).
    """
    overlap = geometry.iou(boxes, annotated)
    rows, columns = geometry.pair(overlap, overlap >= _SAME_IOU)
    whose = np.full(len(boxes), -1, np.int64)
    whose[rows] = classes[columns]
    return whose

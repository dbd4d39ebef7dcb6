"""How hard a synthetic season is: its faces' widths, and how often naming a face alone is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from indexer import stills
from indexer.config import Settings
from indexer.decode import open_video
from indexer.detect import detect
from indexer.embed import align
from indexer.errors import ImageError
from indexer.geometry import iou
from indexer.models import Models, still_faces
from indexer.nets.encoder import encode
from indexer.progress import Progress, silent
from indexer.records import Float32, UInt8
from training.evaluate.naming import EDGES, SEEN
from training.synthesize import FrameFaces, read_truth
from training.synthesize.truth_file import TRUTH

_SAME_FACE_IOU = 0.4


@dataclass(frozen=True, slots=True)
class Bucket:
    """The faces in a range of widths, in pixels at 360p."""

    low: float
    high: float
    faces: int
    found: int
    """Faces that the detector found."""
    enrolled: int
    """Found faces of people in the gallery."""
    right: int
    """Those of them whose most similar still in the gallery shows the same person."""


@dataclass(frozen=True, slots=True)
class _Gallery:
    names: Sequence[str]
    """(N,), the person of each row."""
    vectors: Float32
    """(N, D), unit rows."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """Faces: (N,) each."""

    widths: Float32
    found: UInt8
    enrolled: UInt8
    right: UInt8


def check_season(
    season: Path,
    gallery: Path,
    models: Models,
    settings: Settings,
    every_s: float = 1.0,
    progress: Progress = silent,
) -> list[Bucket]:
    """Return how many faces of each range of widths are found and named, over a season.

    Args:
        season: holds ``ep01.mp4``, ``ep01.truth.json`` and so on.
        gallery: a folder of stills per person.
        models: detector and encoder.
        settings: of both, and of decoding.
        every_s: seconds between the frames that are looked at.
        progress: shows how far it is.

    Raises:
        ImageError: there is no synthetic episode, or no still in which a face is found.
        VideoError: an episode cannot be decoded.
    """
    truths = sorted(season.glob(f"*{TRUTH}"))
    if not truths:
        raise ImageError(season, "holds no synthetic episode", "make one: training synthesize")
    known = _read_gallery(gallery, models, settings)
    judged = [
        one
        for path in progress(truths, total=len(truths), what="episodes")
        for one in _episode(path, known, models, settings, every_s)
    ]
    widths = np.concatenate([one.widths for one in judged])
    found, enrolled, right = (
        np.concatenate([getattr(one, name) for one in judged]).astype(bool)
        for name in ("found", "enrolled", "right")
    )
    buckets = []
    for low, high in pairwise(EDGES):
        inside = (widths >= low) & (widths < high)
        counts = (inside, inside & found, inside & enrolled, inside & right)
        buckets.append(Bucket(low, high, *(int(one.sum()) for one in counts)))
    return buckets


def _read_gallery(folder: Path, models: Models, settings: Settings) -> _Gallery:
    names, vectors = [], []
    for person in stills.people(folder):
        for path in person.paths:
            faces = still_faces(models, stills.read(path), settings)
            if len(faces.detections):
                names.append(person.name)
                vectors.append(encode(models.encoder, faces.chips[:1]))
    if not names:
        raise ImageError(folder, "shows no face in any still", "name the season's gallery")
    return _Gallery(names, np.concatenate(vectors))


def _episode(
    path: Path, known: _Gallery, models: Models, settings: Settings, every_s: float
) -> list[_Judged]:
    truth = read_truth(path)
    video = path.with_name(path.name.removesuffix(TRUTH) + ".mp4")
    step = max(1, round(every_s * truth.fps))
    unit = truth.height / 360
    judged = []
    with open_video(video, settings.decode) as frames:
        for frame in frames:
            if frame.index % step == 0:
                there = truth.at(frame.index, least=SEEN)
                judged.append(_judge(frame.pixels(), there, known, models, settings))
            frame.let_go()
    return [_Judged(one.widths / unit, one.found, one.enrolled, one.right) for one in judged]


def _judge(
    pixels: UInt8, there: FrameFaces, known: _Gallery, models: Models, settings: Settings
) -> _Judged:
    """Return which faces of a frame are found and named right, each by its own picture alone."""
    detections = detect(models.detector, [pixels], settings.detect)[0]
    overlap = iou(there.boxes, detections.boxes)  # (N, M)
    found = overlap.max(axis=1, initial=0) >= _SAME_FACE_IOU
    nearest = overlap[found].argmax(axis=1) if found.any() else np.zeros(0, np.int64)
    chips = align(pixels, detections.landmarks[nearest], models.encoder.facts)
    vectors = encode(models.encoder, chips)
    likest = (vectors @ known.vectors.T).argmax(axis=1)
    said = np.full(len(found), "", object)
    said[found] = np.array(known.names, object)[likest]
    names = np.array(there.names, object)
    return _Judged(
        widths=there.boxes[:, 2] - there.boxes[:, 0],
        found=found.astype(np.uint8),
        enrolled=(found & np.isin(names, known.names)).astype(np.uint8),
        right=(said == names).astype(np.uint8) * found,
    )

"""What an encoder's cosines mean: measured on photos of many people at several face widths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression

from indexer.config import Settings
from indexer.models import Models, still_faces
from indexer.nets import encoder as encoders
from indexer.records import Bool, Calibration, Float32, Line, UInt8
from training.lfw import Photo

_ENCODED_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Encoded:
    """The photos, encoded at one face width."""

    width_px: float
    photos: Sequence[str]
    """(N,), the photos' names."""
    people: Sequence[str]
    """(N,), the person in each photo."""
    embeddings: Float32
    """(N, D), unit rows, zero where no face was found."""
    lengths: Float32
    """(N,), norms of the embeddings before they were normalised."""


def encode_at(
    photos: Iterable[Photo], width_px: float, models: Models, settings: Settings
) -> Encoded:
    """Return the embedding of each photo's central face, the photo first shrunk to a face width.

    Args:
        photos: each shows one person, near the middle.
        width_px: width of the detector's box after shrinking; 0 leaves the photos as they are.
        models: detector and encoder.
        settings: of the detector.
    """
    names, people, chips = [], [], []
    size = models.encoder.facts.input_size
    for photo in photos:
        names.append(photo.name)
        people.append(photo.person)
        chips.append(_central_chip(photo.pixels, width_px, models, settings))
    batches = range(0, len(chips), _ENCODED_TOGETHER)
    none = np.zeros((0, size, size, 3), np.uint8)
    portions = [none, *(np.stack(chips[i : i + _ENCODED_TOGETHER]) for i in batches)]
    looks = [encoders.look(models.encoder, portion) for portion in portions]
    seen = np.array([chip.any() for chip in chips], dtype=bool)
    vectors, lengths = (
        np.concatenate(part)
        for part in zip(*((look.vectors, look.lengths) for look in looks), strict=True)
    )
    return Encoded(width_px, names, people, vectors * seen[:, None], lengths)


def _central_chip(pixels: UInt8, width_px: float, models: Models, settings: Settings) -> UInt8:
    """Return the aligned crop of the face nearest to the middle; black if there is no face."""
    size = models.encoder.facts.input_size
    for shrunk in (False, True):
        faces = still_faces(models, pixels, settings)
        boxes = faces.detections.boxes
        if len(boxes) == 0:
            return np.zeros((size, size, 3), dtype=np.uint8)
        middle = np.array(pixels.shape[1::-1]) / 2
        away = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - middle).sum(axis=1)
        central = int(np.argmin(away))
        scale = width_px / float(boxes[central, 2] - boxes[central, 0])
        if shrunk or width_px == 0 or scale >= 1:
            break
        pixels = _as_in_video(pixels, scale)
    return np.asarray(faces.chips[central])


def calibrate(wide: Encoded, narrower: Sequence[Encoded]) -> Calibration:
    """Return the calibration of an encoder's cosines and of its vectors' lengths.

    Cosines: the log-odds that two faces show one person, by cosine and both widths. At each width
    a logistic regression is fitted to all pairs of photos, once with the second photo wide and
    once with both equally narrow; genuine and impostor pairs have the same total weight.

    Lengths: the log-odds that a face is recognised, by the length of its vector. A face is
    recognised if its cosine to a wide photo of the same person reaches the midpoint of wide pairs.

    Args:
        wide: the photos as they are.
        narrower: the same photos at smaller widths, each in the same order.
    """
    people = np.array(wide.people)
    first, second = np.triu_indices(len(people), k=1)
    same = people[first] == people[second]
    steps = [*sorted(narrower, key=lambda e: e.width_px), wide]

    def cosines(one: Encoded, other: Encoded) -> Float32:
        return np.sum(one.embeddings[first] * other.embeddings[second], axis=1)

    full = cosines(wide, wide)
    against = tuple(_fit(cosines(step, wide), same) for step in steps)
    found = [cosines(step, wide)[same] for step in steps]
    lengths = [step.lengths[first[same]] for step in steps]
    return Calibration(
        widths=(*(step.width_px for step in steps[:-1]), _WIDE_PX),
        wide=against,
        alike=tuple(_fit(cosines(step, step), same) for step in steps),
        genuine=round(float(full[same & (full != 0)].mean()), 4),
        impostor=round(float(full[~same & (full != 0)].mean()), 4),
        length=_recognised(np.concatenate(lengths), np.concatenate(found), against[-1].midpoint),
    )


def _as_in_video(pixels: UInt8, scale: float) -> UInt8:
    """Return a picture shrunk, and compressed about as much as in a broadcast."""
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _VIDEO_QUALITY])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)


_VIDEO_QUALITY = 50
_WIDE_PX = 96.0
"""About the width of LFW's faces."""


def _fit(cosine: Float32, same: Bool) -> Line:
    seen = cosine != 0
    model = LogisticRegression(C=1e6, class_weight="balanced")
    model.fit((cosine[seen, None] - 0.9) * 10, same[seen])
    slope = float(model.coef_[0, 0]) * 10
    return Line(round(0.9 - float(model.intercept_[0]) / slope, 4), round(slope, 1))


_SAME_LENGTH = 1e-3
"""Standard deviation of lengths, as a share of their mean, below which they count as equal."""


def _recognised(lengths: Float32, cosine: Float32, least: float) -> Line | None:
    """Return the log-odds line over lengths (P,); None if lengths tell nothing of recognition."""
    seen = cosine != 0
    alike = cosine[seen] >= least
    if alike.all() or not alike.any():
        return None
    middle, spread = float(lengths[seen].mean()), float(lengths[seen].std())
    if spread < _SAME_LENGTH * middle:
        return None
    model = LogisticRegression(C=1e6).fit((lengths[seen, None] - middle) / spread, alike)
    slope = float(model.coef_[0, 0]) / spread
    if slope <= 0:
        return None
    midpoint = middle - float(model.intercept_[0]) / slope
    return Line(float(f"{midpoint:.4g}"), float(f"{slope:.4g}"))

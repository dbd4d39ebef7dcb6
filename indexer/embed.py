"""The best faces of a track in, unit vectors out: align, crop, judge, encode."""

from __future__ import annotations

import cv2
import numpy as np

from indexer import geometry
from indexer.nets import encoder as nets
from indexer.nets.encoder import Encoder
from indexer.nets.weights import EncoderFacts
from indexer.records import Detections, Float32, Float64, Track, Tracklet, UInt8

_READABLE_PX = 48.0
"""Width at which a face has given an encoder nearly all it will."""
_SHARP = 60.0
"""Mean squared Laplacian of a crop that is as sharp as the encoder can use."""


def align(image: UInt8, landmarks: Float32, facts: EncoderFacts) -> UInt8:
    """Return faces turned and scaled onto the encoder's template, (N, S, S, 3).

    Bilinear with a black border. A face much larger than the template is first averaged down,
    so that no pixel is skipped.

    Args:
        image: RGB uint8 (H, W, 3).
        landmarks: (N, 5, 2), pixels of the image.
        facts: the encoder's template and input size.
    """
    size = facts.input_size
    chips = np.zeros((len(landmarks), size, size, 3), dtype=np.uint8)
    template = np.array(facts.template, dtype=np.float32)
    turns = geometry.similarity_transform(landmarks, template)  # (N, 2, 3)
    for chip, turn in zip(chips, turns, strict=True):
        shrink = int(1 / max(float(np.hypot(*turn[:, 0])), 1e-3))
        source, placed = (image, turn) if shrink < 2 else _averaged(image, turn, size, shrink)  # noqa: PLR2004
        cv2.warpAffine(source, placed, (size, size), dst=chip, flags=cv2.INTER_LINEAR)
    return chips


def _averaged(image: UInt8, turn: Float64, size: int, shrink: int) -> tuple[UInt8, Float64]:
    """Return the part of an image that a crop needs, `shrink` times smaller, and its transform."""
    back = cv2.invertAffineTransform(turn)
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ back.T
    high = np.ceil(corners.max(axis=0)).astype(int) + 2 * shrink
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2 * shrink, 0, None)
    low = np.minimum(low, np.array(image.shape[1::-1]) - shrink)
    part = image[low[1] : high[1], low[0] : high[0]]
    rows, columns = part.shape[0] // shrink, part.shape[1] // shrink
    whole = part[: rows * shrink, : columns * shrink]
    small = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    # Pixel (u, v) of the small picture is centred on shrink * (u, v) + x, y of the large one.
    x, y = low + (shrink - 1) / 2
    placed = turn @ np.array([[shrink, 0, x], [0, shrink, y], [0, 0, 1]])
    return small.astype(np.uint8, copy=False), placed


def quality(detections: Detections, chips: UInt8) -> Float32:
    """Return how well an encoder can read each face, (N,) in [0, 1].

    The product of the detector's score, size (the width against 48 pixels, beyond which an
    encoder gains little), sharpness (of the aligned crop) and frontality (how near the nose is
    to the middle of the eyes and of the mouth).
    """
    width = detections.boxes[:, 2] - detections.boxes[:, 0]
    size = np.clip(width / _READABLE_PX, 0, 1)
    return (detections.scores * size * _sharpness(chips) * frontality(detections.landmarks)).astype(
        np.float32
    )


def _sharpness(chips: UInt8) -> Float32:
    grey = chips[:, 15:-15, 15:-15].mean(axis=3, dtype=np.float32)  # (N, S', S')
    energy = [float(np.mean(np.square(cv2.Laplacian(face, cv2.CV_32F)))) for face in grey]
    return np.sqrt(np.clip(np.array(energy, dtype=np.float32) / _SHARP, 0.04, 1))


def frontality(landmarks: Float32) -> Float32:
    """Return 1 for faces seen from the front, falling to 0.1 towards the profile, (N,).

    Args:
        landmarks: (N, 5, 2).
    """
    eyes, nose, mouth = landmarks[:, :2].mean(1), landmarks[:, 2], landmarks[:, 3:].mean(1)
    across = landmarks[:, 1] - landmarks[:, 0]
    down = mouth - eyes
    breadth = np.maximum(np.linalg.norm(across, axis=1), 1e-3)
    middle = (eyes + mouth) / 2
    axis, aside = _unit(down), nose - middle
    sideways = np.abs(axis[:, 0] * aside[:, 1] - axis[:, 1] * aside[:, 0]) / breadth
    narrow = breadth / np.maximum(np.linalg.norm(down, axis=1), 1e-3)
    turned = np.maximum(sideways * 1.5, 0.8 - narrow)
    return np.clip(1 - turned, 0.1, 1).astype(np.float32)


def _unit(vectors: Float32) -> Float32:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def mean(embeddings: Float32, weights: Float32) -> Float32:
    """Return the weighted mean of unit rows, itself of length one, (D,)."""
    return _unit(np.average(embeddings, axis=0, weights=np.maximum(weights, 1e-3))).astype(
        np.float32
    )


def embed(encoder: Encoder, tracklet: Tracklet, uid: int, end_s: float) -> Track:
    """Return the tracklet with its best faces encoded.

    Args:
        encoder: the encoder; the faces of one track go through it together, and alone, so that
            a track's vectors do not depend on what else was encoded.
        tracklet: with its best crops.
        uid: the track's number in the library.
        end_s: when its last frame leaves the screen.
    """
    trace = tracklet.trace
    embeddings = nets.encode(encoder, tracklet.chips)
    found = trace.boxes[trace.detected]
    return Track(
        uid=uid,
        shot=trace.shot,
        start_frame=int(trace.frames[0]),
        end_frame=int(trace.frames[-1]),
        start_s=float(trace.times[0]),
        end_s=end_s,
        detections=len(found),
        score=float(np.mean(trace.scores[trace.detected])),
        width_px=float(np.median(found[:, 2] - found[:, 0])),
        quality=tracklet.quality,
        exemplar_frames=tracklet.chip_frames,
        embeddings=embeddings,
        embedding=mean(embeddings, tracklet.quality),
    )

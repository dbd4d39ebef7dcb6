"""The best faces of a track in, unit vectors out: align, crop, rate, encode."""

from __future__ import annotations

import cv2
import numpy as np

from indexer import clothes, crops, geometry
from indexer.nets import encoder as nets
from indexer.nets.encoder import Encoder
from indexer.nets.weights import EncoderFacts
from indexer.records import Bool, Detections, Float32, Track, Tracklet, UInt8
from indexer.tear import Encoded, torn

_READABLE_PX = 48.0
"""Width of a face beyond which an encoder gains little."""
_SHARP = 200.0
"""Mean squared Laplacian of a face that is as sharp as the encoder can use, its eyes 35 pixels
apart."""
_BESIDE, _ABOVE = 1.11, 0.58
"""How far the face extends beside and above the middle of the eyes, in distances between the eyes;
it is taken to be square."""


def align(image: UInt8, landmarks: Float32, facts: EncoderFacts) -> UInt8:
    """Return faces turned and scaled onto the encoder's template, (N, S, S, 3).

    Args:
        image: RGB uint8 (H, W, 3).
        landmarks: (N, 5, 2), pixels of the image.
        facts: the encoder's template and input size.
    """
    template = np.array(facts.template, dtype=np.float32)
    turns = geometry.similarity_transform(landmarks, template)  # (N, 2, 3)
    return crops.cut(image, turns, facts.input_size)


def quality(detections: Detections, chips: UInt8, facts: EncoderFacts) -> Float32:
    """Return how well an encoder can read each face, (N,) in [0, 1].

    The product of the detector's score, size (the width against 48 pixels, beyond which an
    encoder gains little), sharpness (of the aligned crop), frontality (how near the nose is
    to the middle of the eyes and of the mouth) and the square of the crop's share that is in the
    picture.
    """
    size = np.clip(detections.widths / _READABLE_PX, 0, 1)
    rows, columns = _face(facts)
    faces = [chip[rows, columns] for chip in chips]
    inside = [_inside(face) for face in faces]
    share = np.array([mask.mean() for mask in inside], dtype=np.float32)
    sharp = np.array(list(map(_sharpness, faces, inside)), dtype=np.float32)
    front = frontality(detections.landmarks)
    return (detections.scores * size * sharp * front * share**2).astype(np.float32)


def _face(facts: EncoderFacts) -> tuple[slice, slice]:
    """Return the rows and columns of a crop that the face itself takes."""
    eyes = np.array(facts.template[:2])
    x, y = eyes.mean(axis=0)
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    left, top, side = x - _BESIDE * apart, y - _ABOVE * apart, 2 * _BESIDE * apart
    rows, columns = (slice(max(round(at), 0), round(at + side)) for at in (top, left))
    return rows, columns


def _inside(face: UInt8) -> Bool:
    """Return which pixels of a crop are in the picture and not in the black border, (S, S)."""
    seen = cv2.medianBlur(face.max(axis=2), 5) > 0
    return cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)


def _sharpness(face: UInt8, inside: Bool) -> float:
    """Return how sharp a crop is where it is in the picture, in [0.2, 1]."""
    grey = face.astype(np.float32) @ np.full(3, 1 / 3, dtype=np.float32)  # (S, S)
    energy = np.square(cv2.Laplacian(grey, cv2.CV_32F))[inside]
    return float(np.sqrt(np.clip(energy.sum() / max(energy.size, 1) / _SHARP, 0.04, 1)))


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


def embed(encoder: Encoder, tracklet: Tracklet) -> list[Encoded]:
    """Return the tracklet with its best faces encoded, in parts that each show one person.

    Args:
        encoder: the encoder; the faces of one track are a batch of their own, so that a track's
            vectors do not depend on what else was encoded.
        tracklet: with its best crops.
    """
    seen, calibration = nets.look(encoder, tracklet.chips), encoder.facts.calibration
    weights = tracklet.quality * calibration.recognised(seen.lengths)
    return torn(Encoded(tracklet, seen.vectors, weights), calibration)


def track(one: Encoded, uid: int, end_s: float) -> Track:
    """Return an encoded tracklet as a track.

    Args:
        one: the encoded tracklet.
        uid: the track's number in the library.
        end_s: when its last frame leaves the screen.
    """
    tracklet, trace = one.tracklet, one.tracklet.trace
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
        embeddings=one.embeddings,
        embedding=mean(one.embeddings, one.weights),
        clothes=clothes.mean(tracklet.clothes),
    )

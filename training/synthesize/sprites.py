"""Heads in, people out: cut out the head, put a body under it, paste both into a frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from indexer.records import Bool, Float32, Float64, UInt8
from training.synthesize.heads import CROP, Head, shrunk
from training.synthesize.shape import (
    HEAD_HALF,
    HEAD_UP,
    SHOULDER_WIDTH,
    STRIDE,
    legs,
    neck,
    torso,
)

_MASK_FACE = 56
"""Face height in pixels at which the head is segmented from the background."""
_SHARP = 0.2
"""Defocus, in pixels, below which nothing is blurred."""
_INNER = 0.85
"""From this share of the head's ellipse outwards, background is more likely than hair."""


@dataclass(frozen=True, slots=True)
class Sprite:
    """A person cut out, ready to be pasted."""

    colours: UInt8
    """(H, W, 3), premultiplied with alpha."""
    alpha: UInt8
    """(H, W)."""
    anchor: Float64
    """(2,), x and y of the face's middle."""
    face: Float64
    """(2,), width and height of the face box."""


def cut_out(head: Head, tall: float, below: float, rng: np.random.Generator) -> Sprite:
    """Return the person with this head, in random clothes.

    Args:
        head: the head.
        tall: the tallest face box that will be pasted, in pixels.
        below: how far down the body reaches, in face heights from the face's middle.
        rng: decides on the clothes.
    """
    whole, face = _body(head, tall, below, rng), _face(head, tall)
    high, wide = face.alpha.shape
    left = (whole.alpha.shape[1] - wide) // 2
    inner = (slice(0, high), slice(left, left + wide))
    colours, alpha = whole.colours.copy(), whole.alpha.copy()
    rest = cv2.cvtColor(255 - face.alpha, cv2.COLOR_GRAY2RGB)
    colours[inner] = cv2.add(face.colours, cv2.multiply(colours[inner], rest, scale=1 / 255))
    alpha[inner] = cv2.add(face.alpha, cv2.multiply(alpha[inner], rest[..., 0], scale=1 / 255))
    return replace(whole, colours=colours, alpha=alpha)


def cut_apart(
    head: Head, tall: float, below: float, rng: np.random.Generator
) -> tuple[Sprite, Sprite]:
    """Return the body, and the head that may be tilted on it; the arguments are as of `cut_out`."""
    return _body(head, tall, below, rng), _face(head, tall)


def _body(head: Head, tall: float, below: float, rng: np.random.Generator) -> Sprite:
    scale = min(1.0, tall / head.face[1])
    pixels, face = shrunk(head.pixels, scale), head.face * scale
    width = 2 * int(np.ceil(SHOULDER_WIDTH / 2 * face[0] + 3))
    width = max(width, pixels.shape[1] + pixels.shape[1] % 2)
    anchor = np.array([width / 2, pixels.shape[0] / 2])
    height = int(anchor[1] + max(below, CROP[1]) * face[1]) + 1
    xs, ys = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    u, v = (xs - anchor[0]) / face[0], (ys - anchor[1]) / face[1]
    colours = np.zeros((height, width, 3), np.float32)
    alpha = np.zeros((height, width, 1), np.float32)
    shade = 0.7 + 0.5 * np.clip(v - 0.55, 0, 0.5)  # the chin's shadow on the neck
    skin = (skin_tone(pixels) * shade[..., None]).astype(np.float32)
    soft = 0.3 + 0.015 * float(face[1])
    _over(colours, alpha, clothes(u, v, rng), _soften(torso(u, v), soft))
    _over(colours, alpha, _trousers(u, rng), _soften(legs(u, v), soft))
    _over(colours, alpha, skin, _soften(neck(u, v), soft))
    return Sprite(_levels(colours), _levels(255 * alpha[..., 0]), anchor, face)


def _face(head: Head, tall: float) -> Sprite:
    scale = min(1.0, tall / head.face[1])
    pixels = shrunk(head.pixels, scale)
    mask = cv2.resize(_head_mask(head), pixels.shape[1::-1]).astype(np.float32)[..., None]
    anchor = np.array(pixels.shape[1::-1]) / 2
    return Sprite(_levels(pixels * mask), _levels(255 * mask[..., 0]), anchor, head.face * scale)


def shaded(sprite: Sprite, light: float, side: float) -> Sprite:
    """Return a sprite in other light: brighter or darker, and more so to one side.

    Args:
        sprite: of a person or thing.
        light: factor of the colours.
        side: how much brighter the right edge of the face is than its middle, as a share.
    """
    wide = sprite.alpha.shape[1]
    u = (np.arange(wide) + 0.5 - sprite.anchor[0]) / sprite.face[0]
    gain = light * (1 + side * np.clip(2 * u, -1.2, 1.2))
    colours = sprite.colours * gain[:, None].astype(np.float32)
    return replace(sprite, colours=np.minimum(_levels(colours), sprite.alpha[..., None]))


def flipped(sprite: Sprite) -> Sprite:
    """Return a sprite mirrored left to right."""
    anchor = np.array([sprite.alpha.shape[1] - sprite.anchor[0], sprite.anchor[1]])
    colours, alpha = (np.ascontiguousarray(p[:, ::-1]) for p in (sprite.colours, sprite.alpha))
    return replace(sprite, colours=colours, alpha=alpha, anchor=anchor)


def relit(head: Head, level: float, share: float) -> Head:
    """Return a head, its face nearer to a level: gain (level / mean) ** share, in 0.5 to 1.6."""
    (high, wide), (x, y) = head.pixels.shape[:2], head.face / 4
    inner = head.pixels[
        int(high / 2 - y) : int(high / 2 + y), int(wide / 2 - x) : int(wide / 2 + x)
    ]
    gain = float(np.clip((level / max(float(inner.mean()), 1.0)) ** share, 0.5, 1.6))
    return replace(head, pixels=cv2.convertScaleAbs(head.pixels, alpha=gain).astype(np.uint8))


def paste(
    frame: UInt8, sprite: Sprite, box: Float64, angle: float, speed: Float64, defocus: float = 0.0
) -> None:
    """Draw a sprite into a frame, in place.

    Args:
        frame: (H, W, 3).
        sprite: of a person or thing.
        box: (4,), where the face goes.
        angle: degrees clockwise.
        speed: (2,), pixels per frame, for motion blur.
        defocus: standard deviation in pixels.
    """
    scale = (box[2:] - box[:2]) / sprite.face
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[cos, -sin], [sin, cos]]) * scale  # (2, 2), columns scaled
    high, wide = sprite.alpha.shape
    corners = np.array([[0, 0], [wide, 0], [0, high], [wide, high]]) - sprite.anchor
    reach = corners @ turn.T + (box[:2] + box[2:]) / 2  # (4, 2)
    low = np.clip(np.floor(reach.min(axis=0)), 0, frame.shape[1::-1]).astype(int)
    top = np.clip(np.ceil(reach.max(axis=0)), 0, frame.shape[1::-1]).astype(int)
    if np.any(top <= low):
        return
    half = np.array([0.5, 0.5])  # cv2 counts from the middle of a pixel, boxes from its corner
    shift = (box[:2] + box[2:]) / 2 - low + turn @ (half - sprite.anchor) - half
    matrix, size = np.column_stack([turn, shift]), (int(top[0] - low[0]), int(top[1] - low[1]))
    blur = (1 + 2 * int(abs(speed[0]) / 4), 1 + 2 * int(abs(speed[1]) / 4))
    colours, alpha = (cv2.warpAffine(p, matrix, size) for p in (sprite.colours, sprite.alpha))
    if blur != (1, 1):
        colours, alpha = cv2.blur(colours, blur), cv2.blur(alpha, blur)
    if defocus >= _SHARP:
        colours, alpha = (cv2.GaussianBlur(p, (0, 0), defocus) for p in (colours, alpha))
    part = frame[low[1] : top[1], low[0] : top[0]]
    behind = cv2.multiply(part, cv2.cvtColor(255 - alpha, cv2.COLOR_GRAY2RGB), scale=1 / 255)
    part[:] = cv2.add(behind, colours)


def _over(below: Float32, alpha: Float32, colours: Float32, cover: Float32) -> None:
    """Lay one layer over premultiplied others, in place (Porter and Duff 1984)."""
    below += (colours - below) * cover
    alpha += (1 - alpha) * cover


def _soften(inside: Bool, sigma: float) -> Float32:
    return cv2.GaussianBlur(inside.astype(np.float32), (0, 0), sigma).astype(np.float32)[..., None]


def _levels(values: Float32) -> UInt8:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def skin_tone(pixels: UInt8) -> Float32:
    """Return the median colour of the cheeks and the nose, (3,)."""
    high, wide = pixels.shape[:2]
    middle = pixels[int(0.5 * high) : int(0.62 * high), int(0.36 * wide) : int(0.64 * wide)]
    return np.median(middle.reshape(-1, 3), axis=0).astype(np.float32)


def clothes(u: Float64, v: Float64, rng: np.random.Generator) -> Float32:
    """Return a garment's colours, (H, W, 3): plain or striped, darker towards the sides."""
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(0.1, 0.65), rng.uniform(0.2, 0.85)]]])
    base = 255 * cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)
    lean = rng.uniform(0, np.pi)
    stripes = np.sin(rng.uniform(12, 30) * (np.cos(lean) * u + np.sin(lean) * v))
    bold = rng.choice([0.0, 0.0, 0.12, 0.25])
    shade = (1 - 0.4 * (u / SHOULDER_WIDTH * 2) ** 2) * (1 + bold * stripes)
    return (base * shade[..., None]).astype(np.float32)


def _trousers(u: Float64, rng: np.random.Generator) -> Float32:
    """Return the colours of trousers, (H, W, 3): dark, darker where a leg turns away."""
    colour = rng.uniform(20, 80) * rng.uniform(0.8, 1.2, 3)
    shade = 1 - 0.9 * np.clip(np.abs(np.abs(u) - STRIDE), 0, 0.5)
    return (colour * shade[..., None]).astype(np.float32)


def _head_mask(head: Head) -> Float32:
    """Return how much each pixel belongs to the head, in [0, 1], shrunk to `_MASK_FACE`.

    By GrabCut (Rother et al. 2004): surely head within an inner ellipse, surely background outside
    an outer one.
    """
    scale = min(1.0, _MASK_FACE / head.face[1])
    small = shrunk(head.pixels, scale)
    high, wide = small.shape[:2]
    xs, ys = np.meshgrid(np.arange(wide) + 0.5, np.arange(high) + 0.5)
    u, v = (xs - wide / 2) / (head.face[0] * scale), (ys - high / 2) / (head.face[1] * scale)
    outer = np.hypot(u / HEAD_HALF[0], (v + HEAD_UP) / HEAD_HALF[1])
    inner = np.hypot(u / 0.56, v / 0.6)
    marks = np.full((high, wide), cv2.GC_PR_FGD, np.uint8)
    marks[outer > _INNER] = cv2.GC_PR_BGD
    marks[outer > 1] = cv2.GC_BGD
    marks[inner < 1] = cv2.GC_FGD
    cv2.setRNGSeed(0)  # GrabCut starts from a random clustering
    models = (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.grabCut(small, marks, (0, 0, 0, 0), *models, 3, cv2.GC_INIT_WITH_MASK)
    found = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    kept = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    edge = np.clip((1 - outer) / 0.08, 0, 1).astype(np.float32)
    return cv2.GaussianBlur(kept.astype(np.float32), (0, 0), 0.9) * edge

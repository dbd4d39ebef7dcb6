"""Sprites without a face: a post, a hand, somebody from behind."""

from __future__ import annotations

import cv2
import numpy as np

from indexer.records import Bool, Float32, Float64, UInt8
from training.synthesize.shape import SHOULDER_WIDTH, silhouette
from training.synthesize.sprites import Sprite, clothes

_SIDE = 48
"""Side of a hand's box, in pixels."""
_FACE = np.array([40.0, 52.0])
"""Width and height, in pixels, of the face that a back would have; it is always out of focus."""
_NAPE = 0.66


def post(rng: np.random.Generator) -> Sprite:
    """Return a post that fills its box: round, of wood or metal."""
    across = np.linspace(-1, 1, 24)
    shade = 0.35 + 0.65 * np.sqrt(1 - 0.9 * across**2)
    colour = rng.uniform(25, 120) * rng.uniform(0.8, 1.2, 3)
    colours = np.broadcast_to(shade[:, None] * colour, (64, 24, 3))
    return _sprite(
        colours.astype(np.float32), np.ones((64, 24), np.float32), np.array([24.0, 64.0])
    )


def hand(skin: Float32) -> Sprite:
    """Return a hand that fills the ellipse in its box.

    Args:
        skin: (3,), colour of the person's skin.
    """
    xs, ys = np.meshgrid(np.arange(3 * _SIDE) + 0.5, np.arange(8 * _SIDE) + 0.5)
    u, v = xs / _SIDE - 1.5, ys / _SIDE - 0.5
    inside = np.hypot(u, v) <= 0.5  # noqa: PLR2004 - the ellipse in the box
    arm = (np.abs(u - 0.1 - 0.12 * v) < 0.24 + 0.03 * v) & (v > 0)
    fingers = 1 - 0.22 * (np.abs(np.sin(np.pi * 4 * (u + 0.5))) < 0.25) * (v < 0.1)  # noqa: PLR2004
    shade = (fingers * np.clip(0.95 - 0.3 * v, 0.6, 1.1))[..., None]
    middle = np.array([1.5 * _SIDE, 0.5 * _SIDE])
    box = np.array([float(_SIDE), _SIDE])
    return _sprite((skin * shade).astype(np.float32), _soft(inside | arm, 1.0), box, middle)


def back(rng: np.random.Generator, dressed: np.random.Generator) -> Sprite:
    """Return somebody seen from behind: hair and clothes.

    Args:
        rng: decides on the hair.
        dressed: decides on the clothes; with the same state as from the front, they are the same.
    """
    wide = 2 * int(np.ceil(SHOULDER_WIDTH / 2 * _FACE[0] + 3))
    high, top = int(9 * _FACE[1]), 1.1 * _FACE[1]
    anchor = np.array([wide / 2, top])
    xs, ys = np.meshgrid(np.arange(wide) + 0.5, np.arange(high) + 0.5)
    u, v = (xs - anchor[0]) / _FACE[0], (ys - anchor[1]) / _FACE[1]
    colours = clothes(u, v, dressed)
    strands = 1 + 0.12 * np.sin(40 * u + 3 * np.sin(5 * v)) - 0.35 * u**2
    hair = rng.uniform(20, 150) * np.array([1.0, rng.uniform(0.7, 0.95), rng.uniform(0.5, 0.9)])
    head = (v < _NAPE)[..., None]
    colours = np.where(head, hair * strands[..., None], colours).astype(np.float32)
    return _sprite(colours, _soft(silhouette(u, v), 1.0), _FACE, anchor)


def _soft(inside: Bool, sigma: float) -> Float32:
    return cv2.GaussianBlur(inside.astype(np.float32), (0, 0), sigma).astype(np.float32)


def _sprite(
    colours: Float32, alpha: Float32, box: Float64, anchor: Float64 | None = None
) -> Sprite:
    """Return a sprite of colours not yet premultiplied, anchored in its middle by default."""
    high, wide = alpha.shape
    middle = np.array([wide / 2, high / 2]) if anchor is None else anchor
    return Sprite(_levels(colours * alpha[..., None]), _levels(255 * alpha), middle, box)


def _levels(values: Float32) -> UInt8:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)

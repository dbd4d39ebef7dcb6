"""Painted rooms, and how a camera shows them: where it looks, light, grain."""

from __future__ import annotations

import cv2
import numpy as np

from indexer.records import Float32, Float64, UInt8
from training.synthesize.spec import EpisodeSpec

_ROOM = 1.3
"""A room is painted this many times as wide and high as the frame, so that the camera can pan."""
_GOLDEN = 0.618
"""Share of the colour circle between the hues of successive rooms, so that none come close."""
_GRAIN_MARGIN = 64


def room_size(spec: EpisodeSpec) -> tuple[int, int]:
    """Return the width and height of a room in pixels."""
    return round(_ROOM * spec.width), round(_ROOM * spec.height)


def paint_place(spec: EpisodeSpec, place: int) -> UInt8:
    """Return a room, (H, W, 3), larger than the frame: walls, floor, furniture out of focus."""
    rng = np.random.default_rng([spec.seed, 3, place])
    wide, high = room_size(spec)
    hue = (np.random.default_rng([spec.seed, 4]).random() + _GOLDEN * place) % 1
    bright = rng.uniform(0.55, 0.85) if place % 2 else rng.uniform(0.25, 0.45)
    room = np.empty((high, wide, 3), np.float32)
    tint = rng.uniform(0.2, 0.4)
    top, bottom = _colour(hue, tint, bright), _colour(hue, 1.4 * tint, 0.7 * bright)
    room[:] = top + (bottom - top) * np.linspace(0, 1, high, dtype=np.float32)[:, None, None]
    floor = int(high * rng.uniform(0.68, 0.8))
    room[floor:] = _colour(hue + rng.uniform(0.05, 0.15), 0.5, 0.6 * bright)
    for _ in range(rng.integers(6, 11)):
        _furnish(room, rng, floor, hue)
    room *= 1 + 0.18 * _clouds(rng, wide, high)
    soft = cv2.GaussianBlur(room, (0, 0), high / 220)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (high, wide)).astype(np.float32), (0, 0), 1.0)
    return np.clip(soft + 5 * texture[..., None], 0, 255).astype(np.uint8)


def _furnish(room: Float32, rng: np.random.Generator, floor: int, hue: float) -> None:
    """Draw a piece of furniture on the floor, or a window or picture on the wall, in place."""
    high, wide = room.shape[:2]
    size = (rng.uniform(0.05, 0.25, 2) * (wide, high)).astype(int)
    x = int(rng.integers(-size[0] // 2, wide - size[0] // 2))
    hangs = rng.integers(2) == 1
    y = int(rng.uniform(0.02, 0.4) * high) if hangs else floor + size[1] // 4 - size[1]
    value = rng.uniform(0.5, 0.95) if hangs else rng.uniform(0.12, 0.55)
    base = _colour(hue + rng.normal(0, 0.15), rng.uniform(0.1, 0.6), value)
    start, end = (x, y), (x + int(size[0]), y + int(size[1]))
    cv2.rectangle(room, start, end, base.tolist(), cv2.FILLED)
    cv2.rectangle(room, start, end, (0.55 * base).tolist(), max(1, high // 150), cv2.LINE_AA)
    for part in range(1, int(rng.integers(1, 4))):
        middle = y + part * int(size[1]) // 3
        ends = (x, middle), (x + int(size[0]), middle)
        cv2.line(room, *ends, (0.6 * base).tolist(), max(1, high // 200), cv2.LINE_AA)


def _colour(hue: float, saturation: float, value: float) -> Float32:
    """Return an RGB colour in levels, (3,), from hue as a share of a circle, and shares of 1."""
    hsv = np.array([[[360 * (hue % 1), saturation, value]]], np.float32)
    return 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]


def _clouds(rng: np.random.Generator, wide: int, high: int) -> Float32:
    coarse = rng.normal(0, 1, (5, 8)).astype(np.float32)
    smooth = cv2.resize(coarse, (wide, high), interpolation=cv2.INTER_CUBIC)
    return smooth.astype(np.float32, copy=False)[..., None]


def camera(spec: EpisodeSpec, rng: np.random.Generator, count: int) -> Float64:
    """Return a slow pan: for each frame, the affine map from the room to the frame, (T, 2, 3)."""
    size = np.array([spec.width, spec.height])
    zoom = rng.uniform(1.0, 1.3)
    free = np.round(_ROOM * size) - size / zoom
    start = rng.uniform(0, 1, 2) * free
    seconds = count / float(spec.fps)
    end = np.clip(start + rng.normal(0, 0.012, 2) * seconds * spec.width, 0, free)
    corner = start + (end - start) * np.linspace(0, 1, count)[:, None]  # (T, 2)
    mirrored = rng.integers(2) == 1
    views = np.zeros((count, 2, 3))
    views[:, 0, 0], views[:, 1, 1] = zoom, zoom
    views[:, :, 2] = -zoom * corner
    if mirrored:
        views[:, 0] = -views[:, 0]
        views[:, 0, 2] += spec.width
    return views


def light(rng: np.random.Generator) -> UInt8:
    """Return a shot's light as a table from level to level, (256, 1, 3): gain, gamma and tint."""
    gain = rng.uniform(0.75, 1.12) * rng.uniform(0.95, 1.05, 3)
    curve = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.8, 1.25)
    return np.clip(np.round(255 * gain * curve), 0, 255).astype(np.uint8)[:, None]


def grain(spec: EpisodeSpec) -> UInt8:
    """Return noise to add and noise to subtract, (2, H, W, 3), larger than the frame."""
    margin = _GRAIN_MARGIN
    shape = (spec.height + margin, spec.width + margin, 3)
    rng = np.random.default_rng([spec.seed, 5])
    noise = np.round(spec.noise * rng.standard_normal(shape, np.float32))
    return np.clip(np.stack([noise, -noise]), 0, 255).astype(np.uint8)


def add_grain(frame: UInt8, noise: UInt8, rng: np.random.Generator) -> UInt8:
    """Return the frame with a randomly placed piece of the noise on it."""
    y, x = rng.integers(0, _GRAIN_MARGIN, 2)
    more, less = noise[:, y : y + frame.shape[0], x : x + frame.shape[1]]
    return cv2.subtract(cv2.add(frame, more), less).astype(np.uint8)

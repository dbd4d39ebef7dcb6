"""A person's shape, in face units.

`u` counts face widths to the right and `v` face heights down from the middle of the face box, so
one shape fits every still and every size on screen.
"""

from __future__ import annotations

import numpy as np

from indexer.records import Bool, Float64

HEAD_WIDTH = 1.6
"""Width of a head with its hair, in face widths."""
SHOULDER_WIDTH = 3.0
_NECK_WIDTH = 0.68
_CHIN, _COLLAR = 0.3, 0.66
"""Where the neck comes out of the head and goes into the torso, in face heights."""
_HIP, _FEET = 4.1, 8.6
_LEG = 0.95
"""Width of a leg, in face widths,"""
STRIDE = 0.52
"""and how far its middle is from the body's middle."""
HEAD_HALF = (HEAD_WIDTH / 2, 0.86)
"""Half the width and height of a head."""
HEAD_UP = 0.08
"""The head's middle is this much above the face's, in face heights."""


def silhouette(u: Float64, v: Float64) -> Bool:
    """Return which points are on a head, neck, torso or leg; arrays of any shape, in face units."""
    head = (u / HEAD_HALF[0]) ** 2 + ((v + HEAD_UP) / HEAD_HALF[1]) ** 2 <= 1
    return head | neck(u, v) | torso(u, v) | legs(u, v)


def neck(u: Float64, v: Float64) -> Bool:
    """Return which points are on the neck: a column, and the skin that an open collar shows."""
    width = _NECK_WIDTH * (1 - 1.6 * np.clip(v - _COLLAR - 0.06, 0, None))
    return (2 * np.abs(u) < width) & (v > _CHIN)


def torso(u: Float64, v: Float64) -> Bool:
    """Return which points are on the torso: shoulders that slope and round off to straight arms."""
    down = np.clip((v - _COLLAR) / 0.45, 0, 1)
    width = _NECK_WIDTH + (SHOULDER_WIDTH - _NECK_WIDTH) * np.sin(np.pi / 2 * down) ** 0.8
    return (2 * np.abs(u) < width) & (v > _COLLAR) & (v < _HIP)


def legs(u: Float64, v: Float64) -> Bool:
    """Return which points are on the legs: two straight columns."""
    return (np.abs(np.abs(u) - STRIDE) < _LEG / 2) & (v >= _HIP) & (v < _FEET)

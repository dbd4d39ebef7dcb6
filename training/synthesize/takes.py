"""One shot as it is drawn: where the camera looks, who moves how, what is in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from indexer.records import Bool, Float32, Float64, UInt8
from training.synthesize.shape import SHOULDER_WIDTH, silhouette

UPRIGHT = 0.2
"""Share of its head's tilt by which a body tilts."""
_TICKS = (np.arange(12) + 0.5) / 12 - 0.5
_GRID = np.stack(np.meshgrid(_TICKS, _TICKS), axis=-1).reshape(-1, 2)  # (144, 2)


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody in a shot: T rows."""

    name: str
    still: str
    clothes: int
    mirrored: bool
    boxes: Float32
    """(T, 4), of the face."""
    angles: Float32
    """(T,), degrees clockwise."""
    light: float
    """Factor of the colours."""
    side: float
    """How much brighter the right edge of the face is than its middle, as a share."""
    blur: float
    """Standard deviation of the defocus, in pixels."""


@dataclass(frozen=True, slots=True)
class Prop:
    """Something in front of everybody: a post, a hand, or somebody seen from behind."""

    kind: Literal["bar", "hand", "back"]
    name: str
    """Whose hand or back it is; empty for a post."""
    boxes: Float32
    """(T, 4); of a back, where its face would be."""
    blur: float


@dataclass(frozen=True, slots=True)
class Take:
    """One shot: T frames, including those of the dissolves at its ends."""

    place: int
    camera: Float64
    """(T, 2, 3), from the room to the frame."""
    levels: UInt8
    """(256, 1, 3), from level to level."""
    clothes: int
    actors: tuple[Actor, ...]
    """People in front come later."""
    props: tuple[Prop, ...]
    caption: str = ""
    """Written across the lower part."""

    def __len__(self) -> int:
        return len(self.camera)


def part(take: Take, start: int, count: int) -> Take:
    """Return some frames of a take."""
    rows = slice(start, start + count)
    return replace(
        take,
        camera=take.camera[rows],
        actors=tuple(
            replace(actor, boxes=actor.boxes[rows], angles=actor.angles[rows])
            for actor in take.actors
        ),
        props=tuple(replace(prop, boxes=prop.boxes[rows]) for prop in take.props),
    )


def visible(take: Take, width: int, height: int) -> list[Float32]:
    """Return for each actor the share of a grid in the box, in the frame, not hidden, (T,)."""
    shares = []
    for number, actor in enumerate(take.actors):
        points = _points(actor.boxes)
        seen = np.all((points >= 0) & (points < (width, height)), axis=2)
        for other in take.actors[number + 1 :]:
            rows = _near(actor.boxes, other.boxes)
            seen[rows] &= ~_behind_person(
                points[rows], other.boxes[rows], UPRIGHT * other.angles[rows]
            )
        for prop in take.props:
            rows = _near(actor.boxes, prop.boxes)
            seen[rows] &= ~_behind_prop(points[rows], prop.kind, prop.boxes[rows])
        shares.append(np.round(seen.mean(axis=1), 3).astype(np.float32))
    return shares


def _points(boxes: Float32) -> Float64:
    """Return a grid of points in each box, (T, 144, 2)."""
    corners = boxes.astype(np.float64)
    middle, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    return middle[:, None] + _GRID * size[:, None]


def _near(boxes: Float32, others: Float32) -> Bool:
    """Return in which rows a person or thing is close enough to hide part of a box, (T,)."""
    away = np.abs((boxes[:, 0] + boxes[:, 2]) - (others[:, 0] + others[:, 2])) / 2
    sizes = boxes[:, 2:] - boxes[:, :2], others[:, 2:] - others[:, :2]
    leaning = 0.5 * sizes[1][:, 1]  # a tilted body reaches farther to the side
    return away < sizes[0][:, 0] / 2 + SHOULDER_WIDTH / 2 * sizes[1][:, 0] + leaning


def _behind_person(points: Float64, boxes: Float32, angles: Float32) -> Bool:
    u, v = _relative(points, boxes, angles)
    return silhouette(u, v)


def _behind_prop(points: Float64, kind: str, boxes: Float32) -> Bool:
    u, v = _relative(points, boxes, np.zeros(len(boxes), np.float32))
    if kind == "back":
        return silhouette(u, v)
    if kind == "hand":
        return np.hypot(u, v) <= 0.5  # noqa: PLR2004 - the ellipse in the box
    return np.maximum(np.abs(u), np.abs(v)) <= 0.5  # noqa: PLR2004 - the box


def _relative(points: Float64, boxes: Float32, angles: Float32) -> Sequence[Float64]:
    """Return points' distances right and down from the boxes' middles, in boxes, (T, 144) each."""
    corners = boxes.astype(np.float64)
    middle, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    away = points - middle[:, None]
    turn = np.exp(-1j * np.radians(angles.astype(np.float64)))[:, None]
    turned = turn * (away[..., 0] + 1j * away[..., 1])
    return turned.real / size[:, :1], turned.imag / size[:, 1:]

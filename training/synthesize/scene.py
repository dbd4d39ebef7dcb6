"""People at a place: who stands where in the room, and what a camera can be pointed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.records import UInt8
from training.synthesize.places import room_size
from training.synthesize.script import Look
from training.synthesize.season_spec import SeasonSpec

FACE = 16.0
"""Width of a face in the room, in units of the spec."""
TALL = 1.3
"""Height of a mean face over its width."""
_BRIGHT, _DIM, _DIM_SHARE = (0.8, 1.1), (0.45, 0.7), 0.3


@dataclass(frozen=True, slots=True)
class Seat:
    """Where somebody stands in the room, in pixels of the room."""

    name: str
    x: float
    y: float
    width: float
    """Width of the face; people with larger faces stand in front."""


@dataclass(frozen=True, slots=True)
class Scene:
    """People at a place, dressed and lit."""

    place: int
    clothes: int
    seats: tuple[Seat, ...]
    """From left to right."""
    levels: UInt8
    """The light, as `Take.levels`."""
    side: float
    """Mean of its actors' `Actor.side`."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a camera is pointed at; a scene returns to the same setups."""

    focus: tuple[str, ...]
    """Neighbours that the camera is pointed at; empty in a shot without faces."""
    width: float
    """Width of their faces in the frame, in units of the spec."""
    aside: float = 0.0
    """How far right of the middle they are, as a share of the frame's width."""
    before: str = ""
    """Over whose shoulder the camera looks, if anybody's."""


@dataclass(frozen=True, slots=True)
class Brief:
    """All that a shot is made from, except chance and time."""

    spec: SeasonSpec
    scene: Scene
    setup: Setup
    looks: Mapping[str, Sequence[Look]]
    lively: bool = True
    """Whether people may come and go, and things may come between."""


def seats(spec: SeasonSpec, rng: np.random.Generator, names: Sequence[str]) -> tuple[Seat, ...]:
    """Return where a scene's people stand: in two groups that face each other across a gap."""
    face = FACE * spec.unit
    steps = rng.uniform(2.9, 4.6, len(names)) * face
    steps[len(names) // 2 : len(names) // 2 + 1] += rng.uniform(0.0, 2.0) * face
    across = np.cumsum(steps) - steps[:1]
    wide, high = room_size(spec.film)
    left = (wide - across.max(initial=0.0)) / 2 + rng.uniform(-0.06, 0.06) * wide
    level = rng.uniform(0.40, 0.44) * high
    order = rng.permutation(np.array(names, object)).tolist()
    return tuple(
        Seat(
            name=name,
            x=float(left + x),
            y=float(level + rng.uniform(-0.6, 0.6) * face * TALL),
            width=float(face * rng.uniform(0.88, 1.12)),
        )
        for name, x in zip(order, across, strict=True)
    )


def light_scene(rng: np.random.Generator, dim: float = _DIM_SHARE) -> UInt8:
    """Return a scene's light, (256, 1, 3), tinted: dim with probability `dim`, else bright."""
    low, high = _DIM if rng.random() < dim else _BRIGHT
    gain = rng.uniform(low, high) * rng.uniform(0.93, 1.07, 3)
    curve = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.85, 1.3)
    return np.clip(np.round(255 * gain * curve), 0, 255).astype(np.uint8)[:, None]

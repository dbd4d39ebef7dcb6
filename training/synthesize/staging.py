"""A brief in, a take out: who is where in every frame of a shot.

The camera looks at a part of the room from farther or nearer, so whoever is small in the wide
shot is large in the close-up, in front of the same wall and beside the same neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from indexer.records import Float32, Float64
from training.synthesize.motion import ramp, sway
from training.synthesize.obstacles import obstacles
from training.synthesize.places import room_size
from training.synthesize.scene import FACE, TALL, Brief, Seat
from training.synthesize.script import Look
from training.synthesize.shape import SHOULDER_WIDTH
from training.synthesize.takes import Actor, Take

_PROFILES = ((20.0, 4.0), (34.0, 9.0), (np.inf, -2.0))
"""How strongly turned stills are preferred, up to each width of a face in units of the spec."""
_LOOKS_ASIDE = 0.08
"""Turn from which a still is mirrored if the person would look away from the others."""
_LEAVING, _CROSSING = 0.22, 0.15
"""Share of the long enough shots in which somebody leaves and comes back, or two change places."""
_LEAVING_S, _CROSSING_S, _STEP_S = 2.4, 3.0, 0.7


def stage(brief: Brief, rng: np.random.Generator, times: Float64) -> tuple[Take, tuple[Seat, ...]]:
    """Return a shot, and who is where after it.

    Args:
        brief: what the shot is made from.
        rng: source of chance.
        times: (T,), of its frames, in seconds from the first.
    """
    view = _view(brief, rng, times)
    paths, after = _paths(brief, rng, times)
    actors = []
    for one in sorted(brief.scene.seats, key=lambda one: one.width):
        room = paths[one.name]
        frame = np.column_stack(
            [view[:, 2:] * (room[:, :2] - view[:, :2]), view[:, 2] * room[:, 2]]
        )
        if _in_sight(brief, frame):
            actors.append(_actor(brief, rng, one, frame, times))
    take = Take(
        place=brief.scene.place,
        camera=_matrices(view),
        levels=brief.scene.levels,
        clothes=brief.scene.clothes,
        actors=tuple(actors),
        props=(),
    )
    return replace(take, props=obstacles(brief, rng, take, times)), after


def _view(brief: Brief, rng: np.random.Generator, times: Float64) -> Float64:
    """Return the upper left corner of the camera's view in the room, and its zoom, (T, 3)."""
    spec, setup = brief.spec, brief.setup
    size = np.array([spec.width, spec.height], np.float64)
    room = np.array(room_size(spec.film))
    zoom = np.clip(setup.width / FACE, size.max() / room.max() * 1.03, 12.0)
    focus = [one for one in brief.scene.seats if one.name in setup.focus]
    middle = room * rng.uniform(0.3, 0.7, 2)
    if focus:
        middle = np.mean([(one.x, one.y) for one in focus], axis=0)
        up = 0.5 - rng.uniform(0.38, 0.44)  # eyes above the middle
        middle += np.array([-setup.aside, up]) * size / zoom
    push = 1 + rng.choice([0.0, 0.0, 0.06, -0.04]) * times / max(float(times[-1]), 1e-9)
    zooms = np.maximum(zoom * push, size.max() / room.max() * 1.01)
    drift = rng.normal(0, 0.006, 2) * size[0] / zoom * times[:, None]
    shake = np.stack([sway(rng, times), sway(rng, times)], axis=1) * rng.choice([0.0, 1.5]) / zoom
    corner = middle + drift + shake * spec.unit - size / 2 / zooms[:, None]
    corner = np.clip(corner, 0, room - size / zooms[:, None])
    return np.column_stack([corner, zooms])


def _matrices(view: Float64) -> Float64:
    """Return the affine maps from the room to the frame, (T, 2, 3)."""
    matrices = np.zeros((len(view), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = view[:, 2]
    matrices[:, :, 2] = -view[:, 2:] * view[:, :2]
    return matrices


def _paths(
    brief: Brief, rng: np.random.Generator, times: Float64
) -> tuple[dict[str, Float64], tuple[Seat, ...]]:
    """Return everybody's x, y and width of the face in the room, (T, 3), and the seats after it."""
    seats = brief.scene.seats
    paths = {}
    for one in seats:
        x = one.x + one.width * (0.35 * sway(rng, times) + rng.uniform(-0.2, 0.2))
        y = one.y + one.width * 0.12 * sway(rng, times)
        paths[one.name] = np.column_stack([x, y, one.width * (1 + 0.05 * sway(rng, times))])
    lasts = float(times[-1])
    if not brief.lively or len(brief.setup.focus) == 0:
        return paths, seats
    if len(seats) > 1 and lasts >= _CROSSING_S and rng.random() < _CROSSING:
        return paths, _cross(rng, seats, paths, times)
    if lasts >= _LEAVING_S and rng.random() < _LEAVING:
        _leave(brief, rng, paths, times)
    return paths, seats


def _cross(
    rng: np.random.Generator, seats: Sequence[Seat], paths: dict[str, Float64], times: Float64
) -> tuple[Seat, ...]:
    """Let two neighbours change places, one passing before the other; return the new places."""
    first = int(rng.integers(len(seats) - 1))
    left, right = seats[first], seats[first + 1]
    start = times[-1] * rng.uniform(0.1, 0.3)
    way = (right.x - left.x) * ramp(times, start, start + rng.uniform(1.2, 2.0))
    paths[left.name][:, 0] += way
    paths[right.name][:, 0] -= way
    after = list(seats)
    after[first : first + 2] = [replace(right, x=left.x), replace(left, x=right.x)]
    return tuple(after)


def _leave(
    brief: Brief, rng: np.random.Generator, paths: dict[str, Float64], times: Float64
) -> None:
    """Let somebody at a side of the focus leave the frame and come back: changes `paths`."""
    seats = [one for one in brief.scene.seats if one.name in brief.setup.focus]
    leftwards = bool(rng.integers(2))
    one = seats[0 if leftwards else -1]
    zoom = brief.setup.width / FACE
    reach = brief.spec.width / zoom + SHOULDER_WIDTH * one.width
    go, back = (times[-1] * rng.uniform(*share) for share in ((0.1, 0.3), (0.6, 0.7)))
    away = ramp(times, go, go + _STEP_S) - ramp(times, back, back + _STEP_S)
    paths[one.name][:, 0] += away * (-reach if leftwards else reach)


def _in_sight(brief: Brief, frame: Float64) -> bool:
    """Return whether any part of somebody is in the frame at any time."""
    reach = SHOULDER_WIDTH / 2 * frame[:, 2]
    return bool(np.any((frame[:, 0] > -reach) & (frame[:, 0] < brief.spec.width + reach)))


def _actor(
    brief: Brief, rng: np.random.Generator, one: Seat, frame: Float64, times: Float64
) -> Actor:
    """Return somebody as an actor on a path in the frame: x, y and width of the face, (T, 3)."""
    middle = np.mean([other.x for other in brief.scene.seats])
    alone = len(brief.scene.seats) == 1
    width = float(np.median(frame[:, 2])) / brief.spec.unit
    facing = 0 if alone else 1 if one.x < middle else -1
    look, mirrored = _choose(rng, brief.looks[one.name], width, facing)
    sizes = frame[:, 2:] * np.array([1.0, 1 / look.aspect])
    sizes *= TALL * np.sqrt(look.aspect / TALL)  # as large as the mean face, in its own shape
    sizes[:, 0] *= 0.96 + 0.04 * sway(rng, times)  # a head turning a little gets narrower
    boxes = np.concatenate([frame[:, :2] - sizes / 2, frame[:, :2] + sizes / 2], axis=1)
    sharp = one.name in brief.setup.focus and rng.random() > 0.12  # noqa: PLR2004 - some are not
    soft = rng.uniform(0.0, 0.012) if sharp else rng.uniform(0.02, 0.05)
    return Actor(
        name=one.name,
        still=look.still,
        clothes=brief.scene.clothes,
        mirrored=mirrored,
        boxes=_rounded(boxes),
        angles=_rounded(rng.normal(0, 5) + 5 * sway(rng, times)),
        light=round(float(rng.uniform(0.5, 0.75) if rng.random() < 0.12 else 1.0), 3),  # noqa: PLR2004
        side=round(brief.scene.side + float(rng.normal(0, 0.1)), 3),
        blur=round(float(soft * np.median(frame[:, 2])), 3),
    )


def _choose(
    rng: np.random.Generator, looks: Sequence[Look], width: float, facing: int
) -> tuple[Look, bool]:
    """Return a still, and whether it is mirrored to look towards the others.

    Small faces tend to be in half profile, large ones not.
    """
    turns = np.abs([look.turn for look in looks])
    preference = next(strength for most, strength in _PROFILES if width < most)
    weights = np.exp(preference * np.minimum(turns, 0.5))
    look = looks[int(rng.choice(len(looks), p=weights / weights.sum()))]
    return look, facing * look.turn < 0 and abs(look.turn) > _LOOKS_ASIDE


def _rounded(values: Float64) -> Float32:
    """Return what the truth file can hold: three decimals."""
    return np.round(values, 3).astype(np.float32)

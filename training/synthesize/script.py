"""What happens in a synthetic episode, before a pixel is drawn: a spec in, the truth out.

Pure arithmetic. People stand in lanes side by side, so that no head hides another; they sway,
come closer, tilt and turn along sums of sines; those at the side may leave, and come back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.records import Float32, Float64, Int64
from training.synthesize.motion import ramp, sway
from training.synthesize.shape import HEAD_WIDTH, SHOULDER_WIDTH, silhouette
from training.synthesize.spec import EpisodeSpec
from training.synthesize.truth import TrueFace, TrueShot, Truth

_RAMP_S = 0.7
"""Seconds that somebody takes to leave the frame or come back into it."""
_LEAVING_S = 2.4
"""In shots of fewer seconds nobody leaves or comes back."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the script needs to know of a still."""

    still: str
    aspect: float
    """Width of the face box over its height."""
    turn: float = 0.0
    """As `Head.turn`."""


@dataclass(frozen=True, slots=True)
class _Lane:
    """Where in the frame a part is played: the `index`-th place of `of`, from the left."""

    index: int
    of: int
    passing: bool
    """Whether the two people of the shot change places."""


@dataclass(frozen=True, slots=True)
class _Part:
    """How a face moves: T rows."""

    centres: Float64
    """(T, 2), pixels."""
    sizes: Float64
    """(T, 2), width and height of the face box in pixels."""
    angles: Float64
    """(T,), degrees clockwise."""


def write_script(
    spec: EpisodeSpec, people: Mapping[str, Sequence[Look]], strangers: Collection[str] = ()
) -> Truth:
    """Return all that happens: shots from frame 0 on without a gap, and who is where in each.

    Every name gets its turn before one gets a second; every part is played from one still.

    Args:
        spec: the settings.
        people: the stills of each name, at least one each.
        strangers: the names among them that are not of the cast.

    Raises:
        ValueError: shots with people are wanted but there is nobody, or somebody has no still.
    """
    if not people and spec.faceless < 1:
        raise ValueError("people: expected at least one for shots that are not faceless, got none")
    if not all(people.values()):
        raise ValueError(
            f"people: expected stills, none for {[n for n in people if not people[n]]}"
        )
    rng = np.random.default_rng(spec.seed)
    cast = sorted(set(people) - set(strangers))
    others = sorted(set(people) & set(strangers))
    shots = _shots(spec, rng)
    faces: list[TrueFace] = []
    for shot, names in zip(shots, _casting(spec, rng, shots, cast, others), strict=True):
        looks = [people[name][int(rng.integers(len(people[name])))] for name in names]
        faces += _scene(spec, rng, shot, dict(zip(names, looks, strict=True)))
    return Truth(
        width=spec.width,
        height=spec.height,
        fps=spec.fps,
        cast=tuple(cast),
        strangers=tuple(others),
        shots=tuple(shots),
        faces=tuple(replace(face, track=track) for track, face in enumerate(faces)),
        skipped=(),
    )


def _shots(spec: EpisodeSpec, rng: np.random.Generator) -> list[TrueShot]:
    total = round(spec.seconds * spec.fps)
    shortest, longest = (max(1, round(s * spec.fps)) for s in spec.shot_seconds)
    starts = [0]
    while starts[-1] + longest + shortest <= total:
        starts.append(starts[-1] + int(rng.integers(shortest, longest + 1)))
    while total - starts[-1] > longest and total - starts[-1] >= 2 * shortest:
        starts.append(starts[-1] + (total - starts[-1]) // 2)
    ends = [start - 1 for start in starts[1:]] + [total - 1]
    faceless = set(rng.permutation(len(starts))[: round(spec.faceless * len(starts))].tolist())
    place = np.cumsum(rng.integers(1, spec.places, len(starts))) % spec.places
    return [
        TrueShot(
            shot=shot,
            start_frame=start,
            end_frame=end,
            kind="faceless" if shot in faceless else "faces",
            place=int(place[shot]),
        )
        for shot, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _casting(
    spec: EpisodeSpec,
    rng: np.random.Generator,
    shots: Sequence[TrueShot],
    cast: Sequence[str],
    others: Sequence[str],
) -> list[list[str]]:
    """Return the names in each shot, from left to right."""
    low, high = spec.people_per_shot
    sizes = rng.integers(low, high + 1, len(shots))
    sizes[[shot.kind == "faceless" for shot in shots]] = 0
    strange = rng.binomial(sizes, spec.strangers) if others else np.zeros_like(sizes)
    if not cast:
        strange = sizes
    known = _deal(rng, cast, sizes - strange)
    unknown = _deal(rng, others, strange)
    return [rng.permutation(a + b).tolist() for a, b in zip(known, unknown, strict=True)]


def _deal(rng: np.random.Generator, names: Sequence[str], sizes: Int64) -> list[list[str]]:
    """Return groups with nobody in one twice; everybody has a turn before anybody has a second."""
    groups = []
    bag: list[str] = []
    for size in sizes:
        group: list[str] = []
        for _ in range(min(int(size), len(names))):
            if all(name in group for name in bag):
                bag += rng.permutation(np.array(names)).tolist()
            group.append(bag.pop([name in group for name in bag].index(False)))
        groups.append(group)
    return groups


def _scene(
    spec: EpisodeSpec, rng: np.random.Generator, shot: TrueShot, looks: Mapping[str, Look]
) -> list[TrueFace]:
    """Return the faces of one shot, whoever is farthest back first."""
    times = np.arange(shot.end_frame - shot.start_frame + 1) / float(spec.fps)
    height = rng.uniform(*spec.face_height) * spec.height
    passing = len(looks) == 2 and rng.random() < spec.crossing  # noqa: PLR2004 - a pair
    parts = {}
    for index, (name, look) in enumerate(looks.items()):
        lane = _Lane(index, len(looks), passing)
        size = np.array([look.aspect, 1.0]) * height * rng.uniform(0.87, 1.13)
        parts[name] = _play(spec, rng, times, lane, size)
    order = sorted(parts, key=lambda name: float(parts[name].sizes[:, 1].mean()))
    return [
        TrueFace(
            name=name,
            still=looks[name].still,
            shot=shot.shot,
            start_frame=shot.start_frame,
            boxes=_rounded(_boxes(parts[name])),
            angles=_rounded(parts[name].angles),
            visible=_rounded(_visible(spec, parts[name], [parts[n] for n in order[rank + 1 :]])),
            clothes=shot.place,
        )
        for rank, name in enumerate(order)
    ]


def _play(
    spec: EpisodeSpec, rng: np.random.Generator, times: Float64, lane: _Lane, size: Float64
) -> _Part:
    """Return one person's path through a shot; the head stays in its lane or leaves the frame."""
    room = spec.width / lane.of
    size = size * min(1.0, 0.8 * room / (HEAD_WIDTH * size[0]))
    sizes = size * (1 + 0.08 * sway(rng, times))[:, None]
    sizes[:, 0] *= 0.95 + 0.05 * sway(rng, times)  # a head turning a little gets narrower
    slack = max(0.0, (room - HEAD_WIDTH * sizes[:, 0].max()) / 2)
    x = (lane.index + 0.5) * room + slack * (0.4 * rng.uniform(-1, 1) + 0.6 * sway(rng, times))
    y = spec.height * (rng.uniform(0.36, 0.46) + 0.03 * sway(rng, times))
    y = np.maximum(y, 0.75 * sizes[:, 1])
    if lane.passing:
        x += (room - 2 * room * lane.index) * ramp(times, times[-1] * 0.3, times[-1] * 0.7)
    elif _may_leave(lane, times) and rng.random() < spec.leaving:
        left = lane.index == 0 and (lane.of > 1 or rng.random() < 0.5)  # noqa: PLR2004 - a coin
        reach = SHOULDER_WIDTH / 2 * sizes[:, 0]
        x += _absence(rng, times) * ((-reach if left else spec.width + reach) - x)
    angles = rng.uniform(-4, 4) + 4 * sway(rng, times)
    return _Part(np.stack([x, y], axis=1), sizes, angles)


def _may_leave(lane: _Lane, times: Float64) -> bool:
    """Return whether nobody is in the way, and there is time to come back."""
    return lane.index in (0, lane.of - 1) and times[-1] >= _LEAVING_S


def _absence(rng: np.random.Generator, times: Float64) -> Float64:
    """Return how far out of the frame somebody is who enters, leaves or does both, (T,), 0 to 1."""
    early, late = (times[-1] * rng.uniform(*part) for part in ((0.1, 0.3), (0.6, 0.75)))
    first, second = (ramp(times, start, start + _RAMP_S) for start in (early, late))
    return [1 - first, second, first - second][rng.integers(3)]


def _boxes(part: _Part) -> Float64:
    return np.concatenate([part.centres - part.sizes / 2, part.centres + part.sizes / 2], axis=1)


def _visible(spec: EpisodeSpec, part: _Part, before: Sequence[_Part]) -> Float64:
    """Return the share of a grid of points in each box that is in the frame and not hidden."""
    ticks = (np.arange(12) + 0.5) / 12 - 0.5
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)  # (144, 2)
    points = part.centres[:, None] + grid * part.sizes[:, None]  # (T, 144, 2)
    seen = np.all((points >= 0) & (points < (spec.width, spec.height)), axis=2)
    for other in before:
        away = points - other.centres[:, None]
        turn = np.exp(-1j * np.radians(other.angles))[:, None] * (away[..., 0] + 1j * away[..., 1])
        seen &= ~silhouette(turn.real / other.sizes[:, :1], turn.imag / other.sizes[:, 1:])
    return seen.mean(axis=1)


def _rounded(values: Float64) -> Float32:
    """Return what the truth file can hold: three decimals."""
    return np.round(values, 3).astype(np.float32)

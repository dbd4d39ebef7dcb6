"""A scene's people in, its shots out: which setups the camera takes in turn, and for how long.

A scene opens wide; then come dialogues, shot and reverse shot from two setups that stay the same,
and groups, and now and then the whole room again, or an empty corner of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from training.synthesize.scene import Setup
from training.synthesize.season_spec import SeasonSpec

WIDE, GROUP, MEDIUM, CLOSE = (14.0, 19.5), (20.0, 30.0), (30.0, 48.0), (50.0, 105.0)
"""Widths of the faces in each kind of shot, in pixels at 360p."""
EMPTY = Setup((), 28.0)
"""A shot of nobody."""
_MOST = 5
"""Faces that a shot is pointed at, at most."""
_SHORTEST_S = 1.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A shot to be taken."""

    setup: Setup
    frames: int


def plan_scene(
    spec: SeasonSpec, rng: np.random.Generator, names: Sequence[str], frames: int
) -> list[Planned]:
    """Return the shots of a scene, `frames` long together.

    Args:
        spec: for the frame rate.
        rng: source of chance.
        names: who is there, from left to right; two or more.
        frames: length of the scene.
    """
    shortest = max(1, round(_SHORTEST_S * spec.fps))
    planned: list[Planned] = []
    left = frames
    for setup, seconds in _setups(rng, names):
        count = min(round(seconds * spec.fps), left)
        if left - count < shortest:
            count = left
        planned.append(Planned(setup, count))
        left -= count
        if left == 0:
            return planned
    raise AssertionError("unreachable: the setups do not end")


def _setups(rng: np.random.Generator, names: Sequence[str]) -> Iterator[tuple[Setup, float]]:
    """Yield setups and their seconds, without end."""
    wide = _wide(rng, names)
    yield wide, rng.uniform(2.2, 4.2)
    while True:
        turn = rng.random()
        if turn < 0.38:  # noqa: PLR2004 - the shares of what follows
            yield from _dialogue(rng, names)
        elif turn < 0.71:  # noqa: PLR2004
            yield _some(rng, names, int(rng.integers(2, 5)), GROUP), rng.uniform(2.0, 4.2)
        elif turn < 0.93:  # noqa: PLR2004
            yield wide, rng.uniform(2.0, 4.2)
            wide = _wide(rng, names)
        else:
            yield EMPTY, rng.uniform(1.0, 2.0)


def _wide(rng: np.random.Generator, names: Sequence[str]) -> Setup:
    return _some(rng, names, _MOST, WIDE)


def _some(
    rng: np.random.Generator, names: Sequence[str], count: int, widths: tuple[float, float]
) -> Setup:
    """Return a setup of `count` neighbours, or of all if there are fewer."""
    first = int(rng.integers(max(len(names) - count, 0) + 1))
    return Setup(tuple(names[first : first + count]), float(rng.uniform(*widths)))


def _dialogue(rng: np.random.Generator, names: Sequence[str]) -> Iterator[tuple[Setup, float]]:
    """Yield shots of somebody of the left half and of somebody of the right half in turn."""
    half = (len(names) + 1) // 2
    sides = (names[:half], names[half:])
    near = rng.random() < 0.55  # noqa: PLR2004 - medium shots are as frequent
    speakers = [side[int(rng.integers(len(side)))] for side in sides]
    setups = []
    for number, side in enumerate(sides):
        width = float(rng.uniform(*(CLOSE if near else MEDIUM)))
        focus = (speakers[number],) if near else _some(rng, side, 2, MEDIUM).focus
        over = speakers[1 - number] if rng.random() < 0.3 else ""  # noqa: PLR2004 - some
        setups.append(Setup(focus, width, aside=(-0.09, 0.09)[number], before=over))
    for turn in range(int(rng.integers(3, 7))):
        yield setups[turn % 2], rng.uniform(1.2, 3.4)

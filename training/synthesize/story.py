"""A season's settings and people in, its episodes out, before a pixel is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.synthesize.reel import Episode, Reel, Strip
from training.synthesize.scenario import EMPTY, Planned, plan_scene
from training.synthesize.scene import Brief, Scene, Seat, Setup, light_scene, seats
from training.synthesize.script import Look
from training.synthesize.season_spec import LEAST_CAST, SeasonSpec
from training.synthesize.staging import stage
from training.synthesize.truth import TICKS, Repeat

_SCENE_S = (16.0, 34.0)
_SCENE_PEOPLE = (LEAST_CAST, 5)
_STRANGE = 0.3
"""Share of a scene's people who are strangers."""
_DISSOLVES = 0.6
"""Share of the scenes that come out of the one before in a dissolve."""
_DISSOLVE_FRAMES = (10, 24)
_ESTABLISHED = 0.4
"""Share of the scenes that open with a shot of nobody, at another place."""
_SHORT_S = 10.0
"""Shorter episodes have neither recap nor title."""
_RECAP_S = (1.2, 2.4)
_TITLE_S = 1.2
_PART_S = 30.0
"""A recap and a title have one shot for each such part of the episode,"""
_MOST = 6
"""but no more than this."""


@dataclass(frozen=True, slots=True)
class Roles:
    """What the story needs to know of everybody's stills."""

    cast: Mapping[str, Sequence[Look]]
    """Whoever is seen most comes first."""
    strangers: Mapping[str, Sequence[Look]]

    @property
    def looks(self) -> dict[str, Sequence[Look]]:
        """Return the looks of cast and strangers."""
        return {**self.cast, **self.strangers}


def write_season(spec: SeasonSpec, roles: Roles) -> list[Episode]:
    """Return the episodes: a recap, from the second on, a title, and scenes.

    Raises:
        ValueError: the cast is smaller than a scene.
    """
    if len(roles.cast) < LEAST_CAST:
        raise ValueError(f"cast: expected {LEAST_CAST} or more, got {len(roles.cast)}")
    episodes: list[Episode] = []
    for number in range(spec.episodes):
        rng = np.random.default_rng([spec.seed, 11, number])
        reel = Reel(spec, f"ep{number + 1:02d}", _ticks(spec, rng))
        if spec.seconds >= _SHORT_S:
            parts = min(max(round(spec.seconds / _PART_S), 1), _MOST)
            if episodes:
                _recap(reel, rng, episodes, parts)
            _title(reel, rng, roles, episodes, parts)
        _scenes(reel, rng, roles, number)
        episodes.append(reel.cut(tuple(roles.cast), tuple(roles.strangers)))
    return episodes


def _ticks(spec: SeasonSpec, rng: np.random.Generator) -> tuple[int, ...]:
    """Return when each frame is shown, in ticks; empty for a constant frame rate."""
    if not spec.vfr:
        return ()
    stays = rng.choice([TICKS // 2, TICKS, TICKS, TICKS, TICKS * 3 // 2], spec.frames)
    return (0, *np.cumsum(stays)[:-1].tolist())


def _recap(reel: Reel, rng: np.random.Generator, episodes: Sequence[Episode], parts: int) -> None:
    """Add a recap: pieces of earlier shots, most of them from the last episode."""
    for _ in range(parts):
        source = episodes[-1 if rng.random() < 0.7 else int(rng.integers(len(episodes)))]  # noqa: PLR2004
        shots = [shot for shot in source.truth.shots if shot.scene >= 0 and shot.kind == "faces"]
        shot = shots[int(rng.integers(len(shots)))]
        lasts = shot.end_frame - shot.start_frame + 1
        count = min(round(rng.uniform(*_RECAP_S) * reel.spec.fps), lasts)
        start = shot.start_frame + int(rng.integers(lasts - count + 1))
        reel.repeat(source, Repeat(source.truth.episode, shot.shot, start), count, "Previously")


def _title(
    reel: Reel,
    rng: np.random.Generator,
    roles: Roles,
    episodes: Sequence[Episode],
    parts: int,
) -> None:
    """Add a title with the first of the cast, one by one; later episodes repeat the first one's."""
    if episodes:
        first = episodes[0]
        for shot in first.truth.shots:
            if shot.kind == "title":
                count = shot.end_frame - shot.start_frame + 1
                reel.repeat(first, Repeat(first.truth.episode, shot.shot, shot.start_frame), count)
        return
    spec, levels = reel.spec, light_scene(rng, dim=0.0)
    for name in (None, *list(roles.cast)[:parts]):
        there = seats(spec, rng, [] if name is None else [name])
        scene = Scene(spec.film.places, 0, there, levels, 0.2)
        setup = EMPTY if name is None else Setup((name,), float(rng.uniform(40, 80)), aside=0.15)
        caption = "The Season" if name is None else name.replace("_", " ")
        brief = Brief(spec, scene, setup, roles.looks, lively=False)
        times = reel.times(round(_TITLE_S * spec.fps))
        take, _ = stage(brief, rng, times)
        reel.add(replace(take, caption=caption), Strip("title"))


@dataclass(frozen=True, slots=True)
class _Slot:
    """A shot to be staged: where, how and how long."""

    scene: Scene
    planned: Planned
    strip: Strip


def _scenes(reel: Reel, rng: np.random.Generator, roles: Roles, number: int) -> None:
    """Fill the rest of an episode with scenes."""
    slots = _slots(reel.spec, rng, roles, number, reel.left)
    places: dict[int, tuple[Seat, ...]] = {}
    for slot, after in zip(slots, [*slots[1:], None], strict=True):
        there = places.get(slot.strip.scene, slot.scene.seats)
        scene = replace(slot.scene, seats=there if slot.planned.setup.focus else ())
        tail = after.strip.dissolve // 2 if after else 0
        times = reel.times(slot.planned.frames, slot.strip.dissolve // 2, tail)
        take, moved = stage(Brief(reel.spec, scene, slot.planned.setup, roles.looks), rng, times)
        if slot.planned.setup.focus:
            places[slot.strip.scene] = moved
        reel.add(take, slot.strip, tail)


def _slots(
    spec: SeasonSpec, rng: np.random.Generator, roles: Roles, number: int, frames: int
) -> list[_Slot]:
    slots: list[_Slot] = []
    place, scenes = -1, 0
    shortest, longest = (round(seconds * spec.fps) for seconds in _SCENE_S)
    while frames > 0:
        count = int(rng.integers(shortest, longest + 1))
        count = frames if frames - count < shortest else count
        place = int((place + rng.integers(1, spec.film.places)) % spec.film.places)
        clothes = 100 * (number + 1) + scenes
        there = seats(spec, rng, _people(rng, roles))
        scene = Scene(place, clothes, there, light_scene(rng), float(rng.uniform(-0.3, 0.3)))
        planned = plan_scene(spec, rng, [seat.name for seat in there], count)
        slots += _opened(rng, spec, _Slot(scene, planned[0], Strip("faces", scenes)), bool(slots))
        slots += [
            _Slot(scene, one, Strip("faces" if one.setup.focus else "faceless", scenes))
            for one in planned[1:]
        ]
        frames, scenes = frames - count, scenes + 1
    return slots


def _opened(
    rng: np.random.Generator,
    spec: SeasonSpec,
    first: _Slot,
    follows: bool,  # noqa: FBT001
) -> list[_Slot]:
    """Return a scene's opening: its first shot, perhaps after one of nobody, perhaps a dissolve."""
    half = first.planned.frames // 2
    dissolve = 2 * (int(rng.integers(_DISSOLVE_FRAMES[0], _DISSOLVE_FRAMES[1] + 1)) // 2)
    if not follows or rng.random() > _DISSOLVES or dissolve > half:
        dissolve = 0
    opening = replace(first.strip, dissolve=dissolve)
    if rng.random() > _ESTABLISHED or half < spec.fps:
        return [replace(first, strip=opening)]
    elsewhere = replace(first.scene, place=(first.scene.place + 1) % spec.film.places)
    rest = first.planned.frames - half
    return [
        _Slot(elsewhere, Planned(EMPTY, half), replace(opening, kind="faceless")),
        replace(first, planned=replace(first.planned, frames=rest)),
    ]


def _people(rng: np.random.Generator, roles: Roles) -> list[str]:
    """Return the names of a scene: one of the cast or more, and strangers."""
    count = int(rng.integers(_SCENE_PEOPLE[0], _SCENE_PEOPLE[1] + 1))
    strange = min(int(rng.binomial(count - 1, _STRANGE)), len(roles.strangers))
    known = min(count - strange, len(roles.cast))
    weights = 1 / (np.arange(len(roles.cast)) + 4.0)
    cast = rng.choice(
        np.array(list(roles.cast), object), known, replace=False, p=weights / weights.sum()
    )
    others = rng.permutation(np.array(list(roles.strangers), object))[:strange]
    return [*cast.tolist(), *others.tolist()]

"""Takes in, frames out: people before rooms, dissolves, captions, grain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from indexer.records import Float32, UInt8
from training.synthesize import prop_sprites
from training.synthesize.heads import Head
from training.synthesize.places import add_grain, grain, paint_place
from training.synthesize.spec import EpisodeSpec
from training.synthesize.sprites import (
    Sprite,
    cut_apart,
    flipped,
    paste,
    relit,
    shaded,
    skin_tone,
)
from training.synthesize.takes import UPRIGHT, Actor, Prop, Take

_EXPOSED = 115.0
"""Mean level, of 255, that all faces are brought nearer to."""
_EVENING = 0.6
"""How near, as an exponent: photos were taken in different light, a scene has only one."""
_LENS = 0.45
"""Standard deviation, in 360ths of the height, of the blur of a lens and of scaling down."""


@dataclass(frozen=True, slots=True)
class Studio:
    """What the takes of a season are drawn from."""

    spec: EpisodeSpec
    heads: Mapping[str, Head]
    """By label."""
    rooms: dict[int, UInt8]
    """Rooms painted so far, by place."""


def draw(
    studio: Studio, takes: Sequence[Take], dissolves: Sequence[int], number: int
) -> Iterator[UInt8]:
    """Yield every frame of an episode, (H, W, 3) RGB.

    Args:
        studio: what to draw from.
        takes: its shots.
        dissolves: for each take, how many frames it shares with the one before.
        number: of the episode: each has its own grain.
    """
    noise = grain(studio.spec)
    rng = np.random.default_rng([studio.spec.seed, 2, number])
    for frame in _joined(studio, takes, dissolves):
        yield add_grain(frame, noise, rng)


def _joined(studio: Studio, takes: Sequence[Take], dissolves: Sequence[int]) -> Iterator[UInt8]:
    before: Iterator[UInt8] = iter(())
    for number, take in enumerate(takes):
        frames, shared = _frames(studio, take), dissolves[number]
        for row in range(shared):
            share = (row + 0.5) / shared
            yield cv2.addWeighted(next(before), 1 - share, next(frames), share, 0).astype(np.uint8)
        rest = len(take) - shared - sum(dissolves[number + 1 : number + 2])
        yield from islice(frames, rest)
        before = frames


def _frames(studio: Studio, take: Take) -> Iterator[UInt8]:
    spec = studio.spec
    if take.place not in studio.rooms:
        studio.rooms[take.place] = paint_place(spec, take.place)
    people = [(actor, _dress(studio, take, actor)) for actor in take.actors]
    things = [(prop, _prop(studio, take, prop)) for prop in take.props]
    lens = _LENS * spec.height / 360
    for row, matrix in enumerate(take.camera):
        size = (spec.width, spec.height)
        frame = cv2.warpAffine(studio.rooms[take.place], matrix, size).astype(np.uint8)
        for actor, (body, head) in people:
            angle = float(actor.angles[row])
            _put(frame, body, actor.boxes, row, (UPRIGHT * angle, actor.blur))
            _put(frame, head, actor.boxes, row, (angle, actor.blur))
        for prop, sprite in things:
            _put(frame, sprite, prop.boxes, row, (0.0, prop.blur))
        lit = cv2.LUT(cv2.GaussianBlur(frame, (0, 0), lens), take.levels).astype(np.uint8)
        yield _captioned(lit, take.caption)


def _put(frame: UInt8, sprite: Sprite, boxes: Float32, row: int, look: tuple[float, float]) -> None:
    box, last = (boxes[r].astype(np.float64) for r in (row, max(row - 1, 0)))
    step = box - last
    paste(frame, sprite, box, look[0], (step[:2] + step[2:]) / 2, look[1])


def _dress(studio: Studio, take: Take, actor: Actor) -> tuple[Sprite, Sprite]:
    """Return an actor's body and head, in the scene's clothes and light."""
    heights = actor.boxes[:, 3] - actor.boxes[:, 1]
    below = (studio.spec.height - (actor.boxes[:, 1] + actor.boxes[:, 3]) / 2) / heights
    rng = _wardrobe(studio, take, actor.name)
    reach = float(np.clip(below.max() + 0.3, 1.0, 9.0))
    head = relit(studio.heads[actor.still], _EXPOSED, _EVENING)
    pair = cut_apart(head, float(heights.max()), reach, rng)
    if actor.mirrored:
        pair = (flipped(pair[0]), flipped(pair[1]))
    body, face = (shaded(sprite, actor.light, actor.side) for sprite in pair)
    return body, face


def _prop(studio: Studio, take: Take, prop: Prop) -> Sprite:
    rng = np.random.default_rng([studio.spec.seed, 6, take.place, *prop.name.encode()])
    if prop.kind == "bar":
        return prop_sprites.post(rng)
    if prop.kind == "back":
        return prop_sprites.back(rng, _wardrobe(studio, take, prop.name))
    [still] = {actor.still for actor in take.actors if actor.name == prop.name}
    return prop_sprites.hand(0.9 * skin_tone(studio.heads[still].pixels))


def _wardrobe(studio: Studio, take: Take, name: str) -> np.random.Generator:
    return np.random.default_rng([studio.spec.seed, 1, take.clothes, *name.encode()])


def _captioned(frame: UInt8, text: str) -> UInt8:
    if text:
        scale = frame.shape[0] / 360
        where = (round(24 * scale), round(frame.shape[0] - 28 * scale))
        look = (cv2.FONT_HERSHEY_DUPLEX, 0.8 * scale, (235, 235, 225))
        cv2.putText(frame, text, where, *look, max(1, round(scale)), cv2.LINE_AA)
    return frame

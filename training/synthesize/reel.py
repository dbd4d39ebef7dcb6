"""Takes one after another: an episode that grows, and its truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from indexer.records import Float64
from training.synthesize.season_spec import SeasonSpec
from training.synthesize.takes import Take, part, visible
from training.synthesize.truth import NO_SCENE, TICKS, Repeat, TrueFace, TrueShot, Truth


@dataclass(frozen=True, slots=True)
class Strip:
    """What a shot is, in the terms of `TrueShot`."""

    kind: Literal["faces", "faceless", "title"]
    scene: int = NO_SCENE
    dissolve: int = 0
    repeats: tuple[Repeat, ...] = ()


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode before a pixel is drawn."""

    truth: Truth
    takes: tuple[Take, ...]
    """One for each shot, including the frames of its dissolves."""


class Reel:
    """Shots joined so far; `add` joins another."""

    def __init__(self, spec: SeasonSpec, episode: str, ticks: Sequence[int]) -> None:
        self.spec = spec
        self._episode = episode
        self._ticks = tuple(ticks)
        self._shots: list[TrueShot] = []
        self._takes: list[Take] = []

    @property
    def left(self) -> int:
        """Frames that are still to be filled."""
        return self.spec.frames - self._at

    @property
    def _at(self) -> int:
        return self._shots[-1].end_frame + 1 if self._shots else 0

    def times(self, count: int, lead: int = 0, tail: int = 0) -> Float64:
        """Return the times of the next frames, from 0 on, (lead + count + tail,) seconds.

        Args:
            count: frames of the next shot.
            lead: frames before them, in which the shot dissolves in from the last one.
            tail: frames after them, in which it dissolves into the next one.
        """
        frames = np.arange(self._at - lead, self._at + count + tail)
        ticks = np.array(self._ticks)[frames] if self._ticks else TICKS * frames
        return (ticks - ticks[0]) / (TICKS * float(self.spec.fps))

    def add(self, take: Take, strip: Strip, tail: int = 0) -> None:
        """Join a shot.

        Args:
            take: with half of the dissolve before it and `tail` frames of the one after it.
            strip: what it is.
            tail: as of `times`.

        Raises:
            ValueError: the shot is longer than what is left, or has no frame of its own.
        """
        count = len(take) - strip.dissolve // 2 - tail
        if not 1 <= count <= self.left:
            raise ValueError(f"take: expected 1 to {self.left} frames of its own, got {count}")
        self._shots.append(
            TrueShot(
                shot=len(self._shots),
                start_frame=self._at,
                end_frame=self._at + count - 1,
                kind=strip.kind,
                place=take.place,
                scene=strip.scene,
                dissolve=strip.dissolve,
                repeats=strip.repeats,
            )
        )
        self._takes.append(take)

    def repeat(self, source: Episode, what: Repeat, count: int, caption: str = "") -> None:
        """Join frames of an earlier episode's shot, by cuts; its caption stays if none is given."""
        shot = source.truth.shots[what.shot]
        start = what.start_frame - shot.start_frame + shot.dissolve // 2
        take = part(source.takes[what.shot], start, min(count, self.left))
        again = Strip(shot.kind, NO_SCENE, 0, (what,))
        self.add(replace(take, caption=caption or take.caption), again)

    def cut(self, cast: tuple[str, ...], strangers: tuple[str, ...]) -> Episode:
        """Return the episode."""
        faces = [face for number in range(len(self._takes)) for face in self._faces(number)]
        truth = Truth(
            width=self.spec.width,
            height=self.spec.height,
            fps=self.spec.fps,
            cast=cast,
            strangers=strangers,
            shots=tuple(self._shots),
            faces=tuple(replace(face, track=track) for track, face in enumerate(faces)),
            skipped=(),
            episode=self._episode,
            ticks=self._ticks,
            rotation=self.spec.rotation,
        )
        return Episode(truth, tuple(self._takes))

    def _faces(self, number: int) -> list[TrueFace]:
        """Return the faces of a shot; in dissolves, `visible` is scaled by the shot's share."""
        shot, take = self._shots[number], self._takes[number]
        shares = np.ones(len(take))
        for row in range(shot.dissolve):
            shares[row] = (row + 0.5) / shot.dissolve
        after = sum(other.dissolve for other in self._shots[number + 1 : number + 2])
        for row in range(after):
            shares[len(take) - 1 - row] *= (row + 0.5) / after
        seen = visible(take, self.spec.width, self.spec.height)
        return [
            TrueFace(
                name=actor.name,
                still=actor.still,
                shot=shot.shot,
                start_frame=shot.start_frame - shot.dissolve // 2,
                boxes=actor.boxes,
                angles=actor.angles,
                visible=np.round(share * shares, 3).astype(np.float32),
                clothes=take.clothes,
                mirrored=actor.mirrored,
            )
            for actor, share in zip(take.actors, seen, strict=True)
            if share.max() > 0
        ]

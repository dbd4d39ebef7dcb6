"""Ground truth of a synthetic episode: the records."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from indexer.records import Float32

NO_SCENE = -1
TICKS = 4
"""Clock ticks per frame at the mean rate, in an episode of variable frame rate."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """What a shot shows again."""

    episode: str
    shot: int
    start_frame: int
    """The frame of that episode that the repeat starts with."""


@dataclass(frozen=True, slots=True)
class TrueShot:
    """A run of frames between two changes of shot; a dissolve's change is in its middle."""

    shot: int
    start_frame: int
    end_frame: int
    """The last frame, itself in the shot."""
    kind: Literal["faces", "faceless", "title"]
    place: int
    """The location that it shows; shots of one place look alike but for the camera's angle."""
    scene: int = NO_SCENE
    """Shots of one scene follow each other at one place with the same people; -1 for none."""
    dissolve: int = 0
    """Frames, half of them before `start_frame`, in which it dissolves in from the shot before."""
    repeats: tuple[Repeat, ...] = ()
    """What a recap or a title shows again: one entry; none for new footage."""


@dataclass(frozen=True, slots=True)
class TrueFace:
    """One person in one shot: T rows, one for each frame of the shot with its dissolves."""

    name: str
    still: str
    """The picture that was used, as ``Name/file``."""
    shot: int
    start_frame: int
    boxes: Float32
    """(T, 4), the face as the detector sees it in the still, moved and scaled with it."""
    angles: Float32
    """(T,), degrees that the head is tilted clockwise."""
    visible: Float32
    """(T,), share of the box that is in the frame and not behind something, in [0, 1].

    In a dissolve, times the share that the shot has in the picture.
    """
    track: int = 0
    """Its number in the episode; somebody who leaves and comes back within a shot keeps it."""
    clothes: int = 0
    """Somebody wears the same clothes wherever this number is the same."""
    mirrored: bool = False
    """Whether the picture is mirrored left to right."""

    def __post_init__(self) -> None:
        count = len(self.boxes)
        wanted = ((count, 4), (count,), (count,))
        got = (self.boxes.shape, self.angles.shape, self.visible.shape)
        if got != wanted:
            raise ValueError(f"boxes, angles, visible: expected shapes {wanted}, got {got}")


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """The faces in one frame."""

    names: tuple[str, ...]
    boxes: Float32
    """(N, 4)."""
    visible: Float32
    """(N,), above 0."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A still that could not be used, and why."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that a synthetic episode shows."""

    width: int
    height: int
    fps: Fraction
    cast: tuple[str, ...]
    strangers: tuple[str, ...]
    """People who are on screen but not of the cast; none of them has a gallery."""
    shots: tuple[TrueShot, ...]
    """Consecutive, from frame 0 on."""
    faces: tuple[TrueFace, ...]
    """By shot; within a shot, people in front come later."""
    skipped: tuple[Skipped, ...]
    episode: str = ""
    """Its name in the season."""
    enrolled: tuple[str, ...] = ()
    """Those of the cast who have a gallery."""
    gallery: tuple[str, ...] = ()
    """The stills set aside for the gallery, as ``Name/file``; none of them is on screen."""
    ticks: tuple[int, ...] = ()
    """When each frame is shown, in quarters of 1 / fps; empty if one follows another at fps."""
    rotation: int = 0
    """Degrees clockwise that a player turns the stored picture; boxes are in the turned one."""

    @property
    def frames(self) -> int:
        """How many frames the episode has."""
        return self.shots[-1].end_frame + 1

    def time_s(self, frame: int) -> float:
        """Return when a frame is shown, in seconds."""
        ticks = self.ticks[frame] if self.ticks else TICKS * frame
        return float(ticks / (TICKS * self.fps))

    def at(self, frame: int, *, least: float = 0.0) -> FrameFaces:
        """Return the faces in one frame of which a larger share than `least` is visible."""
        rows = [
            (face, frame - face.start_frame)
            for face in self.faces
            if 0 <= frame - face.start_frame < len(face.boxes)
        ]
        seen = [(face, row) for face, row in rows if face.visible[row] > least]
        return FrameFaces(
            names=tuple(face.name for face, _ in seen),
            boxes=np.array([face.boxes[row] for face, row in seen], np.float32).reshape(-1, 4),
            visible=np.array([face.visible[row] for face, row in seen], np.float32),
        )

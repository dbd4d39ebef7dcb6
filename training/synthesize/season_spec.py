"""How a season is made: the settings, their defaults and ranges."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from training.synthesize.spec import EpisodeSpec

_ROTATIONS = (0, 90, 180, 270)
LEAST_CAST = 2
"""The least number of people in a scene, and in a cast."""


@dataclass(frozen=True, slots=True)
class SeasonSpec:
    """How a season is made; the same spec and photos give the same truth, byte for byte."""

    episodes: int = 1
    seconds: float = 180.0
    """Length of each episode."""
    cast: int = 12
    """Recurring people: any of them may be in any episode."""
    enrolled: int = 8
    """People of the cast who have a gallery; they are seen most."""
    strangers: int = 20
    """Other people, as extras."""
    stills: int = 5
    """Photos of each enrolled person that are set aside for the gallery."""
    photos: int = 30
    """Photos of each of the cast that are used on screen, at most."""
    width: int = 640
    """Pixels, even."""
    height: int = 360
    fps: Fraction = Fraction(25)
    """The mean, where it varies."""
    vfr: bool = False
    """Whether frames stay for half, one or one and a half times 1 / fps."""
    rotation: int = 0
    """Degrees clockwise that a player has to turn the stored picture."""
    crf: int = 28
    """x264's constant rate factor."""
    seed: int = 0

    def __post_init__(self) -> None:
        self.film  # noqa: B018 - checks size, length, crf and seed
        if not 1 <= self.enrolled <= self.cast or self.cast < LEAST_CAST or self.strangers < 0:
            raise ValueError(
                f"expected 1 <= enrolled <= cast, a cast of {LEAST_CAST} and strangers >= 0, got "
                f"{self.enrolled}, {self.cast}, {self.strangers}"
            )
        if min(self.episodes, self.stills, self.photos) < 1 or self.rotation not in _ROTATIONS:
            raise ValueError(
                f"expected episodes, stills and photos >= 1 and rotation in {_ROTATIONS}, got "
                f"{self.episodes}, {self.stills}, {self.photos}, {self.rotation}"
            )

    @property
    def film(self) -> EpisodeSpec:
        """The settings that rooms, grain and the codec need."""
        return EpisodeSpec(
            width=self.width,
            height=self.height,
            fps=self.fps,
            seconds=self.seconds,
            places=8,
            noise=3.0,
            crf=self.crf,
            seed=self.seed,
        )

    @property
    def frames(self) -> int:
        """Frames of each episode."""
        return round(self.seconds * self.fps)

    @property
    def unit(self) -> float:
        """Pixels per 360th of the frame's height: the factor of sizes given in pixels at 360p."""
        return self.height / 360

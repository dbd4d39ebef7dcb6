"""How an episode is made: the settings, their defaults and ranges."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

_SMALLEST = 64
_WORST_CRF = 51
_FEWEST_PLACES = 2


@dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """How an episode is made; the same spec and stills give the same bytes."""

    width: int = 640
    """Pixels, even."""
    height: int = 360
    fps: Fraction = Fraction(25)
    seconds: float = 60.0
    shot_seconds: tuple[float, float] = (1.5, 4.5)
    """Shortest and longest shot; the last takes what is left."""
    people_per_shot: tuple[int, int] = (1, 3)
    """Fewest and most people in a shot that is not faceless."""
    faceless: float = 0.15
    """Share of the shots in which nobody is seen."""
    strangers: float = 0.25
    """Share of the parts that go to strangers, if there are any."""
    leaving: float = 0.3
    """Share of those at a side of the frame who enter, leave, or both, in shots long enough."""
    crossing: float = 0.0
    """Share of the two-person shots in which they change places, one passing before the other."""
    face_height: tuple[float, float] = (0.16, 0.4)
    """Height of a face box as a share of the frame's; less where the people stand close."""
    places: int = 4
    """Locations that the shots return to; two shots in a row never show the same."""
    noise: float = 2.0
    """Standard deviation of the sensor's noise, in levels of 255."""
    crf: int = 23
    """x264's constant rate factor: 18 looks clean, 33 bad."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.height) < _SMALLEST or self.width % 2 or self.height % 2:
            raise ValueError(
                f"size: expected even sides >= {_SMALLEST}, got {self.width}x{self.height}"
            )
        if self.fps <= 0 or self.seconds * self.fps < 1 or self.seed < 0 or self.noise < 0:
            raise ValueError(
                "expected a frame or more, seed and noise >= 0, got "
                f"{self.seconds} s at {self.fps}, {self.seed}, {self.noise}"
            )
        for name in ("shot_seconds", "people_per_shot", "face_height"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: expected 0 < low <= high, got {low}, {high}")
        for name in ("faceless", "strangers", "leaving", "crossing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a share, got {getattr(self, name)}")
        if self.places < _FEWEST_PLACES or not 0 <= self.crf <= _WORST_CRF:
            raise ValueError(
                f"expected places >= 2 and crf in 0 to 51, got {self.places}, {self.crf}"
            )

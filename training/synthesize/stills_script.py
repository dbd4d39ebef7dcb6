"""What still pictures show, before a pixel is drawn: a spec in, who stands where out.

Pure arithmetic. Some people are seen much more often than others; a photo belongs to one split
only, and so does a stranger, so that what is tested on one split was not seen in another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.records import Float64, Int64
from training.synthesize.script import Look
from training.synthesize.shape import HEAD_WIDTH

SPLITS: Mapping[str, float] = {"train": 0.5, "val": 0.15, "calibration": 0.15, "test": 0.2}
"""Shares of the pictures, of everybody's photos, and of the strangers."""
_SMALLEST = 64


@dataclass(frozen=True, slots=True)
class StillsSpec:
    """How still pictures are made; the same spec and photos give the same bytes."""

    width: int = 960
    """Pixels, even."""
    height: int = 540
    classes: int = 19
    """How many people, those with the most photos; the more photos, the more often seen."""
    pictures: int = 500
    strangers: int = 60
    """People who are in pictures but not annotated."""
    photos: int = 64
    """Photos used of a person, at most."""
    crowd: tuple[float, ...] = (0.35, 0.35, 0.2, 0.1)
    """Shares of the pictures with one face, two, and so on."""
    stranger_share: float = 0.2
    """Share of the faces that are strangers', in splits that have strangers."""
    zipf: float = 1.0
    """Exponent of Zipf's law: the k-th person is seen k ** -zipf times as often as the first."""
    face_height: tuple[float, float] = (0.14, 0.4)
    """Height of a face box as a share of the picture's; less where the people stand close."""
    places: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.height) < _SMALLEST or self.width % 2 or self.height % 2:
            raise ValueError(
                f"size: expected even sides >= {_SMALLEST}, got {self.width}x{self.height}"
            )
        for name, least in (("classes", 1), ("pictures", len(SPLITS)), ("photos", len(SPLITS))):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        if min(self.strangers, self.seed, self.zipf) < 0 or not 0 <= self.stranger_share < 1:
            raise ValueError(
                "expected strangers, seed, zipf >= 0 and stranger_share in [0, 1), got "
                f"{self.strangers}, {self.seed}, {self.zipf}, {self.stranger_share}"
            )


@dataclass(frozen=True, slots=True)
class StillFace:
    """One face in one picture."""

    name: str
    photo: str
    """The photo that was used, as ``Name/file``."""
    stranger: bool
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels, three decimals."""
    angle: float
    """Degrees that the head is tilted clockwise."""


@dataclass(frozen=True, slots=True)
class StillPicture:
    """One picture."""

    number: int
    split: str
    place: int
    faces: tuple[StillFace, ...]
    """People in front come later."""


def apportion(total: int, shares: Sequence[float], least: int = 0) -> Int64:
    """Return whole numbers, (N,), with a sum of `total`, close to the shares: Hamilton's method.

    Args:
        total: at least `least` for each share.
        shares: (N,), above 0, of any sum.
        least: what each share gets before the rest is apportioned.

    Raises:
        ValueError: the total is too small.
    """
    rest = total - least * len(shares)
    if rest < 0:
        raise ValueError(f"expected at least {least} for each of {len(shares)}, got {total}")
    exact = rest * np.array(shares) / np.sum(shares)
    counts = np.floor(exact).astype(np.int64)
    largest = np.argsort(counts - exact, kind="stable")[: rest - int(counts.sum())]
    counts[largest] += 1
    return counts + least


def write_stills(
    spec: StillsSpec, cast: Mapping[str, Sequence[Look]], strangers: Mapping[str, Sequence[Look]]
) -> list[StillPicture]:
    """Return what each picture shows, split after split.

    Args:
        spec: the settings.
        cast: photos of each of the cast, at least as many as there are splits; the first person is
            seen most.
        strangers: photos of each stranger, at least one.

    Raises:
        ValueError: somebody has too few photos, or there is no cast.
    """
    short = [name for name, looks in cast.items() if len(looks) < len(SPLITS)]
    if short or not cast or not all(strangers.values()):
        raise ValueError(f"cast: expected at least {len(SPLITS)} photos each, short: {short}")
    rng = np.random.default_rng(spec.seed)
    known = _photos_by_split(rng, cast)
    others = _people_by_split(rng, strangers)
    counts = apportion(spec.pictures, list(SPLITS.values()), least=1)
    pictures: list[StillPicture] = []
    for split, count in zip(SPLITS, counts, strict=True):
        groups = _groups(spec, rng, int(count), list(cast), list(others[split]))
        photos = {name: _Bag(looks, rng) for name, looks in (known[split] | others[split]).items()}
        for names in groups:
            looks = {name: photos[name].draw() for name in names}
            pictures.append(
                StillPicture(
                    number=len(pictures),
                    split=split,
                    place=int(rng.integers(spec.places)),
                    faces=_scene(spec, rng, looks, set(strangers)),
                )
            )
    return pictures


class _Bag:
    """Somebody's photos: all come out before one does again."""

    def __init__(self, looks: Sequence[Look], rng: np.random.Generator) -> None:
        self._looks, self._rng, self._left = looks, rng, list[Look]()

    def draw(self) -> Look:
        """Return the next photo."""
        if not self._left:
            self._left = [self._looks[i] for i in self._rng.permutation(len(self._looks))]
        return self._left.pop()


def _photos_by_split(
    rng: np.random.Generator, people: Mapping[str, Sequence[Look]]
) -> dict[str, dict[str, list[Look]]]:
    """Return everybody's photos in each split, at least one."""
    parts: dict[str, dict[str, list[Look]]] = {split: {} for split in SPLITS}
    for name, looks in people.items():
        counts = apportion(len(looks), list(SPLITS.values()), least=1)
        order = np.split(rng.permutation(len(looks)), np.cumsum(counts)[:-1])
        for split, which in zip(SPLITS, order, strict=True):
            parts[split][name] = [looks[i] for i in which]
    return parts


def _people_by_split(
    rng: np.random.Generator, people: Mapping[str, Sequence[Look]]
) -> dict[str, dict[str, list[Look]]]:
    names = sorted(people)
    counts = apportion(len(names), list(SPLITS.values()))
    order = np.split(rng.permutation(len(names)), np.cumsum(counts)[:-1])
    return {
        split: {names[i]: list(people[names[i]]) for i in which}
        for split, which in zip(SPLITS, order, strict=True)
    }


def _groups(
    spec: StillsSpec,
    rng: np.random.Generator,
    count: int,
    cast: Sequence[str],
    strangers: Sequence[str],
) -> list[list[str]]:
    """Return who is in each picture, from left to right; nobody twice in one."""
    crowd = np.array(spec.crowd) / np.sum(spec.crowd)
    free = 1 + rng.choice(len(crowd), count, p=crowd)
    free = np.minimum(free, len(cast) + len(strangers))
    known = round(int(free.sum()) * (1 - spec.stranger_share * bool(strangers)))
    ranks = 1.0 + np.arange(len(cast))
    least = 1 if known >= len(cast) else 0
    groups: list[list[str]] = [[] for _ in range(count)]
    for name, wanted in zip(cast, apportion(known, list(ranks**-spec.zipf), least), strict=True):
        room = np.flatnonzero(free)
        if len(room) == 0:
            break
        share = free[room] / free[room].sum()
        for i in rng.choice(room, min(int(wanted), len(room)), replace=False, p=share):
            groups[i].append(name)
            free[i] -= 1
    for i in np.flatnonzero(free):
        groups[i] += rng.permutation(np.array(strangers, object))[: free[i]].tolist()
    return [[group[j] for j in rng.permutation(len(group))] for group in groups]


def _scene(
    spec: StillsSpec, rng: np.random.Generator, looks: Mapping[str, Look], strangers: set[str]
) -> tuple[StillFace, ...]:
    """Return the faces of one picture, side by side, the smallest (farthest back) first."""
    faces = []
    for lane, (name, look) in enumerate(looks.items()):
        box = _placed(spec, rng, lane, len(looks), look.aspect)
        left, top, right, bottom = (round(float(edge), 3) for edge in box)
        angle = round(float(rng.normal(0, 5)), 3)
        faces.append(
            StillFace(name, look.still, name in strangers, (left, top, right, bottom), angle)
        )
    return tuple(sorted(faces, key=lambda face: face.box[3] - face.box[1]))


def _placed(
    spec: StillsSpec, rng: np.random.Generator, lane: int, of: int, aspect: float
) -> Float64:
    """Return the box of a face in its lane, which is one of `of` side by side, (4,)."""
    room = spec.width / of
    tall = rng.uniform(*spec.face_height) * spec.height
    size = np.array([aspect, 1.0]) * tall
    size *= min(1.0, 0.9 * room / (HEAD_WIDTH * size[0]))
    slack = max(0.0, (room - HEAD_WIDTH * size[0]) / 2)
    x = (lane + 0.5) * room + slack * rng.uniform(-0.9, 0.9)
    y = max(spec.height * rng.uniform(0.33, 0.49), 0.75 * size[1])
    return np.concatenate([(x, y) - size / 2, (x, y) + size / 2])

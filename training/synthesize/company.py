"""Who plays in a season: a cast of people with many photos, some with a gallery, and extras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.errors import ImageError
from indexer.progress import Progress, silent
from training.synthesize.heads import Detect, Head
from training.synthesize.photos import names, read_heads
from training.synthesize.season_spec import SeasonSpec
from training.synthesize.truth import Skipped

_FEWEST = 3
"""Photos, beyond the gallery's, that somebody of the cast needs to have."""
_CHOICE = 4
"""The cast is drawn from this many times as many people: those with the most photos."""
_OF_A_STRANGER = 8
"""Photos of a stranger, at most."""
_RARE = 3
"""Strangers have at least so many photos, if there are enough such people."""


@dataclass(frozen=True, slots=True)
class Company:
    """Everybody's heads that are shown, and the gallery's, which are never shown."""

    cast: Mapping[str, Sequence[Head]]
    """Whoever is seen most comes first: those with a gallery."""
    strangers: Mapping[str, Sequence[Head]]
    gallery: Mapping[str, Sequence[Head]]
    skipped: tuple[Skipped, ...]
    """Photos that could not be used."""


def read_company(
    source: Path, spec: SeasonSpec, detect: Detect, progress: Progress = silent
) -> Company:
    """Return a cast and strangers, drawn by the seed, and their heads.

    Args:
        source: LFW's archive or the folder that holds it, or a folder of stills per person.
        spec: how many people and photos.
        detect: finds the faces in a photo.
        progress: shows how far it is.

    Raises:
        ImageError: the source has too few people with enough usable photos.
    """
    rng = np.random.default_rng([spec.seed, 10])
    photos = names(source)
    ranked = sorted(photos, key=lambda name: (-len(photos[name]), name))
    able = [name for name in ranked if len(photos[name]) >= spec.stills + _FEWEST]
    if len(able) < spec.cast:
        raise _too_few(source, spec, len(able))
    cast = _some(rng, able[: _CHOICE * spec.cast], spec.cast)
    others = [name for name in ranked if name not in cast]
    several = [name for name in others if len(photos[name]) >= _RARE]
    strangers = _some(rng, several if len(several) >= spec.strangers else others, spec.strangers)
    most = dict.fromkeys(cast, spec.stills + spec.photos) | dict.fromkeys(strangers, _OF_A_STRANGER)
    wanted = {name: _some(rng, photos[name], count) for name, count in most.items()}
    heads, skipped = read_heads(source, wanted, detect, progress)
    enrolled = cast[: spec.enrolled]
    rich = [name for name in cast if len(heads[name]) > spec.stills * (name in enrolled)]
    if len(rich) < spec.cast:
        raise _too_few(source, spec, len(rich))
    shuffled = {name: [heads[name][i] for i in rng.permutation(len(heads[name]))] for name in heads}
    return Company(
        cast={name: shuffled[name][spec.stills * (name in enrolled) :] for name in cast},
        strangers={name: shuffled[name] for name in strangers if heads[name]},
        gallery={name: shuffled[name][: spec.stills] for name in enrolled},
        skipped=tuple(skipped),
    )


def _too_few(source: Path, spec: SeasonSpec, count: int) -> ImageError:
    least = spec.stills + _FEWEST
    problem = f"has only {count} people with {least} usable photos or more, but needs {spec.cast}"
    return ImageError(source, problem, "ask for a smaller cast or fewer stills, or add photos")


def _some(rng: np.random.Generator, names: Sequence[str], count: int) -> list[str]:
    """Return `count` of the names, or all if there are fewer, in random order."""
    return [names[i] for i in rng.permutation(len(names))[:count]]

"""How long it takes to find what an episode repeats of many earlier ones, on synthetic hashes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from indexer.config import RepeatSettings
from indexer.pictures import Past
from indexer.records import Int64, Shot
from indexer.repeats import find

_RATE = 25
_SHOT = 60
_MINUTES = 22
_ANGLES = 400
"""Number of pictures that shots begin with, over all episodes: a show has few rooms."""
_STEADY = 8
"""Frames after which a picture's hash has changed by one bit, on average."""
_RECAP = 20
"""Number of shots that are shown again."""


@dataclass(frozen=True, slots=True)
class Searched:
    """Time, recall and precision of finding the repeats of one episode."""

    episodes: int
    """Number of earlier episodes."""
    frames: int
    """Their frames, all together."""
    seconds: float
    recall: float
    """Share of the repeated frames that were found."""
    precision: float
    """Share of the frames found that are repeated."""


def search_made(episodes: int, seed: int = 0) -> Searched:
    """Return how well the recap that an episode begins with is found in `episodes` earlier ones.

    Each has 22 minutes, in shots of 2.4 s that begin with one of 400 pictures; from frame to
    frame a few bits of the hash change, for good or as noise.
    """
    rng = np.random.default_rng(seed)
    angles = rng.integers(1, 1 << 63, _ANGLES)
    made = [_episode(angles, rng) for _ in range(episodes + 1)]
    *earlier, hashes = made
    for number in range(_RECAP):
        source = earlier[int(rng.integers(episodes))]
        at = _SHOT * int(rng.integers(len(source) // _SHOT))
        shot = source[at : at + _SHOT]
        hashes[number * _SHOT : (number + 1) * _SHOT] = shot ^ _turned(rng, len(shot), 0.5)
    shots = [
        Shot(number, start, start + _SHOT - 1, start / _RATE, (start + _SHOT) / _RATE)
        for number, start in enumerate(range(0, len(hashes), _SHOT))
    ]
    past = [Past(str(number), one) for number, one in enumerate(earlier)]
    started = time.perf_counter()
    found = find(shots, hashes, past, RepeatSettings())
    seconds = time.perf_counter() - started
    right = sum(one.end_frame + 1 - one.start_frame for one in found if one.shot < _RECAP)
    said = sum(one.end_frame + 1 - one.start_frame for one in found)
    frames = sum(len(one) for one in earlier)
    return Searched(episodes, frames, seconds, right / (_RECAP * _SHOT), right / max(said, 1))


def _episode(angles: Int64, rng: np.random.Generator) -> Int64:
    """Return the hashes of an episode's frames."""
    shots = _MINUTES * 60 * _RATE // _SHOT
    starts = rng.choice(angles, shots) ^ _turned(rng, shots, 1) ^ _turned(rng, shots, 1)
    starts ^= np.bitwise_xor.reduce([_turned(rng, shots, 1) for _ in range(8)])
    steps = _turned(rng, shots * _SHOT, 1 / _STEADY).reshape(shots, _SHOT)
    walk: Int64 = np.bitwise_xor.accumulate(steps, axis=1) ^ starts[:, None]
    return walk.reshape(-1) ^ _turned(rng, shots * _SHOT, 0.3)


def _turned(rng: np.random.Generator, count: int, share: float) -> Int64:
    """Return `count` numbers, each with one random bit of 63 set by probability `share`, else 0."""
    bits = np.left_shift(np.int64(1), rng.integers(0, 63, count))
    return np.where(rng.random(count) < share, bits, 0)

"""Synthetic embeddings of very many tracks, clustered like those of faces, made piece by piece."""

from __future__ import annotations

import numpy as np

from indexer.records import Float32

DIMENSION = 128
_GENUINE, _IMPOSTOR = 0.6858, 0.1045  # mean cosines of our encoder's faces
_FADE = 150.0  # dimensions over which deviations fade: impostors' cosines spread by 0.09, as LFW's
_TRACKS_PER_PERSON = 100  # on average: a few people have very many tracks, most have few


class Crowd:
    """People, and any number of tracks that show them."""

    def __init__(self, tracks: int) -> None:
        generator = np.random.default_rng(0)
        people = tracks // _TRACKS_PER_PERSON + 1
        fade = np.exp(-np.arange(DIMENSION) / _FADE).astype(np.float32)
        self._spread = fade / np.linalg.norm(fade)
        self._faces = self._deviations(generator, people)
        shares = np.arange(1, people + 1) ** -0.7
        self._shares = np.cumsum(shares) / shares.sum()

    def some(self, seed: int, count: int) -> Float32:
        """Return tracks of people drawn by their shares, unit rows (count, DIMENSION)."""
        generator = np.random.default_rng([1, seed])
        who = np.searchsorted(self._shares, generator.random(count)).clip(max=len(self._faces) - 1)
        rows = np.sqrt(np.float32(_GENUINE - _IMPOSTOR)) * self._faces[who]
        rows += np.sqrt(np.float32(1 - _GENUINE)) * self._deviations(generator, count)
        rows[:, -1] += np.sqrt(np.float32(_IMPOSTOR))  # what all faces have in common
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def _deviations(self, generator: np.random.Generator, count: int) -> Float32:
        rows = generator.standard_normal((count, DIMENSION), dtype=np.float32)
        rows *= self._spread
        return rows

"""Pictures that are the same, to the byte or to the eye.

To the eye by a perceptual hash, the signs of a picture's lowest 16 x 16 frequencies. Measured on
3,000 photos of LFW: different ones differ in at least 54 of 256 signs, and a photo from itself
after recompression, scaling by half or 30 % more light in at most 24.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from indexer.records import Int64, UInt8

_FREQUENCIES = 16
_ALIKE = 36
"""Signs, of 256, that may differ between two versions of a picture."""
_ROWS = 512
"""Pictures compared with all others at a time."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What identifies a picture."""

    sha256: str
    """Of the file."""
    look: UInt8
    """(32,), the perceptual hash, eight signs a byte."""


def fingerprint(path: Path, pixels: UInt8) -> Fingerprint:
    """Return the fingerprint of a file that holds the picture `pixels`, RGB uint8 (H, W, 3)."""
    signs = imagehash.phash(Image.fromarray(pixels), hash_size=_FREQUENCIES).hash
    return Fingerprint(hashlib.sha256(path.read_bytes()).hexdigest(), np.packbits(signs.ravel()))


def alike(looks: UInt8) -> Iterator[Int64]:
    """Yield the pairs of rows that show the same to the eye, (P, 2), each i < j, sorted.

    In portions, as there are many where all pictures are alike.

    Args:
        looks: (N, 32).
    """
    words = np.ascontiguousarray(looks).view(np.uint64)  # (N, 4)
    for start in range(0, len(words), _ROWS):
        some = words[start : start + _ROWS]
        differ = np.zeros((len(some), len(words) - start), np.uint16)
        for word in range(words.shape[1]):
            differ += np.bitwise_count(some[:, word, None] ^ words[None, start:, word])
        yield np.argwhere(np.triu(differ <= _ALIKE, 1)) + start

"""Pictures of real faces for tests, from two public-domain portraits that packages ship."""

from __future__ import annotations

import cv2
import numpy as np

from indexer.records import UInt8
from training.people import collins, hopper

__all__ = ["collins", "crowd", "hopper"]


def crowd(seed: int, height: int = 360, width: int = 640) -> UInt8:
    """Return a picture with both faces several times, at many sizes, some turned, on noise."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(40, 200, (6, 10, 3), dtype=np.uint8)
    scene = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    cells = [(x, y) for x in range(0, width - 150, 160) for y in range(0, height - 150, 180)]
    for x, y in cells:
        source = (collins()[0:260, 100:360], hopper()[20:420, 60:460])[rng.integers(2)]
        side = int(rng.integers(60, 170))
        face = cv2.resize(source, (side, side), interpolation=cv2.INTER_AREA)
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-12, 12)), 1.0)
        face = cv2.warpAffine(face, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
        if rng.random() < 0.5:
            face = face[:, ::-1]
        part = scene[y : y + side, x : x + side]
        part[:] = face[: part.shape[0], : part.shape[1]]
    return scene.astype(np.uint8)

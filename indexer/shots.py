"""Frames in, the same frames out, each knowing its shot: PySceneDetect fed with our frames."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import cv2
import numpy as np
from scenedetect import AdaptiveDetector, FrameTimecode

from indexer.config import ShotSettings
from indexer.records import BLANK, Frame, UInt8

_WIDTH = 240
"""Pixels across of what the detector sees: enough for cuts, and quick to make."""
_HASHED_ROWS = (0.13, 0.8)
"""The part of a picture that is hashed, in shares of its height: between a widescreen film's bars,
and above captions."""
_HASH_GRID, _HASH_SIDE = 32, 8
_MEDIAN = _HASH_SIDE**2 // 2 - 1  # of 63


def split(frames: Iterable[Frame], rate: Fraction, settings: ShotSettings) -> Iterator[Frame]:
    """Yield every frame with its `shot`, its `hash` and whether it is `usable`, in order.

    A frame is held until the detector has seen the `window` frames after it, since only then is
    it known whether a cut precedes it.

    Args:
        frames: from the decoder.
        rate: nominal frames per second, to count the shortest shot in frames.
        settings: the detector's thresholds.
    """
    detector = AdaptiveDetector(
        adaptive_threshold=settings.adaptive_threshold,
        min_scene_len=max(1, round(settings.min_length_s * rate)),
        window_width=settings.window,
        min_content_val=settings.min_change,
    )
    waiting: deque[Frame] = deque()
    cuts: set[int] = set()
    shot = 0
    for seen in frames:
        small = seen.render(_WIDTH, max(2, round(seen.height * _WIDTH / seen.width)))
        code = FrameTimecode(seen.index, fps=rate)
        cuts.update(
            cut.frame_num
            for cut in detector.process_frame(code, cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        )
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.uint8)
        usable = _contrast(grey) >= settings.min_contrast
        look = picture_hash(grey) if usable else BLANK
        waiting.append(dataclasses.replace(seen, usable=usable, hash=look))
        if len(waiting) > settings.window:
            frame = waiting.popleft()
            shot += frame.index in cuts
            cuts.discard(frame.index)
            yield dataclasses.replace(frame, shot=shot)
    for frame in waiting:
        shot += frame.index in cuts
        yield dataclasses.replace(frame, shot=shot)


def picture_hash(grey: UInt8) -> int:
    """Return a hash of 63 bits, most of which are equal for pictures that look alike.

    The signs of its lowest frequencies against their median, its mean brightness left out, as in
    pHash (Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions",
    section 3.2.1). Never BLANK.

    Args:
        grey: (H, W).
    """
    top, bottom = (round(share * len(grey)) for share in _HASHED_ROWS)
    part = grey[top : max(bottom, top + 1)]
    small = cv2.resize(part, (_HASH_GRID, _HASH_GRID), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[:_HASH_SIDE, :_HASH_SIDE].ravel()
    bits = low > np.partition(low[1:], _MEDIAN)[_MEDIAN]
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes()) or 1


def _contrast(grey: UInt8) -> float:
    """Return the standard deviation of the grey levels, of 255."""
    _, deviation = cv2.meanStdDev(grey)
    return float(deviation[0, 0])

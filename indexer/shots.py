"""Frames in, the same frames out, each knowing its shot: PySceneDetect fed with our frames."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import cv2
from scenedetect import AdaptiveDetector, FrameTimecode

from indexer.config import ShotSettings
from indexer.records import Frame, UInt8

_WIDTH = 240
"""Pixels across of what the detector sees: enough for cuts, and quick to make."""


def split(frames: Iterable[Frame], rate: Fraction, settings: ShotSettings) -> Iterator[Frame]:
    """Yield every frame with its `shot` and whether it is `usable`, in order.

    A frame is held until the detector has seen the `window` frames after it, since only then
    it is known whether a cut precedes it.

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
        usable = _contrast(small) >= settings.min_contrast
        waiting.append(dataclasses.replace(seen, usable=usable))
        if len(waiting) > settings.window:
            frame = waiting.popleft()
            shot += frame.index in cuts
            cuts.discard(frame.index)
            yield dataclasses.replace(frame, shot=shot)
    for frame in waiting:
        shot += frame.index in cuts
        yield dataclasses.replace(frame, shot=shot)


def _contrast(image: UInt8) -> float:
    """Return the standard deviation of the grey levels, of 255."""
    _, deviation = cv2.meanStdDev(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return float(deviation[0, 0])

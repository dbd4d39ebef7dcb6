"""What is recorded of every frame as it passes: times, hashes, shots, and rows of the store."""

from __future__ import annotations

import array
import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from indexer.records import Frame, Shot, Trace, Track
from indexer.store.write import EpisodeWriter

_FRAMES_PER_WRITE = 256


class Book:
    """What is recorded of every frame as it passes: times, hashes, shots, and rows of the store."""

    def __init__(self, writer: EpisodeWriter, frame_s: float) -> None:
        self.writer = writer
        self.times = array.array("d")
        """The time of each frame so far, in seconds, by index."""
        self._hashes = array.array("q")
        self._sides = np.ones(4, np.float32)
        self._frame_s = frame_s
        self._shot = Shot(0, 0, -1, 0.0, 0.0)
        self._waiting: list[Frame] = []

    def kept(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames, each recorded before it is passed on."""
        for frame in frames:
            if not self.times:
                self._shot = Shot(0, 0, -1, frame.time_s, frame.time_s)
            self.times.append(frame.time_s)
            self._hashes.append(frame.hash)
            self._sides[:] = [frame.width, frame.height] * 2
            if frame.shot != self._shot.shot:
                self._end_shot(frame.index)
            self._waiting.append(frame.let_go())
            if len(self._waiting) == _FRAMES_PER_WRITE:
                self._write()
            yield frame
        if self.times:
            self._end_shot(len(self.times))
        self._write()

    def end_s(self, index: int) -> float:
        """Return when a frame leaves the screen: the time of the next, or a frame later."""
        following = index + 1
        return self.times[following] if following < len(self.times) else self._after_last()

    def placed(self, track: Track, trace: Trace) -> Track:
        """Return a track with its first and last box, and the hashes of these two frames."""
        ends = (trace.boxes[[0, -1]] / np.maximum(self._sides, 1)).astype(np.float32)
        views = np.array([self._hashes[frame] for frame in trace.frames[[0, -1]]], np.int64)
        return dataclasses.replace(track, ends=ends.ravel(), views=views)

    def _after_last(self) -> float:
        return self.times[-1] + self._frame_s if self.times else 0.0

    def _end_shot(self, following: int) -> None:
        end_s = self.end_s(following - 1)
        ended = dataclasses.replace(self._shot, end_frame=following - 1, end_s=end_s)
        self.writer.add_shot(ended)
        self._shot = Shot(ended.shot + 1, following, following - 1, end_s, end_s)

    def _write(self) -> None:
        self.writer.add_frames(self._waiting)
        self._waiting = []

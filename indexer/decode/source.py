"""A file → the packets of its video stream, and how much of the file there was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.stream import Stream
from av.video.stream import VideoStream

from indexer.decode.container import choose_stream, open_container, start_of


class Source:
    """The packets of a file's video stream, and how much of the file there was."""

    def __init__(self, path: Path, resources: ExitStack) -> None:
        self.path = path
        self._container = resources.enter_context(open_container(path))
        self.format = self._container.format.name
        self.stream = choose_stream(path, self._container)
        self.time_base = self.stream.time_base or Fraction(1, av.time_base)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        self.start = start_of(self._container)
        self.lost = 0
        self._promised, self._reached = self._promise(), 0.0
        self._ended = self._broken = False

    def enter(self, pts: int) -> None:
        """Seek to where a decoder can start so that it yields the picture with that pts."""
        with suppress(av.FFmpegError):  # then it stays at the beginning
            self._container.seek(pts, stream=self.stream)

    @property
    def expected_s(self) -> float:
        """Seconds from the start to the end that the header promises, 0 if it does not."""
        return max(0.0, self._promised - float(self.start)) if self._promised else 0.0

    def packets(self) -> Iterator[av.Packet[VideoStream]]:
        """Yield the packets in decoding order, without a last one that the file's end cuts short.

        That counts as lost. It would fail at the end of decoding, when a failure costs the frames
        that other threads are still decoding.
        """
        held = None
        for packet in self._demux():
            if packet.stream_index == self.stream.index and packet.size:
                if held is not None:
                    yield held
                held = cast("av.Packet[VideoStream]", packet)
        if held is not None and held.is_corrupt:
            self.lost += 1
        elif held is not None:
            yield held
        self._ended = True

    def _demux(self) -> Iterator[av.Packet[Stream]]:
        # Where only the whole file's length is known, its longest stream is the one to reach it.
        alone = self.stream.duration is not None
        streams = [self.stream] if alone else list(self._container.streams)
        ticks = {stream.index: float(stream.time_base or 0) for stream in streams}
        try:
            for packet in self._container.demux(streams):
                at = packet.dts if packet.pts is None else packet.pts
                if at is not None:
                    end = (at + (packet.duration or 0)) * ticks[packet.stream_index]
                    self._reached = max(self._reached, end)
                yield packet
        except av.FFmpegError:
            self._broken = True
        except IndexError:
            # After the last packet, PyAV may fail on a stream that appeared midway.
            return

    def _promise(self) -> float:
        length, start, unit = self.stream.duration, self.stream.start_time, self.time_base
        if length is None:
            length, start = self._container.duration, self._container.start_time
            unit = Fraction(1, av.time_base)
            if self.format.startswith("matroska"):
                start = 0  # its duration is its end time
        return float(((start or 0) + (length or 0)) * unit)

    @property
    def truncated(self) -> bool:
        """Whether all packets were read, and they end in an error or before the header says."""
        early = self._promised - self._reached > max(0.5, float(2 / self.rate))
        return self._ended and (self._broken or early)

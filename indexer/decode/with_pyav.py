"""Packets → pictures, by the FFmpeg that PyAV brings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import av
from av.codec.context import Flags as CodecFlags

from indexer.config import DecodeSettings
from indexer.decode.source import Source


def decode(source: Source, settings: DecodeSettings) -> Iterator[av.VideoFrame]:
    """Yield the pictures in the order they are shown; what fails is counted as lost."""
    context = source.stream.codec_context
    context.thread_type, context.thread_count = "AUTO", settings.threads
    context.flags |= CodecFlags.output_corrupt
    inside = 0  # packets that the decoder still holds
    packets = source.packets()
    first = next(packets, None)
    if settings.frames == "reference" and first is not None and first.pts is not None:
        context.skip_frame = "NONREF"
    for packet in chain([] if first is None else [first], packets, [None]):
        inside += packet is not None
        try:
            pictures = context.decode(packet)
        except av.FFmpegError:
            # PyAV cannot go on flushing a decoder that failed while being flushed.
            source.lost += 1 if packet is not None else max(inside, 1)
            inside -= 1
        else:
            inside -= len(pictures)
            yield from pictures

"""Packets → pictures, by the FFmpeg that PyAV brings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import av
from av.codec.context import Flags as CodecFlags

from indexer.decode.source import Source


def decode(source: Source, threads: int) -> Iterator[av.VideoFrame]:
    """Yield the pictures in the order they are shown; what fails is counted as lost."""
    context = source.stream.codec_context
    context.thread_type, context.thread_count = "AUTO", threads
    context.flags |= CodecFlags.output_corrupt
    inside = 0  # packets that the decoder is still at
    for packet in chain(source.packets(), [None]):
        inside += packet is not None
        try:
            pictures = context.decode(packet)
        except av.FFmpegError:
            # PyAV cannot go on emptying a decoder that failed while being emptied.
            source.lost += 1 if packet is not None else max(inside, 1)
            inside -= 1
        else:
            inside -= len(pictures)
            yield from pictures

"""Frames in, an MP4 out: constant or variable frame rate, turned or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.codec.context import Flags

from indexer.errors import VideoError
from indexer.records import UInt8


@dataclass(frozen=True, slots=True)
class Format:
    """How frames are written."""

    width: int
    """As displayed."""
    height: int
    fps: Fraction
    """The mean rate."""
    crf: int
    ticks: Sequence[int] = ()
    """When each frame is shown, in `time_base`; empty for one after another at `fps`."""
    time_base: Fraction = Fraction(1, 25)
    rotation: int = 0
    """Degrees clockwise that a player has to turn the stored picture."""


def encode(video: Path, how: Format, frames: Iterable[UInt8]) -> None:
    """Write an MP4 whose bytes depend on the frames and the format only.

    Args:
        video: where to.
        how: the format.
        frames: (H, W, 3) RGB, as displayed.

    Raises:
        VideoError: the file cannot be written.
    """
    options = {
        "crf": str(how.crf),
        "preset": "veryfast",
        "bf": "3",
        "threads": "1",
        "x264-params": "cpu-independent=1",  # else the bytes depend on where frames lie in memory
    }
    turned = how.rotation in (90, 270)
    try:
        with av.open(video, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            stream = container.add_stream("libx264", rate=how.fps, options=options)
            size = (how.height, how.width) if turned else (how.width, how.height)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.flags |= Flags.bitexact
            if how.ticks:
                stream.codec_context.time_base = how.time_base
            if how.rotation:
                stream.set_display_rotation(-how.rotation)
            for index, pixels in enumerate(frames):
                frame = _planes(np.rot90(pixels, how.rotation // 90))
                if how.ticks:
                    frame.pts, frame.time_base = how.ticks[index], how.time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    except OSError as error:
        problem = error.strerror or "cannot be written"
        raise VideoError(video, problem, "check the folder and the disk") from error


def _planes(pixels: UInt8) -> av.VideoFrame:
    planes = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2YUV_I420)
    return av.VideoFrame.from_ndarray(planes.astype(np.uint8, copy=False), "yuv420p")

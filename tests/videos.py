"""Small synthetic videos in which the pixels of every frame encode its index.

A picture has ten blocks, dark or bright, that spell its index in binary (lowest bit first, left to
right, top to bottom), over a stripe of four colours. `read_index` and `read_colours` read them
back after any codec, scaling and turning, so that what was decoded can be compared with what was
written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from indexer.records import Float64, UInt8

BT601, BT709, BT2020 = 6, 1, 9
LIMITED, FULL = 1, 2
COLOURS = np.array([(220, 30, 30), (30, 200, 40), (40, 50, 210), (230, 220, 60)])
_ROWS, _COLUMNS = 3, 5  # two rows of bits, one of colours
_UNTAGGED = 2
_MATRIX = {BT601: 5, BT709: 1, BT2020: 9}  # swscale's names for them
_AUDIO_RATE = 48000


@dataclass(frozen=True)
class Recipe:
    """How a video is made; the defaults are a short H.264 clip with B-frames."""

    count: int = 20
    size: tuple[int, int] = (160, 96)
    """Width and height as displayed, but for `pixel_aspect`."""
    rate: Fraction = Fraction(25)
    ticks: tuple[int, ...] = ()
    """When each frame is shown, in `time_base`; empty for a constant frame rate of `rate`."""
    time_base: Fraction | None = None
    """None for 1 / rate."""
    codec: str = "libx264"
    bframes: int = 2
    gop: int = 12
    pix_fmt: str = "yuv420p"
    rotation: int = 0
    """Degrees clockwise that a player has to turn the stored picture."""
    mirrored: bool = False
    """Whether a player has to mirror it left to right after that."""
    pixel_aspect: Fraction = Fraction(1)
    matrix: int = BT601
    tagged: bool = True
    """Whether the file says which matrix it is."""
    range: int = LIMITED
    audio_s: float = 0.0
    """Seconds of silence beside the pictures."""
    options: dict[str, str] = field(default_factory=dict)
    """Options of the encoder, on top of the fastest preset."""
    muxing: dict[str, str] = field(default_factory=dict)

    @property
    def times(self) -> list[Fraction]:
        """Return when each frame is shown, in seconds on the container's own clock."""
        base = self.time_base or 1 / self.rate
        return [tick * base for tick in self.ticks or range(self.count)]


def picture(index: int, size: tuple[int, int]) -> UInt8:
    """Return the picture that spells an index below 1024, (H, W, 3) RGB."""
    width, height = size
    image = np.empty((height, width, 3), dtype=np.uint8)
    for cell in range(_ROWS * _COLUMNS):
        row, column = divmod(cell, _COLUMNS)
        grey = (210,) * 3 if index >> cell & 1 else (40,) * 3
        rows = slice(row * height // _ROWS, (row + 1) * height // _ROWS)
        columns = slice(column * width // _COLUMNS, (column + 1) * width // _COLUMNS)
        image[rows, columns] = COLOURS[column % 4] if row == _ROWS - 1 else grey
    return image


def read_index(pixels: UInt8) -> int:
    """Return the index that a picture spells."""
    levels = _cells(pixels)[: _ROWS - 1].mean(axis=2).ravel()
    return sum(1 << bit for bit, level in enumerate(levels) if level > 125)


def read_colours(pixels: UInt8) -> Float64:
    """Return the mean colour of each patch of the stripe, (4, 3)."""
    return _cells(pixels)[_ROWS - 1, :4]


def make(path: Path, recipe: Recipe) -> Path:
    """Write a video into the container that the path's ending names, and return the path."""
    with av.open(str(path), "w", options=recipe.muxing) as out:
        stream = _add_video(out, recipe)
        audio = out.add_stream("aac", _AUDIO_RATE) if recipe.audio_s else None
        for frame in _frames(recipe):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if audio is not None:
            _mux_silence(out, audio, recipe.audio_s)
    return path


def make_audio(path: Path, seconds: float = 0.5) -> Path:
    """Write an audio file of silence, and return its path."""
    with av.open(str(path), "w") as out:
        _mux_silence(out, out.add_stream("aac", _AUDIO_RATE), seconds)
    return path


def with_cover(audio: bytes, jpeg: bytes) -> bytes:
    """Return an audio file with an ID3 tag in front of it that holds a cover picture."""
    cover = b"\0image/jpeg\0\3\0" + jpeg
    frame = b"APIC" + len(cover).to_bytes(4) + b"\0\0" + cover
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + frame + audio


def cut(path: Path, share: float) -> Path:
    """Truncate a file to a share of its bytes, and return its path."""
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * share)])
    return path


def blot(path: Path, number: int, start: float = 0.25) -> Path:
    """Overwrite half of a packet of the video, from a share of the packet on; return the path."""
    with av.open(str(path)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    at, size = packets[number]
    content = bytearray(path.read_bytes())
    first = (at or 0) + round(size * start)
    content[first : first + size // 2] = bytes((7 * k + 1) % 256 for k in range(size // 2))
    path.write_bytes(content)
    return path


def _cells(pixels: UInt8) -> Float64:
    height, width = pixels.shape[:2]
    up, left = max(height // 12, 1), max(width // 20, 1)
    cells = np.empty((_ROWS, _COLUMNS, 3))
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            y = round((row + 0.5) * height / _ROWS)
            x = round((column + 0.5) * width / _COLUMNS)
            cells[row, column] = pixels[y - up : y + up, x - left : x + left].mean(axis=(0, 1))
    return cells


def _add_video(out: OutputContainer, recipe: Recipe) -> VideoStream:
    fastest = {
        "libx264": {"preset": "ultrafast", "bf": str(recipe.bframes)},
        "libx265": {"preset": "ultrafast"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
        "mpeg4": {"bf": str(recipe.bframes), "b": "2M"},
        "mpeg2video": {"bf": str(recipe.bframes), "b": "2M"},
    }
    options = fastest.get(recipe.codec, {}) | recipe.options
    stream = cast(VideoStream, out.add_stream(recipe.codec, recipe.rate, options=options))
    turned = recipe.rotation in (90, 270)
    stream.width, stream.height = recipe.size[::-1] if turned else recipe.size
    stream.pix_fmt = recipe.pix_fmt
    context = stream.codec_context
    context.time_base = recipe.time_base or 1 / recipe.rate
    context.gop_size = recipe.gop
    context.sample_aspect_ratio = recipe.pixel_aspect
    context.colorspace = recipe.matrix if recipe.tagged else _UNTAGGED
    context.color_range = recipe.range
    if recipe.rotation or recipe.mirrored:
        stream.set_display_rotation(-recipe.rotation, hflip=recipe.mirrored)
    return stream


def _frames(recipe: Recipe) -> Iterator[av.VideoFrame]:
    base = recipe.time_base or 1 / recipe.rate
    for index, time in enumerate(recipe.times):
        shown = picture(index, recipe.size)
        stored = np.rot90(shown[:, ::-1] if recipe.mirrored else shown, recipe.rotation // 90)
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="rgb24")
        frame = rgb.reformat(
            format=recipe.pix_fmt,
            dst_colorspace=_MATRIX[recipe.matrix],
            dst_color_range=recipe.range,
        )
        frame.pts, frame.time_base = int(time / base), base
        yield frame


def _mux_silence(out: OutputContainer, stream: AudioStream, seconds: float) -> None:
    block = np.zeros((2, 1024), dtype=np.float32)
    for start in range(0, round(seconds * _AUDIO_RATE), block.shape[1]):
        silence = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        silence.sample_rate, silence.pts = _AUDIO_RATE, start
        out.mux(stream.encode(silence))
    out.mux(stream.encode(None))


def retell(path: Path, source: Path, stretches: Sequence[tuple[int, int]], caption: str) -> Path:
    """Write stretches of a video again, smaller and worse, with a caption, and return the path.

    Args:
        path: where to.
        source: an MP4 of constant rate.
        stretches: the first and last frame of each, in the order they are shown in.
        caption: over all of them.
    """
    wanted = [frame for first, last in stretches for frame in range(first, last + 1)]
    with av.open(str(source)) as file:
        rate = file.streams.video[0].average_rate or Fraction(25)
        shown = {
            number: frame.to_ndarray(format="rgb24", width=480, height=270)
            for number, frame in enumerate(file.decode(video=0))
            if number in wanted
        }
    with av.open(str(path), "w") as out:
        options = {"preset": "veryfast", "crf": "28"}
        stream = out.add_stream("libx264", rate, options=options)
        stream.width, stream.height, stream.pix_fmt = 480, 270, "yuv420p"
        for number in wanted:
            pixels = shown[number].copy()
            cv2.putText(pixels, caption, (20, 248), cv2.FONT_HERSHEY_DUPLEX, 0.6, (240,) * 3)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    return path

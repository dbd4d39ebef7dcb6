"""Path → frames in the order they are shown: the only file that knows a video library.

**Time.** ``time_s = pts * time_base - start``, where `start` is the container's (the earliest of
its streams'), so that 0 is where a player's clock starts. The pts that come out always rise:

- where a stream stores decoding times only (AVI), they are used, less the decoder's reordering
  delay; where it stores none (raw H.264), frames follow each other at the nominal rate;
- a pts that repeats or falls back becomes the last one plus one tick, a leap that the next frame
  takes back is flattened, and where the clock starts anew (joined recordings) the rest is shifted
  to follow on.

**Pictures** are made when somebody renders them, at the size asked for: colour matrix and range
as tagged, BT.601 limited if untagged (FFmpeg's rule), area-averaged if smaller, then turned and
mirrored as the display matrix says. The displayed size counts non-square pixels: a 720x576 frame
at 64:45 is 1024x576. Every frame of a video has the size of its first, even if the stream changes.
Interlaced pictures come woven, as they are stored.

**Damage.** What can be decoded is yielded, what is damaged is counted. A video is truncated if its
packets end more than two frames and half a second before the end that the header promises, or if
the container breaks off. An undamaged video is the same whatever the number of threads; of a
damaged one, more than one thread may lose the last frames before a broken end.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.codec.context import Flags as CodecFlags
from av.container import Flags as ContainerFlags
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from indexer.config import DecodeSettings
from indexer.errors import VideoError
from indexer.records import DecodeReport, Frame, UInt8, VideoFacts

_STILL_FORMATS = ("image2", "ico")
_STILL_BRANDS = ("avif", "heic", "heix", "mif1")
_NOT_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_DTS_ONLY = ("avi", "matroska,webm")  # Matroska: streams that were taken over from AVI
_DECORD_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv")
_DECORD_RUN = 32  # frames: enough to make opening a reader for each run of them cheap
_DECORD_BYTES = 2 << 30


def open_video(path: Path, settings: DecodeSettings) -> Video:
    """Return an open video whose first frame has been decoded.

    Raises:
        VideoError: the path holds no video, or none that the backend reads rightly.
    """
    with ExitStack() as stack:
        source = stack.enter_context(_Source(path))
        frames = _decode(source, settings.threads)
        first = next(frames, None)
        if first is None:
            raise VideoError(path, "not one frame can be decoded", "check that it plays")
        screen = _Screen(first, source.stream.sample_aspect_ratio)
        clock = _Clock(source, first)
        if settings.backend == "decord":
            _check_decord_reads(source, first)
            source = stack.enter_context(_Source(path))
            frames = _decode_with_decord(source, settings.threads)
        else:
            frames = chain([first], frames)
        return Video(source, frames, screen, clock, stack.pop_all())


class Video:
    """A video to be read once, front to back: ``with open_video(...) as video: for frame in video``.

    Frames stay renderable after later ones were read and after the video was closed.
    """

    facts: VideoFacts

    def __init__(
        self,
        source: _Source,
        pictures: Iterator[av.VideoFrame],
        screen: _Screen,
        clock: _Clock,
        resources: ExitStack,
    ) -> None:
        self._source = source
        self._pictures = pictures
        self._screen = screen
        self._clock = clock
        self._resources = resources
        self._frames = self._corrupt = 0
        self._started = self._closed = False
        self.facts = VideoFacts(
            width=screen.width,
            height=screen.height,
            rotation=screen.rotation,
            time_base=source.time_base,
            start_s=float(source.start),
            rate=source.rate,
            expected_frames=source.stream.frames,
        )

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        self._resources.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in presentation order, shot 0: nobody has looked for cuts yet.

        Raises:
            VideoError: decord fails where PyAV might not.
            ValueError: the video has been iterated before, or was closed.
        """
        if self._started or self._closed:
            raise ValueError("expected to be read once while open: open the video again")
        self._started = True
        return self._read()

    def _read(self) -> Iterator[Frame]:
        for picture, following in _pairs(self._pictures):
            pts = self._clock.stamp(picture, following)
            self._corrupt += picture.is_corrupt
            self._frames += 1
            yield Frame(
                index=self._frames - 1,
                pts=pts,
                time_s=float(pts * self._source.time_base - self._source.start),
                shot=0,
                width=self._screen.width,
                height=self._screen.height,
                render=partial(self._screen.render, picture),
            )
            if self._closed:
                raise ValueError("expected an open video: it was closed before its last frame")

    def report(self) -> DecodeReport:
        """Return what came out so far; whether it is truncated is known after the last frame."""
        return DecodeReport(
            frames=self._frames,
            corrupt_frames=self._corrupt,
            lost_packets=self._source.lost,
            expected_frames=self.facts.expected_frames,
            truncated=self._source.truncated,
        )


class _Source:
    """The packets of a file's video stream, and how much of the file there was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container = _open(path)
        self.stream = _choose_stream(path, self._container)
        self.format = self._container.format.name
        self.time_base = self.stream.time_base or Fraction(1, av.time_base)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        self.start = _start(self._container)
        self.lost = 0
        self._reached = 0.0
        self._ended = self._broken = False

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def packets(self) -> Iterator[av.Packet]:
        """Yield the packets in decoding order, less a last one that the file's end cuts short.

        Such a packet would fail in the decoder's last moments, when a failure costs the frames
        that other threads are still at.
        """
        held = None
        for packet in self._demux():
            if packet.stream_index == self.stream.index and packet.size:
                if held is not None:
                    yield held
                held = packet
        if held is not None and held.is_corrupt:
            self.lost += 1
        elif held is not None:
            yield held
        self._ended = True

    def _demux(self) -> Iterator[av.Packet]:
        # A header that gives only the file's length is kept by whichever stream is longest.
        known = self.stream.duration is not None
        streams = [self.stream] if known else list(self._container.streams)
        ticks = {stream.index: float(stream.time_base or 0) for stream in streams}
        try:
            for packet in self._container.demux(streams):
                at = packet.pts if packet.pts is not None else packet.dts
                if at is not None:
                    end = (at + (packet.duration or 0)) * ticks[packet.stream_index]
                    self._reached = max(self._reached, end)
                yield packet
        except av.FFmpegError:
            self._broken = True

    @property
    def truncated(self) -> bool:
        """Whether all packets were read and they end before the header says."""
        if self.stream.duration is not None:
            promised = float((self.stream.start_time or 0) + self.stream.duration) * self.time_base
        else:
            length = self._container.duration or 0
            promised = float(((self._container.start_time or 0) + length) / av.time_base)
        missing = promised - self._reached
        return self._ended and (self._broken or missing > max(0.5, 2 / self.rate))


def _open(path: Path) -> InputContainer:
    if not path.exists():
        raise VideoError(path, "there is no such file", "check the path")
    if not path.is_file():
        raise VideoError(path, "is not a file", "give a video file")
    if path.stat().st_size == 0:
        raise VideoError(path, "is an empty file", "copy or download it again")
    try:
        # A name may look like a protocol's ("Part 2: Home.mp4"), a playlist name other places.
        container = av.open(
            f"file:{path}",
            metadata_errors="replace",
            container_options={"protocol_whitelist": "file"},
        )
    except av.FFmpegError as error:
        if _is_cut_mp4(path):
            problem = "is cut off or not yet finished: an MP4 file without its index (moov)"
            raise VideoError(path, problem, "copy or download it again") from error
        problem = f"is not a video that FFmpeg can read: {error.strerror}"
        raise VideoError(path, problem, "check that it plays") from error
    # Generated pts contradict the order of the pictures where B-frames came without any.
    container.flags &= ~ContainerFlags.gen_pts.value
    return container


def _is_cut_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        head, size = file.read(16), path.stat().st_size
        if head[4:8] != b"ftyp":
            return False
        while len(head) >= 8:
            length = int.from_bytes(head[:4] if head[:4] != b"\0\0\0\1" else head[8:])
            end = file.tell() - len(head) + length
            if head[4:8] == b"moov":
                return end > size
            if length < 8:
                break
            file.seek(end)
            head = file.read(16)
    return True


def _choose_stream(path: Path, container: InputContainer) -> VideoStream:
    kind, brand = container.format.name, container.metadata.get("major_brand", "")
    moving = [s for s in container.streams.video if not s.disposition & _NOT_PICTURES]
    if kind == "tty":
        raise VideoError(path, "is a text file", "give a video file")
    if kind == "hls":
        raise VideoError(path, "is a playlist", "give the video files that it names")
    one = kind == "gif" and moving[0].frames == 1
    if kind.endswith("_pipe") or kind in _STILL_FORMATS or brand in _STILL_BRANDS or one:
        raise VideoError(path, "is a still image", "use it with enroll or query --image")
    if not moving:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise VideoError(path, f"holds no video, only {kinds}", "give a file with moving pictures")
    # The one that players show: marked as default, else the largest, else the first.
    best = max(moving, key=lambda s: (s.disposition & Disposition.default, s.width * s.height))
    if best.codec_context is None:
        raise VideoError(path, "is in a codec that this FFmpeg cannot decode", "convert it")
    return best


def _start(container: InputContainer) -> Fraction:
    # FFmpeg rounds the container's start to microseconds; the stream it came from knows better.
    rough = Fraction(container.start_time or 0, av.time_base)
    starts = (s.start_time * s.time_base for s in container.streams if s.start_time is not None)
    return min(starts, key=lambda exact: abs(exact - rough), default=rough)


def _pairs[T](items):
    pass


class _Clock:
    """Gives every picture a pts above the last one's; the rules stand at the head of the file."""

    def __init__(self, source: _Source, first: av.VideoFrame) -> None:
        self._step = max(1, round(1 / (source.rate * source.time_base)))
        self._jump = round(1 / source.time_base)
        self._lag: int | None = None
        if first.pts is None and source.format in _DTS_ONLY:
            self._lag = self._step * source.stream.codec_context.reorder_depth
        start = self._stored(first)
        if start is None:
            start = source.stream.start_time or 0
        self._last = start - self._step
        self._shift = 0

    def _stored(self, picture: av.VideoFrame | None) -> int | None:
        if picture is None:
            return None
        if self._lag is not None:
            return None if picture.dts is None else picture.dts - self._lag
        return picture.pts if picture.pts is not None else picture.dts

    def stamp(self, picture: av.VideoFrame, following: av.VideoFrame | None) -> int:
        """Return the pts of the picture, given the one shown after it."""
        due = self._last + self._step
        stored, ahead = self._stored(picture), self._stored(following)
        pts = due if stored is None else stored + self._shift
        if ahead is not None and self._last < ahead + self._shift < pts:
            pts = min(due, ahead + self._shift - 1)
        elif pts < self._last - self._jump:
            self._shift += due - pts
            pts = due
        self._last = max(pts, self._last + 1)
        return self._last


class _Screen:
    """Makes displayed pixels of decoded pictures; safe to use from several threads."""

    def __init__(self, first: av.VideoFrame, pixel_aspect: Fraction | None) -> None:
        a, b, c, d = 1, 0, 0, 1  # x' = ax + cy, y' = bx + dy
        matrix = first.side_data.get(SideData.DISPLAYMATRIX)
        if matrix is not None:
            a, b, _, c, d = np.frombuffer(matrix, dtype=np.int32)[:5].tolist()
        self._transposed = abs(b) > abs(a)
        self._flip_x = (c if self._transposed else a) < 0
        self._flip_y = (b if self._transposed else d) < 0
        self.rotation = 90 * self._transposed + 180 * self._flip_y
        width, height = Fraction(first.width), Fraction(first.height)
        # Within 2 % it is square, and the rest is how somebody's aspect ratio was rounded.
        if pixel_aspect is not None and 1.02 < max(pixel_aspect, 1 / pixel_aspect) < 4:
            width, height = width * max(pixel_aspect, 1), height * max(1 / pixel_aspect, 1)
        if self._transposed:
            width, height = height, width
        self.width, self.height = round(width), round(height)
        self._lock = Lock()
        # Each keeps the scaling tables of one size: setting them up anew costs 0.3 ms.
        self._scaler = lru_cache(maxsize=8)(lambda _width, _height: VideoReformatter())

    def render(self, picture: av.VideoFrame, width: int, height: int) -> UInt8:
        """Return the picture as displayed at that size, (height, width, 3) RGB."""
        if width < 1 or height < 1:
            raise ValueError(f"expected a size of at least 1x1, got {width}x{height}")
        size = (height, width) if self._transposed else (width, height)
        with self._lock:
            scaled = self._scaler(*size).reformat(
                picture, *size, format="rgb24", interpolation=_scaling(picture, *size), threads=1
            )
        pixels = scaled.to_ndarray()
        if self._transposed:
            pixels = pixels.swapaxes(0, 1)
        pixels = pixels[:: -1 if self._flip_y else 1, :: -1 if self._flip_x else 1]
        return np.ascontiguousarray(pixels)


def _scaling(picture: av.VideoFrame, width: int, height: int) -> int:
    if (picture.width, picture.height) == (width, height):
        return Interpolation.AREA  # nothing to scale: the plain conversion is ten times as fast
    shrinks = width <= picture.width and height <= picture.height
    method = Interpolation.AREA if shrinks else Interpolation.BILINEAR
    return method | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def _decode(source: _Source, threads: int) -> Iterator[av.VideoFrame]:
    context = source.stream.codec_context
    context.thread_type, context.thread_count = "AUTO", threads
    context.flags |= CodecFlags.output_corrupt
    for packet in chain(source.packets(), [None]):
        try:
            yield from context.decode(packet)
        except av.FFmpegError:
            source.lost += 1


def _check_decord_reads(source: _Source, first: av.VideoFrame) -> None:
    ...

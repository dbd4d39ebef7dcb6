"""Path → frames in the order they are shown: the only file that knows a video library.

**Time** is ``pts * time_base - start``, where `start` is the container's (the earliest of its
streams'), so that 0 is where a player's clock starts. The pts that come out always rise:

- where a stream stores decoding times only (AVI), they are used, less the decoder's reordering
  delay; where it stores none (raw H.264), frames follow each other at the nominal rate;
- a pts that repeats or falls back becomes the last one plus one tick; a leap that the next frame
  takes back is flattened; where the clock starts anew (joined recordings), the rest is shifted to
  follow on.

**Pictures** are made when somebody renders them, at the size asked for: colour matrix and range
as tagged, BT.601 limited if untagged (FFmpeg's rule), area-averaged if smaller, then turned and
mirrored as the display matrix says. The displayed size makes pixels square: 720x576 at 64:45 is
1024x576. All frames have the size of the first, even if the stream changes. Interlaced pictures
stay woven.

**Damage**: what can be decoded is yielded, what is damaged is counted. A video is truncated if its
packets end more than two frames and half a second before the end that the header promises, or if
the container breaks off. An undamaged video is the same whatever the number of threads; of a
damaged one, more than one thread may lose the last frames before a broken end.

**decord** decodes what PyAV has demuxed, so that all of this holds for it too, but it does not tell
of damage that it covers up: nothing is counted as corrupt. It is refused where it would be wrong:
streams without presentation times, MPEG-TS and other containers that do not say where decoding can
start, packets that it cannot decode.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.codec.context import Flags as CodecFlags
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from indexer.config import DecodeSettings
from indexer.errors import VideoError
from indexer.records import DecodeReport, Frame, UInt8, VideoFacts

_OPTIONS = {
    "protocol_whitelist": "file",  # what a playlist names is not fetched
    "fflags": "-genpts",  # of B-frames without pts, what it makes up is wrong
}
_STILL_FORMATS = ("image2", "ico")
_STILL_BRANDS = ("avif", "heic", "heix", "mif1")
_NOT_MOVING = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_SQUARE, _WIDEST_PIXEL = 0.02, 4
_DTS_ONLY = ("avi", "matroska,webm")  # Matroska: streams that were taken over from AVI
_DECORD_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv")
_DECORD_RUN = 32  # packets: opening a reader costs 7 ms
_DECORD_BYTES = 2 << 30  # of decoded pictures: decord may hold a whole run of them
_USE_PYAV = "set decode.backend=pyav"


def open_video(path: Path, settings: DecodeSettings) -> Video:
    """Return an open video whose first frame has been decoded.

    Raises:
        VideoError: the path holds no video, or none that the backend reads rightly.
    """
    with ExitStack() as stack:
        source = _Source(path, stack)
        pictures = _decode(source, settings.threads)
        first = next(pictures, None)
        if first is None:
            raise VideoError(path, "not one frame can be decoded", "check that it plays")
        screen, clock = _Screen(first, source.stream.sample_aspect_ratio), _Clock(source, first)
        if settings.backend == "decord":
            stack.close()
            source = _Source(path, stack)
            pictures = _decode_with_decord(source, first, settings.threads)
            first = next(pictures)
        return Video(source, chain([first], pictures), screen, clock, stack.pop_all())


class Video:
    """A video to be read once, front to back.

    Used as ``with open_video(path, settings) as video: for frame in video: ...``. Frames can be
    rendered after later ones were read and after the video was closed.
    """

    def __init__(
        self,
        source: _Source,
        pictures: Iterator[av.VideoFrame],
        screen: _Screen,
        clock: _Clock,
        resources: ExitStack,
    ) -> None:
        self._source, self._pictures = source, pictures
        self._screen, self._clock = screen, clock
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

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._resources.close()

    def __iter__(self) -> Iterator[Frame]:
        """Return the frames in the order they are shown, as shot 0: nobody has looked for cuts.

        Raises:
            ValueError: the video has been read before, or was closed.
            VideoError: decord fails at a frame.
        """
        if self._started:
            raise ValueError("expected to be read once: open the video again")
        self._started = True
        return self._read()

    def _read(self) -> Iterator[Frame]:
        picture = next(self._pictures, None)
        while picture is not None:
            if self._closed:
                raise ValueError("expected an open video: it was closed before its last frame")
            following = next(self._pictures, None)
            pts = self._clock.stamp(picture, following)
            self._corrupt += picture.is_corrupt
            self._frames += 1
            yield Frame(
                index=self._frames - 1,
                pts=pts,
                time_s=float(pts * self._source.time_base - self._source.start),
                shot=0,
                usable=True,
                width=self._screen.width,
                height=self._screen.height,
                render=partial(self._screen.render, picture),
            )
            picture = following

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

    def __init__(self, path: Path, resources: ExitStack) -> None:
        self.path = path
        self._container = resources.enter_context(_open(path))
        self.format = self._container.format.name
        self.stream = _choose_stream(path, self._container)
        self.time_base = self.stream.time_base or Fraction(1, av.time_base)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        self.start = _start(self._container)
        self.lost = 0
        self._promised, self._reached = self._promise(), 0.0
        self._ended = self._broken = False

    def packets(self) -> Iterator[av.Packet[VideoStream]]:
        """Yield the packets in decoding order, less a last one that the file's end cuts short.

        Such a packet would fail in the decoder's last moments, when a failure costs the frames
        that other threads are still at.
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
        # Where only the whole file's length is known, its longest stream is the one to keep it.
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
            # After the last packet, PyAV may stumble over a stream that appeared on the way.
            return

    def _promise(self) -> float:
        length, start, unit = self.stream.duration, self.stream.start_time, self.time_base
        if length is None:
            length, start = self._container.duration, self._container.start_time
            unit = Fraction(1, av.time_base)
        return float(((start or 0) + (length or 0)) * unit)

    @property
    def truncated(self) -> bool:
        """Whether the packets have all been read, and end before the header says."""
        early = self._promised - self._reached > max(0.5, float(2 / self.rate))
        return self._ended and (self._broken or early)


def _open(path: Path) -> InputContainer:
    if not path.exists():
        raise VideoError(path, "there is no such file", "check the path")
    if not path.is_file():
        raise VideoError(path, "is not a file", "give a video file")
    if path.stat().st_size == 0:
        raise VideoError(path, "is an empty file", "copy or download it again")
    try:
        # "file:", because a name may look like that of another protocol.
        return av.open(f"file:{path}", container_options=_OPTIONS, metadata_errors="replace")
    except av.FFmpegError as error:
        _refuse_cut_mp4(path)
        problem = f"is no video FFmpeg can read: {error.strerror}"
        raise VideoError(path, problem, "check that it plays") from error


def _refuse_cut_mp4(path: Path) -> None:
    size, at, kind = path.stat().st_size, 0, b""
    with path.open("rb") as file:
        while at < size and kind != b"moov":
            file.seek(at)
            head = file.read(16)
            kind = head[4:8]
            if at == 0 and kind != b"ftyp":
                return
            length = int.from_bytes(head[8:] if head[:4] == b"\0\0\0\1" else head[:4])
            at += max(length, 8) if length else size  # 0: to the end of the file
    if kind != b"moov" or at > size:
        problem = "is cut off: an MP4 without its index (moov)"
        raise VideoError(path, problem, "copy or download it again")


def _choose_stream(path: Path, container: InputContainer) -> VideoStream:
    kind = container.format.name
    moving = [s for s in container.streams.video if not s.disposition & _NOT_MOVING.value]
    if kind == "tty":
        raise VideoError(path, "is a text file", "give a video file")
    if kind == "hls":
        raise VideoError(path, "is a playlist", "give the video files that it names")
    still = kind.endswith("_pipe") or kind in _STILL_FORMATS
    still |= container.metadata.get("major_brand") in _STILL_BRANDS
    still |= kind == "gif" and all(stream.frames == 1 for stream in moving)
    if still:
        raise VideoError(path, "is a still image", "give it to enroll or query --image")
    if not moving:
        _refuse_cut_mp4(path)
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoError(path, f"holds no moving pictures, only {kinds}", "give a video file")
    readable = [s for s in moving if s.codec_context is not None]
    if not readable:
        raise VideoError(path, "is in a codec that FFmpeg cannot decode", "convert it")
    # What players show: the one marked as default, else the largest, else the first.
    return max(readable, key=lambda s: (s.disposition & Disposition.default, s.width * s.height))


def _start(container: InputContainer) -> Fraction:
    # FFmpeg rounds the container's start to microseconds; the stream it came from knows better.
    rough = Fraction(container.start_time or 0, av.time_base)
    starts = [
        stream.start_time * stream.time_base
        for stream in container.streams
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, key=lambda exact: abs(exact - rough), default=rough)


class _Clock:
    """Gives every picture a pts above the last one's, by the rules at the head of this file."""

    def __init__(self, source: _Source, first: av.VideoFrame) -> None:
        self._step = max(1, round(1 / (source.rate * source.time_base)))
        self._second = round(1 / source.time_base)
        self._shift = 0
        self._lag: int | None = None
        if first.pts is None and source.format in _DTS_ONLY:
            self._lag = self._step * source.stream.codec_context.reorder_depth
        start = self._stored(first)
        self._last = ((source.stream.start_time or 0) if start is None else start) - self._step

    def _stored(self, picture: av.VideoFrame | None) -> int | None:
        if picture is None:
            return None
        if self._lag is None and picture.pts is not None:
            return picture.pts + self._shift
        return None if picture.dts is None else picture.dts - (self._lag or 0) + self._shift

    def stamp(self, picture: av.VideoFrame, following: av.VideoFrame | None) -> int:
        """Return the pts of the picture, given the one that is shown next."""
        due = self._last + self._step
        pts, ahead = self._stored(picture), self._stored(following)
        if pts is None:
            pts = due
        elif ahead is not None and self._last < ahead < pts:
            pts = min(due, ahead - 1)
        elif pts < self._last - self._second:
            self._shift += due - pts
            pts = due
        self._last = max(pts, self._last + 1)
        return self._last


class _Screen:
    """Makes displayed pixels of decoded pictures; may be used from several threads."""

    def __init__(self, first: av.VideoFrame, pixel_aspect: Fraction | None) -> None:
        a, b, c, d = 1, 0, 0, 1  # x' = ax + cy, y' = bx + dy
        matrix: Any = first.side_data.get("DISPLAYMATRIX")
        if matrix is not None:
            a, b, _, c, d = np.frombuffer(matrix, dtype=np.int32)[:5].tolist()
        self._transposed = abs(b) > abs(a)
        self._flip_x = (c if self._transposed else a) < 0
        self._flip_y = (b if self._transposed else d) < 0
        self.rotation = 90 * self._transposed + 180 * self._flip_y
        wider, higher = _stretch(pixel_aspect or Fraction(1))
        size = round(first.width * wider), round(first.height * higher)
        self.width, self.height = size[::-1] if self._transposed else size
        self._lock = Lock()
        # One for each size, since setting up its tables anew costs 0.3 ms a frame.
        self._scaler = lru_cache(maxsize=8)(lambda _size: VideoReformatter())

    def render(self, picture: av.VideoFrame, width: int, height: int) -> UInt8:
        """Return the picture as displayed at that size, (height, width, 3) RGB."""
        if width < 1 or height < 1:
            raise ValueError(f"expected a size of at least 1x1, got {width}x{height}")
        size = (height, width) if self._transposed else (width, height)
        how = _interpolation(picture, *size)
        with self._lock:
            scaled = self._scaler(size).reformat(
                picture, *size, format="rgb24", interpolation=how, threads=1
            )
        pixels: UInt8 = np.asarray(scaled.to_ndarray(), dtype=np.uint8)
        if self._transposed:
            pixels = pixels.swapaxes(0, 1)
        pixels = pixels[:: -1 if self._flip_y else 1, :: -1 if self._flip_x else 1]
        # The caller's own: where there was nothing to convert, these are the picture itself.
        return np.array(pixels, order="C", copy=True if scaled is picture else None)


def _stretch(pixel_aspect: Fraction) -> tuple[Fraction, Fraction]:
    # Nearly square is how somebody rounded the picture's ratio, far from it is a mistake.
    if max(pixel_aspect, 1 / pixel_aspect) > _WIDEST_PIXEL or abs(pixel_aspect - 1) < _SQUARE:
        pixel_aspect = Fraction(1)
    return max(pixel_aspect, Fraction(1)), max(1 / pixel_aspect, Fraction(1))


def _interpolation(picture: av.VideoFrame, width: int, height: int) -> int:
    if (picture.width, picture.height) == (width, height):
        return Interpolation.AREA  # with more exact flags ten times as slow, for 1 level of 255
    shrinks = width <= picture.width and height <= picture.height
    method = Interpolation.AREA if shrinks else Interpolation.BILINEAR
    return method | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def _decode(source: _Source, threads: int) -> Iterator[av.VideoFrame]:
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


def _decode_with_decord(
    source: _Source, first: av.VideoFrame, threads: int
) -> Iterator[av.VideoFrame]:
    """Yield what `_decode` would, already RGB; decord gets one short run of packets at a time.

    Given the file itself, decord 0.6.0 drops the head of an MPEG-TS, has no time for what stores
    none, and, where its frames are not taken at once, decodes ahead until memory is full
    (dmlc/decord issue 208).
    """
    decord = _import_decord(source.path)
    if source.format not in _DECORD_FORMATS:
        raise VideoError(source.path, f"decord is not trusted with {source.format}", _USE_PYAV)
    failures = (
        *(decord.DECORDError, decord.DECORDLimitReachedError, StopIteration),
        *(av.FFmpegError, RuntimeError, ValueError),
    )
    most = _DECORD_BYTES // (3 * first.width * first.height)
    for run in _closed_runs(source, most):
        shown = sorted((pts, packet.is_discard) for pts, packet in run)
        try:
            # Any stand-in for a frame it cannot decode is one too many.
            reader = decord.VideoReader(
                _packed(source.stream, run), num_threads=threads, fault_tol=1e-9
            )
            if len(reader) != len(run):
                raise RuntimeError(f"{len(reader)} frames in {len(run)} packets")
            for pts, hidden in shown:
                picture = av.VideoFrame.from_ndarray(reader.next().asnumpy(), format="rgb24")
                picture.pts = pts
                if not hidden:
                    yield picture
        except failures as error:
            at = float(shown[0][0] * source.time_base - source.start)
            raise VideoError(source.path, f"decord fails after {at:.2f} s", _USE_PYAV) from error


class _Timed(NamedTuple):
    pts: int
    packet: av.Packet[VideoStream]


def _closed_runs(source: _Source, most: int) -> Iterator[list[_Timed]]:
    """Yield the packets in runs that can be decoded each by itself: from keyframe to keyframe."""
    ready: list[_Timed] = []  # held back: the end of the stream must not become a run too short
    run: list[_Timed] = []
    group: list[_Timed] = []
    for packet in source.packets():
        if packet.pts is None:
            raise VideoError(source.path, "decord needs presentation times", _USE_PYAV)
        if packet.is_keyframe and group:
            if len(run) >= _DECORD_RUN and _is_closed(run, group):
                if ready:
                    yield ready
                ready, run = run, []
            run, group = run + group, []
        group.append(_Timed(packet.pts, packet))
        if len(run) + len(group) > most:
            problem = f"decord cannot hold the more than {most} frames between closed keyframes"
            raise VideoError(source.path, problem, _USE_PYAV)
    yield ready + run + group


def _is_closed(run: list[_Timed], group: list[_Timed]) -> bool:
    """Whether nothing is shown across the group's keyframe, from either side."""
    first = min(timed.pts for timed in group)
    return max(timed.pts for timed in run) < first == group[0].pts


def _packed(stream: VideoStream, run: list[_Timed]) -> io.BytesIO:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        track = out.add_stream_from_template(stream)
        for _, packet in run:
            packet.stream = track
            out.mux(packet)
    file.seek(0)
    return file


def _import_decord(path: Path) -> Any:  # noqa: ANN401 - decord has no types
    try:
        decord = importlib.import_module("decord")
    except (ImportError, OSError) as error:
        raise VideoError(path, "decord is not installed", f"install it, or {_USE_PYAV}") from error
    decord.logging.set_level(decord.logging.QUIET)
    return decord

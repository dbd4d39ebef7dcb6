"""Path → frames in the order they are shown: the only package that imports PyAV or decord.

**Time** is ``pts * time_base - start``, where `start` is the container's (the earliest of its
streams'), so that 0 is where a player's clock starts. The resulting pts always rise:

- where a stream stores decoding times only (AVI), they are used, less the decoder's reordering
  delay; where it stores none (raw H.264), frames follow each other at the nominal rate;
- a pts that repeats or falls back becomes the last one plus one tick; a leap that the next frame
  reverses is flattened; where the clock restarts (joined recordings), the rest is shifted to follow
  on.

**Pictures** are converted when they are rendered, at the size asked for: colour matrix and range
as tagged, area-averaged if smaller, then rotated and mirrored by the display matrix. Without a tag
the matrix is BT.709 from 1280 wide or over 576 high, else BT.601, as in players; the range is
limited. The displayed size makes pixels square: 720x576 at 64:45 is 1024x576. All frames have the
size of the first, even if the stream changes. Interlaced pictures stay woven.

**Damage**: what can be decoded is yielded, what is damaged is counted. A video is truncated if its
packets end more than two frames and half a second before the end that the header promises, or if
the container breaks off. An undamaged video is the same whatever the number of threads; of a
damaged one, more than one thread may lose the last frames before a broken end.

**Reference frames** only, on request: the decoder skips pictures that no other depends on. The rest
keep the pts that they have among all. Streams without presentation times, where a frame's place
determines its time, are decoded in full.

**decord** decodes what PyAV has demuxed, always all frames. All else above holds for it too, but
it hides damage: no frame is counted as corrupt. It is refused where it would be wrong: streams
without presentation times, MPEG-TS and other containers that do not say where decoding can start,
packets that it cannot decode.

    container     a file opened, and its video stream chosen
    source        that stream's packets, and how much of the file there was
    with_pyav     packets → pictures
    with_decord   the same by decord
    clock         pictures → pts
    screen        pictures → displayed pixels
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from pathlib import Path

import av

from indexer.config import DecodeSettings
from indexer.decode import with_decord, with_pyav
from indexer.decode.clock import Clock
from indexer.decode.screen import Screen
from indexer.decode.source import Source
from indexer.errors import VideoError
from indexer.records import BLANK, DecodeReport, Frame, VideoFacts

_INDEXED = ("mov,mp4", "matroska")
"""Containers with an index of their keyframes."""


def open_video(path: Path, settings: DecodeSettings, start: Frame | None = None) -> Video:
    """Return an open video whose first frame has been decoded.

    Args:
        path: the video.
        settings: backend, threads, and which frames.
        start: a frame read from it earlier, to start from. Where seeking does not lead to
            exactly that frame, all before it are decoded too, and dropped.

    Raises:
        VideoError: the path holds no video, or none that the backend reads correctly.
    """
    if start is not None and start.index:
        entered = _entered(path, settings, start)
        return entered or open_video(path, settings).without_first(start.index)
    with ExitStack() as stack:
        source = Source(path, stack)
        pictures = with_pyav.decode(source, settings)
        first = next(pictures, None)
        if first is None:
            raise VideoError(path, "not one frame can be decoded", "check that it plays")
        screen, clock = Screen(first, source.stream.sample_aspect_ratio), Clock(source, first)
        if settings.backend == "decord":
            stack.close()
            source = Source(path, stack)
            pictures = with_decord.decode(source, first, settings.threads)
            if screen.presumes_bt709(first):
                pictures = map(with_decord.without_matrix, pictures)
            first = next(pictures)
        return Video(source, chain([first], pictures), screen, clock, stack.pop_all())


def _entered(path: Path, settings: DecodeSettings, start: Frame) -> Video | None:
    """Return the video from a frame on, None if seeking does not lead to exactly that frame."""
    with open_video(path, settings) as video, ExitStack() as stack:
        source = Source(path, stack)
        if settings.backend != "pyav" or not source.format.startswith(_INDEXED):
            return None
        source.enter(start.pts)
        pictures = with_pyav.decode(source, settings)
        first = next(pictures, None)
        damaged = False
        while first is not None and first.pts is not None and first.pts < start.pts:
            damaged |= first.is_corrupt
            first = next(pictures, None)
        if first is None or first.pts != start.pts or damaged or first.is_corrupt:
            return None
        clock, pictures = Clock(source, first), chain([first], pictures)
        return Video(source, pictures, video.screen, clock, stack.pop_all(), start.index)


class Video:
    """A video to be read once, front to back.

    Used as ``with open_video(path, settings) as video: for frame in video: ...``. Frames can be
    rendered after later ones were read and after the video was closed.
    """

    def __init__(
        self,
        source: Source,
        pictures: Iterator[av.VideoFrame],
        screen: Screen,
        clock: Clock,
        resources: ExitStack,
        first: int = 0,
    ) -> None:
        self._source, self._pictures = source, pictures
        self.screen, self._clock = screen, clock
        self._resources = resources
        self._frames, self._corrupt, self._left_out = first, 0, 0
        self._started = self._closed = False
        self.facts = VideoFacts(
            width=screen.width,
            height=screen.height,
            rotation=screen.rotation,
            time_base=source.time_base,
            start_s=float(source.start),
            rate=source.rate,
            expected_frames=0
            if source.stream.codec_context.skip_frame == "NONREF"
            else source.stream.frames,
            expected_s=source.expected_s,
        )

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._resources.close()

    def __iter__(self) -> Iterator[Frame]:
        """Return the frames in the order they are shown, all in shot 0: cuts are found later.

        Raises:
            ValueError: the video has been read before, or was closed.
            VideoError: decord fails at a frame.
        """
        if self._started:
            raise ValueError("expected to be read once: open the video again")
        self._started = True
        return islice(self._read(), self._left_out, None)

    def without_first(self, count: int) -> Video:
        """Return this video, which will leave out its first `count` frames."""
        self._left_out = count
        return self

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
                hash=BLANK,
                width=self.screen.width,
                height=self.screen.height,
                render=partial(self.screen.render, picture),
            )
            picture = following

    def report(self) -> DecodeReport:
        """Return a report of the frames so far; whether it is truncated is known after the last."""
        return DecodeReport(
            frames=self._frames,
            corrupt_frames=self._corrupt,
            lost_packets=self._source.lost,
            expected_frames=self.facts.expected_frames,
            truncated=self._source.truncated,
        )

"""Packets → pictures, by decord."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from indexer.decode.source import Source
from indexer.errors import VideoError

_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv")
_RUN = 32  # packets: opening a reader costs 7 ms
_BYTES = 2 << 30  # of decoded pictures: decord may hold a whole run of them
_USE_PYAV = "set decode.backend=pyav"


def decode(source: Source, first: av.VideoFrame, threads: int) -> Iterator[av.VideoFrame]:
    """Yield what `with_pyav.decode` would, already RGB.

    decord gets one short run of packets at a time. Given the file itself, decord 0.6.0 drops the
    head of an MPEG-TS, has no times for streams that store none, and, where its frames are not
    consumed at once, decodes ahead until memory is full (dmlc/decord issue 208).
    """
    decord = _import_decord(source.path)
    if source.format not in _FORMATS:
        raise VideoError(source.path, f"decord may misread {source.format}", _USE_PYAV)
    failures = (
        *(decord.DECORDError, decord.DECORDLimitReachedError, StopIteration),
        *(av.FFmpegError, RuntimeError, ValueError),
    )
    most = _BYTES // (3 * first.width * first.height)
    for run in _closed_runs(source, most):
        shown = sorted((pts, packet.is_discard) for pts, packet in run)
        try:
            # Not one frame that it cannot decode may be replaced by another.
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


def without_matrix(picture: av.VideoFrame) -> av.VideoFrame:
    """Return decord's picture as untagged YUV again, since decord takes all untagged for BT.601.

    The most saturated colours, which that clipped to the range of RGB, stay clipped.
    """
    stored = picture.reformat(format="yuv444p", dst_colorspace=Colorspace.ITU601, threads=1)
    stored.colorspace = picture.colorspace
    return stored


class _Timed(NamedTuple):
    pts: int
    packet: av.Packet[VideoStream]


def _closed_runs(source: Source, most: int) -> Iterator[list[_Timed]]:
    """Yield the packets in runs that can each be decoded alone: from keyframe to keyframe."""
    ready: list[_Timed] = []  # held back: a short end of the stream must join it
    run: list[_Timed] = []
    group: list[_Timed] = []
    for packet in source.packets():
        if packet.pts is None:
            raise VideoError(
                source.path, "has no presentation times, which decord needs", _USE_PYAV
            )
        if packet.is_keyframe and group:
            if len(run) >= _RUN and _is_closed(run, group):
                if ready:
                    yield ready
                ready, run = run, []
            run, group = run + group, []
        group.append(_Timed(packet.pts, packet))
        if len(run) + len(group) > most:
            problem = f"has more than {most} frames between closed keyframes, too many for decord"
            raise VideoError(source.path, problem, _USE_PYAV)
    yield ready + run + group


def _is_closed(run: list[_Timed], group: list[_Timed]) -> bool:
    """Return whether the group's keyframe is shown after all of the run and before its own rest."""
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

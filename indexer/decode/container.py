"""Opening a file and choosing its video stream; what is no video is refused with a reason."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from indexer.errors import VideoError

_OPTIONS = {
    "protocol_whitelist": "file",  # files that a playlist names are not fetched
    "fflags": "-genpts",  # the pts that it makes up for B-frames are wrong
}
_STILL_FORMATS = ("image2", "ico")
_STILL_BRANDS = ("avif", "heic", "heix", "mif1")
_NOT_MOVING = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def open_container(path: Path) -> InputContainer:
    """Return the open file.

    Raises:
        VideoError: the file does not exist, may not be read, or is none that FFmpeg can read.
    """
    try:
        _refuse_no_file(path)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise VideoError(path, problem, "check its permissions and the disk") from error
    try:
        # "file:", because a name may look like another protocol's.
        return av.open(f"file:{path}", container_options=_OPTIONS, metadata_errors="replace")
    except av.FFmpegError as error:
        _refuse_cut_mp4(path)
        problem = f"is not a video that FFmpeg can read: {error.strerror}"
        raise VideoError(path, problem, "check that it plays") from error


def choose_stream(path: Path, container: InputContainer) -> VideoStream:
    """Return what players show: the stream marked as default, else the largest, else the first.

    Raises:
        VideoError: it holds no moving pictures, or none that FFmpeg can decode.
    """
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
    return max(readable, key=lambda s: (s.disposition & Disposition.default, s.width * s.height))


def start_of(container: InputContainer) -> Fraction:
    """Return the time in seconds, on the container's own clock, at which it starts."""
    # FFmpeg rounds the container's start to microseconds; that of the stream it came from is exact.
    rough = Fraction(container.start_time or 0, av.time_base)
    starts = [
        stream.start_time * stream.time_base
        for stream in container.streams
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, key=lambda exact: abs(exact - rough), default=rough)


def _refuse_no_file(path: Path) -> None:
    if not path.exists():
        raise VideoError(path, "there is no such file", "check the path")
    if not path.is_file():
        raise VideoError(path, "is not a file", "give a video file")
    if path.stat().st_size == 0:
        raise VideoError(path, "is an empty file", "copy or download it again")
    path.open("rb").close()


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

"""Pictures → pts that always rise."""

from __future__ import annotations

import av

from indexer.decode.source import Source

_DTS_ONLY = ("avi", "matroska,webm")  # Matroska: streams copied from AVI


class Clock:
    """Gives every picture a pts above the last one's, by the rules in the package's docstring."""

    def __init__(self, source: Source, first: av.VideoFrame) -> None:
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

"""Decoded pictures → the pixels that a player shows of them."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from threading import Lock
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from indexer.records import UInt8

_SQUARE, _WIDEST_PIXEL = 0.02, 4
_UNTAGGED = 2  # FFmpeg's AVCOL_SPC_UNSPECIFIED
_PREVIEW = 3  # times smaller: finds the same cuts in half the time that exact averages take
_HIGH_WIDTH, _STANDARD_HEIGHT = 1280, 576


class Screen:
    """Turns decoded pictures into displayed pixels; may be used from several threads."""

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

    def presumes_bt709(self, picture: av.VideoFrame) -> bool:
        """Return whether the picture has no matrix tag, and a size that is shown as BT.709."""
        says = picture.format.is_rgb or picture.format.has_palette
        high = self.width >= _HIGH_WIDTH or self.height > _STANDARD_HEIGHT
        return not says and picture.colorspace == _UNTAGGED and high

    def render(self, picture: av.VideoFrame, width: int, height: int) -> UInt8:
        """Return the picture as displayed at that size, (height, width, 3) RGB."""
        if width < 1 or height < 1:
            raise ValueError(f"expected a size of at least 1x1, got {width}x{height}")
        size = (height, width) if self._transposed else (width, height)
        how = _interpolation(picture, *size)
        matrix = Colorspace.ITU709 if self.presumes_bt709(picture) else None
        with self._lock:
            scaled = self._scaler(size).reformat(
                picture,
                *size,
                format="rgb24",
                src_colorspace=matrix,
                interpolation=how,
                threads=1,
            )
        pixels: UInt8 = np.asarray(scaled.to_ndarray(), dtype=np.uint8)
        if self._transposed:
            pixels = pixels.swapaxes(0, 1)
        pixels = pixels[:: -1 if self._flip_y else 1, :: -1 if self._flip_x else 1]
        # A copy for the caller: where nothing was converted, these are the picture's own pixels.
        return np.array(pixels, order="C", copy=True if scaled is picture else None)


def _stretch(pixel_aspect: Fraction) -> tuple[Fraction, Fraction]:
    # Nearly square comes from rounding the picture's ratio; far from square is a mistake.
    if max(pixel_aspect, 1 / pixel_aspect) > _WIDEST_PIXEL or abs(pixel_aspect - 1) < _SQUARE:
        pixel_aspect = Fraction(1)
    return max(pixel_aspect, Fraction(1)), max(1 / pixel_aspect, Fraction(1))


def _interpolation(picture: av.VideoFrame, width: int, height: int) -> int:
    if (picture.width, picture.height) == (width, height):
        return Interpolation.AREA  # with more exact flags ten times as slow, for 1 level of 255
    if _PREVIEW * width <= picture.width and _PREVIEW * height <= picture.height:
        return Interpolation.FAST_BILINEAR
    shrinks = width <= picture.width and height <= picture.height
    method = Interpolation.AREA if shrinks else Interpolation.BILINEAR
    return method | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

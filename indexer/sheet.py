"""Pictures of tracks with words beside them, on one PNG."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from indexer.records import UInt8
from indexer.store import disk, read

SIDE, LINE = 112, 18
"""Side of a picture, and distance between lines of words, in pixels."""
_FONT, _WEIGHT = "uni", 400
"""The font in OpenCV that knows most scripts."""
_BLACK, _CUT = (0, 0, 0), "..."
_RIGHT_TO_LEFT = ("R", "AL")
_ASCENT = 0.9
"""From the top of a line to its baseline, as a share of the font's size."""


class Sheet:
    """A white sheet that is filled in and then written."""

    def __init__(self, width: int, height: int) -> None:
        self._pixels: UInt8 = np.full((height, width, 3), 255, np.uint8)
        self._font = cv2.FontFace(_FONT)

    def picture(self, path: Path, left: int, top: int) -> None:
        """Put a track's picture there.

        Raises:
            StoreError: it is missing, or cannot be read.
        """
        content = io.BytesIO(read.read_thumbnail(path))
        with disk.explained(path), Image.open(content) as face:
            square = np.asarray(face.convert("RGB").resize((SIDE, SIDE)))
        self._pixels[top : top + SIDE, left : left + SIDE] = square

    def words(
        self, lines: Sequence[str], left: int, top: int, width: int, *, size: int = 13
    ) -> None:
        """Write lines there, one under the other; what is wider than `width` is cut off."""
        for n, line in enumerate(lines):
            place = (left, top + n * LINE + round(_ASCENT * size))
            text = in_sight_order(self._cut(line, width, size))
            cv2.putText(self._pixels, text, place, _BLACK, self._font, size, _WEIGHT)

    def folded(self, line: str, width: int, size: int = 13) -> list[str]:
        """Return a line wrapped at its spaces into lines no wider than `width`, where possible."""
        first, *rest = line.split(" ")
        found = [first]
        for word in rest:
            longer = f"{found[-1]} {word}"
            if self.width(longer, size) <= width:
                found[-1] = longer
            else:
                found.append(word)
        return found

    def _cut(self, line: str, width: int, size: int) -> str:
        """Return a line, cut off with an ellipsis if it is wider than `width`."""
        if self.width(line, size) <= width:
            return line
        fits = [n for n in range(len(line)) if self.width(line[:n].rstrip() + _CUT, size) <= width]
        return line[: max(fits, default=0)].rstrip() + _CUT

    def width(self, line: str, size: int) -> int:
        """Return how wide a line is, in pixels."""
        box = cv2.getTextSize((0, 0), line, (0, 0), self._font, size, _WEIGHT)
        return int(box[0] + box[2])

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            StoreError: the disk fails.
        """
        content = io.BytesIO()
        Image.fromarray(self._pixels).save(content, "PNG")
        with disk.explained(path), disk.written(path) as file:
            file.write(content.getvalue())


def in_sight_order(line: str) -> str:
    """Return a line with its right-to-left words, as of Hebrew, in the order seen from the left.

    OpenCV draws letters from left to right in the order in which they are spoken.
    """
    letters: list[str] = []
    for letter in line:
        if letters and unicodedata.bidirectional(letter) == "NSM":  # a mark stays with its letter
            letters[-1] += letter
        else:
            letters.append(letter)
    kinds = [unicodedata.bidirectional(letter[0]) for letter in letters]
    signs = "".join("<" if kind in _RIGHT_TO_LEFT else (kind or "L")[0] for kind in kinds)
    for run in re.finditer("<(?:W*<)*", signs):  # words, and the gaps between them
        letters[run.start() : run.end()] = letters[run.start() : run.end()][::-1]
    return "".join(letters)

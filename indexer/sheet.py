"""Pictures of tracks with words beside them, on one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from indexer.store import disk

SIDE, LINE = 112, 18
"""Of a picture, and from one line of words to the next, in pixels."""


class Sheet:
    """A white sheet that is filled in and then written."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), "white")
        self._draw = ImageDraw.Draw(self._image)

    def picture(self, path: Path, left: int, top: int) -> None:
        """Put a track's picture there.

        Raises:
            StoreError: it cannot be read.
        """
        with disk.explained(path), Image.open(path) as face:
            self._image.paste(face.convert("RGB").resize((SIDE, SIDE)), (left, top))

    def words(self, lines: Sequence[str], left: int, top: int, *, size: int = 13) -> None:
        """Write lines there, one under the other."""
        font = ImageFont.load_default(size)
        for n, line in enumerate(lines):
            self._draw.text((left, top + n * LINE), line, "black", font)

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            StoreError: the disk fails.
        """
        content = io.BytesIO()
        self._image.save(content, "PNG")
        with disk.explained(path), disk.replacing(path) as file:
            file.write(content.getvalue())

"""Files that are pictures, by their names, and their sizes without decoding them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from indexer import stills
from indexer.errors import ImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
OTHER_SUFFIXES = (
    ".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".pgm", ".ppm", ".psd", ".svg", ".tga",
    ".tif", ".tiff",
)  # fmt: skip
"""Suffixes of pictures in formats that are not read."""
_ON_ITS_SIDE = 5
"""EXIF orientations from this one on swap width and height."""


def is_picture(path: Path) -> bool:
    """Return whether a path has a picture's suffix and is not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def inside(folder: Path) -> list[Path]:
    """Return the pictures anywhere in a folder, in order of name; hidden folders are left out."""
    return sorted(filter(is_picture, visible(folder)))


def visible(folder: Path) -> Iterator[Path]:
    """Yield the files anywhere in a folder, except hidden ones and those in hidden folders."""
    for place, folders, names in os.walk(folder):
        folders[:] = (name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in names if not name.startswith("."))


def place(path: Path) -> Path:
    """Return a path without links on its way; the file itself may be one."""
    return path.parent.resolve() / path.name


def size(path: Path) -> tuple[int, int]:
    """Return the width and height of a picture, upright as its EXIF orientation says.

    Raises:
        ImageError: the file is missing, or no picture.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            on_its_side = stills.orientation(image) >= _ON_ITS_SIDE
    except FileNotFoundError as error:
        raise ImageError(path, "no such file", "check the path") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(path, "cannot be read", "replace the file") from error
    return (height, width) if on_its_side else (width, height)

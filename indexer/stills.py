"""A folder of stills in, pictures of people out: what a gallery is made of."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from indexer.errors import ImageError
from indexer.records import UInt8

_Turn = Image.Transpose
_UPRIGHT = {
    2: _Turn.FLIP_LEFT_RIGHT,
    3: _Turn.ROTATE_180,
    4: _Turn.FLIP_TOP_BOTTOM,
    5: _Turn.TRANSPOSE,
    6: _Turn.ROTATE_270,
    7: _Turn.TRANSVERSE,
    8: _Turn.ROTATE_90,
}
"""What makes a picture of each EXIF orientation upright; one of 1 is."""
_ODD_EXIF = (
    ArithmeticError, AttributeError, LookupError, SyntaxError, TypeError, ValueError, struct.error,
)  # fmt: skip
"""What PIL raises of EXIF that it cannot parse."""


@dataclass(frozen=True, slots=True)
class Person:
    """A name and the files that show the person of that name."""

    folder: Path
    """Called as the person is."""
    paths: Sequence[Path]

    @property
    def name(self) -> str:
        """Return the folder's name, without spaces at its ends and doubled ones."""
        return " ".join(part for part in self.folder.name.split(" ") if part)


def read(path: Path) -> UInt8:
    """Return a still as RGB uint8 (H, W, 3), upright as its EXIF orientation says.

    Raises:
        ImageError: there is no such file, or PIL cannot read it.
    """
    try:
        with Image.open(path) as image:
            image.load()  # what is cut short is refused before its EXIF is looked for at the end
            turn = _UPRIGHT.get(orientation(image))
            upright = image if turn is None else image.transpose(turn)
            return np.array(upright.convert("RGB"))
    except FileNotFoundError as error:
        raise ImageError(path, "no such file", "check the path") from error
    except IsADirectoryError as error:
        raise ImageError(path, "is a folder", "name one image") from error
    except PermissionError as error:
        raise ImageError(path, "permission denied", "change its permissions") from error
    except UnidentifiedImageError as error:
        raise ImageError(path, "is not an image that can be read", "replace the file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(path, f"is damaged: {error}", "replace the file") from error


def orientation(image: Image.Image) -> int:
    """Return a picture's EXIF orientation, 1 to 8; 1 where EXIF has none, or nonsense.

    1 of a TIFF too: PIL turns it upright itself, and says its size so.
    """
    if image.format == "TIFF":
        return 1
    try:
        said = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _ODD_EXIF:
        return 1
    return said if isinstance(said, int) and said in _UPRIGHT else 1


def pictures(folder: Path) -> list[Path]:
    """Return the files in a folder and the folders in it, in order; hidden ones are left out.

    Raises:
        ImageError: there is no such folder, or it holds no file.
        OSError: it, or a folder in it, may not be read.
    """
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "no such folder"
        raise ImageError(folder, problem, "name a folder of stills")
    walked = os.walk(folder, onerror=_refuse)
    inside = [Path(one, name) for one, _, names in walked for name in names]
    found = [path for path in sorted(inside) if _is_visible_file(path)]
    if not found:
        raise ImageError(folder, "holds no file", "put stills into it")
    return found


def people(folder: Path) -> list[Person]:
    """Return the people of a gallery, a folder each, in order of name; hidden files are left out.

    A person whose folder holds no file has no paths.

    Raises:
        ImageError: there is no such folder, or it holds no folder with files.
        OSError: it, or a folder in it, may not be read.
    """
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "no such folder"
        raise ImageError(folder, problem, "name a folder with a folder of stills per person")
    found = [
        Person(inside, sorted(p for p in inside.iterdir() if _is_visible_file(p)))
        for inside in sorted(folder.iterdir())
        if inside.is_dir() and not inside.name.startswith(".")
    ]
    if not any(person.paths for person in found):
        raise ImageError(folder, "holds nobody", "put a folder of stills per person into it")
    return found


def _refuse(error: OSError) -> NoReturn:
    raise error


def _is_visible_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")

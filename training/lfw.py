"""Labelled Faces in the Wild as it is downloaded: the archive or the unpacked folder."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from indexer import stills
from indexer.errors import ImageError
from indexer.records import UInt8

ARCHIVE = "lfw.tar"
PAIRS = "lfw_pairs.txt"


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of one person."""

    person: str
    name: str
    """As in ``George_W_Bush_0001``."""
    pixels: UInt8


def archive_of(source: Path) -> Path:
    """Return the archive of a source: itself, or the one that belongs in the folder."""
    return source if source.suffix == ".tar" else source / ARCHIVE


def photos(folder: Path) -> Iterator[Photo]:
    """Yield the photos under `folder`, from ``lfw.tar`` or from ``Name/Name_0001.jpg``.

    Raises:
        ImageError: there is neither, or one that cannot be read.
    """
    archive = archive_of(folder)
    if archive.is_file():
        yield from _from_archive(archive)
        return
    found = False
    for path in sorted(folder.glob("*/*_[0-9][0-9][0-9][0-9].jpg")):
        found = True
        yield Photo(path.parent.name, path.stem, stills.read(path))
    if not found:
        raise ImageError(folder, f"holds neither {ARCHIVE} nor folders of LFW", "check DATA")


def people(folder: Path) -> dict[str, list[str]]:
    """Return the names of the photos of each person in ``lfw.tar``, all sorted; none is decoded.

    Raises:
        ImageError: the archive cannot be read.
    """
    archive, found = archive_of(folder), dict[str, list[str]]()
    try:
        with tarfile.open(archive) as tar:
            for path in sorted(Path(name) for name in tar.getnames() if name.endswith(".jpg")):
                found.setdefault(path.parent.name, []).append(path.stem)
    except (OSError, tarfile.TarError) as error:
        raise ImageError(archive, f"cannot be read: {error}", "copy it again") from error
    return found


def of_two(photos: Iterable[Photo]) -> Iterator[Photo]:
    """Yield the photos of people with exactly two, from photos grouped by person."""
    for _, group in groupby(photos, key=lambda photo: photo.person):
        some = list(group)
        if len(some) == 2:  # noqa: PLR2004
            yield from some


def some_photos(folder: Path, wanted: Container[str]) -> Iterator[Photo]:
    """Yield the photos of ``lfw.tar`` whose names are wanted, in the archive's order.

    Raises:
        ImageError: the archive cannot be read.
    """
    yield from _from_archive(archive_of(folder), wanted)


def _from_archive(archive: Path, wanted: Container[str] | None = None) -> Iterator[Photo]:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = Path(member.name)
                if path.suffix != ".jpg" or (wanted is not None and path.stem not in wanted):
                    continue
                file = tar.extractfile(member)
                if file is not None:
                    image = Image.open(io.BytesIO(file.read())).convert("RGB")
                    yield Photo(path.parent.name, path.stem, np.array(image))
    except (OSError, tarfile.TarError) as error:
        raise ImageError(archive, f"cannot be read: {error}", "copy it again") from error

"""Labelled Faces in the Wild as it is downloaded: the archive or the unpacked folder."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
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


def photos(folder: Path) -> Iterator[Photo]:
    """Yield the photos under `folder`, from ``lfw.tar`` or from ``Name/Name_0001.jpg``.

    Raises:
        ImageError: there is neither.
    """
    archive = folder / ARCHIVE
    if archive.is_file():
        yield from _from_archive(archive)
        return
    found = False
    for path in sorted(folder.glob("*/*_[0-9][0-9][0-9][0-9].jpg")):
        found = True
        yield Photo(path.parent.name, path.stem, stills.read(path))
    if not found:
        raise ImageError(folder, f"holds neither {ARCHIVE} nor folders of LFW", "check DATA")


def _from_archive(archive: Path) -> Iterator[Photo]:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = Path(member.name)
                file = tar.extractfile(member) if path.suffix == ".jpg" else None
                if file is not None:
                    image = Image.open(io.BytesIO(file.read())).convert("RGB")
                    yield Photo(path.parent.name, path.stem, np.array(image))
    except (OSError, tarfile.TarError) as error:
        raise ImageError(archive, f"cannot be read: {error}", "copy it anew") from error

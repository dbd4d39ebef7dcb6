"""Pictures annotated in Pascal VOC's format: one XML file per picture.

    Annotations/0.xml, JPEGImages/0.jpg, ImageSets/Main/train.txt     or    [train/]0.xml, 0.jpg

Pixels count from 1, and a box includes its last ones (VOC2012 development kit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse, parse

from indexer.errors import ImageError
from training import pictures
from training.annotations import (
    SPLITS,
    AnnotatedStill,
    AnnotatedStills,
    Complain,
    Listed,
    refuse,
    split_of,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_PICTURE_FOLDERS = ("JPEGImages", "images")
_ROOT = "annotation"
_OTHER_FOLDERS = ("ImageSets", "SegmentationClass", "SegmentationObject")
_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class _Annotation:
    """The content of one XML file."""

    size: tuple[int, int] | None
    names: tuple[str, ...]
    boxes: tuple[tuple[float, ...], ...]


def is_voc(folder: Path) -> bool:
    """Return whether a folder holds an annotation in XML; hidden files do not count."""
    return any(_is_annotation(path) for path in pictures.visible(folder) if _is_xml(path))


def _is_xml(path: Path) -> bool:
    return path.suffix == ".xml"


def _is_annotation(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            _, root = next(iterparse(file, ["start"]))  # only the beginning is read
            return root.tag == _ROOT
    except (OSError, StopIteration, ParseError, DefusedXmlException):
        return False


def read_voc(folder: Path, complain: Complain = refuse) -> AnnotatedStills:
    """Return the annotated pictures of a folder, split by split, in order of name.

    The classes are the names that occur, sorted.

    Args:
        folder: with the XML files and the pictures.
        complain: called with each file that cannot be used; its picture is then left out.

    Raises:
        ImageError: a file cannot be used, and `complain` raises it.
    """
    read: list[tuple[Listed, _Annotation]] = []
    for one in listed(folder):
        try:
            read.append((one, _parsed(one.labels)))
        except ImageError as error:
            complain(error)
    names = sorted({name for _, annotation in read for name in annotation.names})
    numbers = {name: number for number, name in enumerate(names)}
    found = []
    for one, annotation in read:
        try:
            found.append(_still(one, annotation, numbers))
        except ImageError as error:
            complain(error)
    return AnnotatedStills(tuple(names), tuple(found))


def listed(folder: Path) -> list[Listed]:
    """Return the pictures with an XML file, split by split, in order of name; none is opened."""
    splits = _splits(folder)
    found = []
    for path in filter(_is_xml, pictures.visible(folder)):
        split = splits.get(path.stem) or split_of(path.relative_to(folder))
        found.append(Listed(_picture(path), path, split))
    order = [*SPLITS, ""]
    return sorted(found, key=lambda one: (order.index(one.split), one.labels))


def own_files(folder: Path) -> list[Path]:
    """Return the format's files that are neither annotated pictures nor their XML files."""
    return [path for name in _OTHER_FOLDERS for path in (folder / name).rglob("*")]


def _splits(folder: Path) -> dict[str, str]:
    """Return the split of each stem in ``ImageSets/Main``."""
    found: dict[str, str] = {}
    for split in SPLITS:
        path = folder / "ImageSets" / "Main" / f"{split}.txt"
        if path.is_file():
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            found |= {line.split()[0]: split for line in lines if line.strip()}
    return found


def _picture(path: Path) -> Path:
    """Return an XML file's picture: of the same stem, beside it or in the folder of pictures."""
    folders = [path.parent, *(path.parent.parent / name for name in _PICTURE_FOLDERS)]
    tried = [
        folder / f"{path.stem}{suffix}"
        for folder in folders
        for lower in pictures.SUFFIXES
        for suffix in (lower, lower.upper())
    ]
    return next((one for one in tried if one.is_file()), path.with_suffix(".jpg"))


def _parsed(path: Path) -> _Annotation:
    try:
        root = parse(path).getroot()
        if root is None or root.tag != _ROOT:
            raise ValueError("it holds no <annotation>")
        faces = root.findall("object")
        names = tuple(_text(face, "name") for face in faces)
        boxes = tuple(tuple(float(_text(face, f"bndbox/{e}")) for e in _EDGES) for face in faces)
        if not np.isfinite(np.array(boxes)).all():
            raise ValueError("a box is not finite")
        size = root.find("size")
        sides = None if size is None else (_side(size, "width"), _side(size, "height"))
    except (OSError, ValueError, ParseError, DefusedXmlException) as error:
        raise ImageError(path, f"is not a VOC annotation: {error}", "correct it") from error
    return _Annotation(sides, names, boxes)


def _side(size: Element, name: str) -> int:
    return int(float(_text(size, name)))


def _text(inside: Element, path: str) -> str:
    text = (inside.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"<{inside.tag}> has no {path}")
    return text


def _still(one: Listed, annotation: _Annotation, numbers: Mapping[str, int]) -> AnnotatedStill:
    width, height = size = pictures.size(one.picture)
    said = annotation.size
    if said is not None and said not in (size, (0, 0)):
        problem = f"says {said[0]}x{said[1]}, but {one.picture.name} is {width}x{height}"
        raise ImageError(one.labels, problem, "annotate the picture as it is now")
    boxes = np.array(annotation.boxes, np.float32).reshape(-1, 4) - np.array([1, 1, 0, 0])
    classes = np.array([numbers[name] for name in annotation.names], np.int64)
    return AnnotatedStill(one.picture, width, height, one.split, classes, boxes.astype(np.float32))

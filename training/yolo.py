"""Still pictures annotated in YOLO's format: a ``.txt`` per picture, and a file of class names.

    data.yaml, or classes.txt                 the names
    images/[train/]0.jpg, labels/[train/]0.txt     or
    [train/]0.jpg, [train/]0.txt

A line is ``class x y width height``, the middle and the size of a box as shares of the picture's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from indexer.errors import ImageError
from indexer.records import Float64
from training import pictures
from training.annotations import (
    SPLITS,
    AnnotatedStill,
    AnnotatedStills,
    Complain,
    Listed,
    class_names,
    refuse,
    split_of,
)

_YAML = ("data.yaml", "data.yml", "dataset.yaml")
_CLASSES = ("classes.txt", "labels/classes.txt", "obj.names")
_BESIDE = ("truth.json", "notes.json")
"""Files that `training.synthesize.stills` and Label Studio add to the format."""
_COLUMNS = 5


def is_yolo(folder: Path) -> bool:
    """Return whether a folder holds a file of class names as YOLO's tools write it."""
    return any((folder / name).is_file() for name in (*_YAML, *_CLASSES))


def read_annotated(folder: Path, complain: Complain = refuse) -> AnnotatedStills:
    """Return the annotated pictures of a folder, split by split, in order of name.

    Args:
        folder: with the names and the pictures.
        complain: called with each file that cannot be used; its picture is then left out.

    Raises:
        ImageError: the folder is not in this format.
    """
    names = read_names(folder)
    found = []
    for one in listed(folder):
        try:
            found.append(_still(one, len(names)))
        except ImageError as error:
            complain(error)
    return AnnotatedStills(names, tuple(found))


def read_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the classes.

    Raises:
        ImageError: there is no file of names, or it is not valid.
    """
    path = next((folder / n for n in (*_YAML, *_CLASSES) if (folder / n).is_file()), None)
    if path is None:
        problem = f"holds neither {_YAML[0]} nor {_CLASSES[0]}, which list the names"
        raise ImageError(folder, problem, "add one of them")
    if path.name not in _YAML:
        return class_names(path, _text(path).rstrip().splitlines())
    said = _settings(path).get("names")
    if isinstance(said, dict) and set(said) == {str(number) for number in range(len(said))}:
        said = [said[str(number)] for number in range(len(said))]
    if not isinstance(said, list) or not said:
        raise ImageError(path, "does not list its names", "add names: [Ann, Ben]")
    return class_names(path, [str(name) for name in said])


def listed(folder: Path) -> list[Listed]:
    """Return the pictures of a folder, split by split, in order of name; none is opened."""
    path = next((folder / name for name in _YAML if (folder / name).is_file()), None)
    splits = dict(_of_splits(folder, _settings(path))) if path else {}
    linked = {one.resolve() for one in splits if one.is_symlink()}  # listed under another name
    for picture in pictures.inside(folder):
        if picture.is_symlink() or picture.resolve() not in linked:
            splits.setdefault(picture, split_of(picture.relative_to(folder)))
    order = [*SPLITS, ""]
    found = [Listed(one, _label_file(one, folder), split) for one, split in splits.items()]
    return sorted(found, key=lambda one: (order.index(one.split), one.picture))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(path, f"cannot be read: {error}", "correct the file") from error


def _settings(path: Path) -> Mapping[str, Any]:
    """Return what ``data.yaml`` says; numbers and words such as yes stay as they are written."""
    try:
        content = yaml.load(_text(path), yaml.BaseLoader)  # makes strings alone
        if not isinstance(content, dict):
            raise ValueError("it is not a table")
    except (ValueError, yaml.YAMLError) as error:
        raise ImageError(path, f"cannot be read: {error}", "correct the file") from error
    return content


def own_files(folder: Path) -> list[Path]:
    """Return where the format may have files that are neither pictures nor labels."""
    return [*split_lists(folder), *(folder / name for name in (*_YAML, *_CLASSES, *_BESIDE))]


def split_lists(folder: Path) -> list[Path]:
    """Return the text files, a picture a line, that ``data.yaml`` gives for splits."""
    path = next((folder / name for name in _YAML if (folder / name).is_file()), None)
    places = _places(folder, _settings(path)) if path else ()
    return [_below(found, folder) for found, _ in places if found.is_file()]


def _of_splits(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield the pictures that ``data.yaml`` assigns to splits, with their splits."""
    for found, split in _places(folder, settings):
        for picture in pictures.inside(found) if found.is_dir() else _lines(found):
            yield _below(picture, folder), split


def _places(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield the paths that ``data.yaml`` gives for splits, with their splits, if they exist.

    A split is a folder, a list of folders, or a text file with a picture a line.
    """
    root = folder / str(settings.get("path") or ".")
    for split in SPLITS:
        places = settings.get(split) or []
        for place in places if isinstance(places, list) else [places]:
            # Roboflow writes ../train/images for what lies in train/images.
            tried = (root / str(place), folder / str(place), folder / str(place).lstrip("./"))
            found = next((path for path in tried if path.exists()), None)
            if found is not None:
                yield found, split


def _lines(path: Path) -> list[Path]:
    lines = _text(path).split("\n")
    return [path.parent / line.strip() for line in lines if line.strip()]


def _below(path: Path, folder: Path) -> Path:
    """Return a path as `pictures.inside` spells it, so that no picture is listed twice."""
    whole, root = pictures.place(path), folder.resolve()
    return folder / whole.relative_to(root) if whole.is_relative_to(root) else path


def _label_file(picture: Path, folder: Path) -> Path:
    """Return a picture's label file: beside it, or under ``labels`` in place of ``images``."""
    beside = picture.with_suffix(".txt")
    parts = beside.relative_to(folder).parts if beside.is_relative_to(folder) else ()
    if "images" not in parts or beside.is_file():
        return beside
    at = len(parts) - 1 - parts[::-1].index("images")
    return folder.joinpath(*parts[:at], "labels", *parts[at + 1 :])


def _still(one: Listed, count: int) -> AnnotatedStill:
    width, height = pictures.size(one.picture)
    table = _table(one.labels, count)
    middle, half = table[:, 1:3], table[:, 3:5] / 2
    shares = np.concatenate([middle - half, middle + half], axis=1)
    boxes = (shares * [width, height, width, height]).astype(np.float32)
    classes = table[:, 0].astype(np.int64)
    return AnnotatedStill(one.picture, width, height, one.split, classes, boxes)


def _table(path: Path, count: int) -> Float64:
    """Return the rows of a label file, (N, 5)."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        remedy = "annotate the picture; an empty file says that nobody is in it"
        raise ImageError(path, "is missing", remedy) from error
    except (OSError, UnicodeError) as error:
        raise ImageError(path, "is not a label file", "correct the file") from error
    rows = [_row(path, number, line, count) for number, line in enumerate(lines, 1) if line.strip()]
    return np.array(rows, np.float64).reshape(-1, _COLUMNS)


def _row(path: Path, number: int, line: str, count: int) -> list[float]:
    words = line.split()
    try:
        row = [float(word) for word in words]
    except ValueError:
        row = []
    if len(row) != _COLUMNS or not np.isfinite(row).all():
        problem = f"line {number} is not a class and a box: {line.strip()[:40]!r}"
        raise ImageError(path, problem, "write: class x y width height")
    if row[0] not in range(count):
        problem = f"line {number} names class {words[0]}, which is not in 0 to {count - 1}"
        raise ImageError(path, problem, "correct the class, or add its name")
    return row

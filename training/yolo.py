"""Still pictures annotated in YOLO's format: ``data.yaml``, ``images/``, ``labels/``.

Of ``data.yaml`` two things are read: ``names``, as a list in brackets, and which splits there are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from indexer.errors import ImageError
from indexer.records import Float32, Int64

SPLITS = ("train", "val", "calibration", "test")
_COLUMNS = 5


@dataclass(frozen=True, slots=True)
class AnnotatedStill:
    """One picture and the annotated faces in it."""

    path: Path
    split: str
    classes: Int64
    """(N,), by number of the names."""
    boxes: Float32
    """(N, 4), x0, y0, x1, y1 in pixels."""

    def __post_init__(self) -> None:
        count = len(self.classes)
        if self.classes.shape != (count,) or self.boxes.shape != (count, 4):
            raise ValueError(
                f"expected classes (N,) and boxes (N, 4), got {self.classes.shape}, "
                f"{self.boxes.shape}"
            )


@dataclass(frozen=True, slots=True)
class AnnotatedStills:
    """Pictures of all splits, and who the classes are."""

    names: tuple[str, ...]
    stills: tuple[AnnotatedStill, ...]


def read_annotated(folder: Path) -> AnnotatedStills:
    """Return the annotated pictures of a folder, split by split, in order of name.

    Raises:
        ImageError: the folder is not in this format, or a picture cannot be opened.
    """
    names = _names(folder / "data.yaml")
    found = [
        _still(path, split, folder / "labels" / split / f"{path.stem}.txt", len(names))
        for split in SPLITS
        for path in sorted((folder / "images" / split).glob("*.jpg"))
    ]
    lacking = [split for split in SPLITS if all(still.split != split for still in found)]
    if lacking:
        problem = f"has no pictures in {', '.join(lacking)}"
        raise ImageError(folder, problem, "see training synthesize-stills")
    return AnnotatedStills(names, tuple(found))


def _names(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        [names] = [json.loads(line[len("names:") :]) for line in lines if line.startswith("names:")]
    except (OSError, ValueError) as error:
        raise ImageError(path, f"does not list its names: {error}", "check the folder") from error
    return tuple(str(name) for name in names)


def _still(path: Path, split: str, label: Path, count: int) -> AnnotatedStill:
    try:
        with Image.open(path) as image:
            size = np.array(image.size * 2, np.float64)
    except (OSError, UnidentifiedImageError) as error:
        raise ImageError(path, "cannot be read", "replace the file") from error
    try:
        rows = [line.split() for line in label.read_text(encoding="utf-8").splitlines()]
        table = np.array(rows, np.float64).reshape(len(rows), _COLUMNS)
        classes = table[:, 0].astype(np.int64)
        if not np.isfinite(table).all() or np.any((classes < 0) | (classes >= count)):
            raise ValueError(f"a class is not of 0 to {count - 1}, or a number is none")
    except (OSError, ValueError) as error:
        raise ImageError(label, f"is not a label file: {error}", "correct the file") from error
    middle, half = table[:, 1:3], table[:, 3:5] / 2
    shares = np.concatenate([middle - half, middle + half], axis=1)
    return AnnotatedStill(path, split, classes, (shares * size).astype(np.float32))

"""Annotated pictures of any source format: the records, and the CSV that all are written as.

    annotations.csv    image,width,height,split,label,x0,y0,x1,y1
    label_map.json     {"schema": "labels/1", "labels": [names]}

A row is a face, its box in pixels of the upright picture; a picture without faces has one row
with an empty label and no box. Paths are relative to the CSV's folder.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.errors import ImageError
from indexer.records import Float32, Int64
from indexer.store import disk
from training import pictures

SPLITS = ("train", "val", "calibration", "test")
ANNOTATIONS, LABEL_MAP = "annotations.csv", "label_map.json"
SCHEMA = "labels/1"
COLUMNS = ("image", "width", "height", "split", "label", "x0", "y0", "x1", "y1")
_CORNERS = COLUMNS[5:]
_ALSO = {
    "filename": "image",
    "path": "image",
    "class": "label",
    "name": "label",
    "xmin": "x0",
    "ymin": "y0",
    "xmax": "x1",
    "ymax": "y1",
}
"""What other tools call the columns."""
_SPLIT_NAMES = {split: split for split in SPLITS} | {"valid": "val", "validation": "val"}

Complain = Callable[[ImageError], None]
"""What to do about a file that cannot be used: `refuse`, or note it and go on."""


@dataclass(frozen=True, slots=True)
class AnnotatedStill:
    """One picture and the annotated faces in it."""

    path: Path
    width: int
    height: int
    split: str
    """"" if the source does not say."""
    classes: Int64
    """(N,), indices into the names."""
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


@dataclass(frozen=True, slots=True)
class Listed:
    """A picture of an annotated source, before it is opened."""

    picture: Path
    labels: Path
    """The file with its annotations."""
    split: str
    """"" if the source does not say."""


def refuse(error: ImageError) -> None:
    """Raise the error."""
    raise error


def split_of(path: Path) -> str:
    """Return the split named by a folder of a relative path, "" if there is none."""
    named = (_SPLIT_NAMES.get(part.lower(), "") for part in path.parts[:-1])
    return next(filter(None, named), "")


def require_splits(annotated: AnnotatedStills, source: Path) -> None:
    """Check that there are pictures in every one of `SPLITS`.

    Raises:
        ImageError: there are not.
    """
    present = {still.split for still in annotated.stills}
    lacking = [split for split in SPLITS if split not in present]
    if lacking:
        problem = f"has no pictures in {', '.join(lacking)}"
        raise ImageError(
            source, problem, "assign splits by training annotate --resplit, and use its CSV"
        )


def write_annotations(folder: Path, annotated: AnnotatedStills) -> Path:
    """Write the CSV and the label map into a folder, each whole or not at all; return the CSV.

    Raises:
        StoreError: the folder cannot be written.
    """
    table = folder / ANNOTATIONS
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for still in annotated.stills:
        image = Path(os.path.relpath(pictures.place(still.path), folder.resolve())).as_posix()
        about = (image, still.width, still.height, still.split)
        for number, box in zip(still.classes, still.boxes, strict=True):
            rows.writerow((*about, annotated.names[number], *(f"{edge:.2f}" for edge in box)))
        if len(still.classes) == 0:
            rows.writerow((*about, "", "", "", "", ""))
    labels = {"schema": SCHEMA, "labels": list(annotated.names)}
    with disk.explained(folder), disk.made(folder):
        with disk.replacing(folder / LABEL_MAP) as file:
            file.write((json.dumps(labels, ensure_ascii=False, indent=1) + "\n").encode())
        with disk.replacing(table) as file:
            file.write(text.getvalue().encode())
    return table


def listed(table: Path) -> list[Listed]:
    """Return the pictures of a CSV, in its order.

    Raises:
        ImageError: the file is not such a CSV.
    """
    splits = {row["image"]: row.get("split", "") for _, row in _rows(table)}
    return [Listed(table.parent / image, table, split) for image, split in splits.items()]


def read_annotations(table: Path, complain: Complain = refuse) -> AnnotatedStills:
    """Return the pictures of a CSV, in its order.

    Columns may also have the names of TensorFlow's examples (filename, class, xmin …). Without
    ``label_map.json`` beside it, the labels are in order of name; blanks around them do not count.
    A size that is given must be the picture's.

    Args:
        table: the CSV.
        complain: called once for each picture that is left out: it, or a row of it, is unusable.

    Raises:
        ImageError: the file is not such a CSV.
    """
    rows = _rows(table)
    names = _names(table, [row["label"] for _, row in rows])
    groups: dict[str, list[tuple[int, Mapping[str, str]]]] = {}
    for line, row in rows:
        groups.setdefault(row["image"], []).append((line, row))
    found = []
    for image, group in groups.items():
        try:
            found.append(_still(table, image, group, names))
        except ImageError as error:
            complain(error)
    return AnnotatedStills(tuple(names), tuple(found))


def _rows(table: Path) -> list[tuple[int, Mapping[str, str]]]:
    """Return each row's line number and its values by this project's column names."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            titles = [_ALSO.get(name, name) for name in reader.fieldnames or ()]
            lacking = [name for name in ("image", "label", *_CORNERS) if name not in titles]
            if lacking:
                raise ValueError(f"it has no column {', '.join(lacking)}")
            reader.fieldnames = titles
            rows = [(reader.line_num, row) for row in reader if row["image"]]
            return [(line, {**row, "label": row["label"].strip()}) for line, row in rows]
    except (OSError, ValueError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        remedy = f"give it the columns {','.join(COLUMNS)}"
        raise ImageError(table, f"is not a CSV of annotations: {why}", remedy) from error


def _names(table: Path, used: Sequence[str]) -> dict[str, int]:
    """Return the number of each label."""
    path = table.with_name(LABEL_MAP)
    labels = tuple(sorted(set(used) - {""}))
    if path.exists():
        try:
            content = json.loads(path.read_bytes())
            if content["schema"] != SCHEMA:
                raise ValueError(f"its schema is not {SCHEMA}")
            known = class_names(path, content["labels"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImageError(path, f"is not a label map: {error}", "write it again") from error
        if unknown := sorted(set(labels) - set(known)):
            raise ImageError(path, f"lacks {', '.join(unknown)}", "add them, or remove the file")
        labels = known
    return {label: number for number, label in enumerate(labels)}


def class_names(path: Path, said: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes, without blanks around them.

    Args:
        path: of the file that lists them.
        said: as they are in it, by number.

    Raises:
        ImageError: a class has no name, or that of another.
    """
    names = tuple(name.strip() for name in said)
    if "" in names:
        problem = f"has a blank for the name of class {names.index('')}"
        raise ImageError(path, problem, "give each class a name")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        problem = f"lists {', '.join(twice)} more than once"
        raise ImageError(path, problem, "give each class its own name")
    return names


def _still(
    table: Path,
    image: str,
    group: Sequence[tuple[int, Mapping[str, str]]],
    names: Mapping[str, int],
) -> AnnotatedStill:
    path, split = table.parent / image, _split(table, group)
    faces = [(line, row) for line, row in group if row["label"]]
    boxes = np.array([_box(table, line, row) for line, row in faces], np.float32)
    width, height = pictures.size(path)
    for line, row in group:
        _check_size(table, line, row, (width, height))
    classes = np.array([names[row["label"]] for _, row in faces], np.int64)
    return AnnotatedStill(path, width, height, split, classes, boxes.reshape(-1, 4))


def _check_size(table: Path, line: int, row: Mapping[str, str], size: tuple[int, int]) -> None:
    """Check the sides that a row gives; empty or 0 is none, as in `training.voc`."""
    said = [row.get(side, "").strip() or "0" for side in ("width", "height")]
    try:
        wrong = any(float(one) not in (0, side) for one, side in zip(said, size, strict=True))
    except ValueError as error:
        problem = f"line {line} has a width or height that is no number"
        raise ImageError(table, problem, "correct it, or leave it empty") from error
    if wrong:
        are = f"{row['image']} is {size[0]}x{size[1]}"
        problem = f"line {line} says {said[0]}x{said[1]}, but {are}"
        raise ImageError(table, problem, "annotate the picture as it is now")


def _box(table: Path, line: int, row: Mapping[str, str]) -> list[float]:
    try:
        box = [float(row[corner]) for corner in _CORNERS]
        if not np.isfinite(box).all():
            raise ValueError("not finite")
    except ValueError as error:
        problem = f"line {line} has no box of four numbers"
        raise ImageError(table, problem, "correct it") from error
    return box


def _split(table: Path, group: Sequence[tuple[int, Mapping[str, str]]]) -> str:
    line, row = group[0]
    said = {row.get("split", "") for _, row in group}
    split = row.get("split", "")
    if len(said) > 1 or (split and split not in _SPLIT_NAMES):
        problem = f"line {line} puts {row['image']} in split {' and '.join(sorted(said))}"
        raise ImageError(table, problem, f"say one of {', '.join(SPLITS)}, or none")
    return _SPLIT_NAMES.get(split, "")

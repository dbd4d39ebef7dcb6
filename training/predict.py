"""Pictures in, who is in them out: faces, the probabilities of characters, and drawings.

``predictions.json``, schema ``stills/1``::

    { "schema": "stills/1", "encoder_id", "head": digest, "characters": [names],
      "pictures": [{"path", "width", "height",
                    "characters": [{"name", "probability"}],      surest first
                    "faces": [{"box", "head": [x0, y0, x1, y1], "score",
                               "name" (null for a stranger), "probability",
                               "characters": as the picture's}]}],
      "unreadable": [{"path", "problem"}] }

A face's ``characters`` are all those whose thresholds it reaches; ``name`` is the first of them and
``probability`` that one's. A stranger's ``probability`` is that of the likeliest character.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from indexer import stills
from indexer.config import Settings
from indexer.errors import ConfigError, ImageError
from indexer.models import Models, still_faces
from indexer.nets import encoder as nets
from indexer.parallel import Workers, in_order
from indexer.progress import Progress, silent
from indexer.records import Detections, Float32, Float64, Int64, UInt8
from training import head as heads
from training.head import Head
from training.overlay import draw_faces
from training.pictures import OTHER_SUFFIXES, SUFFIXES, inside, visible

SCHEMA = "stills/1"
AROUND = 0.35
"""Margin of a drawn frame around a face's box, as a share of its sides."""
_DRAWN = (".jpg", ".jpeg", ".png")
"""Suffixes under which drawings are written."""
_TOGETHER = 16
"""Pictures whose faces are encoded together."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Who is in one picture, by a head of K classes."""

    path: Path
    width: int
    height: int
    found: Detections
    """N faces, within the picture."""
    faces: Float64
    """(N, K), the calibrated probability that each is each character."""
    picture: Float64
    """(K,), the calibrated probability that each character is in the picture."""

    def __post_init__(self) -> None:
        if self.faces.shape != (len(self.found), len(self.picture)):
            expected = (len(self.found), len(self.picture))
            raise ValueError(f"faces: expected {expected}, got {self.faces.shape}")


@dataclass(frozen=True, slots=True)
class _Seen:
    height: int
    width: int
    found: Detections
    chips: UInt8


def pictures(folder: Path) -> list[Path]:
    """Return the pictures in a folder, or the one picture that is named, in order of name.

    Raises:
        ImageError: there is none.
    """
    if folder.is_file():
        return [folder]
    found = inside(folder)
    if not found:
        remedy = f"name a folder of {', '.join(SUFFIXES)}, or a picture"
        raise ImageError(folder, "holds no pictures", remedy)
    return found


def not_read(folder: Path) -> list[ImageError]:
    """Return an error for each picture in a folder that `pictures` leaves out, in order of name."""
    remedy = f"convert it to one of {', '.join(SUFFIXES)}, or name the file itself"
    return [
        ImageError(path, f"is left out: {path.suffix} is not read from folders", remedy)
        for path in sorted(visible(folder))
        if path.suffix.lower() in OTHER_SUFFIXES
    ]


def predict(
    paths: Sequence[Path],
    head: Head,
    models: Models,
    settings: Settings,
    progress: Progress = silent,
) -> Iterator[Prediction | ImageError]:
    """Yield who is in each picture, in the order of the paths, or why it cannot be read.

    Args:
        paths: of the pictures.
        head: of the encoder in `models`.
        models: detector and encoder.
        settings: of both; faces that score less than ``link.min_score`` are left out.
        progress: shows how far it is.
    """
    look = partial(_look, models=models, settings=settings)
    with Workers(models.workers) as workers:
        seen = in_order(workers, look, progress(paths, total=len(paths), what="pictures"))
        both = zip(paths, seen, strict=True)
        while some := list(islice(both, _TOGETHER)):
            yield from _judged(some, head, models)


def _look(path: Path, models: Models, settings: Settings) -> _Seen | ImageError:
    try:
        pixels = stills.read(path)
    except ImageError as error:
        return error
    height, width = pixels.shape[:2]
    faces = still_faces(models, pixels, settings)
    boxes = expanded(faces.detections.boxes, 0.0, width, height)
    sure = faces.detections.scores >= settings.link.min_score
    kept = np.flatnonzero(sure & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    some = faces.only(kept)
    found = Detections(boxes[kept], some.detections.scores, some.detections.landmarks)
    return _Seen(height, width, found, some.chips)


def _judged(
    some: Sequence[tuple[Path, _Seen | ImageError]], head: Head, models: Models
) -> Iterator[Prediction | ImageError]:
    read = [seen for _, seen in some if isinstance(seen, _Seen)]
    size = models.encoder.facts.input_size
    none = np.zeros((0, size, size, 3), np.uint8)
    vectors = nets.encode(models.encoder, np.concatenate([none, *(seen.chips for seen in read)]))
    probability = heads.probabilities(head, vectors)
    number: Int64 = np.repeat(np.arange(len(read)), [len(seen.chips) for seen in read])
    whole = heads.in_pictures(probability, number, len(read), head.facts.together)
    rows = iter(range(len(read)))
    for path, seen in some:
        if isinstance(seen, ImageError):
            yield seen
            continue
        row = next(rows)
        faces = probability[number == row]
        yield Prediction(path, seen.width, seen.height, seen.found, faces, whole[row])


def expanded(boxes: Float32, share: float, width: int, height: int) -> Float32:
    """Return boxes grown by a share of their sides on each side, within the picture, (N, 4).

    A box entirely outside the picture ends up without area.
    """
    grow = (boxes[:, 2:] - boxes[:, :2]) * share
    grown = np.concatenate([boxes[:, :2] - grow, boxes[:, 2:] + grow], axis=1)
    return np.clip(grown, 0, [width, height, width, height]).astype(np.float32)


def named(prediction: Prediction, head: Head) -> list[str | None]:
    """Return who each face is: the likeliest character whose threshold it reaches, or None."""
    reached = (_reached(row, head) for row in prediction.faces)
    return [head.facts.classes[some[0]] if some else None for some in reached]


def _reached(probability: Float64, head: Head) -> list[int]:
    """Return the characters whose thresholds are reached, likeliest first."""
    order = np.argsort(-probability, kind="stable").tolist()
    return [k for k in order if probability[k] >= head.facts.thresholds[k]]


def _characters(probability: Float64, head: Head) -> list[dict[str, Any]]:
    return [
        {"name": head.facts.classes[k], "probability": round(float(probability[k]), 4)}
        for k in _reached(probability, head)
    ]


def as_tables(
    predictions: Sequence[Prediction], unreadable: Sequence[ImageError], head: Head
) -> dict[str, Any]:
    """Return what ``predictions.json`` holds; probabilities have four decimals, pixels one."""
    return {
        "schema": SCHEMA,
        "encoder_id": head.facts.encoder_id,
        "head": head.facts.digest,
        "characters": list(head.facts.classes),
        "pictures": [_table(prediction, head) for prediction in predictions],
        "unreadable": [{"path": error.path, "problem": error.problem} for error in unreadable],
    }


def _table(prediction: Prediction, head: Head) -> dict[str, Any]:
    around = expanded(prediction.found.boxes, AROUND, prediction.width, prediction.height)
    who = named(prediction, head)
    classes = head.facts.classes
    likely = [
        row[classes.index(name)] if name else row.max()
        for name, row in zip(who, prediction.faces, strict=True)
    ]
    return {
        "path": str(prediction.path),
        "width": prediction.width,
        "height": prediction.height,
        "characters": _characters(prediction.picture, head),
        "faces": [
            {
                "box": [round(float(edge), 1) for edge in prediction.found.boxes[i]],
                "head": [round(float(edge), 1) for edge in around[i]],
                "score": round(float(prediction.found.scores[i]), 4),
                "name": name,
                "probability": round(float(likely[i]), 4),
                "characters": _characters(prediction.faces[i], head),
            }
            for i, name in enumerate(who)
        ],
    }


def write_drawing(prediction: Prediction, head: Head, images: Path, folder: Path) -> Path:
    """Draw frames and names into a copy of a picture, and return its path.

    Args:
        prediction: of the picture.
        head: by which it was predicted.
        images: the folder or the picture given to `pictures`.
        folder: gets the copy, under its path relative to `images`; unless that is a JPEG's or a
            PNG's, ``.png`` is appended.

    Raises:
        ConfigError: it cannot be written.
    """
    place = prediction.path.relative_to(images) if images.is_dir() else Path(images.name)
    if place.suffix.lower() not in _DRAWN:
        place = place.with_name(f"{place.name}.png")
    around = expanded(prediction.found.boxes, AROUND, prediction.width, prediction.height)
    drawn = draw_faces(stills.read(prediction.path), around, named(prediction, head))
    path = folder / place
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn).save(path)
    except OSError as error:
        raise ConfigError(path, f"cannot be written: {error}", "check the folder") from error
    return path


def write_tables(path: Path, tables: dict[str, Any]) -> None:
    """Write ``predictions.json``, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(tables, ensure_ascii=False, indent=1)
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise ConfigError(path, f"cannot be written: {error}", "check the folder") from error
    finally:
        beside.unlink(missing_ok=True)

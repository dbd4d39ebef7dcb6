"""Photos in, aligned faces out, kept on disk: the data that encoders are trained and measured on.

    lfw.tar, or Name/*.jpg, or *.jpg  ──▶  faces.rgb (N, C, C, 3), faces.json

A face is cut with a border around the encoder's square, so that views of it can be turned and
moved without running out of picture. The array is mapped from the file, and only the parts that a
run uses are read into memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from indexer import crops, geometry, stills
from indexer.config import DetectSettings, Settings
from indexer.errors import ImageError
from indexer.models import Models, still_faces
from indexer.nets.weights import EncoderFacts
from indexer.parallel import Workers, in_order
from indexer.progress import Progress, silent
from indexer.records import Float32, Float64, Int64, UInt8
from training import lfw
from training.lfw import Photo
from training.pictures import is_picture

BORDER = 0.12
"""Width of the border on each side, as a share of the side of the encoder's square."""
_SETTINGS = Settings(detect=DetectSettings(min_face=0.08))
"""In a photo of somebody the face is large; smaller ones are bystanders."""
_NOBODY = -1
_VERSION = "1"
_PIXELS, _FACTS = "faces.rgb", "faces.json"


@dataclass(frozen=True, slots=True)
class FaceSet:
    """Aligned faces, one from each photo in which a face was found."""

    chips: UInt8
    """(N, C, C, 3) RGB, the encoder's square with its border."""
    landmarks: Float32
    """(N, 5, 2), as the detector found them, in pixels of the chips."""
    people: Int64
    """(N,), who it is, or -1 where the photos do not say."""
    names: Sequence[str]
    """The people's, by number."""
    photos: Sequence[str]
    """(N,), the names of the photos."""
    left_out: Sequence[str]
    """Photos in which no face was found."""
    digest: str
    """sha256 over each face's person, photo and aligned pixels."""

    def __post_init__(self) -> None:
        count = len(self.photos)
        got = (len(self.chips), self.landmarks.shape, self.people.shape)
        if got != (count, (count, 5, 2), (count,)):
            raise ValueError(f"chips, landmarks, people: expected {count} of each, got {got}")

    def __len__(self) -> int:
        return len(self.photos)

    def of(self, which: Int64) -> FaceSet:
        """Return some of the faces; people keep their numbers."""
        return replace(
            self,
            chips=self.chips[which],
            landmarks=self.landmarks[which],
            people=self.people[which],
            photos=[self.photos[i] for i in which],
        )


def side(facts: EncoderFacts) -> int:
    """Return the side of a face with its border, in pixels."""
    return facts.input_size + 2 * _border(facts)


def _border(facts: EncoderFacts) -> int:
    return round(BORDER * facts.input_size)


def photos(source: Path) -> Iterator[Photo]:
    """Yield the photos of a folder, by person and name; hidden files are left out.

    Args:
        source: LFW's archive or a folder with it, a folder with one per person, or one with photos
            of nobody in particular, whose person is then "".

    Raises:
        ImageError: there is none, or one that cannot be read: `training check-data` lists them.
    """
    if lfw.archive_of(source).is_file():
        yield from sorted(lfw.photos(source), key=lambda photo: photo.name)
        return
    found = sorted(path for path in (*source.glob("*"), *source.glob("*/*")) if is_picture(path))
    if not found:
        raise ImageError(source, "holds no photos", "name a folder of photos, or of people")
    for path in found:
        person = "" if path.parent == source else path.parent.name
        yield Photo(person, f"{person}/{path.name}" if person else path.name, stills.read(path))


def read_faces(
    source: Path, kept: Path, models: Models, facts: EncoderFacts, progress: Progress = silent
) -> FaceSet:
    """Return the faces of a folder's photos, found once and kept.

    Args:
        source: as for `photos`.
        kept: the folder that keeps them, one folder for each source.
        models: the detector. The face nearest to the middle of a photo is taken.
        facts: of the encoder that the faces are aligned for.
        progress: shows how far it is.

    Raises:
        ImageError: as `photos`; or no photo shows a face.
    """
    detector = type(models.detector).__name__
    how = f"{_VERSION} {facts.template} {facts.input_size} {BORDER} {detector} {_SETTINGS.detect}"
    key = hashlib.sha256(f"{source.resolve()} {how} {_stamp(source)}".encode()).hexdigest()[:16]
    folder = kept / key
    if not (folder / _FACTS).is_file():
        beside = folder.with_name(f".{key}.{os.getpid()}.part")
        try:
            beside.mkdir(parents=True, exist_ok=True)
            _write(source, beside, models, facts, progress)
            shutil.rmtree(folder, ignore_errors=True)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return _read(folder)


def _write(
    source: Path, folder: Path, models: Models, facts: EncoderFacts, progress: Progress
) -> None:
    tables: dict[str, Any] = {"photos": [], "people": [], "landmarks": [], "left_out": []}
    total = hashlib.sha256()
    shown = progress(photos(source), total=0, what="faces")
    with Workers(models.workers) as workers, (folder / _PIXELS).open("wb") as file:
        look = partial(_looked_at, models=models, facts=facts)
        for photo, face in in_order(workers, look, shown):
            if face is None:
                tables["left_out"].append(photo.name)
                continue
            chip, landmarks = face
            file.write(chip.tobytes())
            total.update(f"{photo.person} {photo.name}\n".encode() + chip.tobytes())
            tables["photos"].append(photo.name)
            tables["people"].append(photo.person)
            tables["landmarks"].append(landmarks.round(3).tolist())
    if not tables["photos"]:
        raise ImageError(source, "shows no face in any photo", "try a smaller detect.min_face")
    tables |= {"side": side(facts), "digest": total.hexdigest()}
    (folder / _FACTS).write_text(json.dumps(tables), encoding="utf-8")


def _looked_at(
    photo: Photo, models: Models, facts: EncoderFacts
) -> tuple[Photo, tuple[UInt8, Float32] | None]:
    return photo, central(models, photo, facts)


def _read(folder: Path) -> FaceSet:
    tables = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    count, side_px = len(tables["photos"]), tables["side"]
    names = sorted(set(tables["people"]) - {""})
    numbers = {name: number for number, name in enumerate(names)} | {"": _NOBODY}
    return FaceSet(
        chips=np.memmap(folder / _PIXELS, np.uint8, "r", shape=(count, side_px, side_px, 3)),
        landmarks=np.array(tables["landmarks"], np.float32).reshape(-1, 5, 2),
        people=np.array([numbers[person] for person in tables["people"]], np.int64),
        names=names,
        photos=tables["photos"],
        left_out=tables["left_out"],
        digest=tables["digest"],
    )


def _stamp(source: Path) -> str:
    """Return a digest that changes when a photo is added, removed or replaced."""
    files = sorted(path for path in (source, *source.rglob("*")) if path.is_file())
    seen = [f"{p.relative_to(source)} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def central(models: Models, photo: Photo, facts: EncoderFacts) -> tuple[UInt8, Float32] | None:
    """Return the face nearest to the middle of a photo, (C, C, 3), and its landmarks, (5, 2).

    None if no face is found. A photo that is all face is searched with a border around it.
    """
    found = still_faces(models, photo.pixels, _SETTINGS).detections
    if len(found) == 0:
        return None
    middle = np.array(photo.pixels.shape[1::-1]) / 2
    away = np.abs((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - middle).sum(axis=1)
    points = found.landmarks[[int(np.argmin(away))]]
    turn = _turns(points, facts)
    placed = points[0] @ turn[0, :, :2].T + turn[0, :, 2]
    return crops.cut(photo.pixels, turn, side(facts))[0], placed.astype(np.float32)


def chips(pixels: UInt8, landmarks: Float32, facts: EncoderFacts) -> UInt8:
    """Return faces with their borders, (N, C, C, 3).

    Args:
        pixels: RGB uint8 (H, W, 3).
        landmarks: (N, 5, 2), pixels of the picture.
        facts: of the encoder whose template they are aligned to.
    """
    return crops.cut(pixels, _turns(landmarks, facts), side(facts))


def _turns(landmarks: Float32, facts: EncoderFacts) -> Float64:
    template = np.array(facts.template, np.float32) + _border(facts)
    return geometry.similarity_transform(landmarks, template)  # (N, 2, 3)

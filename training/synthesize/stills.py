"""Synthetic still pictures: a source of faces in, a YOLO-format folder and its truth out.

    images/train/0000.jpg …    labels/train/0000.txt …    data.yaml    truth.json

A line of a label file is ``class x y width height``: the middle and the size of a face box as
shares of the picture. Strangers are in the pictures and in ``truth.json``, not in the labels.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from indexer.errors import ConfigError, ImageError
from indexer.progress import Progress, silent
from indexer.records import Float64, UInt8
from training.synthesize.heads import Detect, Head
from training.synthesize.photos import names, read_heads
from training.synthesize.places import add_grain, camera, grain, light, paint_place
from training.synthesize.script import Look
from training.synthesize.spec import EpisodeSpec
from training.synthesize.sprites import cut_out, paste
from training.synthesize.stills_script import SPLITS, StillPicture, StillsSpec, write_stills
from training.synthesize.truth import Skipped

SCHEMA = "stills-truth/1"
_OF_A_STRANGER = 2
"""Photos of a stranger, at most."""
_QUALITY = (70, 95)


@dataclass(frozen=True, slots=True)
class Cast:
    """Whose photos are used."""

    known: Mapping[str, Sequence[Head]]
    """Whoever has the most photos first."""
    strangers: Mapping[str, Sequence[Head]]
    skipped: tuple[Skipped, ...]
    """Photos that could not be used."""


def synthesize_stills(
    source: Path, folder: Path, spec: StillsSpec, detect: Detect, progress: Progress = silent
) -> list[StillPicture]:
    """Return what synthetic pictures show, and write them with their labels, all or nothing.

    Args:
        source: LFW's archive or the folder that holds it, or a folder of stills per person.
        folder: where to; must not exist.
        spec: how many pictures, of how many people and so on.
        detect: finds the faces in a photo.
        progress: shows how far it is.

    Raises:
        ImageError: the source has too few people with enough photos.
        ConfigError: the folder exists, or cannot be written.
    """
    if folder.exists():
        raise ConfigError(folder, "exists already", "name a folder that does not")
    cast = read_cast(source, spec, detect, progress)
    looks = [
        {name: [_look(head) for head in heads] for name, heads in people.items()}
        for people in (cast.known, cast.strangers)
    ]
    pictures = write_stills(spec, *looks)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        _write(beside, spec, cast, pictures, progress)
        beside.rename(folder)
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
        raise ConfigError(folder, problem, "check the folder and the disk") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return pictures


def _look(head: Head) -> Look:
    return Look(head.label, float(head.face[0] / head.face[1]))


def read_cast(source: Path, spec: StillsSpec, detect: Detect, progress: Progress = silent) -> Cast:
    """Return the heads of the people with the most photos, and of strangers chosen at random.

    Raises:
        ImageError: there are too few people with a usable photo for every split.
    """
    rng = np.random.default_rng([spec.seed, 1])
    photos = names(source)
    ranked = sorted(photos, key=lambda name: (-len(photos[name]), name))
    known = ranked[: spec.classes]
    others = rng.permutation(np.array(ranked[spec.classes :], object))[: spec.strangers].tolist()
    most = dict.fromkeys(known, spec.photos) | dict.fromkeys(others, _OF_A_STRANGER)
    wanted = {
        name: {photos[name][i] for i in rng.permutation(len(photos[name]))[:count]}
        for name, count in most.items()
    }
    heads, skipped = read_heads(source, wanted, detect, progress)
    able = [name for name in known if len(heads[name]) >= len(SPLITS)]
    if len(able) < spec.classes:
        enough = f"people with {len(SPLITS)} usable photos"
        problem = f"has only {len(able)} {enough}, but needs {spec.classes}"
        raise ImageError(source, problem, "ask for fewer classes, or add photos")
    return Cast(
        {name: heads[name] for name in known},
        {name: heads[name] for name in others if heads[name]},
        tuple(skipped),
    )


def _write(
    folder: Path,
    spec: StillsSpec,
    cast: Cast,
    pictures: Sequence[StillPicture],
    progress: Progress,
) -> None:
    classes = sorted(cast.known)
    for split in SPLITS:
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
    scene = EpisodeSpec(width=spec.width, height=spec.height, seed=spec.seed)
    heads = {
        h.label: h for people in (cast.known, cast.strangers) for g in people.values() for h in g
    }
    noise = grain(scene)
    rooms: dict[int, UInt8] = {}
    for picture in progress(pictures, total=len(pictures), what="pictures"):
        if picture.place not in rooms:
            rooms[picture.place] = paint_place(scene, picture.place)
        rng = np.random.default_rng([spec.seed, 6, picture.number])
        pixels = _draw(scene, picture, rooms[picture.place], heads, rng)
        stem = f"{picture.split}/{picture.number:04d}"
        finished = Image.fromarray(add_grain(pixels, noise, rng))
        finished.save(folder / f"images/{stem}.jpg", quality=int(rng.integers(*_QUALITY)))
        (folder / f"labels/{stem}.txt").write_text(_label(picture, classes, spec), encoding="utf-8")
    (folder / "data.yaml").write_text(_data(classes), encoding="utf-8")
    truth = {
        "schema": SCHEMA,
        "names": classes,
        "strangers": sorted(cast.strangers),
        "pictures": [asdict(picture) for picture in pictures],
        "skipped": [asdict(one) for one in cast.skipped],
    }
    (folder / "truth.json").write_text(json.dumps(truth, ensure_ascii=False), encoding="utf-8")


def _draw(
    scene: EpisodeSpec,
    picture: StillPicture,
    room: UInt8,
    heads: Mapping[str, Head],
    rng: np.random.Generator,
) -> UInt8:
    """Return a picture without grain, (H, W, 3)."""
    [matrix] = camera(scene, rng, 1)
    levels = light(rng)
    frame = cv2.warpAffine(room, matrix, (scene.width, scene.height)).astype(np.uint8)
    for face in picture.faces:
        box: Float64 = np.array(face.box)
        tall = float(box[3] - box[1])
        below = (scene.height - float(box[1] + box[3]) / 2) / tall + 0.3
        sprite = cut_out(heads[face.photo], tall, below, rng)
        paste(frame, sprite, box, face.angle, np.zeros(2))
    return cv2.LUT(frame, levels).astype(np.uint8)


def _label(picture: StillPicture, names: Sequence[str], spec: StillsSpec) -> str:
    lines = []
    for face in picture.faces:
        if not face.stranger:
            x0, y0, x1, y1 = face.box
            middle = (x0 + x1) / 2 / spec.width, (y0 + y1) / 2 / spec.height
            size = (x1 - x0) / spec.width, (y1 - y0) / spec.height
            shares = " ".join(f"{share:.6f}" for share in (*middle, *size))
            lines.append(f"{names.index(face.name)} {shares}\n")
    return "".join(lines)


def _data(names: Sequence[str]) -> str:
    """Return ``data.yaml``; JSON is YAML, so the names are written as JSON."""
    folders = "".join(f"{split}: images/{split}\n" for split in SPLITS)
    return f"path: .\n{folders}nc: {len(names)}\nnames: {json.dumps(list(names))}\n"

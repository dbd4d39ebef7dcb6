"""A synthetic episode's truth on disk: all of it as JSON, and MOTChallenge's text for trackers.

``ep.truth.json``, schema ``truth/2``::

    { "schema": "truth/2", "episode": "ep01",
      "video": {"width", "height", "fps": "25/1", "frames", "rotation", "ticks": [...]},
      "cast": [names], "strangers": [names], "enrolled": [names], "gallery": ["Name/file"],
      "shots": [{"shot", "start_frame", "end_frame", "kind": "faces" | "faceless" | "title",
                 "place", "scene", "dissolve",
                 "repeats": [{"episode", "shot", "start_frame"}]}],
      "faces": [{"track", "name", "still", "mirrored", "clothes", "shot", "start_frame",
                 "boxes": [[x0, y0, x1, y1], ...], "angles": [...], "visible": [...]}],
      "skipped": [{"path", "problem"}] }

A frame's time is its index / fps, or, where ``ticks`` are given, its tick / (4 fps). An entry of
``faces`` is one person in one shot, with a row for every frame of that shot and of the dissolves
at its ends; somebody who has left the frame has ``visible`` 0 until they come back.

``ep.gt.txt``: ``frame,track,left,top,width,height,1,1,visible``; frames, tracks and pixels count
from 1, as MOTChallenge has it (Milan et al. 2016, table 3).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from indexer.errors import ImageError
from indexer.records import Float32
from indexer.store.disk import replacing
from training.synthesize.truth import Repeat, Skipped, TrueFace, TrueShot, Truth

SCHEMA = "truth/2"
TRUTH = ".truth.json"
"""Suffix of a video's truth, in place of its own."""


def truth_path(video: Path) -> Path:
    """Return where a synthetic video's truth is: ``ep.truth.json`` beside ``ep.mp4``."""
    return video.with_suffix(TRUTH)


def mot_path(video: Path) -> Path:
    """Return where its truth for trackers is: ``ep.gt.txt`` beside ``ep.mp4``."""
    return video.with_suffix(".gt.txt")


def write_truth(path: Path, truth: Truth) -> None:
    """Write the truth as JSON; numbers have three decimals."""
    tables = {
        "schema": SCHEMA,
        "episode": truth.episode,
        "video": {
            "width": truth.width,
            "height": truth.height,
            "fps": f"{truth.fps.numerator}/{truth.fps.denominator}",
            "frames": truth.frames,
            "rotation": truth.rotation,
            "ticks": list(truth.ticks),
        },
        "cast": list(truth.cast),
        "strangers": list(truth.strangers),
        "enrolled": list(truth.enrolled),
        "gallery": list(truth.gallery),
        "shots": [asdict(shot) for shot in truth.shots],
        "faces": [_face_table(face) for face in truth.faces],
        "skipped": [asdict(skipped) for skipped in truth.skipped],
    }
    with replacing(path) as file:
        file.write((json.dumps(tables, ensure_ascii=False) + "\n").encode())


def write_mot(path: Path, truth: Truth) -> None:
    """Write the faces that are visible at all as MOTChallenge's ground truth, frame by frame."""
    lines = []
    for face in truth.faces:
        for row, (x0, y0, x1, y1) in enumerate(face.boxes.tolist()):
            if face.visible[row] > 0:
                place = (face.start_frame + row + 1, face.track + 1)
                box = f"{x0 + 1:.3f},{y0 + 1:.3f},{x1 - x0:.3f},{y1 - y0:.3f}"
                lines.append((place, f"{place[0]},{place[1]},{box},1,1,{face.visible[row]:.3f}\n"))
    with replacing(path) as file:
        file.write("".join(line for _, line in sorted(lines)).encode())


def read_truth(path: Path) -> Truth:
    """Return the truth that `write_truth` wrote, equal to three decimals.

    Raises:
        ImageError: the file cannot be read or is not of this schema.
    """
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        schema = tables["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(
            path, "is not the ground truth of a synthetic episode", "make it again"
        ) from error
    if schema != SCHEMA:
        raise ImageError(path, f"has schema {schema}, not {SCHEMA}", "make the episode again")
    return Truth(
        width=tables["video"]["width"],
        height=tables["video"]["height"],
        fps=Fraction(tables["video"]["fps"]),
        cast=tuple(tables["cast"]),
        strangers=tuple(tables["strangers"]),
        shots=tuple(_shot(table) for table in tables["shots"]),
        faces=tuple(_face(table) for table in tables["faces"]),
        skipped=tuple(Skipped(**skipped) for skipped in tables["skipped"]),
        episode=tables["episode"],
        enrolled=tuple(tables["enrolled"]),
        gallery=tuple(tables["gallery"]),
        ticks=tuple(tables["video"]["ticks"]),
        rotation=tables["video"]["rotation"],
    )


def _shot(table: dict[str, Any]) -> TrueShot:
    repeats = tuple(Repeat(**repeat) for repeat in table["repeats"])
    return TrueShot(**(table | {"repeats": repeats}))


def _face_table(face: TrueFace) -> dict[str, Any]:
    return {
        "track": face.track,
        "name": face.name,
        "still": face.still,
        "mirrored": face.mirrored,
        "clothes": face.clothes,
        "shot": face.shot,
        "start_frame": face.start_frame,
        "boxes": _decimals(face.boxes),
        "angles": _decimals(face.angles),
        "visible": _decimals(face.visible),
    }


def _face(table: dict[str, Any]) -> TrueFace:
    return TrueFace(
        name=table["name"],
        still=table["still"],
        shot=table["shot"],
        start_frame=table["start_frame"],
        boxes=np.array(table["boxes"], np.float32),
        angles=np.array(table["angles"], np.float32),
        visible=np.array(table["visible"], np.float32),
        track=table["track"],
        clothes=table["clothes"],
        mirrored=table["mirrored"],
    )


def _decimals(values: Float32) -> Any:  # noqa: ANN401 - nested lists of whatever depth
    return np.round(values.astype(np.float64), 3).tolist()

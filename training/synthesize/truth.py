"""What is really on screen in a made episode: records, and the JSON file that keeps them.

``ep.truth.json``, schema ``truth/1``::

    { "schema": "truth/1",
      "video": {"width", "height", "fps": "25/1", "frames"},
      "cast": [names], "strangers": [names],
      "shots": [{"shot", "start_frame", "end_frame", "kind": "faces" | "faceless", "place"}],
      "faces": [{"name", "still", "shot", "start_frame",
                 "boxes": [[x0, y0, x1, y1], ...], "angles": [...], "visible": [...]}],
      "skipped": [{"path", "problem"}] }

A frame's time is its index / fps. An entry of ``faces`` is one person in one shot, with a row for
every frame of that shot; somebody who has left the frame has ``visible`` 0 until he comes back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from indexer.errors import ImageError
from indexer.records import Float32

SCHEMA = "truth/1"


@dataclass(frozen=True, slots=True)
class TrueShot:
    """A run of frames between two cuts."""

    shot: int
    start_frame: int
    end_frame: int
    """The last frame, itself in the shot."""
    kind: Literal["faces", "faceless"]
    place: int
    """The location that it shows; shots of one place look alike but for the camera's angle."""


@dataclass(frozen=True, slots=True)
class TrueFace:
    """One person in one shot: T rows, one for each frame of the shot."""

    name: str
    still: str
    """The picture that was used, as ``Name/file``."""
    shot: int
    start_frame: int
    boxes: Float32
    """(T, 4), the face as the detector sees it in the still, moved and scaled with it."""
    angles: Float32
    """(T,), degrees that the head is tilted clockwise."""
    visible: Float32
    """(T,), share of the box that is in the frame and not behind somebody, in [0, 1]."""

    def __post_init__(self) -> None:
        count = len(self.boxes)
        wanted = ((count, 4), (count,), (count,))
        got = (self.boxes.shape, self.angles.shape, self.visible.shape)
        if got != wanted:
            raise ValueError(f"boxes, angles, visible: expected shapes {wanted}, got {got}")


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """The faces in one frame."""

    names: tuple[str, ...]
    boxes: Float32
    """(N, 4)."""
    visible: Float32
    """(N,), above 0."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A still that could not be used, and why."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that a made episode shows."""

    width: int
    height: int
    fps: Fraction
    cast: tuple[str, ...]
    strangers: tuple[str, ...]
    """People who are on screen but belong to nobody's gallery."""
    shots: tuple[TrueShot, ...]
    """Consecutive, from frame 0 on."""
    faces: tuple[TrueFace, ...]
    """By shot; within a shot, who stands in front comes later."""
    skipped: tuple[Skipped, ...]

    @property
    def frames(self) -> int:
        """How many frames the episode has."""
        return self.shots[-1].end_frame + 1

    def at(self, frame: int, *, least: float = 0.0) -> FrameFaces:
        """Return the faces in one frame of which a larger share than `least` is visible."""
        rows = [
            (face, frame - face.start_frame)
            for face in self.faces
            if 0 <= frame - face.start_frame < len(face.boxes)
        ]
        seen = [(face, row) for face, row in rows if face.visible[row] > least]
        return FrameFaces(
            names=tuple(face.name for face, _ in seen),
            boxes=np.array([face.boxes[row] for face, row in seen], np.float32).reshape(-1, 4),
            visible=np.array([face.visible[row] for face, row in seen], np.float32),
        )


def truth_path(video: Path) -> Path:
    """Return where a made video's truth lies: ``ep.truth.json`` beside ``ep.mp4``."""
    return video.with_suffix(".truth.json")


def write_truth(path: Path, truth: Truth) -> None:
    """Write the truth as JSON; numbers have three decimals."""
    tables = {
        "schema": SCHEMA,
        "video": {
            "width": truth.width,
            "height": truth.height,
            "fps": f"{truth.fps.numerator}/{truth.fps.denominator}",
            "frames": truth.frames,
        },
        "cast": list(truth.cast),
        "strangers": list(truth.strangers),
        "shots": [asdict(shot) for shot in truth.shots],
        "faces": [_face_table(face) for face in truth.faces],
        "skipped": [asdict(skipped) for skipped in truth.skipped],
    }
    path.write_text(json.dumps(tables, ensure_ascii=False) + "\n", encoding="utf-8")


def read_truth(path: Path) -> Truth:
    """Return the truth that `write_truth` wrote, equal to three decimals.

    Raises:
        ImageError: the file cannot be read or is not of this schema.
    """
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        schema = tables["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(path, "is no truth of a made episode", "make it anew") from error
    if schema != SCHEMA:
        raise ImageError(path, f"has schema {schema}, not {SCHEMA}", "make the episode anew")
    return Truth(
        width=tables["video"]["width"],
        height=tables["video"]["height"],
        fps=Fraction(tables["video"]["fps"]),
        cast=tuple(tables["cast"]),
        strangers=tuple(tables["strangers"]),
        shots=tuple(TrueShot(**shot) for shot in tables["shots"]),
        faces=tuple(_face(table) for table in tables["faces"]),
        skipped=tuple(Skipped(**skipped) for skipped in tables["skipped"]),
    )


def _face_table(face: TrueFace) -> dict[str, Any]:
    return {
        "name": face.name,
        "still": face.still,
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
    )


def _decimals(values: Float32) -> Any:  # noqa: ANN401 - nested lists of whatever depth
    return np.round(values.astype(np.float64), 3).tolist()

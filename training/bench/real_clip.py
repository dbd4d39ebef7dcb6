"""Names on a real clip: stills are cut from its beginning, labelled faces of the rest are judged.

This is done at the clip's own height and at half of it; the stills are cut from the same copy that
is then indexed. Only labelled faces count; those that nobody could name are left out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from indexer import enroll, pipeline
from indexer.config import Settings
from indexer.decode import open_video
from indexer.errors import ConfigError
from indexer.models import Models
from indexer.progress import Progress, silent
from indexer.records import Float32, UInt8
from indexer.store import read
from indexer.store.library import open_library
from training.bench.seasons import code_digest, digest, found_faces
from training.bench.verdicts import as_verdicts, published
from training.evaluate import clips
from training.evaluate import naming_scores as scores
from training.evaluate.naming import (
    NOBODY,
    UNNAMED,
    FoundFaces,
    TrueFaces,
    Verdicts,
    Watched,
    at_360p,
    watch,
)
from training.evaluate.naming_scores import OfWidth, Share

CLIP = "tv_dev"
FIRST = 480
"""The first frame that counts; stills are cut from those before."""
STILLS = 3
_APART = 10
"""The least number of frames between two stills of a person."""
_AROUND = 0.3
"""Margin kept on each side of a face, as a share of its box: a picture 1.6 times as wide."""
_UNDECIDED = "?"


@dataclass(frozen=True, slots=True)
class OnClip:
    """How well labelled faces of a clip are named."""

    lines: int
    """The height of the video, in pixels."""
    stills: int
    """Number of enrolled stills."""
    right: Share
    """Faces named right, among the labelled faces of the enrolled that have a name."""
    recalled: Share
    """Faces named right, among all labelled faces of the enrolled."""
    strangers: Share
    """Labelled faces of others that have a name, among those that were found."""
    widths: Sequence[OfWidth]


def bench_real(
    data: Path, work: Path, models: Models, settings: Settings, progress: Progress = silent
) -> list[OnClip]:
    """Return how well faces of the clip in a data folder are named, at each height.

    Args:
        data: the folder of the clip and its labels.
        work: keeps stills, scaled copy and libraries.
        models: detector and encoder.
        settings: of all stages.
        progress: shows how far it is.

    Raises:
        ConfigError: the folder lacks the clip or its labels.
        IndexerError: as enrolling and indexing.
    """
    video, told = data / f"{CLIP}.mp4", data / f"{CLIP}.json"
    for path in (video, told):
        if not path.is_file():
            raise ConfigError(path, "is missing", "name the folder of clips with their labels")
    truth = json.loads(told.read_text(encoding="utf-8"))
    height = truth["size"][1]
    results = []
    for lines in (height, height // 2):
        copy = video if lines == height else _scaled(video, work, lines)
        home = work / f"{CLIP}-{lines}-{digest(models, settings)}"
        shown = _Copy(copy, truth["faces"], lines / height, lines)
        results.append(_bench_copy(shown, home, models, settings, progress))
    return results


@dataclass(frozen=True, slots=True)
class _Copy:
    """The clip at one height, and its labels."""

    video: Path
    labels: Sequence[Mapping[str, Any]]
    scale: float
    """Pixels of the video for each pixel of the labels."""
    lines: int


def _scaled(video: Path, work: Path, lines: int) -> Path:
    """Return a copy of the clip at another height, made if need be."""
    work.mkdir(parents=True, exist_ok=True)
    copy = work / f"{CLIP}-{lines}.mp4"
    if not copy.is_file():
        part = work / f".{copy.name}"  # a run that is killed leaves no incomplete copy
        clips.scaled_copy(video, part, lines)
        part.rename(copy)
    return copy


def _bench_copy(
    shown: _Copy, home: Path, models: Models, settings: Settings, progress: Progress
) -> OnClip:
    root, cut = home / "library", home / "stills"
    library = pipeline.open_or_create(root, models, settings)
    if library.revision == 0:
        shutil.rmtree(cut, ignore_errors=True)
        write_stills(shown.video, shown.labels, shown.scale, cut, settings)
        enroll.enroll(cut, library, models, settings, progress)
    library = pipeline.open_or_create(root, models, settings)
    done = pipeline.index(shown.video, library, models, settings, progress)
    library = open_library(root)
    tracks = read.read_tracks(library, done.episode)
    snapshot = published(library, [done.episode], code_digest())
    named = [one for one in read.read_characters(library) if one.named]
    return score(
        labelled(shown.labels, shown.scale, shown.lines, [one.label for one in named]),
        found_faces(library, done.episode),
        as_verdicts(snapshot, [tracks]),
        shown.lines,
        sum(len(one.prototypes) for one in named),
    )


def chosen(labels: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the faces to cut stills of: each person's `STILLS` widest before `FIRST`, apart."""
    picked: list[Mapping[str, Any]] = []
    early = [one for one in labels if one["name"] and one["frame"] < FIRST]
    for one in sorted(early, key=lambda one: one["box"][0] - one["box"][2]):
        mine = [other for other in picked if other["name"] == one["name"]]
        if len(mine) < STILLS and all(abs(one["frame"] - o["frame"]) >= _APART for o in mine):
            picked.append(one)
    return picked


def write_stills(
    video: Path,
    labels: Sequence[Mapping[str, Any]],
    scale: float,
    folder: Path,
    settings: Settings,
) -> None:
    """Write the stills of each person as PNG, a folder each.

    Args:
        video: the clip.
        labels: ``frame``, ``box`` and ``name`` of each labelled face.
        scale: pixels of the video for each pixel of the labels.
        folder: where to.
        settings: of decoding.
    """
    wanted: dict[int, list[Mapping[str, Any]]] = {}
    for one in chosen(labels):
        wanted.setdefault(one["frame"], []).append(one)
    with open_video(video, settings.decode) as frames:
        for frame in frames:
            for one in wanted.get(frame.index, ()):
                path = folder / one["name"] / f"{frame.index:06d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                box = np.array(one["box"], np.float32) * scale
                Image.fromarray(_around(frame.pixels(), box)).save(path)
            frame.let_go()
            if frame.index > max(wanted, default=-1):
                return


def _around(image: UInt8, box: Float32) -> UInt8:
    """Return the crop of a face with a margin, as far as the picture reaches, (H, W, 3)."""
    height, width = image.shape[:2]
    grow = (box[2:] - box[:2]) * _AROUND
    low = np.clip(np.floor(box[:2] - grow), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(box[2:] + grow), low + 1, [width, height]).astype(int)
    return image[low[1] : high[1], low[0] : high[0]]


def labelled(
    labels: Sequence[Mapping[str, Any]], scale: float, lines: int, enrolled: Sequence[str]
) -> TrueFaces:
    """Return the labelled faces from `FIRST` on; those without a name are called ``?``."""
    late = [one for one in labels if one["frame"] >= FIRST]
    boxes = np.array([one["box"] for one in late], np.float32).reshape(-1, 4) * np.float32(scale)
    names = np.array([one["name"] or _UNDECIDED for one in late], np.str_)
    return TrueFaces(
        frames=np.array([one["frame"] for one in late], np.int64),
        tracks=np.array([one["tracklet"] for one in late], np.int64),
        names=names,
        boxes=boxes,
        visible=np.ones(len(late), np.float32),
        enrolled=np.isin(names, enrolled),
        widths=at_360p(boxes, lines),
    )


def score(truth: TrueFaces, found: FoundFaces, said: Verdicts, lines: int, stills: int) -> OnClip:
    """Return how well labelled faces are named; found faces that cover none do not count."""
    watched: Watched = watch(truth, found, len(said.names))
    faces, shown = said.names[found.tracks], watched.shown
    mine = watched.pairs != NOBODY
    known = np.append(truth.enrolled, False)[watched.pairs] & mine
    others = mine & ~known & (shown != _UNDECIDED)
    named = faces != UNNAMED
    right = Share(int(np.sum(known & (faces == shown))), int(np.sum(known & named)))
    called = Share(int(np.sum(others & named)), int(others.sum()))
    recalled = scores.recalled(faces, watched)
    return OnClip(lines, stills, right, recalled, called, scores.by_width(faces, watched))

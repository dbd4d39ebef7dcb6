"""Synthetic seasons through the indexer, episode by episode, with its verdicts after each.

A work folder keeps, for each season and settings, the library and a snapshot after each episode,
so that a second run can measure at once::

    work/s0-1a2b3c4d/library/  ep01.json  ep02.json  …
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import indexer
from indexer import config, enroll, pipeline
from indexer.config import Settings
from indexer.errors import ConfigError
from indexer.models import Models
from indexer.progress import Progress, silent
from indexer.records import Audit, Calibration, Float32, Int64, Track
from indexer.store import disk, read
from indexer.store.library import Library, open_library
from training.bench.verdicts import Snapshot, as_verdicts, judged_again, published
from training.demo import detector
from training.evaluate.clips import read_faces
from training.evaluate.naming import (
    FoundFaces,
    Names,
    TrueFaces,
    Verdicts,
    Watched,
    at_360p,
    join,
    watch,
)
from training.synthesize.season import GALLERY, synthesize_season
from training.synthesize.season_spec import SeasonSpec
from training.synthesize.truth import Truth
from training.synthesize.truth_file import read_truth, truth_path

ARCHIVE = "lfw.tar"
"""The archive of LFW, from which seasons are made."""
_EPISODES = 6
_REMEDY = "make some: training synthesize lfw.tar --out FOLDER/s0 --seed 0, s1, …"


@dataclass(frozen=True, slots=True)
class Encoded:
    """The M encoded faces of T tracks, and the gallery's G stills."""

    vectors: Float32
    """(M, D), unit rows."""
    tracks: Int64
    """(M,), from 0 on."""
    frames: Int64
    """(M,), counted as those of the found faces."""
    means: Float32
    """(T, D), unit rows, the embedding of each track."""
    stills: Float32
    """(G, D), unit rows."""
    names: Names
    """(G,), the person of each still."""
    threshold: float
    """The cosine at which two wide faces are as likely of one person as of two."""


@dataclass(frozen=True, slots=True)
class Season:
    """A season that was indexed."""

    name: str
    library: Library
    ids: tuple[str, ...]
    """Ids of its episodes in the library, in order."""
    watched: Watched
    """All episodes in a row."""
    snapshots: Sequence[Verdicts]
    """The verdicts after each episode, on the tracks so far."""
    encoded: Encoded
    audits: tuple[Audit, ...]
    """The library's estimates of each episode's quality, made without labels."""
    stale: bool
    """Whether snapshots were taken by another version of the code."""


def make_seasons(data: Path, folder: Path, count: int, progress: Progress = silent) -> None:
    """Make the seasons s0, s1, … of six episodes in a folder, unless they are there.

    Args:
        data: a folder with LFW's archive.
        folder: where to.
        count: how many.
        progress: shows how far it is.

    Raises:
        IndexerError: as `synthesize_season`.
    """
    for number in range(count):
        season = folder / f"s{number}"
        if not season.is_dir():
            spec = SeasonSpec(episodes=_EPISODES, seed=number)
            synthesize_season(data / ARCHIVE, season, spec, detector(), progress)


def seasons_in(folder: Path) -> list[Path]:
    """Return the synthetic seasons in a folder: those called s0, s1, …, by number.

    Raises:
        ConfigError: there is none.
    """
    called = {one: re.fullmatch(r"s(\d+)", one.name) for one in folder.glob("s*")}
    numbers = {one: int(match[1]) for one, match in called.items() if match}
    whole = [one for one in numbers if (one / GALLERY).is_dir() and _videos(one)]
    if not whole:
        raise ConfigError(folder, "holds no synthetic season", _REMEDY)
    return sorted(whole, key=numbers.__getitem__)


def _videos(season: Path) -> list[Path]:
    return [one for one in sorted(season.glob("*.mp4")) if truth_path(one).is_file()]


def watch_season(  # noqa: PLR0913 - the last by name
    folder: Path,
    work: Path,
    models: Models,
    settings: Settings,
    most: int | None = None,
    progress: Progress = silent,
    *,
    again: bool = False,
) -> Season:
    """Return a season, its cast enrolled first and its episodes then indexed in order.

    Args:
        folder: a season made by `training synthesize`.
        work: keeps the library and the snapshots.
        models: detector and encoder.
        settings: of all stages.
        most: episodes, the first ones; None for all.
        progress: shows how far it is.
        again: whether a library judged by another version of the code is judged again; right only
            if all that changed comes after the tracks.

    Raises:
        ConfigError: the folder's truth cannot be read.
        IndexerError: as enrolling and indexing.
    """
    home = work / f"{folder.name}-{digest(models, settings)}"
    root = home / "library"
    library = pipeline.open_or_create(root, models, settings)
    if library.revision == 0:
        enroll.enroll(folder / GALLERY, library, models, settings, progress)
    videos = _videos(folder)[:most]
    ids: list[str] = []
    snapshots: list[Snapshot] = []
    for video in videos:
        library = pipeline.open_or_create(root, models, settings)
        done = pipeline.index(video, library, models, settings, progress)
        ids.append(done.episode)
        kept = home / f"{video.stem}.json"
        if not (done.unchanged and kept.is_file()):
            _keep(kept, published(open_library(root), ids, code_digest()))
        snapshots.append(Snapshot.of(json.loads(kept.read_bytes())))
    library = open_library(root)
    if any(one.code != code_digest() for one in snapshots) and again:
        stick, code = models.encoder.yardstick, code_digest()
        snapshots = judged_again(library, ids, stick, settings, code)
        for video, one in zip(videos, snapshots, strict=True):
            _keep(home / f"{video.stem}.json", one)
        library = open_library(root)
    tracks = [read.read_tracks(library, one) for one in ids]
    parts = [
        watch(true_faces(read_truth(truth_path(video))), _found(library, one, here), len(here))
        for video, one, here in zip(videos, ids, tracks, strict=True)
    ]
    return Season(
        name=folder.name,
        library=library,
        ids=tuple(ids),
        watched=join(parts),
        snapshots=[
            as_verdicts(one, tracks[:number]) for number, one in enumerate(snapshots, start=1)
        ],
        encoded=_encoded(library, tracks, parts, models.encoder.facts.calibration),
        audits=tuple(read.read_judgement(library, one)[1] for one in ids),
        stale=any(one.code != code_digest() for one in snapshots),
    )


def audited_purity(audits: Sequence[Audit]) -> float | None:
    """Return the mean purity that audits estimate, weighted by how many tracks each rests on.

    None if there are no such tracks.
    """
    tracks = sum(one.tracks for one in audits)
    return sum(one.purity * one.tracks for one in audits) / tracks if tracks else None


def true_faces(truth: Truth) -> TrueFaces:
    """Return the faces of a synthetic episode of which anything is visible."""
    rows = [np.flatnonzero(face.visible > 0) for face in truth.faces]
    counts = [len(one) for one in rows]
    each = list(zip(truth.faces, rows, strict=True))
    names = np.repeat(np.array([face.name for face in truth.faces], np.str_), counts)
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(f.boxes[some] for f, some in each)])
    empty = np.zeros(0, np.int64)
    return TrueFaces(
        frames=np.concatenate([empty, *(face.start_frame + some for face, some in each)]),
        tracks=np.repeat(np.array([face.track for face in truth.faces], np.int64), counts),
        names=names,
        boxes=boxes,
        visible=np.concatenate([np.zeros(0, np.float32), *(f.visible[some] for f, some in each)]),
        enrolled=np.isin(names, truth.enrolled),
        widths=at_360p(boxes, truth.height),
    )


def found_faces(library: Library, episode: str) -> FoundFaces:
    """Return the faces that a library has of an episode, tracks numbered in the library's order."""
    return _found(library, episode, read.read_tracks(library, episode))


def _found(library: Library, episode: str, tracks: Sequence[Track]) -> FoundFaces:
    faces = read_faces(library, episode)
    number = {track.uid: row for row, track in enumerate(tracks)}
    of = np.array([number[uid] for uid in faces.track.tolist()], np.int64)
    return FoundFaces(faces.frame, of, faces.boxes)


def _encoded(
    library: Library,
    tracks: Sequence[Sequence[Track]],
    parts: Sequence[Watched],
    calibration: Calibration,
) -> Encoded:
    every = [track for group in tracks for track in group]
    # As `join` counts frames: on from the last one of the episode before.
    ends = [int(max(p.truth.frames.max(initial=-1), p.found.frames.max(initial=-1))) for p in parts]
    starts = np.cumsum([0, *(end + 1 for end in ends)])[:-1]
    first = np.repeat(starts, [len(group) for group in tracks])
    named = [one for one in read.read_characters(library) if one.named]
    none = np.zeros((0, library.dimension), np.float32)
    counts = [len(track.embeddings) for track in every]
    exemplars = [t.exemplar_frames + at for t, at in zip(every, first.tolist(), strict=True)]
    return Encoded(
        vectors=np.concatenate([none, *(track.embeddings for track in every)]),
        tracks=np.repeat(np.arange(len(every)), counts),
        frames=np.concatenate([np.zeros(0, np.int64), *exemplars]),
        means=np.concatenate([none, *(track.embedding[None] for track in every)]),
        stills=np.concatenate([none, *(one.prototypes for one in named)]),
        names=np.repeat([one.label for one in named], [len(one.prototypes) for one in named]),
        threshold=calibration.wide[-1].midpoint,
    )


def _keep(path: Path, snapshot: Snapshot) -> None:
    with disk.replacing(path) as file:
        file.write(snapshot.encoded())


def digest(models: Models, settings: Settings) -> str:
    """Return a digest of all but the code that a library depends on, to name its folder."""
    said = [models.encoder.facts.encoder_id, config.that_matter(settings)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


def code_digest() -> str:
    """Return a digest of the indexer's code."""
    total = hashlib.sha256()
    for path in sorted(Path(indexer.__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]

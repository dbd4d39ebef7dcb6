"""A recipe for tracks and a library in, a run folder out, as in `training.runs`.

Instead of an encoder's weights it holds a head for ``embed.head``: the features that the method
clusters, as unit rows. They are calibrated and measured by a second head that learns from every
other track only: on pairs of the remaining tracks, tied by clothes or on screen together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from indexer import parallel
from indexer.errors import ConfigError
from indexer.nets import head as heads
from indexer.nets.head import Head, HeadFacts
from indexer.parallel import Workers
from indexer.progress import Progress, silent
from indexer.records import Calibration, Float32, Int64
from indexer.store import read
from indexer.store.library import Library, open_library
from training import runs
from training.clothes import TieSettings
from training.evaluate.signs import Signs, signs
from training.fit import Fitted, fit
from training.fit_tracks import (
    Gathered,
    Judged,
    Learnt,
    gather,
    halves_of,
    held_out,
    judge,
    require_enough,
)
from training.library import LibraryTracks, read_tracks
from training.methods import tracks as methods
from training.methods.tracks import FromTracks, Linear, Mlp
from training.pairs import TrackFaces
from training.recipe import Recipe

HEAD = "head.safetensors"


@dataclass(frozen=True, slots=True)
class TracksRun:
    """The outcome of a recipe for tracks."""

    fitted: Fitted
    learnt: Learnt
    folder: Path


@dataclass(frozen=True, slots=True)
class _Show:
    """A library's N tracks, their faces, and the pairs for measuring."""

    tracks: LibraryTracks
    faces: TrackFaces
    gathered: Gathered


def run(how: Recipe, source: Path, folder: Path, progress: Progress = silent) -> TracksRun:
    """Run a recipe for tracks, or resume a run that was interrupted.

    Args:
        how: the recipe.
        source: a library.
        folder: of the run.
        progress: shows how far it is.

    Raises:
        ConfigError: the folder holds a run of another recipe or of another library, or the
            library shows too little.
        StoreError: the library is missing or damaged.
        WeightsError: a file cannot be written.
    """
    library = open_library(source)
    show = _read(library, progress)
    half = _every_other(show.faces)
    try:
        both = [methods.from_tracks(one, how.tracks, how.fit.seed) for one in (show.faces, half)]
        if how.tracks.head == "tied" and not min(len(show.faces.ties), len(half.ties)):
            raise ValueError("has too few tracks tied by clothes to initialise a head")
        require_enough(show.gathered)
        for pairs in (show.gathered.same, show.gathered.different):
            held_out(pairs)  # refuses a show that leaves none to measure on
    except ValueError as error:
        raise ConfigError(source, str(error), "index more episodes of the show") from error
    runs.claim(folder, how, _described(show, library))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    whole, other = (replace(one, probe=lambda module: _probed(module, show)) for one in both)
    with Workers(parallel.cores()) as workers:
        fitted = fit(whole, how.fit, folder / "checkpoint.pt", device, workers, progress)
        fit(other, how.fit, folder / "left-out.pt", device, workers, progress)
    learnt = _learnt(whole, other, show, library.encoder_id)
    saved = heads.save(folder / HEAD, learnt.head)
    done = TracksRun(fitted, replace(learnt, head=saved), folder)
    runs.write_metrics(folder, fitted, _tables(done.learnt))
    return done


def _read(library: Library, progress: Progress) -> _Show:
    tracks = read_tracks(library, read.episodes(library))
    found = gather(library, TieSettings(), progress)
    faces = TrackFaces(tracks.vectors, tracks.track, tracks.together(), found.same)
    return _Show(tracks, faces, found)


def _every_other(faces: TrackFaces) -> TrackFaces:
    """Return the faces of the tracks with even numbers, so never of two neighbours in time."""
    mine = faces.track % 2 == 0
    ties = faces.ties[(faces.ties % 2 == 0).all(axis=1)]
    return TrackFaces(
        faces.vectors[mine], faces.track[mine] // 2, faces.together[::2, ::2], ties // 2
    )


def _probed(module: Mlp | Linear, show: _Show) -> Mapping[str, float]:
    """Return the area under ROC on all pairs, among them those that it was trained on."""
    return {"area": _judged(module, show, show.gathered.same, show.gathered.different).after}


def _judged(module: Mlp | Linear, show: _Show, same: Int64, different: Int64) -> Judged:
    moved = _unit(methods.features(module, show.faces.vectors))
    return judge(show.faces.means(), show.faces.means(moved), same, different)


def _unit(rows: Float32) -> Float32:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _learnt(whole: FromTracks, other: FromTracks, show: _Show, encoder_id: str) -> Learnt:
    """Return the head of the whole show, its digest empty, measured by the second head."""
    found = show.gathered
    judged = _judged(other.module, show, held_out(found.same), held_out(found.different))
    head = exported(whole.module, encoder_id, judged.calibration)
    moved = head(show.faces.vectors)
    with_it = replace(show.tracks, vectors=moved, features=show.faces.means(moved))
    return Learnt(
        head=head,
        gathered=found,
        before=judged.before,
        after=judged.after,
        without=signs(found.halves, found.different, found.people),
        with_it=signs(halves_of(with_it), found.different, found.people),
    )


def exported(module: Mlp | Linear, encoder_id: str, calibration: Calibration) -> Head:
    """Return a module's features as a head of the indexer; its digest is empty until it is saved.

    Args:
        module: trained.
        encoder_id: of the vectors that it was trained on.
        calibration: what a cosine of its features means.
    """
    weight, bias, activation = module.applied()
    facts = HeadFacts(heads.SCHEMA, encoder_id, len(bias), activation, calibration, "")
    return Head(weight, bias, facts)


def _described(show: _Show, library: Library) -> dict[str, Any]:
    content = hashlib.sha256(library.encoder_id.encode())
    tracks, found = show.tracks, show.gathered
    for part in (tracks.uids, tracks.track, tracks.frames, tracks.vectors):
        content.update(f"{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
    for pairs in (found.same, found.different):
        content.update(f"{pairs.shape}".encode() + np.ascontiguousarray(pairs).tobytes())
    return {
        "digest": content.hexdigest(),
        "encoder": library.encoder_id,
        "episodes": list(tracks.episodes),
        "tracks": len(tracks.uids),
        "faces": len(tracks.track),
        "people": found.people,
        "tied_by_clothes": len(found.same),
        "sharing_a_frame": len(found.different),
    }


def _tables(learnt: Learnt) -> dict[str, Any]:
    return {
        "before": {"area_left_out": learnt.before, **_told(learnt.without)},
        "after": {"area_left_out": learnt.after, **_told(learnt.with_it)},
        "helps": bool(learnt.helps),
        "calibration": asdict(learnt.head.facts.calibration),
    }


def _told(found: Signs) -> dict[str, float | None]:
    """Return the signs; NaN becomes None, as JSON has no NaN."""
    return {name: None if np.isnan(value) else value for name, value in asdict(found).items()}

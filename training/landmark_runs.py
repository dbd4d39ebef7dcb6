"""A recipe for landmarks and a folder of faces in, a run folder out, as in `training.runs`.

The targets are the points that MTCNN finds in the whole photos.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from indexer.errors import ConfigError
from indexer.models import Models
from indexer.nets import weights
from indexer.parallel import Workers
from indexer.progress import Progress, silent
from indexer.store import disk
from training import parts, runs
from training.faces import FaceSet, read_faces
from training.fit import Fitted, fit
from training.methods import landmarks
from training.methods.landmarks import Landmarks, Regressor
from training.recipe import Recipe

WEIGHTS = "landmarks.safetensors"
_FAR = 0.1
"""As a share of the distance of the eyes; with larger errors points are useless for alignment."""


@dataclass(frozen=True, slots=True)
class PointsRun:
    """The outcome of a recipe for landmarks; errors are relative to the distance of the eyes."""

    fitted: Fitted
    guessed: float
    """Mean error on the test people of a baseline, the mean validation points in every crop."""
    error: float
    """Mean error of the network on the test people."""
    far: float
    """Share of their faces whose error is larger than a tenth."""
    folder: Path


def run(
    how: Recipe, source: Path, folder: Path, models: Models, progress: Progress = silent
) -> PointsRun:
    """Run a recipe for landmarks, or resume a run that was interrupted.

    Args:
        how: the recipe.
        source: faces, as for `training.faces.photos`.
        folder: of the run.
        models: with the detector that finds the faces and the points.
        progress: shows how far it is.

    Raises:
        ConfigError: the folder holds a run of another recipe or of other faces; there are too few
            people.
        IndexerError: as of the functions that it calls.
    """
    facts = weights.read_facts(weights.DEFAULT_ENCODER)
    faces = read_faces(source, folder.parent / "faces", models, facts, progress)
    dealt = parts.deal(faces, how.data, source)
    empty = [name for name in ("train", "validation", "test") if not len(getattr(dealt, name))]
    if empty:
        problem = f"has too few people: nobody is left for {' and '.join(empty)}"
        raise ConfigError(source, problem, "give more people, or LFW's folder")
    runs.begin(folder, how, faces, dealt, {})
    torch.manual_seed(how.fit.seed)
    module = Regressor()
    validation, test = (
        _views(part, how, i) for i, part in enumerate([dealt.validation, dealt.test])
    )
    chosen = parts.trained_on(dealt, how)
    method = Landmarks(module, chosen, validation, how.landmarks, how.fit.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with Workers(models.workers) as workers:
        fitted = fit(method, how.fit, folder / "checkpoint.pt", device, workers, progress)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}
    with disk.replacing(folder / WEIGHTS) as file:
        file.write(save(tensors, {"schema": "landmarks/1", "side": str(landmarks.SIDE)}))
    same = np.broadcast_to(validation.points.mean(axis=0), test.points.shape)
    guessed = landmarks.error_by_eyes(same.astype(np.float32), test.points)
    errors = landmarks.error_by_eyes(landmarks.locate(module, test.crops), test.points)
    done = PointsRun(
        fitted, float(guessed.mean()), float(errors.mean()), float(np.mean(errors > _FAR)), folder
    )
    tables = {"guessed": done.guessed, "error": done.error, "far": done.far}
    runs.write_metrics(folder, fitted, {"test": tables})
    return done


def _views(faces: FaceSet, how: Recipe, part: int) -> landmarks.Batch:
    rng = np.random.default_rng([how.data.seed, part])
    return landmarks.views(faces, range(len(faces)), how.landmarks, rng)

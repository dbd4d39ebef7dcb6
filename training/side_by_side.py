"""Several encoders measured on the same people: those whom most recipes hold out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from indexer.errors import ConfigError
from indexer.models import Models
from indexer.nets import weights
from indexer.nets.runtime import Device
from indexer.parallel import Workers
from indexer.progress import Progress, silent
from training import batches, encoders
from training.evaluate.encoders import Assessment, Sample, assess
from training.faces import read_faces
from training.recipe import Data

_NAMES = "name a weights file, the folder of a run, or default"


def side_by_side(
    names: Sequence[str], source: Path, kept: Path, models: Models, progress: Progress = silent
) -> Mapping[str, Assessment]:
    """Return the metrics of encoders on the test people of a folder, by the encoders' names.

    Test people are those of the default `Data`, on whom no shipped recipe trains except `distil`
    and those that continue from it, which hold out others; from them comes the default encoder.

    Args:
        names: of encoders, each a weights file, the folder of a run, or ``default``.
        source: faces, as for `training.faces.photos`.
        kept: the folder that keeps the aligned faces.
        models: with the detector that finds the faces.
        progress: shows how far it is.

    Raises:
        ConfigError: there are too few people.
        IndexerError: as of the functions that it calls.
    """
    device: Device = "cuda" if torch.cuda.is_available() else "cpu"
    how, found = Data(), {}
    with Workers(models.workers) as workers:
        for name in names:
            weighed = "" if name == "default" else encoders.encoder_of(name, _NAMES)
            path = weights.resolve(weighed)
            facts = weights.read_facts(path)
            faces = read_faces(source, kept, models, facts, progress)
            parts = batches.split(faces, how.validation, how.test, how.seed)
            if not all(map(batches.tell_people, (parts.validation, parts.test))):
                problem = "has too few people with two photos to measure on"
                raise ConfigError(source, problem, "give more people, or LFW's folder")
            run = encoders.runner(path, workers, device)
            found[name] = assess(run, parts.validation, parts.test, facts.input_size, Sample())
    return found

"""Several encoders measured on the same people: those whom most recipes hold out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
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
from training.parts import barred_people
from training.recipe import Data

_NAMES = "name a weights file, the folder of a run, or default"


@dataclass(frozen=True, slots=True)
class Compared:
    """An encoder's metrics, and how many of those they are of it may have been trained on."""

    assessed: Assessment
    people: int
    """Test people."""
    trained_on: int
    """Those of them whom the run that the encoder is of did not hold out; 0 if it is of none."""


def side_by_side(
    names: Sequence[str], source: Path, kept: Path, models: Models, progress: Progress = silent
) -> Mapping[str, Compared]:
    """Return the metrics of encoders on the test people of a folder, by the encoders' names.

    Test people are those of the default `Data`, on whom no shipped recipe trains except `distil`
    and those that continue from it, which hold out others; from them comes the default encoder.
    A run of other faces or another `Data` may have trained on some of them.

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
            one = assess(run, parts.validation, parts.test, facts.input_size, Sample())
            tested = {faces.names[who] for who in set(parts.test.people.tolist()) if who >= 0}
            found[name] = Compared(one, len(tested), _trained_on(path.parent, tested, source))
    return found


def _trained_on(run: Path, people: Set[str], source: Path) -> int:
    """Return how many of some people a run may have trained on, 0 if the folder is of no run."""
    try:
        parts = json.loads((run / "data.json").read_bytes())["people"]
        held_out = {*parts["validation"], *parts["test"]}
        without = json.loads((run / "recipe.json").read_bytes())["data"]["without"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0
    return len(people - held_out - _barred(without, source))


def _barred(names: str, source: Path) -> Set[str]:
    try:
        return barred_people(names, source) if names else frozenset()
    except ConfigError:  # the file lies with the run's own faces, so nobody is known to be barred
        return frozenset()

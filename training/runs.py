"""A recipe and a folder of faces in, a run folder out.

outputs/training/NAME/
  recipe.json         what was run, in full
  data.json           which faces, by digest; who is in which part
  metrics.csv         a row for each epoch
  metrics.json        before and after, on people who were not trained on
  weights.safetensors the encoder, as the indexer loads it
  checkpoint.pt       to go on from, if the run is not finished
  *.png               curves, similarities, roc, maps of the vectors
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from indexer.errors import ConfigError
from indexer.models import Models
from indexer.parallel import Workers
from indexer.progress import Progress, silent
from indexer.records import Float32
from indexer.store import disk
from training import batches, encoders, recipe
from training.batches import Split, several
from training.encoders import Trainable
from training.evaluate import plots
from training.evaluate.encoders import Assessment, Sample, assess, knn, nearest
from training.evaluate.gallery import distorted_top1, error, queries
from training.evaluate.projection import write_maps
from training.evaluate.verification import best_threshold, tpr_at
from training.faces import FaceSet, read_faces
from training.fit import Fitted, Method, fit
from training.methods import arcface, contrastive, simclr
from training.methods.arcface import ArcFace
from training.methods.contrastive import Contrastive
from training.methods.siamese import Siamese
from training.methods.simclr import SimClr
from training.recipe import Recipe
from training.views import Viewer, plain

WEIGHTS = "weights.safetensors"
_PROBED = 160
"""Faces of the validation people that are looked at after each epoch."""
_OF_ONE = 10
"""Of one of them, for a vote of neighbours."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a recipe."""

    fitted: Fitted
    before: Assessment
    after: Assessment
    folder: Path


def run(
    how: Recipe, source: Path, folder: Path, models: Models, progress: Progress = silent
) -> Run:
    """Run a recipe of an encoder, or go on with a run that was interrupted.

    Args:
        how: the recipe.
        source: faces, as for `training.faces.photos`.
        folder: of the run.
        models: find the faces.
        progress: shows how far it is.

    Raises:
        ConfigError: the folder holds a run of another recipe or of other faces.
        IndexerError: as what it is made of.
    """
    weights = encoder_of(how.start.weights)
    encoder = encoders.start(weights, how.start.network, how.start.size, how.fit.seed)
    encoders.freeze(encoder.module, how.start.frozen)
    faces = read_faces(source, folder.parent / "faces", models, encoder.facts, progress)
    parts = batches.split(faces, how.data.validation, how.data.test, how.data.seed)
    begin(folder, how, faces, parts)
    begun = folder / "before.safetensors"
    if not begun.is_file():
        encoders.export(encoder, begun)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with Workers(models.workers) as workers:
        method = _method(how, encoder, trained_on(parts, how), parts.validation)
        checkpoint = folder / "checkpoint.pt"
        fitted = fit(method, how.fit, checkpoint, device, workers, progress)
        encoders.keep(encoder.module, begun, how.start.kept)
        encoders.export(encoder, folder / WEIGHTS)
        ready = {
            name: encoders.runner(path, workers, "cuda" if device.type == "cuda" else "cpu")
            for name, path in (("before", begun), ("after", folder / WEIGHTS))
        }
        size = encoder.facts.input_size
        before, after = (
            assess(one, parts.validation, parts.test, size, Sample()) for one in ready.values()
        )
        write_maps(ready, parts.test, size, folder)
    done = Run(fitted, before, after, folder)
    _write(done)
    return done


def encoder_of(name: str) -> str:
    """Return where an encoder is: a folder means the run that is in it."""
    path = Path(name)
    return str(path / WEIGHTS) if name and path.is_dir() else name


def trained_on(parts: Split, how: Recipe) -> FaceSet:
    """Return the faces that a recipe trains on, of the people set aside for it.

    Raises:
        ConfigError: there is none.
    """
    if how.method in ("simclr", "landmarks"):  # these need no two photos of anybody
        chosen = parts.train
    else:
        chosen = several(parts.train, how.data.least, how.data.most)
    if how.data.faces and how.data.faces < len(chosen):
        order = np.random.default_rng(how.data.seed).permutation(len(chosen))
        chosen = chosen.of(np.sort(order[: how.data.faces]))
    if len(chosen) == 0:
        raise ConfigError("data", "leaves nobody to train on", "lower data.least or data.test")
    return chosen


def _method(how: Recipe, encoder: Trainable, faces: FaceSet, validation: FaceSet) -> Method[Any]:
    facts = encoder.facts
    viewer = Viewer(facts.input_size, np.array(facts.template, np.float32))
    if how.method == "simclr":
        probe = _neighbours(validation, facts.input_size)
        module = simclr.projected(encoder, how.simclr)
        return SimClr(encoder, module, faces, how.simclr, viewer, how.views, how.fit.seed, probe)
    if how.method == "siamese":
        probe = _verified(several(validation, most=4), facts.input_size)
        return Siamese(encoder, faces, how.siamese, viewer, how.views, probe)
    probe = _recognised(several(validation, most=2), facts.input_size)
    if how.method == "arcface":
        directions = arcface.directions(encoder, faces, how.arcface)
        return ArcFace(encoder, directions, faces, how.arcface, viewer, how.views, probe)
    clean = contrastive.clean_vectors(_teacher(encoder, how), faces)
    return Contrastive(encoder, faces, clean, how.contrastive, viewer, how.views, probe)


def _teacher(encoder: Trainable, how: Recipe) -> Trainable:
    name = how.contrastive.teacher
    if name is None:
        return encoder
    teacher = encoders.start(encoder_of(name), how.start.network, how.start.size, how.fit.seed)
    wanted, got = (
        (facts.input_size, facts.dimension, facts.template)
        for facts in (encoder.facts, teacher.facts)
    )
    if got != wanted:
        problem = (
            f"teacher has {got[1]} numbers of {got[0]} px, the encoder {wanted[1]}, {wanted[0]}"
        )
        raise ConfigError("contrastive.teacher", problem, "name an encoder of the same shape")
    return teacher


def _verified(faces: FaceSet, size: int) -> Callable[[Trainable], Mapping[str, float]]:
    """Return a probe by pairs of validation faces."""
    some = faces.of(np.arange(len(faces))[:_PROBED])
    crops = plain(np.asarray(some.chips), size)
    first, second, same = batches.pairs(some.people, len(some), 0)

    def probe(encoder: Trainable) -> Mapping[str, float]:
        vectors = encoders.encode(encoder, crops)
        cosines: Float32 = np.sum(vectors[first] * vectors[second], axis=1)
        right = (cosines >= best_threshold(cosines, same)) == same
        return {
            "accuracy": float(np.mean(right)),
            "tpr_at_1_percent": tpr_at(cosines, same, 0.01),
            "nearest": nearest(vectors, some.people),
        }

    return probe


def _neighbours(faces: FaceSet, size: int) -> Callable[[Trainable], Mapping[str, float]]:
    """Return a probe by pairs of validation faces, and by what their nearest ones say."""
    pairs = _verified(several(faces, most=4), size)
    chosen = several(faces, most=_OF_ONE)
    some = chosen.of(np.arange(len(chosen))[:_PROBED])
    crops = plain(np.asarray(some.chips), size)

    def probe(encoder: Trainable) -> Mapping[str, float]:
        return {**pairs(encoder), "knn": knn(encoders.encode(encoder, crops), some.people)}

    return probe


def _recognised(faces: FaceSet, size: int) -> Callable[[Trainable], Mapping[str, float]]:
    """Return a probe by distorted queries of validation people."""
    chosen = queries(faces, 0, _PROBED // 2)

    def probe(encoder: Trainable) -> Mapping[str, float]:
        found = distorted_top1(
            lambda crops: encoders.encode(encoder, crops), faces, chosen, size, 0, (2, 4)
        )
        return {"distorted": 1 - error(found), "clean": found["clean"][0]}

    return probe


def begin(folder: Path, how: Recipe, faces: FaceSet, parts: Split) -> None:
    """Write what the run is, or see that it is the one that the folder holds.

    Raises:
        ConfigError: it is not.
    """
    people = {
        name: sorted({faces.names[i] for i in part.people if i >= 0})
        for name, part in (("validation", parts.validation), ("test", parts.test))
    }
    data = {"digest": faces.digest, "faces": len(faces), "left_out": list(faces.left_out)}
    data |= {"train_faces": len(parts.train), "people": people}
    claim(folder, how, data)


def claim(folder: Path, how: Recipe, data: Mapping[str, Any]) -> None:
    """Write recipe.json and data.json, or see that they are those that the folder holds.

    Args:
        folder: of the run.
        how: the recipe.
        data: what is trained on, its digest among it, as plain tables.

    Raises:
        ConfigError: they are not.
    """
    contents = {
        "recipe.json": json.dumps(recipe.as_tables(how), indent=1) + "\n",
        "data.json": json.dumps(data, indent=1) + "\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        path = folder / name
        if path.is_file() and path.read_text(encoding="utf-8") != content:
            raise ConfigError(path, "is of another run", "give --name, or remove the folder")
    for name, content in contents.items():
        with disk.replacing(folder / name) as file:
            file.write(content.encode())


def _write(done: Run) -> None:
    both = {"before": done.before, "after": done.after}
    write_metrics(done.folder, done.fitted, {name: numbers(one) for name, one in both.items()})
    scores = {name: plots.Scores(one.similarities, one.same) for name, one in both.items()}
    plots.similarities(scores, done.folder / "similarities.png")
    plots.roc(scores, done.folder / "roc.png")


def write_metrics(folder: Path, fitted: Fitted, tables: Mapping[str, Any]) -> None:
    """Write metrics.csv, a row for each epoch, its curves, and metrics.json with the outcome.

    Args:
        folder: of the run.
        fitted: its history.
        tables: plain numbers and tables of them, by name.
    """
    rows = fitted.history
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, names)
    writer.writeheader()
    writer.writerows(rows)
    with disk.replacing(folder / "metrics.csv") as file:
        file.write(table.getvalue().encode())
    plots.curves(rows, folder / "curves.png")
    whole = {"chosen_epoch": fitted.chosen, **tables, "epochs": list(rows)}
    with disk.replacing(folder / "metrics.json") as file:
        file.write(json.dumps(whole, indent=1).encode())


def numbers(found: Assessment) -> dict[str, Any]:
    """Return an assessment without its pairs, as plain tables, with the mean error of queries."""
    fields = dataclasses.asdict(dataclasses.replace(found, similarities=_NONE, same=_NONE > 0))
    kept = {name: value for name, value in fields.items() if name not in ("similarities", "same")}
    worn = error(found.top1, sunglasses=True)
    return {**kept, "distorted_error": error(found.top1), "with_sunglasses_error": worn}


_NONE = np.zeros(0, np.float32)
_CLUSTERS = {"wcp": "clusters, WCP", "f1": "clusters, B-cubed F", "nmi": "clusters, NMI"}
"""The numbers of a clustering that are shown."""


def compared(of: Mapping[str, Assessment]) -> list[list[str]]:
    """Return a table for people: a row for each number, with a column for each encoder."""
    tables = [numbers(one) for one in of.values()]
    first = tables[0]
    rows = [
        [name, *(f"{table[name]:.4f}" for table in tables)]
        for name, value in first.items()
        if isinstance(value, float)
    ]
    between = [f"{t['tpr_interval']['low']:.4f} {t['tpr_interval']['high']:.4f}" for t in tables]
    rows.append(["tpr_at_1_percent, 95 % of draws", *between])
    for width in first["tpr_by_width"]:
        narrow = [f"{table['tpr_by_width'][width]:.4f}" for table in tables]
        rows.append([f"tpr_at_1_percent, a face {width} px wide", *narrow])
    for name, said in _CLUSTERS.items():
        rows.append([said, *(f"{table['clusters'][name]:.4f}" for table in tables)])
    for at in ("at_best", "at_half"):
        rows += [[f"{name}, {at}", *(f"{t[at][name]:.4f}" for t in tables)] for name in first[at]]
    for name in first["top1"]:
        rows.append(
            [f"top-1, {name}", *(" ".join(f"{v:.3f}" for v in t["top1"][name]) for t in tables)]
        )
    return rows

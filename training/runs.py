"""A recipe and a folder of faces in, a run folder out.

outputs/training/NAME/
  recipe.json         the recipe with all its settings
  data.json           which faces, by digest; who is in which part
  metrics.csv         a row for each epoch
  metrics.json        before and after, on held-out people
  weights.safetensors the encoder, as the indexer loads it
  checkpoint.pt       the state from which an interrupted run resumes
  *.png               curves, similarities, ROC, maps of the embeddings
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from indexer.errors import ConfigError
from indexer.models import Models
from indexer.nets import weights
from indexer.parallel import Workers
from indexer.progress import Progress, silent
from indexer.store import disk
from training import batches, encoders, parts, probes, recipe
from training.batches import Split
from training.encoders import Trainable, encoder_of
from training.evaluate import plots
from training.evaluate.encoders import Assessment, Sample, assess
from training.evaluate.gallery import error
from training.evaluate.projection import write_maps
from training.faces import FaceSet, read_faces
from training.fit import Fitted, Method, fit
from training.methods import arcface, contrastive, distil, simclr
from training.methods.arcface import ArcFace
from training.methods.contrastive import Contrastive
from training.methods.distil import Distil
from training.methods.siamese import Siamese
from training.methods.simclr import SimClr
from training.recipe import Recipe
from training.views import Viewer

WEIGHTS = encoders.WEIGHTS


@dataclass(frozen=True, slots=True)
class Run:
    """The outcome of a recipe for an encoder."""

    fitted: Fitted
    assessed: Mapping[str, Assessment]
    """Before and after, on held-out people; empty if too few of them have names."""
    folder: Path


def run(
    how: Recipe, source: Path, folder: Path, models: Models, progress: Progress = silent
) -> Run:
    """Run a recipe for an encoder, or resume a run that was interrupted.

    Args:
        how: the recipe.
        source: faces, as for `training.faces.photos`.
        folder: of the run.
        models: with the detector that finds the faces.
        progress: shows how far it is.

    Raises:
        ConfigError: the folder holds a run of another recipe, of other faces, or from other
            weights; there are too few people to measure on.
        IndexerError: as of the functions that it calls.
    """
    begins = encoder_of(how.start.weights)
    encoder = encoders.start(begins, how.start.network, how.start.size, how.fit.seed)
    encoders.freeze(encoder.module, how.start.frozen)
    if how.start.settled:
        encoders.settle(encoder.module)
    if how.method == "distil":
        distil.prepare(encoder.module, how.distil)
    teacher = _teacher(encoder, how)
    digests = _digests(how, encoder)
    faces = read_faces(source, folder.parent / "faces", models, encoder.facts, progress)
    dealt = parts.deal(faces, how.data, source)
    with_names = all(map(batches.tell_people, (dealt.validation, dealt.test)))
    if not with_names and (how.method != "simclr" or len(dealt.validation) == 0):
        problem = "has too few people with two photos to measure on"
        raise ConfigError(source, problem, "give more people, or raise data.validation, data.test")
    learnt_from = parts.trained_on(dealt, how)
    if how.method == "distil":
        distil.require_others(learnt_from, how.distil)
    begin(folder, how, faces, dealt, digests)
    begun = folder / "before.safetensors"
    if not begun.is_file():
        encoders.export(encoder, begun)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for one in (encoder, teacher):  # methods encode faces with them before training
        if one is not None:
            one.module.to(device)
    with Workers(models.workers) as workers:
        method = _method(how, encoder, teacher, learnt_from, dealt.validation)
        checkpoint = folder / "checkpoint.pt"
        fitted = fit(method, how.fit, checkpoint, device, workers, progress)
        encoders.keep(encoder.module, begun, how.start.kept)
        encoders.export(encoder, folder / WEIGHTS)
        ready = {
            name: encoders.runner(path, workers, "cuda" if device.type == "cuda" else "cpu")
            for name, path in (("before", begun), ("after", folder / WEIGHTS))
        }
        size = encoder.facts.input_size
        assessed = {
            name: assess(one, dealt.validation, dealt.test, size, Sample())
            for name, one in ready.items()
            if with_names
        }
        write_maps(ready, dealt.test, size, folder)
    done = Run(fitted, assessed, folder)
    _write(done)
    return done


def _method(
    how: Recipe, encoder: Trainable, teacher: Trainable | None, faces: FaceSet, validation: FaceSet
) -> Method[Any]:
    facts = encoder.facts
    viewer = Viewer(facts.input_size, np.array(facts.template, np.float32))
    if how.method == "simclr":
        if batches.tell_people(validation):
            probe = probes.neighbours(validation, facts.input_size)
        else:
            probe = probes.found_again(validation, viewer, how.views)
        module = simclr.projected(encoder, how.simclr, how.fit.seed)
        return SimClr(encoder, module, faces, how.simclr, viewer, how.views, how.fit.seed, probe)
    if how.method == "siamese":
        probe = probes.verified(validation, facts.input_size)
        return Siamese(encoder, faces, how.siamese, viewer, how.views, probe)
    probe = probes.recognised(validation, facts.input_size)
    if how.method == "arcface":
        directions = arcface.directions(encoder, faces, how.arcface)
        return ArcFace(encoder, directions, faces, how.arcface, viewer, how.views, probe)
    if how.method == "distil":
        teacher = teacher or replace(encoder, module=copy.deepcopy(encoder.module))  # as it starts
        compare = distil.comparison(teacher, faces, viewer, how.views, how.fit.seed)
        taught = None if how.distil.blended else contrastive.clean_vectors(teacher, faces)
        how_distil = (how.distil, viewer, how.views, how.fit.seed, probe, taught)
        return Distil(encoder, teacher, compare, faces, *how_distil)
    clean = contrastive.clean_vectors(teacher or encoder, faces)
    return Contrastive(encoder, faces, clean, how.contrastive, viewer, how.views, probe)


def _teacher(encoder: Trainable, how: Recipe) -> Trainable | None:
    """Return the teacher that a recipe names; None if it names none."""
    name = _teacher_name(how)
    if name is None:
        return None
    teacher = encoders.start(encoder_of(name), how.start.network, how.start.size, how.fit.seed)
    wanted, got = (
        (facts.input_size, facts.dimension, facts.template)
        for facts in (encoder.facts, teacher.facts)
    )
    if got != wanted:
        shapes = [f"{size} px and {dimension} numbers" for size, dimension, _ in (got, wanted)]
        problem = f"has {shapes[0]}, the encoder {shapes[1]}"
        if got[:2] == wanted[:2]:
            problem = "aligns faces to another template than the encoder"
        raise ConfigError(f"{how.method}.teacher", problem, "name an encoder of the same shape")
    network = teacher.facts.network
    if how.method == "distil" and how.distil.maps and network != encoder.facts.network:
        problem = f"is a {network}, whose maps do not match those of a {encoder.facts.network}"
        raise ConfigError("distil.teacher", problem, "name one of the same network, or no maps")
    return teacher


def _teacher_name(how: Recipe) -> str | None:
    """Return the name of a recipe's teacher; None if it names none."""
    if how.method == "distil":
        return how.distil.teacher
    return how.contrastive.teacher if how.method == "contrastive" else None


def _digests(how: Recipe, encoder: Trainable) -> Mapping[str, str]:
    """Return the digests of the weights that a run starts from, and of its teacher's."""
    found = {"start": encoder.facts.digest}
    name = _teacher_name(how)
    if name is not None:
        found["teacher"] = weights.read_facts(weights.resolve(encoder_of(name))).digest
    return found


def begin(
    folder: Path, how: Recipe, faces: FaceSet, dealt: Split, digests: Mapping[str, str]
) -> None:
    """Write the recipe and data of a run; check them first if the folder holds a run already.

    Args:
        folder: of the run.
        how: the recipe.
        faces: all of them.
        dealt: the same faces by part.
        digests: of the weights that it starts from, by name.

    Raises:
        ConfigError: the folder holds another run.
    """
    people = {
        name: sorted({faces.names[i] for i in part.people if i >= 0})
        for name, part in (("validation", dealt.validation), ("test", dealt.test))
    }
    data = {"digest": faces.digest, "faces": len(faces), "left_out": list(faces.left_out)}
    train = hashlib.sha256("\n".join(dealt.train.photos).encode()).hexdigest()
    data |= {"train_faces": len(dealt.train), "train": train}
    data |= {"people": people, "weights": dict(digests)}
    claim(folder, how, data)


def claim(folder: Path, how: Recipe, data: Mapping[str, Any]) -> None:
    """Write recipe.json and data.json; check first that those in the folder, if any, are the same.

    Args:
        folder: of the run.
        how: the recipe.
        data: a description of the training data, with its digest, as plain tables.

    Raises:
        ConfigError: they are of another run.
    """
    said, about = folder / "recipe.json", folder / "data.json"
    described = json.dumps(data, indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for path, same in (
        (said, lambda text: recipe.says(text, how)),
        (about, lambda text: text == described),
    ):
        if path.is_file() and not same(path.read_text(encoding="utf-8")):
            raise ConfigError(path, "belongs to another run", "give --name, or remove the folder")
    for path, content in ((said, recipe.as_json(how)), (about, described)):
        with disk.replacing(path) as file:
            file.write(content.encode())


def _write(done: Run) -> None:
    both = done.assessed
    write_metrics(done.folder, done.fitted, {name: numbers(one) for name, one in both.items()})
    if not both:
        return
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
    """Return an assessment without its pairs as plain tables, plus the mean error of queries."""
    fields = dataclasses.asdict(dataclasses.replace(found, similarities=_NONE, same=_NONE > 0))
    kept = {name: value for name, value in fields.items() if name not in ("similarities", "same")}
    worn = error(found.top1, sunglasses=True)
    return {**kept, "distorted_error": error(found.top1), "with_sunglasses_error": worn}


_NONE = np.zeros(0, np.float32)
_CLUSTERS = {"wcp": "clusters, WCP", "f1": "clusters, B-cubed F", "nmi": "clusters, NMI"}
"""The metrics of a clustering that are shown, with their captions."""


def compared(of: Mapping[str, Assessment]) -> list[list[str]]:
    """Return a table to print: a row for each metric, a column for each encoder."""
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

"""Annotated stills in, a calibrated head out: which of several characters are in a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from indexer import config
from indexer.config import Settings
from indexer.errors import ImageError
from indexer.models import Models
from indexer.nets import encoder as nets
from indexer.nets.weights import EncoderFacts
from indexer.parallel import Workers, in_order
from indexer.progress import Progress, silent
from indexer.records import Float32, Int64, UInt8
from training import encoders, views
from training import head as heads
from training.encoders import Trainable, encoder_of
from training.fit import Fitted, Schedule, fit
from training.head import ONCE, Head
from training.methods.multilabel import (
    LinearHead,
    MultiLabelSettings,
    OnCrops,
    OnVectors,
    positive_weights,
)
from training.recipe import Recipe, load
from training.still_faces import StillFaces
from training.still_results import (
    StillScores,
    calibrate_head,
    measure_logits,
    score,
    uncalibrated,
)
from training.views import Viewer

_ENCODED_TOGETHER = 64
HEAD_ALONE = "stills"
"""The recipe for a frozen encoder."""
HEAD_AND_ENCODER = Recipe(
    method="multilabel",
    fit=Schedule(epochs=2, learning_rate=0.001, weight_decay=0.05),
    multilabel=MultiLabelSettings(together=32, unfrozen=True, encoder_rate=0.01),
)
"""The recipe for an encoder that is trained too."""


@dataclass(frozen=True, slots=True)
class FittedHead:
    """A trained head, its test scores, and its training history."""

    head: Head
    scores: StillScores
    fitted: Fitted


def settings_of(weights: str) -> Settings:
    """Return the indexer's settings for the encoder below a head for stills.

    Args:
        weights: as ``embed.weights``, or the folder of a run that exported an encoder.

    Raises:
        ConfigError: there are no such weights.
    """
    return config.load(None, [f"embed.weights={encoder_of(weights)}", *ONCE])


def learn(
    found: StillFaces, models: Models, recipe: Recipe, path: Path, progress: Progress = silent
) -> FittedHead:
    """Train a head by a recipe, with or without its encoder, and write what was trained.

    Args:
        found: the faces, of all splits.
        models: of `settings_of` the recipe's weights.
        recipe: of the method ``multilabel``.
        path: of the head's file.
        progress: shows how far it is.

    Raises:
        ImageError: the training pictures show no face of a class.
        WeightsError: a file cannot be written.
    """
    if not recipe.multilabel.unfrozen:
        return fit_head(found, models, recipe, path, progress)
    start = recipe.start
    encoder = encoders.start(encoder_of(start.weights), start.network, start.size, recipe.fit.seed)
    return fit_head_and_encoder(found, encoder, models.workers, recipe, path, progress)


def fit_head(
    found: StillFaces,
    models: Models,
    recipe: Recipe,
    path: Path,
    progress: Progress = silent,
) -> FittedHead:
    """Train a head on a frozen encoder, and write it.

    Args:
        found: the faces, of all splits.
        models: the encoder; its workers encode.
        recipe: how.
        path: of the head's file; a checkpoint of an interrupted run beside it is resumed.
        progress: shows how far it is.

    Raises:
        ImageError: the training pictures show no face of a class.
        WeightsError: the head cannot be written.
    """
    rows, facts = _rows(found), models.encoder.facts
    weights = positive_weights(found.targets[rows], recipe.multilabel.balance)
    run = _checkpoint(path, found, recipe, facts)
    with Workers(models.workers) as workers:
        plain = _encoded(models, workers, views.plain(found.chips, facts.input_size))
        seen = [plain[rows]]
        for view in range(1, recipe.multilabel.views):
            viewed = _viewed(found.chips[rows], facts, recipe, view)
            seen.append(_encoded(models, workers, viewed))
        method = _on_vectors(found, plain, np.stack(seen), recipe)
        fitted = fit(method, recipe.fit, run, torch.device("cpu"), workers, progress)
    head, scores = _finished(found, method.module, plain, facts.encoder_id, weights)
    head = heads.save(path, head)
    run.unlink(missing_ok=True)
    return FittedHead(head, scores, fitted)


def fit_head_and_encoder(
    found: StillFaces,
    encoder: Trainable,
    count: int,
    recipe: Recipe,
    path: Path,
    progress: Progress = silent,
) -> FittedHead:
    """Train a head, then it and its encoder together, and write both.

    An untrained head would distort the encoder: Kumar et al., "Fine-tuning can distort
    pretrained features and underperform out-of-distribution", ICLR 2022, section 3.4.

    Args:
        found: the faces, of all splits.
        encoder: the encoder to start from; it is trained in place.
        count: number of threads that make views.
        recipe: how.
        path: of the head's file; the encoder goes to `encoder_path`.
        progress: shows how far it is.

    Raises:
        ImageError: the training pictures show no face of a class.
        WeightsError: a file cannot be written.
    """
    rows, facts = _rows(found), encoder.facts
    weights = positive_weights(found.targets[rows], recipe.multilabel.balance)
    plain = encoders.encode(encoder, found.chips)
    first = load(HEAD_ALONE)
    alone = _on_vectors(found, plain, plain[rows][None], first)
    trained = alone.module

    def probe(now: Trainable, logits: Callable[[Float32], Float32]) -> Mapping[str, float]:
        vectors = encoders.encode(now, found.chips)
        return measure_logits(found, logits(vectors), weights, "val")

    method = OnCrops(
        encoder=encoder,
        module=nn.ModuleDict({"encoder": encoder.module, "head": trained}),
        chips=found.chips[rows],
        targets=found.targets[rows],
        settings=recipe.multilabel,
        viewer=Viewer(facts.input_size, np.array(facts.template, np.float32)),
        views=recipe.views,
        probe=probe,
    )
    run = _checkpoint(path, found, recipe, facts)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    begun = run.with_suffix(".head")
    with Workers(count) as workers:
        fit(alone, first.fit, begun, torch.device("cpu"), workers, progress)
        fitted = fit(method, recipe.fit, run, device, workers, progress)
    written = encoders.export(encoder, encoder_path(path))
    vectors = encoders.encode(encoder, found.chips)
    head, scores = _finished(found, trained, vectors, written.encoder_id, weights)
    head = heads.save(path, head)
    for one in (begun, run):
        one.unlink(missing_ok=True)
    return FittedHead(head, scores, fitted)


def _on_vectors(found: StillFaces, plain: Float32, seen: Float32, recipe: Recipe) -> OnVectors:
    """Return the method on an encoder's vectors: `plain` (N, D) of all faces, `seen` of views."""
    rows = found.rows("train")
    weights = positive_weights(found.targets[rows], recipe.multilabel.balance)
    return OnVectors(
        module=LinearHead(plain[rows], found.targets[rows]),
        vectors=seen,
        targets=found.targets[rows],
        settings=recipe.multilabel,
        probe=lambda logits: measure_logits(found, logits(plain), weights, "val"),
    )


def encoder_path(path: Path) -> Path:
    """Return the path of the encoder that was trained together with a head."""
    return path.with_suffix(".encoder.safetensors")


def _rows(found: StillFaces) -> Int64:
    rows = found.rows("train")
    lacking = [found.names[k] for k in np.flatnonzero(~found.targets[rows].any(axis=0))]
    if lacking:
        problem = f"no face of {', '.join(lacking)} was found in the training pictures"
        raise ImageError("stills", problem, "annotate more of them, or leave them out")
    return rows


def _encoded(models: Models, workers: Workers, crops: UInt8) -> Float32:
    """Return unit vectors, (N, D)."""
    portions = (crops[i : i + _ENCODED_TOGETHER] for i in range(0, len(crops), _ENCODED_TOGETHER))
    rows = in_order(workers, lambda some: nets.encode(models.encoder, some), portions)
    return np.concatenate(list(rows))


def _viewed(chips: UInt8, facts: EncoderFacts, recipe: Recipe, view: int) -> UInt8:
    viewer = Viewer(facts.input_size, np.array(facts.template, np.float32))
    rng = np.random.default_rng([recipe.fit.seed, view])
    return np.stack([views.random_view(chip, viewer, recipe.views, rng) for chip in chips])


def _finished(
    found: StillFaces, trained: LinearHead, vectors: Float32, encoder_id: str, weights: Float32
) -> tuple[Head, StillScores]:
    raw = uncalibrated(*trained.folded(), found.names, encoder_id)
    head = calibrate_head(raw, found, vectors, weights)
    return head, score(raw, head, found, vectors)


def _checkpoint(path: Path, found: StillFaces, recipe: Recipe, facts: EncoderFacts) -> Path:
    """Return the path of the checkpoint for exactly this recipe, encoder and data."""
    what = hashlib.sha256(f"{recipe} {facts.encoder_id} {found.digest}".encode())
    return path.with_name(f".{path.name}.{what.hexdigest()[:12]}.run")

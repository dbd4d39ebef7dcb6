"""A recipe for a head and annotated stills in, a run folder out, as in `training.runs`.

Instead of an encoder's weights it holds a head for ``training predict``, with its encoder if that
was trained too.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from indexer.errors import ImageError
from indexer.models import Models
from indexer.progress import Progress, silent
from indexer.store import disk
from training import annotate, runs
from training.annotations import SPLITS, require_splits
from training.evaluate import plots
from training.evaluate.multilabel import StillMetrics
from training.fit_stills import FittedHead, learn, settings_of
from training.recipe import Recipe
from training.still_faces import StillFaces, find_faces

HEAD = "head.safetensors"


def run(
    how: Recipe, source: Path, folder: Path, models: Models, progress: Progress = silent
) -> FittedHead:
    """Run a recipe for a head on stills, or resume a run that was interrupted.

    Args:
        how: the recipe.
        source: annotated stills of a known format, with their splits.
        folder: of the run.
        models: of `fit_stills.settings_of` the recipe's weights.
        progress: shows how far it is.

    Raises:
        ConfigError: the folder holds a run of another recipe or of other pictures.
        ImageError: the annotations are not valid or lack a split, no face is found in the pictures
            of one, or a picture is damaged.
        WeightsError: a file cannot be written.
    """
    found = read(source, models, how.start.weights, progress)
    runs.claim(folder, how, _described(found, models))
    made = learn(found, models, how, folder / HEAD, progress)
    runs.write_metrics(folder, made.fitted, _tables(made))
    write_plots(made, folder)
    return made


def read(source: Path, models: Models, weights: str, progress: Progress = silent) -> StillFaces:
    """Return the faces of annotated stills.

    Raises:
        ImageError: the source is of no known format or lacks a split, no face is found in the
            pictures of one, or a picture is damaged.
    """
    annotated = annotate.read_source(source)
    require_splits(annotated, source)
    found = find_faces(annotated, models, settings_of(weights), progress)
    if without := [split for split in SPLITS if len(found.rows(split)) == 0]:
        problem = f"shows no face that is found in the pictures of {', '.join(without)}"
        raise ImageError(source, problem, "add pictures of people, or larger ones")
    return found


def write_plots(made: FittedHead, folder: Path) -> None:
    """Draw the results on the test pictures: confusion.png and reliability.png.

    Raises:
        StoreError: the folder cannot be written.
    """
    with disk.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        names = [*made.head.facts.classes, "nobody"]
        plots.confusion(made.scores.confusion, names, folder / "confusion.png")
        plots.reliability(made.scores.reliability, folder / "reliability.png")


def _described(found: StillFaces, models: Models) -> dict[str, Any]:
    return {
        "digest": found.digest,
        "encoder": models.encoder.facts.encoder_id,
        "classes": list(found.names),
        "pictures": {split: found.splits.count(split) for split in sorted(set(found.splits))},
        "faces": len(found.chips),
        "strangers": found.strangers,
        "missed": found.missed,
    }


def _tables(made: FittedHead) -> dict[str, Any]:
    scores, classes = made.scores, made.head.facts.classes
    ways = {
        "before": scores.before,
        "after": scores.after,
        "prior": scores.prior,
        "all_negative": scores.all_negative,
    }
    return {
        **{name: _plain(one, classes) for name, one in ways.items()},
        "intervals": {"mean_ap": asdict(scores.mean_ap), "macro_f1": asdict(scores.macro_f1)},
        "thresholds": dict(zip(classes, made.head.facts.thresholds, strict=True)),
        "faces_together": made.head.facts.together,
    }


def _plain(found: StillMetrics, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the metrics, in all and by class; NaN becomes null, as JSON has no NaN."""
    whole = {
        name: getattr(found, name) for name in ("mean_ap", "macro_f1", "micro_f1", "hamming", "ece")
    }
    rows = zip(classes, found.ap.tolist(), found.f1.tolist(), found.support.tolist(), strict=True)
    by_class = {
        name: {"ap": None if np.isnan(ap) else ap, "f1": f1, "support": support}
        for name, ap, f1, support in rows
    }
    return {**whole, "by_class": by_class}

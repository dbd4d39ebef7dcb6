"""Commands that make weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tabulate import tabulate

from indexer import models
from indexer.commands.console import bar
from indexer.config import Settings
from training.convert import convert_dlib


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add them to the parser's commands."""
    convert = commands.add_parser("convert-dlib", help="rewrite dlib's encoder as a weights file")
    convert.add_argument("source", type=Path, metavar="DAT")
    convert.add_argument("target", type=Path, metavar="SAFETENSORS")
    convert.set_defaults(run=_convert)
    fit = commands.add_parser("fit", help="train by a recipe, on a folder of faces")
    fit.add_argument("recipe", metavar="RECIPE", help="the name of a shipped one, or a TOML file")
    fit.add_argument("faces", type=Path, metavar="FACES", help="a folder per person, or LFW's")
    fit.add_argument("--name", help="of the run; the recipe's if not given")
    fit.add_argument("--out", type=Path, default=Path("outputs/training"), metavar="FOLDER")
    fit.set_defaults(run=_fit)
    evaluate = commands.add_parser("evaluate", help="measure encoders on people not trained on")
    evaluate.add_argument("faces", type=Path, metavar="FACES", help="a folder per person, or LFW's")
    evaluate.add_argument(
        "encoders", nargs="+", metavar="ENCODER", help="a weights file, a run's folder, or default"
    )
    evaluate.add_argument("--out", type=Path, default=Path("outputs/training"), metavar="FOLDER")
    evaluate.set_defaults(run=_evaluate)
    export = commands.add_parser("export", help="take a run's encoder out, for embed.weights")
    export.add_argument("run_folder", type=Path, metavar="RUN")
    export.add_argument("target", type=Path, metavar="SAFETENSORS")
    export.set_defaults(run=_export)


def _convert(options: argparse.Namespace) -> None:
    facts = convert_dlib(options.source, options.target)
    print(f"{options.target}: {facts.network}, sha256 of its tensors {facts.digest}")


def _fit(options: argparse.Namespace) -> None:
    from training import (  # noqa: PLC0415  (they import torch, which takes seconds)
        landmark_runs,
        recipe,
        runs,
    )

    how = recipe.load(options.recipe)
    folder = options.out / (options.name or Path(options.recipe).stem)
    if how.method == "landmarks":
        points = landmark_runs.run(how, options.faces, folder, models.load_models(Settings()), bar)
        print(f"error by the distance of the eyes: {points.error:.4f}, {points.far:.2%} above 0.1")
        print(f"the same points for everybody: {points.guessed:.4f}")
        _tell_left_out(folder)
        print(f"written: {folder}, the weights of epoch {points.fitted.chosen}")
        return
    done = runs.run(how, options.faces, folder, models.load_models(Settings()), bar)
    if done.assessed:
        both = done.assessed
        print(tabulate(runs.compared(both), headers=["people not trained on", *both]))
    else:
        print(tabulate(done.fitted.history, headers="keys"))
    _tell_left_out(folder)
    earlier = " (an earlier run was gone on with)" if done.fitted.resumed else ""
    print(f"written: {folder}, the weights of epoch {done.fitted.chosen}{earlier}")


def _tell_left_out(folder: Path) -> None:
    """Print how many photos of a run show no face."""
    path = folder / "data.json"
    data = json.loads(path.read_bytes())
    print(
        f"{data['faces']} faces; left out: {len(data['left_out'])} photos without one, see {path}"
    )


def _evaluate(options: argparse.Namespace) -> None:
    from training import runs  # noqa: PLC0415
    from training.evaluate import plots  # noqa: PLC0415
    from training.side_by_side import side_by_side  # noqa: PLC0415

    kept = options.out / "faces"
    ready = models.load_models(Settings())
    found = side_by_side(options.encoders, options.faces, kept, ready, bar)
    print(tabulate(runs.compared(found), headers=["people not trained on", *found]))
    scores = {name: plots.Scores(one.similarities, one.same) for name, one in found.items()}
    plots.roc(scores, options.out / "roc.png")
    plots.similarities(scores, options.out / "similarities.png")
    print(f"written: {options.out}/roc.png, similarities.png")


def _export(options: argparse.Namespace) -> None:
    from training import encoders  # noqa: PLC0415

    encoder = encoders.start(encoders.encoder_of(str(options.run_folder)), "resnet18", 112, 0)
    facts = encoders.export(encoder, options.target)
    print(f"{options.target}: {facts.network}, sha256 of its tensors {facts.digest}")
    print(
        "its calibration is still that of the encoder it began with; measure its own: "
        f"python -m training calibrate FOLDER --weights {options.target} --write {options.target} "
        "(FOLDER with lfw.tar)"
    )
    print(f"use it: make index VIDEO=ep.mp4 ARGS='--set embed.weights={options.target}'")

"""Commands that train, convert, evaluate and export weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from indexer import models
from indexer.commands.console import bar
from indexer.config import DetectSettings, Settings
from indexer.errors import ConfigError
from indexer.store import disk
from training.commands.data import show_learnt
from training.commands.stills import show
from training.convert import convert_dlib, convert_sface, convert_yunet

if TYPE_CHECKING:
    from training.recipe import Recipe


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add these commands to the parser."""
    for name, of, kind, convert in (
        ("convert-sface", "OpenCV Zoo's SFace", "ONNX", convert_sface),
        ("convert-dlib", "dlib's encoder", "DAT", convert_dlib),
        ("convert-yunet", "OpenCV Zoo's YuNet", "ONNX", convert_yunet),
    ):
        rewrite = commands.add_parser(name, help=f"rewrite {of} as a weights file")
        rewrite.add_argument("source", type=Path, metavar=kind)
        rewrite.add_argument("target", type=Path, metavar="SAFETENSORS")
        rewrite.set_defaults(run=_convert, convert=convert)
    fit = commands.add_parser("fit", help="train by a recipe, on faces, stills or a library")
    fit.add_argument(
        "recipe", metavar="RECIPE", help="the name of a shipped recipe, or a TOML file"
    )
    fit.add_argument(
        "faces",
        type=Path,
        metavar="FACES",
        help="a folder per person, or lfw.tar; to train a head for stills, annotated stills; for "
        "tracks, a library",
    )
    fit.add_argument("--name", help="of the run (default: the recipe's)")
    fit.add_argument("--out", type=Path, default=Path("outputs/training"), metavar="FOLDER")
    fit.set_defaults(run=_fit)
    evaluate = commands.add_parser("evaluate", help="measure encoders on the same people")
    evaluate.add_argument(
        "faces", type=Path, metavar="FACES", help="a folder per person, or lfw.tar"
    )
    evaluate.add_argument(
        "encoders", nargs="+", metavar="ENCODER", help="a weights file, a run's folder, or default"
    )
    evaluate.add_argument("--out", type=Path, default=Path("outputs/training"), metavar="FOLDER")
    evaluate.set_defaults(run=_evaluate)
    export = commands.add_parser("export", help="export a run's encoder, for embed.weights")
    export.add_argument("run_folder", type=Path, metavar="RUN")
    export.add_argument("target", type=Path, metavar="SAFETENSORS")
    export.add_argument("--half", action="store_true", help="round to 16 bits, for half the size")
    export.set_defaults(run=_export)


def _convert(options: argparse.Namespace) -> None:
    digest = options.convert(options.source, options.target)
    print(f"{options.target}: sha256 of its tensors {digest}")


def _fit(options: argparse.Namespace) -> None:
    from training import recipe  # noqa: PLC0415  (it imports torch, which takes seconds)

    how = recipe.load(options.recipe)
    folder = options.out / (options.name or Path(options.recipe).stem)
    special = {"landmarks": _fit_points, "multilabel": _fit_stills, "tracks": _fit_tracks}
    special.get(how.method, _fit_encoder)(how, options.faces, folder)


def _fit_encoder(how: Recipe, source: Path, folder: Path) -> None:
    from training import runs  # noqa: PLC0415

    done = runs.run(how, source, folder, models.load_models(Settings()), bar)
    if done.assessed:
        both = done.assessed
        print(tabulate(runs.compared(both), headers=["people not trained on", *both]))
    else:
        print(tabulate(done.fitted.history, headers="keys"))
    _tell_left_out(folder)
    earlier = " (resumed from an earlier run)" if done.fitted.resumed else ""
    print(f"written: {folder}, the weights of epoch {done.fitted.chosen}{earlier}")


def _tell_left_out(folder: Path) -> None:
    """Print how many faces a run has, and in how many photos none was found."""
    path = folder / "data.json"
    data = json.loads(path.read_bytes())
    print(
        f"{data['faces']} faces; left out: {len(data['left_out'])} photos without one, see {path}"
    )


def _fit_points(how: Recipe, source: Path, folder: Path) -> None:
    from training import landmark_runs  # noqa: PLC0415

    teacher = models.load_models(Settings(detect=DetectSettings(method="mtcnn")))
    points = landmark_runs.run(how, source, folder, teacher, bar)
    error = f"{points.error:.4f}; {points.far:.2%} above 0.1"
    print(f"error as a share of the distance between the eyes: {error}")
    print(f"baseline, the same points for everybody: {points.guessed:.4f}")
    _tell_left_out(folder)
    print(f"written: {folder}, the weights of epoch {points.fitted.chosen}")


def _fit_stills(how: Recipe, source: Path, folder: Path) -> None:
    from training import fit_stills, still_runs  # noqa: PLC0415

    ready = models.load_models(fit_stills.settings_of(how.start.weights))
    show(still_runs.run(how, source, folder, ready, bar))
    print(f"written: {folder}")
    print(f"use it: make stills IMAGES=folder HEAD={folder / still_runs.HEAD}")


def _fit_tracks(how: Recipe, source: Path, folder: Path) -> None:
    from training import track_runs  # noqa: PLC0415

    done = track_runs.run(how, source, folder, bar)
    show_learnt(done.learnt)
    print(f"written: {folder}, the weights of epoch {done.fitted.chosen}")
    if not done.learnt.helps:
        print("by these measures the head does not help: do not use it")
        return
    head = folder / track_runs.HEAD
    print(f"use it: make index VIDEO=ep.mp4 ARGS='--set embed.head={head}'")


def _evaluate(options: argparse.Namespace) -> None:
    from training import runs  # noqa: PLC0415
    from training.evaluate import plots  # noqa: PLC0415
    from training.side_by_side import side_by_side  # noqa: PLC0415

    kept = options.out / "faces"
    ready = models.load_models(Settings())
    found = side_by_side(options.encoders, options.faces, kept, ready, bar)
    assessed = {name: one.assessed for name, one in found.items()}
    print(tabulate(runs.compared(assessed), headers=["test people", *found]))
    for name, one in found.items():
        if one.trained_on:
            print(
                f"{name} may have been trained on {one.trained_on} of the {one.people} test people"
            )
    scores = {name: plots.Scores(one.similarities, one.same) for name, one in assessed.items()}
    plots.roc(scores, options.out / "roc.png")
    plots.similarities(scores, options.out / "similarities.png")
    tables = {
        name: {**runs.numbers(one.assessed), "people": one.people, "trained_on": one.trained_on}
        for name, one in found.items()
    }
    with disk.replacing(options.out / "evaluate.json") as file:
        file.write(json.dumps(tables, indent=1).encode())
    print(f"written: {options.out}/evaluate.json, roc.png, similarities.png")


def _export(options: argparse.Namespace) -> None:
    from training import encoders  # noqa: PLC0415

    if (options.run_folder / "head.safetensors").is_file():
        remedy = "use its head.safetensors in predict --head or embed.head"
        raise ConfigError(options.run_folder, "holds a head, not an encoder to export", remedy)
    found = encoders.encoder_of(str(options.run_folder), "name the folder of a run")
    encoder = encoders.start(found, "resnet18", 112, 0)
    facts = encoders.export(encoder, options.target, half=options.half)
    print(f"{options.target}: {facts.network}, sha256 of its tensors {facts.digest}")
    print(
        "it still has the calibration of the encoder that it started from; to measure its own: "
        f"python -m training calibrate FOLDER --weights {options.target} --write {options.target} "
        "(FOLDER with lfw.tar)"
    )
    print(f"use it: make index VIDEO=ep.mp4 ARGS='--set embed.weights={options.target}'")

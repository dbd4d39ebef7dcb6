"""Commands about still pictures: train a head, and predict who is in them."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from indexer import config, models
from indexer.commands.console import DONE, REFUSED, bar, complain
from indexer.errors import ConfigError, ImageError
from indexer.nets.weights import read_facts, resolve
from training import head as heads
from training import predict
from training.head import ONCE
from training.predict import Prediction

if TYPE_CHECKING:
    from training.fit_stills import FittedHead


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add these commands to the parser."""
    learn = commands.add_parser("fit-stills", help="train a head on annotated stills")
    learn.add_argument("data", type=Path, metavar="DATA", help="YOLO, VOC, or a CSV from annotate")
    learn.add_argument("--out", type=Path, required=True, metavar="SAFETENSORS")
    learn.add_argument("--unfrozen", action="store_true", help="train the encoder too")
    learn.add_argument("--epochs", type=int, metavar="N")
    learn.add_argument("--seed", type=int, default=0, metavar="N")
    learn.add_argument("--weights", default="", help="the encoder, as in embed.weights")
    learn.add_argument(
        "--plots", type=Path, metavar="FOLDER", help="for confusion.png and reliability.png"
    )
    learn.set_defaults(run=_fit_stills)
    say = commands.add_parser("predict", help="say who is in still pictures")
    say.add_argument("images", type=Path, metavar="IMAGES", help="a folder, or one picture")
    say.add_argument("--head", type=Path, required=True, metavar="SAFETENSORS")
    say.add_argument("--out", type=Path, metavar="FOLDER", help="for predictions.json and drawings")
    say.add_argument("--json", action="store_true", help="machine-readable output")
    say.add_argument("--weights", default="", help="the encoder, as in embed.weights")
    say.set_defaults(run=_predict)


def _fit_stills(options: argparse.Namespace) -> None:
    from training import (  # noqa: PLC0415  (they import torch, which takes seconds)
        encoders,
        fit_stills,
        recipe,
        still_runs,
    )

    alone = recipe.load(fit_stills.HEAD_ALONE)
    how = fit_stills.HEAD_AND_ENCODER if options.unfrozen else alone
    epochs = how.fit.epochs if options.epochs is None else options.epochs
    try:
        schedule = dataclasses.replace(how.fit, epochs=epochs, seed=options.seed)
    except ValueError as error:
        raise ConfigError("fit-stills", "--epochs or --seed is negative", "see --help") from error
    begins = encoders.encoder_of(options.weights, "name a weights file or the folder of a run")
    start = dataclasses.replace(how.start, weights=begins)
    how = dataclasses.replace(how, fit=schedule, start=start)
    ready = models.load_models(fit_stills.settings_of(begins))
    found = still_runs.read(options.data, ready, begins, bar)
    made = fit_stills.learn(found, ready, how, options.out, bar)
    show(made)
    print(f"{len(found.splits)} pictures, {len(found.chips)} faces, {found.strangers} of strangers")
    print(f"{found.missed} annotated faces were not found")
    print(f"written: {options.out}")
    if options.plots:
        still_runs.write_plots(made, options.plots)
        print(f"and {options.plots}/confusion.png, reliability.png")
    if options.unfrozen:
        print(f"and its encoder, for --weights: {fit_stills.encoder_path(options.out)}")


def show(made: FittedHead) -> None:
    """Print the tables of a head's metrics on the test pictures."""
    after, before, facts = made.scores.after, made.scores.before, made.head.facts
    print(
        tabulate(
            zip(
                facts.classes, after.support, before.ap, after.ap, before.f1, after.f1,
                facts.thresholds, strict=True,
            ),
            headers=["character", "pictures", "AP before", "AP", "F1 before", "F1", "threshold"],
            floatfmt=".3f",
        )
    )  # fmt: skip
    print()
    rows = [
        (what.replace("_", " "), m.mean_ap, m.macro_f1, m.micro_f1, m.hamming, m.ece)
        for what in ("after", "before", "prior", "all_negative")
        for m in [getattr(made.scores, what)]
    ]
    headers = ["test pictures", "mAP", "macro-F1", "micro-F1", "Hamming", "ECE"]
    print(tabulate(rows, headers=headers, floatfmt=".4f"))
    ap, f1 = made.scores.mean_ap, made.scores.macro_f1
    print(
        f"95% intervals over pictures: mAP {ap.low:.3f} to {ap.high:.3f}, "
        f"macro-F1 {f1.low:.3f} to {f1.high:.3f}"
    )
    print(f"the weights of epoch {made.fitted.chosen}; faces combined by {facts.together}")


def _predict(options: argparse.Namespace) -> int:
    """Return 0 if any picture could be read, else 2."""
    if options.out:
        _refuse_among(options.images, options.out)
    settings = config.load(None, [f"embed.weights={options.weights}", *ONCE])
    facts = read_facts(resolve(options.weights))
    head = heads.load(options.head, facts.encoder_id)
    paths = predict.pictures(options.images)
    ready = models.load_models(settings)
    found: list[Prediction] = []
    unreadable = predict.not_read(options.images)
    for error in unreadable:
        complain(error)
    for one in predict.predict(paths, head, ready, settings, bar):
        if isinstance(one, ImageError):
            complain(one)
            unreadable.append(one)
            continue
        found.append(one)
        if options.out:
            predict.write_drawing(one, head, options.images, options.out)
    tables = predict.as_tables(found, unreadable, head)
    if options.out:
        predict.write_tables(options.out / "predictions.json", tables)
    if options.json:
        print(json.dumps(tables, ensure_ascii=False))
    else:
        rows = [
            (p["path"], len(p["faces"]), _sentence(p["characters"])) for p in tables["pictures"]
        ]
        print(tabulate(rows, headers=["picture", "faces", "characters"]))
    return DONE if found else REFUSED


def _refuse_among(images: Path, out: Path) -> None:
    """Raise if what is written would lie among the pictures, or over the only one."""
    out_of, into = images.resolve(), out.resolve()
    if into.is_relative_to(out_of) or (images.is_file() and into == out_of.parent):
        raise ConfigError(out, "is inside the pictures", "name another folder")


def _sentence(characters: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['name']} {one['probability']:.2f}" for one in characters)

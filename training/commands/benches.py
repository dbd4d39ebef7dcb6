"""Commands that measure."""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from tabulate import tabulate

from indexer import config, models
from indexer.commands.console import bar
from indexer.errors import ConfigError
from indexer.nets import weights, yardstick
from indexer.nets.head import bare_id
from indexer.parallel import Workers
from indexer.records import Yardstick
from indexer.store import disk
from indexer.store.library import open_library
from training import lfw
from training.bench.repeats import search_made
from training.evaluate import calibration
from training.evaluate.bench_clips import bench_clips
from training.evaluate.lfw_bench import bench_lfw
from training.evaluate.repeats import evaluate_repeats

LFW_SETTINGS = ("detect.min_face=0.2",)
"""Settings for measuring on LFW's photos, in which the face is large."""


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add these commands to the parser."""
    bench = commands.add_parser("bench-lfw", help="verification on LFW's 6,000 pairs")
    bench.add_argument("data", type=Path, metavar="FOLDER", help="with lfw.tar and lfw_pairs.txt")
    bench.add_argument("--roc", type=Path, metavar="PNG", help="draw the ROC curve")
    bench.set_defaults(run=_bench_lfw)
    on_clips = commands.add_parser("bench-clips", help="the pipeline on labelled clips")
    on_clips.add_argument(
        "data", type=Path, metavar="FOLDER", help="with the clips and .json files"
    )
    on_clips.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=VALUE")
    on_clips.add_argument("--untimed", action="store_true", help="leave out time and memory")
    on_clips.set_defaults(run=_bench_clips)
    speed = commands.add_parser("bench", help="speed and memory against other tools and targets")
    speed.add_argument("data", type=Path, metavar="FOLDER", help="with the clips")
    speed.add_argument("--out", type=Path, default=Path("outputs/bench"), metavar="FOLDER")
    speed.set_defaults(run=_bench)
    _add_tracks(commands)
    tracking = commands.add_parser(
        "evaluate-tracks", help="HOTA, IDF1 and MOTA against ground truth"
    )
    tracking.add_argument("truth", type=Path, metavar="TRUTH", help="ep.gt.txt made by synthesize")
    tracking.add_argument(
        "predicted", type=Path, metavar="PREDICTED", help="a file in that format, or a library"
    )
    tracking.add_argument("--episode", default="", help="if the library has several")
    tracking.add_argument("--least-px", type=float, default=0.0, help="ignore narrower faces")
    tracking.add_argument(
        "--least-visible", type=float, default=0.0, help="ignore faces of which less is visible"
    )
    tracking.add_argument("--mot", type=Path, metavar="TXT", help="write the predicted tracks too")
    tracking.set_defaults(run=_evaluate_tracks)
    trust = commands.add_parser(
        "trust", help="measure a yardstick: how far the default encoder's names can be trusted"
    )
    trust.add_argument("data", type=Path, metavar="FOLDER", help="with lfw.tar")
    trust.add_argument("seasons", type=Path, nargs="+", metavar="SEASON", help="made by synthesize")
    trust.add_argument(
        "--work", type=Path, required=True, metavar="FOLDER", help="keep libraries here"
    )
    trust.add_argument("--out", type=Path, required=True, metavar="YARDSTICK")
    trust.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=VALUE")
    trust.add_argument(
        "--check",
        action="store_true",
        help="evaluate it on each season in turn, measured on the others",
    )
    trust.set_defaults(run=_trust)
    many = commands.add_parser("bench-repeats", help="how long finding an episode's repeats takes")
    many.add_argument(
        "--episodes", type=int, default=100, metavar="N", help="earlier episodes, of 22 minutes"
    )
    many.set_defaults(run=_bench_repeats)
    again = commands.add_parser(
        "evaluate-repeats", help="recaps and title sequences against ground truth"
    )
    again.add_argument("season", type=Path, metavar="SEASON", help="made by synthesize")
    again.add_argument("library", type=Path, metavar="LIBRARY", help="that holds its episodes")
    again.set_defaults(run=_evaluate_repeats)
    calibrate = commands.add_parser(
        "calibrate", help="measure an encoder's calibration, from cosine to probability"
    )
    calibrate.add_argument("data", type=Path, metavar="FOLDER", help="with lfw.tar")
    calibrate.add_argument("--photos", type=int, default=900)
    calibrate.add_argument(
        "--widths", type=float, nargs="+", default=[12.0, 16.0, 22.0, 32.0, 48.0]
    )
    calibrate.add_argument(
        "--write",
        type=Path,
        metavar="SAFETENSORS",
        help="store the calibration in this weights file",
    )
    for one in (bench, calibrate):
        one.add_argument("--weights", default="", help="the encoder, as in embed.weights")
        one.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=VALUE")
    calibrate.set_defaults(run=_calibrate)


def _add_tracks(commands: Any) -> None:  # noqa: ANN401
    of_tracks = commands.add_parser("bench-tracks", help="SSiam and TSiam on synthetic episodes")
    of_tracks.add_argument("data", type=Path, metavar="FOLDER", help="made by synthesize")
    of_tracks.add_argument("--seeds", type=int, default=5, metavar="N")
    of_tracks.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=VALUE")
    of_tracks.add_argument("--out", type=Path, default=Path("outputs/tracks"), metavar="FOLDER")
    of_tracks.add_argument(
        "--method",
        action="append",
        metavar="NAME",
        help='a row of the table, as "TSiam, tied" (default: all)',
    )
    of_tracks.set_defaults(run=_bench_tracks)


def _ready(options: argparse.Namespace) -> tuple[models.Models, config.Settings]:
    settings = config.load(None, [f"embed.weights={options.weights}", *options.set])
    return models.load_models(settings), settings


def _bench_lfw(options: argparse.Namespace) -> None:
    ready, settings = _ready(options)
    result = bench_lfw(options.data, ready, settings, bar)
    numbers = dataclasses.asdict(result.verification)
    rows = [(name, f"{value:.4f}") for name, value in numbers.items()]
    between = f"{result.interval.low:.4f} to {result.interval.high:.4f}"
    rows.append(("tpr_at_1_percent, 95 % of draws of people", between))
    print(f"{result.photos} photos, {result.without_face} without a face")
    print(tabulate(rows, headers=["LFW, 6,000 pairs", ""], disable_numparse=True))
    if options.roc:
        from training.evaluate import plots  # noqa: PLC0415  (needs the training packages)

        plots.roc({"LFW": plots.Scores(result.similarities, result.same)}, options.roc)
        print(f"written: {options.roc}")


def _bench_clips(options: argparse.Namespace) -> None:
    settings = config.load(None, options.set)
    with tempfile.TemporaryDirectory() as work:
        bench_clips(
            options.data,
            Path(work),
            models.load_models(settings),
            settings,
            print,
            timed=not options.untimed,
        )


def _bench(options: argparse.Namespace) -> None:
    from training.bench.report import bench  # noqa: PLC0415  (draws: needs the dev packages)

    bench(options.data, options.out, print)
    print(f"written: {options.out / 'bench.md'} and {options.out / 'bench.png'}")


def _bench_tracks(options: argparse.Namespace) -> None:
    from training.bench import tracks  # noqa: PLC0415  (imports torch, which takes seconds)

    if options.seeds < 1:
        raise ConfigError("--seeds", f"{options.seeds} is less than 1", "give 1 or more")
    methods = options.method or list(tracks.METHODS)
    for name in methods:
        if name not in tracks.METHODS:
            names = "; ".join(tracks.METHODS)
            raise ConfigError("--method", f"there is no {name!r}", f"give one of {names}")
    settings = config.load(None, options.set)
    ready = models.load_models(settings)
    episodes = tracks.labelled(options.data, options.out / "library", ready, settings, bar)
    with Workers(ready.workers) as workers:
        found = tracks.compare(episodes, options.seeds, workers, methods)
    rows = tabulate(tracks.table(found), headers=tracks.HEADERS, disable_numparse=True)
    gained = tabulate(tracks.gains(found), headers=tracks.GAINS, disable_numparse=True)
    text = f"{rows}\n\n{gained}"
    with disk.replacing(options.out / "tracks.txt") as file:
        file.write(f"{text}\n".encode())
    with disk.replacing(options.out / "tracks.json") as file:
        file.write(json.dumps(tracks.records(found), indent=1).encode())
    print(text)


_SHOWN = {"hota": "HOTA", "det_a": "DetA", "ass_a": "AssA", "idf1": "IDF1", "mota": "MOTA"}


def _evaluate_tracks(options: argparse.Namespace) -> None:
    from training.evaluate import mot, tracking  # noqa: PLC0415  (needs the training packages)

    truth = mot.read_true_tracks(options.truth)
    if options.predicted.is_dir():
        predicted = mot.library_tracks(options.predicted, options.episode)
    else:
        predicted = mot.read_tracks(options.predicted)
    if options.mot:
        mot.write_tracks(options.mot, predicted)
    ignored = truth.ignored(options.least_px, options.least_visible)
    rows = dataclasses.asdict(
        tracking.compare_tracks(*tracking.leave_out(truth.tracks, predicted, ignored))
    )
    shown = [
        (
            _SHOWN.get(name, name.replace("_", " ")),
            f"{value:.4f}" if isinstance(value, float) else str(value),
        )
        for name, value in {**rows, "faces ignored": int(ignored.sum())}.items()
    ]
    print(tabulate(shown, disable_numparse=True))


def _trust(options: argparse.Namespace) -> None:
    from training.bench import trust  # noqa: PLC0415  (imports torch, which takes seconds)

    settings, photos = config.load(None, options.set), config.load(None, LFW_SETTINGS)
    given, least = len(set(options.seasons)), 3 if options.check else 2
    if given < least:
        raise ConfigError("SEASON", f"{given} given, of {least} that are needed", "give more")
    ready = models.load_models(settings)
    people = list(lfw.of_two(lfw.photos(options.data)))
    others = trust.cohort(people, ready, photos, bar)
    episodes = trust.known_episodes(options.seasons, options.work, ready, settings, bar)
    facts = ready.encoder.facts
    plain = Yardstick(facts.calibration, others)
    stick = trust.measure(episodes, plain, settings)
    yardstick.save(options.out, stick, bare_id(facts))
    print(f"{options.out}: {len(others)} others, {len(episodes)} episodes")
    print(json.dumps({name: getattr(stick, name) for name in yardstick.COEFFICIENTS}))
    if options.check:
        beside = (trust.places(episodes), trust.meetings(episodes))
        for rows in (trust.left_out(episodes, plain, settings), *beside):
            print(
                tabulate([dataclasses.asdict(one) for one in rows], headers="keys", floatfmt=".4f")
            )


def _bench_repeats(options: argparse.Namespace) -> None:
    if options.episodes < 1:
        raise ConfigError("--episodes", f"{options.episodes} is less than 1", "give 1 or more")
    done = search_made(options.episodes)
    print(f"{done.seconds:.1f} s among {done.frames} frames of {done.episodes} episodes")
    print(f"recall {done.recall:.4f}, precision {done.precision:.4f}")


def _evaluate_repeats(options: argparse.Namespace) -> None:
    found = evaluate_repeats(options.season, open_library(options.library))
    rows = [
        [one.kind, one.shots, one.shots_found, one.frames, one.recall, one.sources_right]
        for one in found.kinds
    ]
    headers = ["", "shots", "found", "frames", "recall", "rightly placed"]
    print(tabulate(rows, headers=headers, floatfmt=".4f"))
    print(f"precision {found.precision:.4f} of {found.frames_said} frames")
    print(f"{found.tracks_matched} of {found.tracks} repeated tracks recognised as earlier ones")


def _calibrate(options: argparse.Namespace) -> None:
    options.set = [*LFW_SETTINGS, *options.set]
    ready, settings = _ready(options)
    # Only people with several photos make genuine pairs; each gives at most a few.
    chosen = list(islice(_several(lfw.photos(options.data)), options.photos))
    widths = [0.0, *options.widths]
    encoded = [
        calibration.encode_at(
            bar(chosen, total=len(chosen), what=f"{width:.0f} px"), width, ready, settings
        )
        for width in widths
    ]
    found = calibration.calibrate(encoded[0], encoded[1:])
    print(json.dumps(dataclasses.asdict(found), indent=1))
    if options.write:
        facts, tensors = weights.read(options.write)
        weights.save(options.write, tensors, dataclasses.replace(facts, calibration=found))


def _several(photos: Iterable[lfw.Photo], least: int = 2, most: int = 4) -> Iterable[lfw.Photo]:
    group: list[lfw.Photo] = []
    for photo in photos:
        if group and photo.person != group[0].person:
            yield from group[:most] if len(group) >= least else []
            group = []
        group.append(photo)
    yield from group[:most] if len(group) >= least else []

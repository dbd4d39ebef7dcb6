"""Commands that synthesize episodes and stills."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from typing import Any

from tabulate import tabulate

from indexer import config
from indexer.commands.console import bar
from indexer.errors import ConfigError
from indexer.models import load_models
from indexer.store.disk import explained
from training.demo import demo, detector
from training.head import ONCE
from training.synthesize.season import GALLERY, synthesize_season
from training.synthesize.season_spec import SeasonSpec
from training.synthesize.stills import synthesize_stills
from training.synthesize.stills_script import StillsSpec

_COUNTS = ("episodes", "cast", "enrolled", "strangers", "stills", "photos", "crf", "seed")
_SOURCE = "a folder of stills per person, or lfw.tar"


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add these commands to the parser."""
    show = commands.add_parser("demo", help="make an episode, enrol its cast, index and query it")
    show.add_argument("folder", type=Path, metavar="FOLDER")
    show.set_defaults(run=lambda options: demo(options.folder, print))
    _add_season(commands)
    _add_stills(commands)


def _add_season(commands: Any) -> None:  # noqa: ANN401
    known = SeasonSpec()
    made = commands.add_parser("synthesize", help="make a synthetic season with exact ground truth")
    made.add_argument("source", type=Path, metavar="FACES", help=_SOURCE)
    made.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    made.add_argument(
        "--gallery", type=Path, metavar="FOLDER", help="default: in the folder of --out"
    )
    made.add_argument("--seconds", type=float, default=known.seconds, metavar="N")
    for name in _COUNTS:
        made.add_argument(f"--{name}", type=int, default=getattr(known, name), metavar="N")
    made.add_argument("--size", default=f"{known.width}x{known.height}", metavar="WIDTHxHEIGHT")
    made.add_argument("--vfr", action="store_true", help="at a variable frame rate")
    made.add_argument("--rotate", type=int, default=0, metavar="DEGREES", help="90, 180 or 270")
    made.set_defaults(run=_synthesize)
    check = commands.add_parser("synthesize-check", help="measure how hard a synthetic season is")
    check.add_argument("season", type=Path, metavar="SEASON")
    check.add_argument("--gallery", type=Path, metavar="FOLDER", help="default: in SEASON")
    check.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    check.add_argument("--weights", default="", help="the encoder, as in embed.weights")
    check.set_defaults(run=_check)


def _add_stills(commands: Any) -> None:  # noqa: ANN401
    known = StillsSpec()
    pictures = commands.add_parser("synthesize-stills", help="make annotated still pictures")
    pictures.add_argument("faces", type=Path, metavar="FACES", help=_SOURCE)
    pictures.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    for name in ("classes", "pictures", "strangers", "photos", "seed"):
        pictures.add_argument(f"--{name}", type=int, default=getattr(known, name), metavar="N")
    pictures.add_argument("--size", default=f"{known.width}x{known.height}", metavar="WIDTHxHEIGHT")
    pictures.set_defaults(run=_synthesize_stills)


def _size(text: str) -> tuple[int, int]:
    """Return the width and height in a text such as 640x360."""
    said = re.fullmatch(r"(\d+)x(\d+)", text)
    if said is None:
        raise ConfigError("--size", f"{text} is not a size", "give WIDTHxHEIGHT, as in 640x360")
    return int(said[1]), int(said[2])


def _synthesize(options: argparse.Namespace) -> None:
    width, height = _size(options.size)
    counts = {name: getattr(options, name) for name in _COUNTS}
    try:
        spec = SeasonSpec(
            width=width,
            height=height,
            seconds=options.seconds,
            vfr=options.vfr,
            rotation=options.rotate,
            **counts,
        )
    except ValueError as error:
        raise ConfigError("synthesize", str(error), "see --help") from error
    if options.gallery and options.gallery.exists():
        raise ConfigError(options.gallery, "exists already", "name a folder that does not")
    truths = synthesize_season(options.source, options.out, spec, detector(), bar)
    if options.gallery:
        with explained(options.gallery):
            options.gallery.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(options.out / GALLERY, options.gallery)
    rows = [
        (t.episode, t.frames, len(t.shots), sum(bool(s.repeats) for s in t.shots), len(t.faces))
        for t in truths
    ]
    print(tabulate(rows, headers=["episode", "frames", "shots", "repeats", "tracks"]))
    first = truths[0]
    print(
        f"written: {options.out}, with a cast of {len(first.cast)}, of whom {len(first.enrolled)} "
        f"are in the gallery, and {len(first.strangers)} strangers"
    )


def _check(options: argparse.Namespace) -> None:
    from training.evaluate.season_check import check_season  # noqa: PLC0415  (it imports torch)

    if options.every <= 0:
        raise ConfigError("synthesize-check", f"--every is {options.every}", "give more than 0 s")
    settings = config.load(None, [f"embed.weights={options.weights}", *ONCE])
    gallery = options.gallery or options.season / GALLERY
    models = load_models(settings)
    buckets = check_season(options.season, gallery, models, settings, options.every, bar)
    total = max(sum(one.faces for one in buckets), 1)
    rows = [
        (
            f"{one.low:.0f}-{one.high:.0f} px",
            one.faces,
            one.faces / total,
            one.found / max(one.faces, 1),
            one.enrolled,
            one.right / max(one.enrolled, 1),
        )
        for one in buckets
    ]
    headers = ["width at 360p", "faces", "share", "found", "of a gallery", "rank-1"]
    print(tabulate(rows, headers=headers, floatfmt=".3f"))


def _synthesize_stills(options: argparse.Namespace) -> None:
    width, height = _size(options.size)
    counts = {
        name: getattr(options, name)
        for name in ("classes", "pictures", "strangers", "photos", "seed")
    }
    try:
        spec = StillsSpec(width=width, height=height, **counts)
        made = synthesize_stills(options.faces, options.out, spec, detector(), bar)
    except ValueError as error:
        raise ConfigError("synthesize-stills", str(error), "see --help") from error
    faces = [face for picture in made for face in picture.faces]
    strangers = sum(face.stranger for face in faces)
    print(f"{options.out}: {len(made)} pictures, {len(faces)} faces, {strangers} of strangers")

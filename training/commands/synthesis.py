"""Commands that make faces, episodes and stills."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from indexer.__main__ import bar
from indexer.errors import ConfigError
from training.demo import demo, detector
from training.synthesize import EpisodeSpec, synthesize
from training.synthesize.stills import synthesize_stills
from training.synthesize.stills_script import StillsSpec


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add them to the parser's commands."""
    show = commands.add_parser("demo", help="make an episode, enrol its cast, index and query it")
    show.add_argument("folder", type=Path, metavar="FOLDER")
    show.set_defaults(run=lambda options: demo(options.folder, print))
    made = commands.add_parser("synthesize", help="make an episode with exact truth of faces")
    made.add_argument("faces", type=Path, metavar="FACES", help="a folder of stills per person")
    made.add_argument("--out", type=Path, required=True, metavar="MP4")
    made.add_argument("--seconds", type=float, default=60.0)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--size", default="640x360", metavar="WIDTHxHEIGHT")
    made.add_argument("--strangers", nargs="*", default=[], metavar="NAME")
    made.set_defaults(run=_synthesize)
    _add_stills(commands)


def _add_stills(commands: Any) -> None:  # noqa: ANN401
    known = StillsSpec()
    pictures = commands.add_parser("synthesize-stills", help="make annotated still pictures")
    pictures.add_argument("faces", type=Path, metavar="FACES", help="a folder of stills per person")
    pictures.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    for name in ("classes", "pictures", "strangers", "photos", "seed"):
        pictures.add_argument(f"--{name}", type=int, default=getattr(known, name), metavar="N")
    pictures.add_argument("--size", default=f"{known.width}x{known.height}", metavar="WIDTHxHEIGHT")
    pictures.set_defaults(run=_synthesize_stills)


def _synthesize(options: argparse.Namespace) -> None:
    width, _, height = options.size.partition("x")
    try:
        spec = EpisodeSpec(
            width=int(width), height=int(height), seconds=options.seconds, seed=options.seed
        )
        truth = synthesize(options.faces, options.out, spec, detector(), options.strangers)
    except ValueError as error:
        raise ConfigError("synthesize", str(error), "see --help") from error
    print(f"{options.out}: {truth.frames} frames, {len(truth.shots)} shots")


def _synthesize_stills(options: argparse.Namespace) -> None:
    width, _, height = options.size.partition("x")
    counts = {
        name: getattr(options, name)
        for name in ("classes", "pictures", "strangers", "photos", "seed")
    }
    try:
        spec = StillsSpec(width=int(width), height=int(height), **counts)
        made = synthesize_stills(options.faces, options.out, spec, detector(), bar)
    except ValueError as error:
        raise ConfigError("synthesize-stills", str(error), "see --help") from error
    faces = [face for picture in made for face in picture.faces]
    strangers = sum(face.stranger for face in faces)
    print(f"{options.out}: {len(made)} pictures, {len(faces)} faces, {strangers} of strangers")

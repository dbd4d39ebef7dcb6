"""Commands that make faces, episodes and stills."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from indexer.errors import ConfigError
from training.demo import demo, detector
from training.synthesize import EpisodeSpec, synthesize


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

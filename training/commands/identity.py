"""The command that measures names."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from indexer import config, models
from indexer.commands.console import bar
from indexer.errors import ConfigError
from indexer.store import disk


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add the command to the parser."""
    who = commands.add_parser("bench-identity", help="names and people on synthetic seasons")
    who.add_argument("data", type=Path, metavar="FOLDER", help="with s0, s1, … made by synthesize")
    who.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keep libraries here (default: in OUT)"
    )
    who.add_argument("--out", type=Path, default=Path("outputs/identity"), metavar="FOLDER")
    who.add_argument("--seasons", type=int, metavar="N", help="only the first N")
    who.add_argument("--episodes", type=int, metavar="N", help="only the first N of each")
    who.add_argument("--clips", type=Path, metavar="FOLDER", help="with the real clips")
    who.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=VALUE")
    who.add_argument(
        "--judge-again",
        action="store_true",
        help="re-judge libraries of other code, if it differs only in how it names people",
    )
    who.set_defaults(run=_bench_identity)


def _bench_identity(options: argparse.Namespace) -> None:
    from training.bench import identity_run  # noqa: PLC0415  (needs the training packages)

    for name in ("seasons", "episodes"):
        count = getattr(options, name)
        if count is not None and count < 1:
            raise ConfigError(f"--{name}", f"{count} is less than 1", "give 1 or more")
    settings = config.load(None, options.set)
    asked = identity_run.Asked(
        options.data, options.work or options.out / "work", options.seasons, options.episodes,
        options.clips, options.judge_again,
    )  # fmt: skip
    report = identity_run.bench_identity(asked, models.load_models(settings), settings, bar)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in (("identity.md", report.markdown), ("identity.json", report.json)):
        with disk.replacing(options.out / name) as file:
            file.write(text.encode())
    print(report.markdown)
    print(f"written: {options.out / 'identity.md'} and {options.out / 'identity.json'}")

"""The command line: parse, call, print.

Results go to stdout, for machines with ``--json``; progress and errors to stderr. Exit status 0:
done; 1: nothing found, or something left after ``forget``; 2: refused, with one line that says
why; 130: interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from indexer import __version__
from indexer.commands import asking, indexing, naming
from indexer.commands.console import Parser, Parsers, library_folder, prepare_output, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    prepare_output()
    return run(build_parser().parse_args(arguments))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="python -m indexer", description="Who is on screen, when?")
    parser.add_argument("--version", action="version", version=__version__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--library",
        type=library_folder,
        default=Path("outputs"),
        metavar="FOLDER",
        help="default: outputs",
    )
    shared.add_argument("--json", action="store_true", help="machine-readable output")
    parsers = Parsers(parser.add_subparsers(required=True, metavar="COMMAND"), shared)
    for commands in (indexing, naming, asking):
        commands.add(parsers)
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves no more behind than Ctrl-C
    sys.exit(main())

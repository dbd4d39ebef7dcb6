"""The command line of training: parse, call, print. Exit codes as those of the indexer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from indexer.commands.console import Parser, complain
from indexer.errors import IndexerError
from training.commands import benches, data, fitting, identity, stills, synthesis


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except IndexerError as error:
        return complain(error)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="python -m training", description="Faces in, weights out")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (synthesis, data, fitting, stills, benches, identity):
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The command line of training: parse, call, print. Exit codes as those of the indexer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from indexer.commands.console import Parser, complain, run
from indexer.errors import ConfigError
from training.commands import benches, data, fitting, identity, stills, synthesis

_EXTRA = {
    "defusedxml", "imagehash", "iterstrat", "matplotlib", "pycocotools", "pytorch_metric_learning",
    "skimage", "trackeval", "umap", "yaml",
}  # fmt: skip
"""The packages of the extra ``training``, as they are imported; `indexer` needs none of them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        return run(options)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        remedy = "pip install --constraint constraints.txt '.[training]'"
        if package == "trackeval":  # no release depends on the right OpenCV package
            remedy = "pip install --no-deps trackeval"
        return complain(ConfigError(package, "is not installed", remedy))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="python -m training", description="Faces in, weights out")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (synthesis, data, fitting, stills, benches, identity):
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
